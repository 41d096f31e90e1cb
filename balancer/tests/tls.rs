//! The balancer behind TLS: who trusts its authority is served, everybody else is told what is wrong.

mod authority;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use authority::Authority;
use balancer::client::{CallError, Client};
use balancer::tls::Trust;
use balancer::{Args, Bound, key};
use clap::Parser;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(60);

struct Running {
    _keys: TempDir,
    grpc: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

fn bind(keys: &TempDir, listen: &str, more: &[String]) -> anyhow::Result<Bound> {
    let path = keys.path().join("token.key");
    if !path.exists() {
        key::create(&path).unwrap();
    }
    let words = ["balancer", "--listen", listen, "--admin", "127.0.0.1:0", "--grace-ms", "0"];
    let words = words.into_iter().chain(["--token-key-file", path.to_str().unwrap()]);
    Bound::new(&Args::parse_from(words.map(str::to_owned).chain(more.iter().cloned())))
}

fn trust(ca: &Path) -> Trust {
    Trust { tls_ca: Some(ca.to_owned()), ..Trust::default() }
}

impl Running {
    fn start(authority: &Authority) -> Self {
        Self::start_with(&authority.options())
    }

    fn start_with(options: &[String]) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let bound = bind(&keys, "127.0.0.1:0", options).unwrap();
        let grpc = bound.grpc_address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(bound.serve(async {
            let _ = stopped.await;
        }));
        Self { _keys: keys, grpc, stop, served }
    }

    fn client(&self, trusting: &Authority) -> Client {
        Client::trusting(&self.url(), &trust(&trusting.ca()), DEADLINE).unwrap()
    }

    /// One that shows a certificate of another authority.
    fn client_of(&self, trusting: &Authority, of: &Authority) -> Client {
        let (tls_client_cert, tls_client_key) = (Some(of.certificate()), Some(of.key()));
        let trust = Trust { tls_client_cert, tls_client_key, ..trust(&trusting.ca()) };
        Client::trusting(&self.url(), &trust, DEADLINE).unwrap()
    }

    fn url(&self) -> String {
        format!("https://{}", self.grpc)
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.served.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn who_trusts_its_authority_is_served() {
    let authority = Authority::new();
    let running = Running::start(&authority);
    assert_eq!(running.client(&authority).list_nodes().await.unwrap(), []);
    running.stop().await;
}

#[tokio::test]
async fn another_authority_is_refused_with_what_is_wrong() {
    let running = Running::start(&Authority::new());
    let refused = running.client(&Authority::new()).list_nodes().await.unwrap_err();
    let CallError::Unreachable(said) = &refused else { panic!("{refused:?}") };
    assert!(said.contains("UnknownIssuer") && said.contains("--tls-ca"), "{said}");
    running.stop().await;
}

#[tokio::test]
async fn who_speaks_no_tls_is_not_served() {
    let running = Running::start(&Authority::new());
    let plain = Client::new(&running.grpc.to_string(), DEADLINE).unwrap();
    assert!(matches!(plain.list_nodes().await, Err(CallError::Unreachable(_))));
    // Nor who says nothing that TLS is: it is cut, and others go on.
    let mut stream = TcpStream::connect(running.grpc).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await; // An alert, or a reset.
    assert!(!answer.starts_with(b"HTTP"));
    running.stop().await;
}

#[tokio::test]
async fn addresses_and_authorities_go_together() {
    let authority = Authority::new();
    let ca = authority.ca();
    let refused = |url: &str, ca: Option<&Path>| {
        let trust = ca.map(trust).unwrap_or_default();
        Client::trusting(url, &trust, DEADLINE).unwrap_err().to_string()
    };
    assert!(refused("https://127.0.0.1:1", None).contains("--tls-ca"));
    assert!(refused("http://127.0.0.1:1", Some(&ca)).contains("https"));
    assert!(refused("https://127.0.0.1:1", Some("/nowhere/ca.pem".as_ref())).contains("/nowhere"));
    let key = authority.key();
    assert!(refused("https://127.0.0.1:1", Some(&key)).contains("no certificate"));
    Client::trusting("127.0.0.1:1", &trust(&ca), DEADLINE).unwrap();
}

#[tokio::test]
async fn only_those_who_show_a_certificate_are_served_where_that_is_asked() {
    let (server, clients) = (Authority::new(), Authority::new());
    let ca = ["--tls-client-ca".to_owned(), clients.ca().to_str().unwrap().to_owned()];
    let running = Running::start_with(&[&server.options()[..], &ca].concat());
    running.client_of(&server, &clients).list_nodes().await.unwrap();
    for stranger in [running.client(&server), running.client_of(&server, &server)] {
        let refused = stranger.list_nodes().await;
        assert!(matches!(refused, Err(CallError::Unreachable(_))), "{refused:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn with_tls_those_who_are_known_may_reach_it() {
    let keys = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let refused = bind(&keys, "0.0.0.0:0", &[]).unwrap_err().to_string();
    assert!(refused.contains("--insecure"), "{refused}");
    // TLS says who answers, not who calls.
    let refused = bind(&keys, "0.0.0.0:0", &authority.options()).unwrap_err().to_string();
    assert!(refused.contains("--tls-client-ca"), "{refused}");
    let ca = ["--tls-client-ca".to_owned(), authority.ca().to_str().unwrap().to_owned()];
    bind(&keys, "0.0.0.0:0", &[&authority.options()[..], &ca].concat()).unwrap();
}

#[tokio::test]
async fn a_key_that_does_not_go_with_the_certificate_is_refused() {
    let (one, other) = (Authority::new(), Authority::new());
    std::fs::copy(other.key(), one.key()).unwrap();
    let keys = tempfile::tempdir().unwrap();
    let refused = bind(&keys, "127.0.0.1:0", &one.options()).unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.contains("key.pem") && refused.contains("does not go with"), "{refused}");
}
