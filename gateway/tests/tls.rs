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
    let is_trusting = more.iter().any(|word| word == "--tls-ca");
    let balancer = if is_trusting { "https://localhost:1" } else { "http://127.0.0.1:1" };
    let words = ["gateway", "--listen", listen, "--balancer", balancer, "--data"];
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
    fetch(stream, path).await.0
}

/// A page.
async fn text(stream: TlsStream<TcpStream>, path: &str) -> String {
    String::from_utf8(fetch(stream, path).await.1.to_vec()).unwrap()
}

async fn fetch(stream: TlsStream<TcpStream>, path: &str) -> (u16, Bytes) {
    let (mut sender, conn) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(conn);
    let request = hyper::Request::get(path).header("host", "localhost");
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn clients_get_https_and_a_renewed_certificate_when_told() {
    let (authority, data) = (Authority::new(), tempfile::tempdir().unwrap());
    let bound = bind(&data, "127.0.0.1:0", &authority.options()).unwrap();
    let address = bound.address().unwrap();
    let tls = bound.tls().remove(0);
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

/// What a gateway with these options answers who asks it for a code.
async fn ask_for_a_code(options: &[String]) -> serde_json::Value {
    let data = tempfile::tempdir().unwrap();
    let bound = bind(&data, "127.0.0.1:0", options).unwrap();
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
    drop((stop, sender));
    served.await.unwrap().unwrap();
    serde_json::from_slice(&answer).unwrap()
}

/// A gateway's options to ask there, trusting this authority.
fn asking(authority: &Authority, port: u16) -> Vec<String> {
    let ca = authority.ca().to_str().unwrap().to_owned();
    vec!["--verify".to_owned(), format!("https://localhost:{port}"), "--tls-ca".to_owned(), ca]
}

#[tokio::test]
async fn a_verification_server_is_asked_inside_tls() {
    let authority = Authority::new();
    let words = ["verify-server", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let words = words.into_iter().chain(["--development"]).map(str::to_owned);
    let server =
        VerifyBound::new(&VerifyArgs::parse_from(words.chain(authority.options()))).unwrap();
    let port = server.grpc_address().unwrap().port();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(server.serve(async {
        let _ = stopped.await;
    }));
    let answer = ask_for_a_code(&asking(&authority, port)).await;
    assert_eq!((&answer["error"], answer["code"].is_string()), (&0.into(), true), "{answer}");
    drop(stop);
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_gateway_answers_others_inside_tls_and_only_those_it_knows() {
    let (authority, data) = (Authority::new(), tempfile::tempdir().unwrap());
    let mut options = authority.options().to_vec();
    let ca = authority.ca().to_str().unwrap().to_owned();
    options.extend(["--development", "--verify-listen", "127.0.0.1:0"].map(str::to_owned));
    options.extend(["--verify-client-ca".to_owned(), ca]);
    let bound = bind(&data, "127.0.0.1:0", &options).unwrap();
    let (address, port) =
        (bound.address().unwrap(), bound.verify_address().unwrap().unwrap().port());
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(bound.serve(async {
        let _ = stopped.await;
    }));
    let stranger = ask_for_a_code(&asking(&authority, port)).await;
    assert!(stranger["error"] != 0 && !stranger["code"].is_string(), "{stranger}");

    let mut known = asking(&authority, port);
    let of = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    known.extend(["--tls-client-cert".to_owned(), of(authority.certificate())]);
    known.extend(["--tls-client-key".to_owned(), of(authority.key())]);
    let answer = ask_for_a_code(&known).await;
    assert_eq!((&answer["error"], answer["code"].is_string()), (&0.into(), true), "{answer}");

    let page = text(connect(address, authority.trust()).await.unwrap(), "/metrics").await;
    let failed = |line: &&str| line.starts_with("ringline_gateway_verify_tls_handshakes_failed");
    let failed = page.lines().find(failed).unwrap_or_else(|| panic!("{page}"));
    assert!(!failed.ends_with(" 0"), "the stranger's: {failed}");
    drop(stop);
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn others_reach_the_port_for_gateways_only_if_it_is_said_who_may_call() {
    let (authority, data) = (Authority::new(), tempfile::tempdir().unwrap());
    let open = ["--verify-listen", "0.0.0.0:0"].map(str::to_owned);
    let mut options = [authority.options().as_slice(), &open].concat();
    let refused = bind(&data, "127.0.0.1:0", &options).unwrap_err().to_string();
    assert!(refused.contains("--verify-client-ca"), "{refused}");
    let ca = authority.ca().to_str().unwrap().to_owned();
    options.extend(["--verify-client-ca".to_owned(), ca]);
    bind(&data, "127.0.0.1:0", &options).unwrap();
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
