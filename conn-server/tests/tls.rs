//! The chat port behind TLS and behind a proxy: clients log in and chat through them, and nobody else gets in the way.

#[path = "../../balancer/tests/authority/mod.rs"]
mod authority;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use authority::Authority;
use balancer::key;
use chat::ProxyHeader;
use clap::Parser;
use client::Follow;
use client::blocking::{Client, Error};
use conn_server::{Args, Running};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::runtime::Builder;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use wire::token::Token;
use wire::{ClientMessageId, Epoch, UserId};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node in this process.
struct Node {
    running: Option<Running>,
    folder: TempDir,
}

impl Node {
    fn start(io: &str, more: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key_path = folder.path().join("key");
        key::create(&key_path).unwrap();
        let words = ["node", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--io", io];
        let words = words.into_iter().chain(["--shards", "2", "--connections", "100"]);
        let words = words.chain(["--cpus", "none", "--store", "memory"]);
        let words = words.chain(["--token-key-file", key_path.to_str().unwrap()]);
        let words = words.map(str::to_owned).chain(more.iter().cloned());
        let running = Running::start(&Args::parse_from(words)).unwrap();
        Self { running: Some(running), folder }
    }

    /// With a TLS front.
    fn behind_tls(io: &str, authority: &Authority) -> Self {
        let listen = ["--tls-listen".to_owned(), "127.0.0.1:0".to_owned()];
        Self::start(io, &[&listen[..], &authority.options()].concat())
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    fn address(&self, of: &str) -> SocketAddr {
        self.running().ready()[of].as_str().unwrap().parse().unwrap()
    }

    fn token(&self, user: u64, epoch: u64) -> Vec<u8> {
        let handle = self.running().handle();
        let token = Token {
            user: UserId(user),
            epoch: Epoch(epoch),
            incarnation: handle.info().incarnation,
            expires_ms: handle.clock().mono().as_ms() + 60_000,
        };
        let path: PathBuf = self.folder.path().join("key");
        key::load(&path, false).unwrap().mint(&token, "n1").to_vec()
    }

    fn log_in(&self, at: SocketAddr, user: u64) -> Client {
        let mut client = Client::connect(at, Follow::Raw, PATIENCE).unwrap();
        client.login(&self.token(user, user)).unwrap();
        client
    }

    /// A figure of the metrics page, summed over the shards.
    fn figure(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.address("admin")).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let lines = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    #[track_caller]
    fn until(&self, name: &str, is_so: impl Fn(f64) -> bool) {
        let begun = Instant::now();
        while !is_so(self.figure(name)) {
            assert!(begun.elapsed() < PATIENCE, "{name} is {}", self.figure(name));
            std::thread::yield_now();
        }
    }

    fn stop(mut self) {
        let running = self.running.take().unwrap();
        running.handle().drain();
        running.wait().unwrap();
    }
}

/// A port whose connections go to `target` inside TLS: what a client without TLS puts before itself.
fn wrap(target: SocketAddr, trust: Arc<ClientConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            // Ends with the test's process.
            loop {
                let (mut plain, _) = listener.accept().await.unwrap();
                let connector = TlsConnector::from(Arc::clone(&trust));
                tokio::spawn(async move {
                    let stream = tokio::net::TcpStream::connect(target).await?;
                    let name = ServerName::try_from("localhost").unwrap();
                    let mut tls = connector.connect(name, stream).await?;
                    copy_bidirectional(&mut plain, &mut tls).await
                });
            }
        });
    });
    address
}

#[test]
fn clients_chat_through_tls() {
    for io in ["epoll", "auto"] {
        let authority = Authority::new();
        let node = Node::behind_tls(io, &authority);
        let port = wrap(node.address("tls"), authority.trust());
        let mut alice = node.log_in(port, 1);
        // One inside TLS, one not: the same node.
        let mut bob = node.log_in(node.address("chat"), 2);
        let long = "long ".repeat(2_000);
        for (number, body) in [(1, "hello"), (2, long.as_str()), (3, "done")] {
            alice.send_text(UserId(2), ClientMessageId(number), body).unwrap();
            bob.send_text(UserId(1), ClientMessageId(number), body).unwrap();
            for client in [&mut alice, &mut bob] {
                let arrival = client.recv(PATIENCE).unwrap().unwrap();
                assert!(format!("{arrival:?}").len() > body.len());
            }
        }
        assert!(node.figure("ringline_node_proxied_total") >= 1.0);
        assert_eq!(node.figure("ringline_node_tls_accepted_total"), 1.0);
        alice.logout().unwrap();
        node.until("ringline_node_tls_open", |open| open == 0.0);
        node.stop();
        assert!(matches!(bob.recv(PATIENCE), Err(Error::Goodbye { .. })));
    }
}

