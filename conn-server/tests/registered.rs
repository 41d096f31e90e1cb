//! The node as a process has it: with its store, its admin port, and a real balancer that comes and goes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use balancer::client::{Client, Placed};
use balancer::{key, proto};
use clap::Parser;
use client::Follow;
use client::blocking::{Client as ChatClient, Error};
use conn_server::{Args, Running};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use wire::{CloseReason, Epoch, UserId};

/// How long anything may take before a test fails: long enough for a slow machine, and never waited for otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster key and a data directory.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        key::create(&files.key()).unwrap();
        files
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("token.key")
    }

    fn node(&self, more: &[&str]) -> Running {
        let (key, data) = (self.key(), self.dir.path().join("data"));
        let args = ["node", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--io", "epoll"];
        let args = args.into_iter().chain(["--shards", "2", "--connections", "100"]);
        let args = args.chain(["--cpus", "none", "--drain-timeout", "60s"]);
        let args = args.chain(["--token-key-file", key.to_str().unwrap()]);
        let args = args.chain(["--data", data.to_str().unwrap()]);
        Running::start(&Args::parse_from(args.chain(more.iter().copied()))).unwrap()
    }
}

/// A balancer on a thread of its own.
struct Balancer {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Balancer {
    fn start(files: &Files, listen: &str) -> Self {
        let key = files.key().to_str().unwrap().to_owned();
        let listen = listen.to_owned();
        let (bound, is_bound) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let args = ["balancer", "--listen", &listen, "--admin", "127.0.0.1:0"];
                let args = args.into_iter().chain(["--grace-ms", "0", "--token-key-file", &key]);
                // Reports come quickly, so that nothing here has to wait long for one.
                let args = args.chain(["--report-interval-ms", "20", "--lease-ms", "60000"]);
                let server = balancer::Bound::new(&balancer::Args::parse_from(args)).unwrap();
                bound.send(server.grpc_address().unwrap()).unwrap();
                server
                    .serve(async {
                        let _ = stopped.await;
                    })
                    .await
                    .unwrap();
            });
        });
        Self { address: is_bound.recv().unwrap(), stop, thread }
    }

    fn stop(self) {
        let _ = self.stop.send(());
        self.thread.join().unwrap();
    }
}

/// Asks a balancer what gateways and operators ask, over a new connection each time: none is left open when the balancer
/// ends.
struct Asker {
    address: SocketAddr,
}

impl Asker {
    const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    fn ask<T>(&self, question: impl AsyncFnOnce(Client) -> T) -> T {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let url = format!("http://{}", self.address);
            question(Client::new(&url, PATIENCE).unwrap()).await
        })
    }

    fn nodes(&self) -> Vec<proto::NodeInfo> {
        self.ask(async |client| client.list_nodes().await).unwrap_or_default()
    }

    /// Asks until the nodes are as they should be.
    #[track_caller]
    fn until(
        &self,
        what: &str,
        is_so: impl Fn(&[proto::NodeInfo]) -> bool,
    ) -> Vec<proto::NodeInfo> {
        let begun = Instant::now();
        loop {
            let nodes = self.nodes();
            if is_so(&nodes) {
                return nodes;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {nodes:?}");
            std::thread::yield_now();
        }
    }

    fn place(&self, user: u64, epoch: u64) -> Placed {
        self.ask(async |client| client.place(UserId(user), Epoch(epoch)).await).unwrap()
    }
}

fn log_in(placed: &Placed) -> ChatClient {
    let address = (placed.host.as_str(), placed.port);
    let mut chat = ChatClient::connect(address, Follow::Raw, PATIENCE).unwrap();
    chat.login(&placed.token).unwrap();
    chat
}

/// Waits for the node's goodbye.
#[track_caller]
fn goodbye(chat: &mut ChatClient) -> Option<CloseReason> {
    loop {
        match chat.recv(PATIENCE) {
            Ok(Some(_)) => {}
            Err(Error::Goodbye { reason, .. }) => return reason,
            other => panic!("no goodbye but {other:?}"),
        }
    }
}

