//! Several balancers with one registry in a Redis, over real gRPC: any of them answers, and callers find the one that does.

use std::net::SocketAddr;
use std::time::Duration;

use balancer::client::{CallError, Client, ReportOutcome};
use balancer::redis::PrivateRedis;
use balancer::{Args, Bound, key, proto};
use clap::Parser;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::{Epoch, UserId};

/// What is promised must not depend on how busy this machine is.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often something is looked at that takes some time.
const LOOK: Duration = Duration::from_millis(5);

struct System {
    dir: TempDir,
    redis: PrivateRedis,
}

struct Running {
    grpc: SocketAddr,
    admin: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl System {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        key::create(&dir.path().join("token.key")).unwrap();
        let redis = PrivateRedis::start(&dir.path().join("redis")).unwrap();
        Self { dir, redis }
    }

    /// One more balancer. Its grace is so long that it would never place a login for what only its own memory knows.
    fn balancer(&self) -> Running {
        let (key, redis) = (self.dir.path().join("token.key"), self.redis.address());
        let args = ["balancer", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let args = args.into_iter().chain(["--redis", &redis, "--lease-ms", "600000"]);
        let args = args.chain(["--token-key-file", key.to_str().unwrap()]);
        let bound = Bound::new(&Args::parse_from(args)).unwrap();
        let (grpc, admin) = (bound.grpc_address().unwrap(), bound.admin_address().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(bound.serve(async {
            let _ = stopped.await;
        }));
        Running { grpc, admin, stop, served }
    }
}

impl Running {
    fn url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.served.await.unwrap().unwrap();
    }

    async fn page(&self, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        page
    }
}

fn node(returning: bool) -> proto::RegisterRequest {
    proto::RegisterRequest {
        name: "n1".to_owned(),
        host: "127.0.0.1".to_owned(),
        base_port: 4000,
        shard_ports: vec![4001],
        incarnation: 7,
        mono_ms: 0,
        capacity: 1_000,
        load: None,
        state: proto::NodeState::Serving.into(),
        returning,
    }
}

fn report() -> proto::ReportRequest {
    proto::ReportRequest {
        name: "n1".to_owned(),
        incarnation: 7,
        mono_ms: 0,
        load: None,
        state: proto::NodeState::Serving.into(),
        ends_done: 0,
    }
}

/// Asks until whoever keeps the registry answers: it may take longer than a call may on a busy machine.
async fn settled<T>(ask: impl AsyncFn() -> Result<T, CallError>) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(CallError::Learning(_) | CallError::Unreachable(_) | CallError::Deadline) => {
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn one_balancer_ends_and_the_other_answers_as_if_nothing_had_happened() {
    let system = System::new();
    let (one, two) = (system.balancer(), system.balancer());
    let client = Client::new(&format!("{}, {}", one.url(), two.url()), PATIENCE).unwrap();
    settled(async || client.register(node(false)).await).await;
    let place = async || client.place(UserId(1), Epoch(1)).await;
    let first = settled(place).await;
    one.stop().await;
    let second = settled(place).await;
    assert_eq!((first.node, second.node), ("n1".to_owned(), "n1".to_owned()));
    let reported = settled(async || client.report(report()).await).await;
    assert_eq!(reported.outcome, ReportOutcome::Renewed, "the lease is the same");
    assert!(!client.is_failing());
    let third = system.balancer();
    let fresh = Client::new(&third.url(), PATIENCE).unwrap();
    let placed = settled(async || fresh.place(UserId(2), Epoch(1)).await).await;
    assert_eq!(placed.node, "n1", "one that has just started knows it too");
    two.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn a_balancer_that_hangs_costs_its_share_of_the_deadline_and_no_more() {
    let system = System::new();
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one = system.balancer();
    let urls = format!("http://{},{}", silent.local_addr().unwrap(), one.url());
    let client = Client::new(&urls, Duration::from_secs(2)).unwrap();
    settled(async || client.register(node(false)).await).await;
    settled(async || client.place(UserId(1), Epoch(1)).await).await;
    assert!(!client.is_failing());
    one.stop().await;
}

#[tokio::test]
async fn without_its_redis_a_balancer_says_what_to_do_and_is_back_when_it_is() {
    let mut system = System::new();
    let balancer = system.balancer();
    let client = Client::new(&balancer.url(), PATIENCE).unwrap();
    settled(async || client.register(node(false)).await).await;
    settled(async || client.place(UserId(1), Epoch(1)).await).await;
    assert!(balancer.page("/healthz").await.contains("200 OK"));

    system.redis.kill();
    let error = client.place(UserId(1), Epoch(1)).await.unwrap_err();
    let CallError::Learning(said) = &error else { panic!("{error:?}") };
    assert!(said.contains("--redis") && said.contains("registry"), "{said}");
    let error = client.report(report()).await.unwrap_err();
    assert!(matches!(error, CallError::Learning(_)), "{error:?}");
    let health = balancer.page("/healthz").await;
    assert!(health.contains("503") && health.contains("Redis"), "{health}");
    let page = balancer.page("/metrics").await;
    for line in [
        "ringline_balancer_redis_failing 1",
        "ringline_balancer_placements_total{outcome=\"away\"}",
        "ringline_balancer_redis_faults_total{kind=\"unreachable\"}",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    assert!(!page.contains("ringline_balancer_nodes "), "nobody knows: {page}");

    // Empty: the node is told to register again, and does.
    system.redis.restart().unwrap();
    let reported = settled(async || client.report(report()).await).await;
    assert_eq!(reported.outcome, ReportOutcome::RegisterAgain);
    settled(async || client.register(node(true)).await).await;
    let placed = settled(async || client.place(UserId(1), Epoch(2)).await).await;
    assert_eq!(placed.node, "n1");
    assert!(balancer.page("/metrics").await.contains("ringline_balancer_nodes 1"));
    balancer.stop().await;
}

#[tokio::test]
async fn what_names_no_balancer_is_refused() {
    for urls in ["", "http://a:1,", "http://a:1,b:2", "http://a:1;http://b:2"] {
        assert!(Client::new(urls, PATIENCE).is_err(), "{urls}");
    }
    let many = ["http://a:1"; balancer::limits::BALANCERS_MAX + 1].join(",");
    let error = Client::new(&many, PATIENCE).unwrap_err().to_string();
    assert!(error.contains("more than"), "{error}");
}
