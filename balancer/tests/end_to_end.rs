//! The balancer over real sockets: what gateways and nodes see, also across its restart.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use balancer::client::{CallError, Client, ReportOutcome, SessionEnd};
use balancer::{Args, Bound, key, proto};
use clap::Parser;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::{Epoch, UserId, home_of_user};

/// Generous: a test machine may be busy, and nothing here is about time.
const DEADLINE: Duration = Duration::from_secs(60);

struct Keys {
    _dir: TempDir,
    path: PathBuf,
}

impl Keys {
    fn fresh() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token.key");
        key::create(&path).unwrap();
        Self { _dir: dir, path }
    }
}

struct Running {
    grpc: SocketAddr,
    admin: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    fn start(keys: &Keys, listen: &str, more: &[&str]) -> Self {
        let key_path = keys.path.to_str().unwrap();
        let mut args = vec!["balancer", "--listen", listen, "--admin", "127.0.0.1:0"];
        args.extend(["--token-key-file", key_path]);
        args.extend(more);
        let bound = Bound::new(&Args::parse_from(args)).unwrap();
        let (grpc, admin) = (bound.grpc_address().unwrap(), bound.admin_address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(bound.serve(async {
            let _ = stopped.await;
        }));
        Self { grpc, admin, stop, served }
    }

    fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.grpc), DEADLINE).unwrap()
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.served.await.unwrap().unwrap();
    }
}

fn node(name: &str, incarnation: u64) -> proto::RegisterRequest {
    proto::RegisterRequest {
        name: name.to_owned(),
        host: "127.0.0.1".to_owned(),
        base_port: 4000,
        shard_ports: vec![4001, 4002],
        incarnation,
        mono_ms: 1_000,
        capacity: 100,
        load: None,
        state: proto::NodeState::Serving.into(),
        returning: false,
    }
}

fn report(node: &proto::RegisterRequest, sessions: u64) -> proto::ReportRequest {
    proto::ReportRequest {
        name: node.name.clone(),
        incarnation: node.incarnation,
        mono_ms: 2_000,
        load: Some(proto::Load { sessions, connections: sessions, logins_total: sessions }),
        state: proto::NodeState::Serving.into(),
        ends_done: 0,
    }
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, conn) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(conn);
    let request =
        hyper::Request::get(path).header("host", "balancer").body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn logins_spread_over_the_nodes_with_tokens_that_only_their_node_takes() {
    let keys = Keys::fresh();
    let balancer = Running::start(&keys, "127.0.0.1:0", &[]);
    let client = balancer.client();
    for (name, incarnation) in [("n1", 11), ("n2", 22), ("n3", 33)] {
        let lease = client.register(node(name, incarnation)).await.unwrap();
        assert_eq!(lease.duration, Duration::from_secs(5));
        assert_eq!(lease.report_interval, Duration::from_secs(1));
    }
    let token_key = key::load(&keys.path, false).unwrap();
    let mut placed_at = [0; 4];
    for user in 1..=90 {
        let placed = client.place(UserId(user), Epoch(user + 5)).await.unwrap();
        assert_eq!(placed.host, "127.0.0.1");
        assert_eq!(placed.port, 4001 + home_of_user(UserId(user), 2).0);
        let index: u64 = placed.node.strip_prefix('n').unwrap().parse().unwrap();
        placed_at[usize::try_from(index).unwrap()] += 1;
        let token = token_key.verify(&placed.token, &placed.node, index * 11, 1_000).unwrap();
        assert_eq!((token.user, token.epoch), (UserId(user), Epoch(user + 5)));
        assert!(token_key.verify(&placed.token, "other", index * 11, 1_000).is_err());
    }
    assert_eq!(placed_at, [0, 30, 30, 30]);
    let listed = client.list_nodes().await.unwrap();
    let held: Vec<_> = listed.iter().map(|node| (&*node.name, node.reservations)).collect();
    assert_eq!(held, [("n1", 30), ("n2", 30), ("n3", 30)]);
    balancer.stop().await;
}

#[tokio::test]
async fn draining_leaving_and_full_nodes_get_no_login() {
    let keys = Keys::fresh();
    let balancer = Running::start(&keys, "127.0.0.1:0", &["--grace-ms", "0"]);
    let client = balancer.client();
    let place = async || client.place(UserId(1), Epoch(1)).await.map(|placed| placed.node);
    assert!(matches!(place().await, Err(CallError::NoNode(_))));

    let (one, two) = (node("n1", 1), node("n2", 1));
    client.register(one.clone()).await.unwrap();
    client.register(two.clone()).await.unwrap();
    assert!(client.drain("n1", 1).await.unwrap());
    assert_eq!(place().await.unwrap(), "n2");
    assert_eq!(client.report(report(&two, 100)).await.unwrap().outcome, ReportOutcome::Renewed);
    assert!(matches!(place().await, Err(CallError::Full(_))));
    assert!(client.deregister("n2", 1).await.unwrap());
    assert!(!client.deregister("n2", 1).await.unwrap(), "it has left already");
    assert!(matches!(place().await, Err(CallError::NoNode(_))));
    balancer.stop().await;
}