fn get(node: &Running, path: &str) -> (u16, String) {
    let address = node.ready()["admin"].as_str().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, body.to_owned())
}

/// As a first SIGTERM does.
fn drain(node: &Running) {
    node.drain_switch()();
    node.handle().drain();
}

fn metric(page: &str, name: &str) -> f64 {
    let of_name = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    let values = of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.reduce(|sum, value| sum + value).unwrap_or_else(|| panic!("{name} is not in {page}"))
}

#[test]
fn a_placed_user_logs_in_and_what_she_says_is_there_after_a_restart() {
    let files = Files::new();
    let balancer = Balancer::start(&files, "127.0.0.1:0");
    let url = format!("http://{}", balancer.address);
    let node = files.node(&["--balancer", &url]);
    assert!(node.wait_registered());
    let asker = Asker::new(balancer.address);
    let mut alice = log_in(&asker.place(1, 1));
    let acked = alice.send_text(UserId(2), wire::ClientMessageId(1), "hello").unwrap();

    let nodes = asker.until("the session is reported", |nodes| {
        nodes[0].load.is_some_and(|load| load.sessions == 1 && load.logins_total == 1)
    });
    assert_eq!(nodes[0].reservations, 0, "the login settled its reservation");
    assert_eq!(nodes[0].capacity, 100);
    let (status, page) = get(&node, "/metrics");
    assert_eq!(status, 200);
    assert!((metric(&page, "ringline_node_logins_total") - 1.0).abs() < 0.1);
    assert!((metric(&page, "ringline_node_store_appended_total") - 1.0).abs() < 0.1);
    assert!(metric(&page, "ringline_node_rss_bytes") > 1e6);

    drain(&node);
    assert_eq!(goodbye(&mut alice), Some(CloseReason::Shutdown));
    drop(alice);
    node.wait().unwrap();
    asker.until("the node has left", <[_]>::is_empty);

    let node = files.node(&["--balancer", &url]);
    assert!(node.wait_registered());
    let mut bob = log_in(&asker.place(2, 1));
    let conversation = wire::ConversationId::private(UserId(1), UserId(2));
    let page = bob.pull(conversation, wire::Seq(0), 10).unwrap();
    assert_eq!(page.messages.len(), 1);
    assert_eq!((page.messages[0].seq, &*page.messages[0].body), (acked.seq, &b"hello"[..]));
    drain(&node);
    goodbye(&mut bob);
    drop(bob);
    node.wait().unwrap();
    balancer.stop();
}

#[test]
fn a_session_that_the_balancer_ends_is_told_so_and_its_token_is_worth_nothing() {
    let files = Files::new();
    let balancer = Balancer::start(&files, "127.0.0.1:0");
    let url = format!("http://{}", balancer.address);
    let node = files.node(&["--store", "memory", "--balancer", &url, "--shards", "2"]);
    assert!(node.wait_registered());
    let asker = Asker::new(balancer.address);
    let mut alice = log_in(&asker.place(1, 5));
    let unused = asker.place(1, 6);
    let mut bob = log_in(&asker.place(2, 5));
    asker.ask(async |client| client.end_sessions(UserId(1), Epoch(7)).await.unwrap());
    assert_eq!(goodbye(&mut alice), Some(CloseReason::Revoked));
    let address = (unused.host.as_str(), unused.port);
    let mut late = ChatClient::connect(address, Follow::Raw, PATIENCE).unwrap();
    assert!(late.login(&unused.token).is_err(), "a token from before opens nothing");
    bob.heartbeat().unwrap();
    let mut again = log_in(&asker.place(1, 7));
    again.heartbeat().unwrap();
    // It is confirmed with a later report: then nobody is waited for.
    let waiting =
        || asker.ask(async |client| client.end_sessions(UserId(1), Epoch(7)).await.unwrap());
    while waiting() > 0 {
        again.heartbeat().unwrap();
    }
}

