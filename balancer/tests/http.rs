//! The HTTP front's bounds, short enough to be waited for.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use balancer::http::{self, Bounds, Peer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

fn serve(bounds: Bounds) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = http::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = Router::new()
        .route("/peer", get(async |Extension(Peer(peer)): Extension<Peer>| peer.to_string()));
    let served = tokio::spawn(http::serve(listener, router, bounds, async {
        let _ = stopped.await;
    }));
    (address, stop, served)
}

async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await; // A reset ends it too.
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_request_knows_its_peer_and_slow_long_and_many_ones_are_cut_off() {
    let bounds = Bounds {
        peer_connections_max: 3,
        head_timeout: Duration::from_millis(100),
        head_bytes_max: 8192,
        ..Bounds::ADMIN
    };
    let (address, stop, served) = serve(bounds);

    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let own = stream.local_addr().unwrap().to_string();
    assert!(rest(&mut stream).await.ends_with(&own));

    let mut slow = TcpStream::connect(address).await.unwrap();
    send(&mut slow, b"GET /peer HTTP/1.1\r\nhost: ").await;
    assert!(!rest(&mut slow).await.contains("200 OK"), "it is closed without what it asked for");

    let mut long = TcpStream::connect(address).await.unwrap();
    send(&mut long, &[b"GET /peer HTTP/1.1\r\nx: ", &[b'x'; 9000][..]].concat()).await;
    assert!(rest(&mut long).await.starts_with("HTTP/1.1 431"));

    // Three may be open; each held one is given back when it ends.
    for _ in 0..3 {
        let mut many = Vec::new();
        for _ in 0..4 {
            many.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(rest(&mut many[3]).await, "", "closed at once");
        for held in &mut many[..3] {
            rest(held).await;
        }
    }
    let _ = stop.send(());
    served.await.unwrap();
}