#[tokio::test]
async fn bad_registrations_are_refused_with_the_rule_that_they_break() {
    let keys = Keys::fresh();
    let balancer = Running::start(&keys, "127.0.0.1:0", &[]);
    let client = balancer.client();
    let good = node("n1", 1);
    let bad = [
        proto::RegisterRequest { name: "no spaces".to_owned(), ..good.clone() },
        proto::RegisterRequest { name: "x".repeat(65), ..good.clone() },
        proto::RegisterRequest { host: String::new(), ..good.clone() },
        proto::RegisterRequest { incarnation: 0, ..good.clone() },
        proto::RegisterRequest { capacity: 0, ..good.clone() },
        proto::RegisterRequest { capacity: u64::MAX, ..good.clone() },
        proto::RegisterRequest { shard_ports: vec![], ..good.clone() },
        proto::RegisterRequest { shard_ports: vec![1; 1025], ..good.clone() },
        proto::RegisterRequest { shard_ports: vec![70_000], ..good.clone() },
        proto::RegisterRequest { base_port: 0, ..good.clone() },
        proto::RegisterRequest { state: 9, ..good.clone() },
    ];
    for request in bad {
        let refused = client.register(request.clone()).await;
        assert!(matches!(refused, Err(CallError::Refused(_))), "{request:?}: {refused:?}");
    }
    assert!(matches!(client.place(UserId(0), Epoch(1)).await, Err(CallError::Refused(_))));
    assert!(client.list_nodes().await.unwrap().is_empty());
    balancer.stop().await;
}

/// Calls until the balancer can be reached again.
async fn once_reachable<A>(call: impl AsyncFn() -> Result<A, CallError>) -> Result<A, CallError> {
    loop {
        match call().await {
            Err(CallError::Unreachable(_)) => tokio::task::yield_now().await,
            answer => return answer,
        }
    }
}

#[tokio::test]
async fn a_restarted_balancer_learns_its_nodes_again_and_then_places_by_their_load() {
    let keys = Keys::fresh();
    let first = Running::start(&keys, "127.0.0.1:0", &[]);
    let client = first.client();
    let address = first.grpc.to_string();
    let (one, two) = (node("n1", 1), node("n2", 1));
    client.register(one.clone()).await.unwrap();
    client.register(two.clone()).await.unwrap();
    first.stop().await;
    let lost = client.place(UserId(1), Epoch(1)).await;
    assert!(matches!(lost, Err(CallError::Unreachable(_))), "{lost:?}");

    let second = Running::start(&keys, &address, &["--grace-ms", "600000"]);
    let again = once_reachable(async || client.report(report(&one, 60)).await).await.unwrap();
    assert_eq!(again.outcome, ReportOutcome::RegisterAgain);
    let returning = proto::RegisterRequest { returning: true, ..one.clone() };
    client.register(returning.clone()).await.unwrap();
    let early = client.place(UserId(1), Epoch(1)).await;
    assert!(matches!(early, Err(CallError::Learning(_))), "{early:?}");
    second.stop().await;

    let third = Running::start(&keys, &address, &["--grace-ms", "0"]);
    once_reachable(async || client.register(returning.clone()).await).await.unwrap();
    client.register(proto::RegisterRequest { returning: true, ..two.clone() }).await.unwrap();
    assert_eq!(client.report(report(&one, 60)).await.unwrap().outcome, ReportOutcome::Renewed);
    assert_eq!(client.report(report(&two, 50)).await.unwrap().outcome, ReportOutcome::Renewed);
    assert_eq!(client.place(UserId(1), Epoch(2)).await.unwrap().node, "n2");
    third.stop().await;
}

#[tokio::test]
async fn the_admin_port_shows_nodes_and_placements() {
    let keys = Keys::fresh();
    let balancer = Running::start(&keys, "127.0.0.1:0", &[]);
    let client = balancer.client();
    client.register(node("n1", 1)).await.unwrap();
    client.place(UserId(1), Epoch(1)).await.unwrap();
    assert_eq!(get(balancer.admin, "/healthz").await, (200, "ok\n".to_owned()));
    let (status, page) = get(balancer.admin, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "ringline_balancer_nodes 1",
        "ringline_balancer_reservations 1",
        "ringline_balancer_placements_total{outcome=\"placed\"} 1",
        "ringline_balancer_leases_lapsed_total 0",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
    }
    balancer.stop().await;
}