#[test]
fn a_draining_node_is_red_and_gets_no_logins_until_it_has_left() {
    let files = Files::new();
    let balancer = Balancer::start(&files, "127.0.0.1:0");
    let url = format!("http://{}", balancer.address);
    let node = files.node(&["--store", "memory", "--balancer", &url]);
    assert!(node.wait_registered());
    let asker = Asker::new(balancer.address);
    let mut alice = log_in(&asker.place(1, 1));
    assert_eq!(get(&node, "/healthz"), (200, "ok\n".to_owned()));

    // Only the switch: a drain that takes long.
    node.drain_switch()();
    asker.until("the balancer knows", |nodes| nodes[0].state() == proto::NodeState::Draining);
    let (status, body) = get(&node, "/healthz");
    let reasons: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &reasons["reasons"][0]), (503, &Value::from("draining")));
    alice.heartbeat().unwrap();

    node.handle().drain();
    goodbye(&mut alice);
    drop(alice);
    node.wait().unwrap();
    asker.until("the node has left", <[_]>::is_empty);
    balancer.stop();
}

#[test]
fn a_balancer_that_is_down_or_restarts_costs_no_session() {
    let files = Files::new();
    // A port that was free a moment ago, and where nobody answers now.
    let gone = Balancer::start(&files, "127.0.0.1:0");
    let listen = gone.address.to_string();
    gone.stop();
    let url = format!("http://{listen}");
    let node = files.node(&["--store", "memory", "--balancer", &url]);
    assert_eq!(get(&node, "/healthz").0, 200, "a node serves without its balancer");

    let first = Balancer::start(&files, &listen);
    let asker = Asker::new(first.address);
    asker.until("the node is found", |nodes| nodes.len() == 1);
    let mut alice = log_in(&asker.place(1, 1));
    first.stop();
    alice.heartbeat().unwrap();

    let second = Balancer::start(&files, &listen);
    let nodes = asker.until("the node comes back", |nodes| nodes.len() == 1);
    assert_eq!(nodes[0].load.map(|load| load.sessions), Some(1), "with what it carries");
    alice.heartbeat().unwrap();
    assert_eq!(asker.place(2, 1).node, "n1");

    drain(&node);
    goodbye(&mut alice);
    drop(alice);
    node.wait().unwrap();
    second.stop();
}

#[test]
fn info_is_what_a_token_maker_needs() {
    let files = Files::new();
    let node = files.node(&["--store", "memory", "--name", "alone"]);
    assert!(node.wait_registered(), "without a balancer there is nothing to wait for");
    let (status, body) = get(&node, "/info");
    let info: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    let token = wire::token::Token {
        user: UserId(7),
        epoch: Epoch(1),
        incarnation: info["incarnation"].as_u64().unwrap(),
        expires_ms: info["mono_ms"].as_u64().unwrap() + 600_000,
    };
    let token =
        key::load(&files.key(), false).unwrap().mint(&token, info["name"].as_str().unwrap());
    let home = usize::from(wire::home_of_user(UserId(7), 2).0);
    let placed = Placed {
        node: "alone".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: info["shard_ports"][home].as_u64().unwrap().try_into().unwrap(),
        token: token.to_vec(),
        expires_in: PATIENCE,
    };
    let mut chat = log_in(&placed);
    assert_eq!((&info["io"], &info["store"]), (&Value::from("epoll"), &Value::from("memory")));
    assert_eq!(info["durability"], "none");
    assert!(info["rss_start_bytes"].as_u64().unwrap() > 0);
    drain(&node);
    goodbye(&mut chat);
    drop(chat);
    node.wait().unwrap();
}

#[test]
fn a_second_word_ends_it_at_once() {
    let files = Files::new();
    let node = files.node(&["--store", "memory"]);
    node.handle().abort();
    let ended = node.wait().unwrap_err();
    assert!(ended.to_string().contains("at once"), "{ended}");
}
