//! The gateway behind TLS: HTTPS to clients, TLS to the balancer.

#[path = "../../balancer/tests/authority/mod.rs"]
mod authority;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use authority::Authority;
use clap::Parser;
use gateway::{Bound, Cli, VerifyArgs, VerifyBound};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

fn bind(data: &TempDir, listen: &str, more: &[String]) -> anyhow::Result<Bound> {
    let words = ["gateway", "--listen", listen, "--balancer", "http://127.0.0.1:1", "--data"];
    let words = words.into_iter().chain([data.path().to_str().unwrap()]).map(str::to_owned);
    Bound::new(&Cli::parse_from(words.chain(more.iter().cloned())).serve.unwrap())
}

async fn connect(
    address: SocketAddr,
    trust: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(trust).connect(name, stream).await
}

/// The status of a page.
async fn get(stream: TlsStream<TcpStream>, path: &str) -> u16 {
    let (mut sender, conn) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(conn);
    let request = hyper::Request::get(path).header("host", "localhost");
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    answer.into_body().collect().await.unwrap();
    status
}

#[tokio::test]
async fn clients_get_https_and_a_renewed_certificate_when_told() {
    let (authority, data) = (Authority::new(), tempfile::tempdir().unwrap());
    let bound = bind(&data, "127.0.0.1:0", &authority.options()).unwrap();
    let address = bound.address().unwrap();
    let tls = bound.tls().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(bound.serve(async {
        let _ = stopped.await;
    }));
    let shown =
        |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let stream = connect(address, authority.trust()).await.unwrap();
    let first = shown(&stream);
    assert_eq!(get(stream, "/metrics").await, 200);

    let refused = connect(address, Authority::new().trust()).await.unwrap_err().to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");

    authority.renew();
    let again = connect(address, authority.trust()).await.unwrap();
    assert_eq!(shown(&again), first, "not before it is told");
    tls.reload().unwrap();
    let renewed = connect(address, authority.trust()).await.unwrap();
    assert_ne!(shown(&renewed), first);

    // A file that is none changes nothing.
    std::fs::write(authority.certificate(), "no certificate").unwrap();
    assert!(tls.reload().unwrap_err().to_string().contains("cert.pem"));
    let still = connect(address, authority.trust()).await.unwrap();
    assert_eq!(shown(&still), shown(&renewed));
    drop((stop, again, renewed, still));
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn with_tls_others_may_reach_it() {
    let data = tempfile::tempdir().unwrap();
    assert!(bind(&data, "0.0.0.0:0", &[]).unwrap_err().to_string().contains("--insecure"));
    bind(&data, "0.0.0.0:0", &Authority::new().options()).unwrap();
}

#[tokio::test]
async fn a_verification_server_is_asked_inside_tls() {
    let (authority, data) = (Authority::new(), tempfile::tempdir().unwrap());
    let words = ["verify-server", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let words = words.into_iter().chain(["--development"]).map(str::to_owned);
    let server =
        VerifyBound::new(&VerifyArgs::parse_from(words.chain(authority.options()))).unwrap();
    let url = format!("https://localhost:{}", server.grpc_address().unwrap().port());
    let (stop_server, stopped) = oneshot::channel::<()>();
    let server_run = tokio::spawn(server.serve(async {
        let _ = stopped.await;
    }));
    let ca = authority.ca();
    let words = ["gateway", "--listen", "127.0.0.1:0", "--balancer", "https://localhost:1"];
    let words = words.into_iter().chain(["--data", data.path().to_str().unwrap()]);
    let words = words.chain(["--verify", &url, "--tls-ca", ca.to_str().unwrap()]);
    let bound = Bound::new(&Cli::parse_from(words).serve.unwrap()).unwrap();
    let address = bound.address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(bound.serve(async {
        let _ = stopped.await;
    }));
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, conn) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(conn);
    let request = hyper::Request::post("/get_verification").header("host", "localhost");
    let asked = Bytes::from_static(b"{\"email\":\"carol@example.org\"}");
    let answer = sender.send_request(request.body(Full::new(asked)).unwrap()).await.unwrap();
    let answer = answer.into_body().collect().await.unwrap().to_bytes();
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((&answer["error"], answer["code"].is_string()), (&0.into(), true), "{answer}");
    drop((stop, sender));
    served.await.unwrap().unwrap();
    drop(stop_server);
    server_run.await.unwrap().unwrap();
}

#[tokio::test]
async fn others_reach_a_verification_server_only_if_it_is_said_who_may_call() {
    let authority = Authority::new();
    let bind = |more: &[String]| {
        let words = ["verify-server", "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0"];
        let words = words.into_iter().map(str::to_owned);
        VerifyBound::new(&VerifyArgs::parse_from(words.chain(more.iter().cloned())))
    };
    let refused = |more: &[String]| format!("{:#}", bind(more).unwrap_err());
    assert!(refused(&[]).contains("--insecure"));
    assert!(refused(&authority.options()).contains("--tls-client-ca"));
    let mut options = authority.options().to_vec();
    options.extend(["--tls-client-ca".to_owned(), authority.ca().to_str().unwrap().to_owned()]);
    bind(&options).unwrap();
}