#[tokio::test]
async fn it_refuses_to_be_exposed_and_to_use_a_key_that_everybody_knows() {
    let keys = Keys::fresh();
    let path = keys.path.to_str().unwrap();
    let bind = |args: &[&str]| {
        let base = ["balancer", "--admin", "127.0.0.1:0", "--token-key-file"];
        Bound::new(&Args::parse_from(base.iter().chain(args)))
    };
    let exposed = bind(&[path, "--listen", "0.0.0.0:0"]).unwrap_err();
    assert!(exposed.to_string().contains("--insecure"), "{exposed}");
    assert!(bind(&[path, "--listen", "0.0.0.0:0", "--insecure"]).is_ok());

    std::fs::write(&keys.path, key::EXAMPLE_KEY).unwrap();
    let example = bind(&[path, "--listen", "127.0.0.1:0"]).unwrap_err();
    assert!(example.to_string().contains("--development"), "{example}");
    assert!(bind(&[path, "--listen", "127.0.0.1:0", "--development"]).is_ok());
}

#[tokio::test]
async fn a_balancer_that_hangs_costs_a_caller_its_deadline_and_no_more() {
    // Connections are taken by the kernel; nobody ever answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let client = Client::new(&format!("http://{address}"), Duration::from_millis(100)).unwrap();
    assert_eq!(client.place(UserId(1), Epoch(1)).await, Err(CallError::Deadline));
    assert!(client.is_failing());
    let next = client.place(UserId(1), Epoch(1)).await;
    assert!(matches!(next, Err(CallError::Unreachable(_) | CallError::Deadline)), "{next:?}");
}

#[tokio::test]
async fn what_is_no_grpc_disturbs_nobody() {
    use tokio::io::AsyncWriteExt;
    let keys = Keys::fresh();
    let balancer = Running::start(&keys, "127.0.0.1:0", &[]);
    let mut strangers = Vec::new();
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff"]
    {
        let mut stranger = tokio::net::TcpStream::connect(balancer.grpc).await.unwrap();
        stranger.write_all(garbage).await.unwrap();
        strangers.push(stranger);
    }
    let client = balancer.client();
    client.register(node("n1", 1)).await.unwrap();
    assert_eq!(client.place(UserId(1), Epoch(1)).await.unwrap().node, "n1");
    drop(strangers);
    balancer.stop().await;
}

#[tokio::test]
async fn what_is_no_address_is_refused_with_what_to_write() {
    for (bad, example) in [
        ("", "http://HOST:PORT"),
        ("localhost", "http://HOST:PORT"),
        ("127.0.0.1:5900", "http://127.0.0.1:5900"),
        ("balancer:5900", "http://balancer:5900"),
        ("https://127.0.0.1:1", "http://127.0.0.1:1"),
        ("127.0.0.1", "http://HOST:PORT"),
        ("http://", "http://HOST:PORT"),
        ("http://127.0.0.1", "http://HOST:PORT"),
        ("http://127.0.0.1:0", "http://HOST:PORT"),
        ("http://127.0.0.1:1/path", "http://HOST:PORT"),
        ("a b:1", "http://HOST:PORT"),
    ] {
        let refused = Client::new(bad, DEADLINE).unwrap_err().to_string();
        assert!(refused.ends_with(&format!(": write {example}")), "{bad}: {refused}");
    }
    for good in ["http://127.0.0.1:5900", "http://[::1]:5900", "http://balancer:5900/"] {
        assert!(Client::new(good, DEADLINE).is_ok(), "{good}");
    }
}

#[tokio::test]
async fn ended_sessions_reach_every_node_with_its_reports_and_are_not_placed_again() {
    let keys = Keys::fresh();
    let balancer = Running::start(&keys, "127.0.0.1:0", &[]);
    let client = balancer.client();
    let (one, two) = (node("n1", 1), node("n2", 1));
    client.register(one.clone()).await.unwrap();
    client.register(two.clone()).await.unwrap();
    let end = SessionEnd { user: UserId(7), below: Epoch(5) };
    assert_eq!(client.end_sessions(end.user, end.below).await, Ok(2));
    for (node, still_waiting) in [(&one, 1), (&two, 0)] {
        let told = client.report(report(node, 0)).await.unwrap();
        assert_eq!((told.outcome, &told.ends[..]), (ReportOutcome::Renewed, &[end][..]));
        let done = proto::ReportRequest { ends_done: told.ends_number, ..report(node, 0) };
        assert_eq!(client.report(done).await.unwrap().ends, []);
        assert_eq!(client.end_sessions(end.user, end.below).await, Ok(still_waiting));
    }
    let late = client.place(UserId(7), Epoch(4)).await;
    assert!(matches!(late, Err(CallError::Ended(_))), "{late:?}");
    assert!(client.place(UserId(7), Epoch(5)).await.is_ok());
    let nobody = client.end_sessions(UserId(0), Epoch(1)).await;
    assert!(matches!(nobody, Err(CallError::Refused(_))), "{nobody:?}");
    let (_, page) = get(balancer.admin, "/metrics").await;
    for line in [
        "ringline_balancer_session_ends_total{outcome=\"posted\"} 3",
        "ringline_balancer_session_ends_kept 1",
        "ringline_balancer_session_ends_lapsed_total 0",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
    }
    balancer.stop().await;
}