#[test]
fn who_comes_through_tls_is_not_sent_to_a_shards_own_port() {
    let authority = Authority::new();
    let node = Node::behind_tls("epoll", &authority);
    let port = wrap(node.address("tls"), authority.trust());
    for (at, is_told) in [(port, false), (node.address("chat"), true)] {
        let mut client = Client::connect(at, Follow::Raw, PATIENCE).unwrap();
        let welcome = client.login(&node.token(7, u64::from(at.port()))).unwrap();
        assert_eq!(welcome.home_port != 0, is_told);
        client.logout().unwrap();
    }
    node.stop();
}

#[test]
fn who_does_not_trust_it_or_speaks_no_tls_is_counted() {
    let node = Node::behind_tls("epoll", &Authority::new());
    let port = wrap(node.address("tls"), Authority::new().trust());
    let mut stranger = Client::connect(port, Follow::Raw, PATIENCE).unwrap();
    assert!(stranger.login(&node.token(1, 1)).is_err());
    let mut plain = Client::connect(node.address("tls"), Follow::Raw, PATIENCE).unwrap();
    assert!(plain.login(&node.token(1, 2)).is_err());
    node.until("ringline_node_tls_handshakes_failed_total", |failed| failed == 2.0);
    assert_eq!(node.figure("ringline_node_logins_total"), 0.0);
    node.stop();
}

#[test]
fn a_handshake_that_does_not_come_is_cut() {
    let authority = Authority::new();
    let node = Node::behind_tls("epoll", &authority);
    let mut silent = TcpStream::connect(node.address("tls")).unwrap();
    // The beginning of a handshake, and no more.
    silent.write_all(&[0x16, 0x03, 0x01]).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(silent.read(&mut [0; 8]), Ok(0) | Err(_)));
    assert_eq!(node.figure("ringline_node_tls_handshake_timeouts_total"), 1.0);
    // Others are served meanwhile and after.
    node.log_in(wrap(node.address("tls"), authority.trust()), 1);
    node.stop();
}

#[test]
fn a_client_that_reads_nothing_ends_with_the_node() {
    let authority = Authority::new();
    let node = Node::behind_tls("epoll", &authority);
    let port = wrap(node.address("tls"), authority.trust());
    let mut slow = node.log_in(port, 1);
    let mut sender = node.log_in(node.address("chat"), 2);
    let body = "x".repeat(30_000);
    for number in 1..200 {
        sender.send_text(UserId(1), ClientMessageId(number), &body).unwrap();
    }
    sender.logout().unwrap();
    // Neither the drain nor the front waits for it beyond their deadlines.
    node.stop();
    while let Ok(Some(_)) = slow.recv(PATIENCE) {}
}

#[test]
fn only_proxies_of_the_networks_told_can_connect_and_must_say_for_whom() {
    for io in ["epoll", "auto"] {
        let more =
            ["--proxy-protocol", "--proxy-from", "127.0.0.2/32,10.0.0.0/8"].map(str::to_owned);
        let node = Node::start(io, &more);
        let chat = node.address("chat");
        let connect = |from: &str| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let from: SocketAddr = format!("{from}:0").parse().unwrap();
            socket.bind(&from.into()).unwrap();
            socket.connect_timeout(&chat.into(), Duration::from_millis(300)).map(|()| socket)
        };
        // Its SYN never arrives.
        assert!(connect("127.0.0.1").is_err());
        let mut stream: TcpStream = connect("127.0.0.2").unwrap().into();
        let header = ProxyHeader::write("203.0.113.7:4000".parse().unwrap(), chat);
        stream.write_all(&header).unwrap();
        let mut login = Vec::new();
        let token = node.token(5, 5);
        let command = wire::Command::Login(wire::Login { token: &token });
        assert!(wire::Message::from(command).append_to(1, &mut login));
        stream.write_all(&login).unwrap();
        let mut first = [0; 1];
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_exact(&mut first).unwrap();
        assert_eq!(node.figure("ringline_node_logins_total"), 1.0);
        // Without a header it is garbage.
        let mut direct: TcpStream = connect("127.0.0.2").unwrap().into();
        direct.write_all(&login).unwrap();
        direct.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        direct.read_to_end(&mut rest).unwrap();
        assert_eq!(node.figure("ringline_node_violations_proxy_total"), 1.0);
        drop(stream);
        node.stop();
    }
}

#[test]
fn what_tls_lacks_is_said() {
    let authority = Authority::new();
    let refused = |more: &[String]| {
        let words = ["node", "--token-key-file", "/nowhere/key"].map(str::to_owned);
        let args = Args::try_parse_from(words.iter().chain(more));
        match args {
            Err(error) => error.to_string(),
            Ok(args) => format!("{:#}", Running::start(&args).unwrap_err()),
        }
    };
    let listen = ["--tls-listen".to_owned(), "0.0.0.0:0".to_owned()];
    assert!(refused(&listen).contains("--tls-cert"));
    assert!(refused(&authority.options()[..2]).contains("--tls-key"));
    // The front may be reached by others; the chat port behind it may not.
    let exposed = ["--listen".to_owned(), "0.0.0.0:0".to_owned()];
    let all = [&listen[..], &authority.options(), &exposed].concat();
    assert!(refused(&all).contains("--insecure"));
}
