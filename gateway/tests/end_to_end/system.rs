//! A gateway with a real balancer behind it and a fake node, and a browser's connection to it. Two test programs share it.

use std::net::SocketAddr;
use std::time::Duration;

use balancer::client::{CallError, Client};
use balancer::{key, proto};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use gateway::Cli;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::token::Token;

pub(crate) const INCARNATION: u64 = 77;

/// Registers without verification: for tests that are about something else.
pub(crate) const OPEN: &[&str] = &["--development", "--skip-verification"];

/// A balancer that is not served yet, and the files of all servers.
pub(crate) struct System {
    pub(crate) dir: TempDir,
    balancer: balancer::Bound,
}

impl System {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        key::create(&dir.path().join("token.key")).unwrap();
        let balancer = bind_balancer(&dir, "127.0.0.1:0");
        Self { dir, balancer }
    }

    /// Starts both, the gateway with these further arguments.
    pub(crate) fn start(self, more: &[&str]) -> Running {
        let Self { dir, balancer } = self;
        let balancer_address = balancer.grpc_address().unwrap();
        let balancer_url = format!("http://{balancer_address}");
        let balancer_run = serve_balancer(balancer);
        let bound = bind(&dir, &balancer_url, more).unwrap();
        let address = bound.address().unwrap();
        let verify = bound.verify_address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(bound.serve(async {
            let _ = stopped.await;
        }));
        let balancer = Client::new(&balancer_url, Duration::from_secs(60)).unwrap();
        Running {
            dir,
            balancer,
            balancer_address,
            balancer_run: Some(balancer_run),
            address,
            verify,
            stop,
            served,
        }
    }
}

/// How to stop a balancer, and what to wait for then.
type BalancerRun = (oneshot::Sender<()>, JoinHandle<anyhow::Result<()>>);

fn bind_balancer(dir: &TempDir, listen: &str) -> balancer::Bound {
    let key_path = dir.path().join("token.key");
    let args = ["balancer", "--listen", listen, "--admin", "127.0.0.1:0", "--grace-ms", "0"];
    // The fake node does not report, and is to stay for as long as any test takes.
    let args = args.into_iter().chain(["--lease-ms", "600000"]);
    let args = args.chain(["--token-key-file", key_path.to_str().unwrap()]);
    balancer::Bound::new(&balancer::Args::parse_from(args)).unwrap()
}

fn serve_balancer(balancer: balancer::Bound) -> BalancerRun {
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(balancer.serve(async {
        let _ = stopped.await;
    }));
    (stop, served)
}

/// A gateway with files in `dir` and these further arguments.
pub(crate) fn bind(
    dir: &TempDir,
    balancer_url: &str,
    more: &[&str],
) -> anyhow::Result<gateway::Bound> {
    let data = dir.path().to_str().unwrap();
    let args = ["gateway", "--listen", "127.0.0.1:0", "--balancer", balancer_url, "--data", data];
    // The least cost: nothing here is about how long a hash takes.
    let args = args.into_iter().chain(["--hash-memory-kib", "8", "--hash-passes", "1"]);
    let args = Cli::parse_from(args.chain(more.iter().copied())).serve.unwrap();
    gateway::Bound::new(&args)
}

pub(crate) struct Running {
    pub(crate) dir: TempDir,
    pub(crate) balancer: Client,
    balancer_address: SocketAddr,
    balancer_run: Option<BalancerRun>,
    pub(crate) address: SocketAddr,
    pub(crate) verify: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub(crate) async fn stop_balancer(&mut self) {
        let (stop, served) = self.balancer_run.take().expect("it runs");
        let _ = stop.send(());
        served.await.unwrap().unwrap();
    }

    pub(crate) fn start_balancer_again(&mut self) {
        let balancer = bind_balancer(&self.dir, &self.balancer_address.to_string());
        self.balancer_run = Some(serve_balancer(balancer));
    }

    /// Registers a node, as soon as the balancer can be reached.
    pub(crate) async fn node(&self) {
        let node = proto::RegisterRequest {
            name: "n1".to_owned(),
            host: "127.0.0.1".to_owned(),
            base_port: 4000,
            shard_ports: vec![4001, 4002],
            incarnation: INCARNATION,
            mono_ms: 0,
            capacity: 1_000,
            load: None,
            state: proto::NodeState::Serving.into(),
            returning: false,
        };
        while let Err(error) = self.balancer.register(node.clone()).await {
            assert!(matches!(error, CallError::Unreachable(_)), "{error}");
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn connect(&self) -> Browser {
        Browser::connect(self.address).await
    }

    pub(crate) fn verify_token(&self, answer: &Value) -> Token {
        let token = URL_SAFE_NO_PAD.decode(answer["token"].as_str().unwrap()).unwrap();
        let key = key::load(&self.dir.path().join("token.key"), false).unwrap();
        key.verify(&token, "n1", INCARNATION, 0).unwrap()
    }

    /// Waits until a line is on the page of figures.
    pub(crate) async fn until_shown(&self, line: &str) {
        let mut browser = self.connect().await;
        loop {
            let page = browser.send("GET", "/metrics", vec![]).await.text;
            if page.lines().any(|shown| shown == line) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.served.await.unwrap().unwrap();
    }
}

/// One HTTP connection, kept alive.
pub(crate) struct Browser(SendRequest<Full<Bytes>>);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn error(&self) -> u64 {
        self.json()["error"].as_u64().unwrap()
    }
}

impl Browser {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, conn) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(conn);
        Self(sender)
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, body: Vec<u8>) -> Answer {
        self.send_for(None, method, path, body).await
    }

    /// Sends as a proxy would for a client.
    pub(crate) async fn send_for(
        &mut self,
        client: Option<&str>,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Answer {
        let request = hyper::Request::builder().method(method).uri(path).header("host", "gateway");
        let request = match client {
            Some(client) => request.header("x-forwarded-for", client),
            None => request,
        };
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let answer = self.0.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().parse().unwrap());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Answer { status, retry_after, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) async fn post(&mut self, path: &str, body: Value) -> Value {
        self.send("POST", path, body.to_string().into_bytes()).await.json()
    }

    pub(crate) async fn error(&mut self, path: &str, body: Value) -> u64 {
        self.post(path, body).await["error"].as_u64().unwrap()
    }

    /// Asks a gateway in development for a code.
    pub(crate) async fn code(&mut self, email: &str) -> String {
        let answer = self.post("/get_verification", serde_json::json!({ "email": email })).await;
        assert_eq!(answer["error"], 0, "{answer}");
        answer["code"].as_str().unwrap().to_owned()
    }
}

/// A code that is not this one.
pub(crate) fn other(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}
