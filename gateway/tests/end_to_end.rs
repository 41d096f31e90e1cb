//! The gateway over real HTTP, with a real balancer behind it and a fake node.

use std::net::SocketAddr;
use std::time::Duration;

use balancer::client::Client;
use balancer::{key, proto};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use gateway::{Cli, Provision, provision};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::token::Token;
use wire::{Epoch, UserId, home_of_user};

const INCARNATION: u64 = 77;

/// A balancer, a gateway, and their files.
struct System {
    dir: TempDir,
    balancer: balancer::Bound,
}

impl System {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key_path = dir.path().join("token.key");
        key::create(&key_path).unwrap();
        let key_path = key_path.to_str().unwrap();
        let args =
            ["balancer", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--grace-ms", "0"];
        let args = args.into_iter().chain(["--token-key-file", key_path]);
        let balancer = balancer::Bound::new(&balancer::Args::parse_from(args)).unwrap();
        Self { dir, balancer }
    }

    /// Starts both, the gateway with these further arguments.
    fn start(self, more: &[&str]) -> Running {
        let Self { dir, balancer } = self;
        let balancer_url = format!("http://{}", balancer.grpc_address().unwrap());
        let (stop_balancer, stopped) = oneshot::channel::<()>();
        tokio::spawn(balancer.serve(async {
            let _ = stopped.await;
        }));
        let data = dir.path().to_str().unwrap();
        let args =
            ["gateway", "--listen", "127.0.0.1:0", "--balancer", &balancer_url, "--data", data];
        // The least cost: nothing here is about how long a hash takes.
        let args = args.into_iter().chain(["--hash-memory-kib", "8", "--hash-passes", "1"]);
        let args = Cli::parse_from(args.chain(more.iter().copied())).serve.unwrap();
        let bound = gateway::Bound::new(&args).unwrap();
        let address = bound.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(bound.serve(async {
            let _ = stopped.await;
        }));
        let balancer = Client::new(&balancer_url, Duration::from_secs(60)).unwrap();
        Running { dir, balancer, address, stop, served, _stop_balancer: stop_balancer }
    }
}

struct Running {
    dir: TempDir,
    balancer: Client,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    _stop_balancer: oneshot::Sender<()>,
}

impl Running {
    async fn node(&self) {
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
        self.balancer.register(node).await.unwrap();
    }

    async fn connect(&self) -> Browser {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, conn) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(conn);
        Browser(sender)
    }

    fn verify(&self, answer: &Value) -> Token {
        let token = URL_SAFE_NO_PAD.decode(answer["token"].as_str().unwrap()).unwrap();
        let key = key::load(&self.dir.path().join("token.key"), false).unwrap();
        key.verify(&token, "n1", INCARNATION, 0).unwrap()
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.served.await.unwrap();
    }
}

/// One HTTP connection, kept alive.
struct Browser(SendRequest<Full<Bytes>>);

impl Browser {
    async fn send(&mut self, method: &str, path: &str, body: Vec<u8>) -> (u16, String) {
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "gateway")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let answer = self.0.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        let (_, answer) = self.send("POST", path, body.to_string().into_bytes()).await;
        serde_json::from_str(&answer).unwrap()
    }

    async fn error(&mut self, path: &str, body: Value) -> u64 {
        self.post(path, body).await["error"].as_u64().unwrap()
    }
}

#[tokio::test]
async fn who_registers_can_log_in_and_is_told_where() {
    let system = System::new().start(&["--development", "--skip-verification"]);
    system.node().await;
    let mut browser = system.connect().await;
    let registered = browser
        .post(
            "/post_registration",
            json!({"username": "alice", "password": "correct horse", "email": "alice@example.org"}),
        )
        .await;
    let expected =
        json!({"error": 0, "username": "alice", "email": "alice@example.org", "uuid": "1"});
    assert_eq!(registered, expected, "and the password is not sent back");

    let login = json!({"username": "alice", "password": "correct horse"});
    for epoch in 1..=3 {
        let answer = browser.post("/trylogin_server", login.clone()).await;
        assert_eq!((&answer["error"], &answer["uuid"]), (&json!(0), &json!("1")));
        assert_eq!(answer["host"], "127.0.0.1");
        let home = 4001 + home_of_user(UserId(1), 2).0;
        assert_eq!(answer["port"], home.to_string());
        let token = system.verify(&answer);
        assert_eq!((token.user, token.epoch), (UserId(1), Epoch(epoch)), "each login is newer");
    }
    system.stop().await;
}

#[tokio::test]
async fn wrong_passwords_and_unknown_names_get_the_same_answer() {
    let system = System::new().start(&["--development", "--skip-verification"]);
    system.node().await;
    let mut browser = system.connect().await;
    let bob = json!({"username": "bob", "password": "correct horse", "email": "bob@example.org"});
    assert_eq!(browser.error("/post_registration", bob).await, 0);
    let mut answers = Vec::new();
    for (username, password) in
        [("bob", "correct Horse"), ("nobody", "correct horse"), ("bob", ""), ("", "")]
    {
        let login = json!({"username": username, "password": password});
        answers.push(browser.post("/trylogin_server", login).await);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["error"], 17);
    system.stop().await;
}

#[tokio::test]
async fn taken_names_and_bad_fields_are_refused_each_with_its_number() {
    let system = System::new().start(&["--development", "--skip-verification"]);
    let mut browser = system.connect().await;
    let account = |username: &str, password: &str, email: &str| json!({"username": username, "password": password, "email": email});
    let good = account("bob", "correct horse", "bob@example.org");
    assert_eq!(browser.error("/post_registration", good).await, 0);
    for (expected, body) in [
        (14, account("BOB", "correct horse", "other@example.org")),
        (14, account("other", "correct horse", "Bob@Example.org")),
        (15, account("x", "correct horse", "x@example.org")),
        (15, account("eve", "short", "eve@example.org")),
        (15, account("eve", "correct horse", "not an address")),
        (1, json!({"username": "eve"})),
        (1, json!({"username": 5, "password": "correct horse", "email": "e@example.org"})),
        (1, json!([])),
    ] {
        assert_eq!(browser.error("/post_registration", body.clone()).await, expected, "{body}");
    }
    system.stop().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_costs_nothing_but_its_connection() {
    let system = System::new().start(&["--development"]);
    let mut browser = system.connect().await;
    for garbage in [&b""[..], b"{", b"\xff\xfe", b"null", b"{\"username\":\"a\",", b"12"] {
        let (status, answer) = browser.send("POST", "/trylogin_server", garbage.to_vec()).await;
        assert_eq!(status, 200);
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["error"], 1);
    }
    assert_eq!(browser.send("POST", "/no_such_path", vec![]).await.0, 404);
    assert_eq!(browser.send("GET", "/trylogin_server", vec![]).await.0, 405);
    let (status, answer) = browser.send("POST", "/trylogin_server", vec![b' '; 5000]).await;
    assert_eq!((status, answer.contains("\"error\":1")), (413, true));
    let mut next = system.connect().await;
    assert_eq!(next.send("GET", "/healthz", vec![]).await, (200, "ok\n".to_owned()));
    system.stop().await;
}

/// A gateway whose codes go to a file, and the way to read the last one.
fn with_mailbox(system: &System) -> (String, impl Fn() -> String + use<>) {
    use std::os::unix::fs::PermissionsExt;
    let (program, mailbox) = (system.dir.path().join("deliver"), system.dir.path().join("mailbox"));
    std::fs::write(&program, format!("#!/bin/sh\ncat > {}\n", mailbox.display())).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    let last = move || {
        let mail = std::fs::read_to_string(&mailbox).unwrap();
        mail.lines().nth(1).unwrap().to_owned()
    };
    (program.to_str().unwrap().to_owned(), last)
}

#[tokio::test]
async fn without_the_code_that_was_sent_nobody_registers() {
    let system = System::new();
    let (program, last_code) = with_mailbox(&system);
    let system = system.start(&["--code-program", &program]);
    let mut browser = system.connect().await;
    let account = |code: Option<&str>, email: &str| {
        let mut body = json!({"username": "carol", "password": "correct horse", "email": email});
        if let Some(code) = code {
            body["cpatcha"] = json!(code);
        }
        body
    };
    let (carol, eve) = ("carol@example.org", "eve@example.org");
    let register = "/post_registration";
    assert_eq!(browser.error(register, account(None, carol)).await, 1);
    assert_eq!(browser.error(register, account(Some("123456"), carol)).await, 12);

    let sent = browser.post("/get_verification", json!({"email": carol})).await;
    assert_eq!(sent, json!({"error": 0, "email": carol}), "the code is not in the answer");
    assert_eq!(browser.error("/get_verification", json!({"email": carol})).await, 2, "too soon");
    assert_eq!(browser.error("/get_verification", json!({"email": "no address"})).await, 15);
    let code = last_code();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    assert_eq!(browser.error(register, account(Some(wrong), carol)).await, 13);
    assert_eq!(browser.error(register, account(Some(&code), eve)).await, 12, "of another address");
    assert_eq!(browser.error(register, account(Some(&code), carol)).await, 0);
    assert_eq!(browser.error(register, account(Some(&code), carol)).await, 12, "used up");
    system.stop().await;
}

#[tokio::test]
async fn a_gateway_that_cannot_send_codes_says_so() {
    let system = System::new().start(&[]);
    let mut browser = system.connect().await;
    let body = json!({"email": "dave@example.org"}).to_string().into_bytes();
    let (status, answer) = browser.send("POST", "/get_verification", body).await;
    assert_eq!((status, answer.contains("\"error\":2")), (503, true), "{answer}");
    system.stop().await;
}

#[tokio::test]
async fn without_a_node_a_login_is_told_that_there_is_none() {
    let system = System::new().start(&["--development", "--skip-verification"]);
    let mut browser = system.connect().await;
    let bob = json!({"username": "bob", "password": "correct horse", "email": "bob@example.org"});
    assert_eq!(browser.error("/post_registration", bob.clone()).await, 0);
    assert_eq!(browser.error("/trylogin_server", bob.clone()).await, 10);
    system.node().await;
    assert_eq!(browser.error("/trylogin_server", bob).await, 0);
    system.stop().await;
}

#[tokio::test]
async fn provisioned_accounts_log_in_and_provisioning_again_changes_nothing() {
    let system = System::new();
    let plan = Provision {
        place: system.dir.path().to_owned().into(),
        count: 5_000,
        prefix: "load".to_owned(),
        first: 0,
        password: "load password".to_owned(),
        cheap_hash: true,
    };
    let done = provision(&plan).unwrap();
    assert_eq!((done.made, done.existing), (5_000, 0));
    let again = provision(&Provision { count: 5_010, ..plan.clone() }).unwrap();
    assert_eq!((again.made, again.existing), (10, 5_000));
    let other = Provision { password: "other password".to_owned(), ..plan.clone() };
    assert!(provision(&other).unwrap_err().to_string().contains("another password"));
    assert!(provision(&Provision { prefix: "no good ".to_owned(), ..plan }).is_err());

    let system = system.start(&[]);
    system.node().await;
    let mut browser = system.connect().await;
    for number in [0, 1, 4_999, 5_009] {
        let login = json!({"username": format!("load{number}"), "password": "load password"});
        let answer = browser.post("/trylogin_server", login).await;
        assert_eq!(answer["error"], 0);
        assert_eq!(answer["uuid"], (number + 1).to_string(), "numbers follow the names");
    }
    system.stop().await;
}

#[tokio::test]
async fn a_flood_of_logins_is_served_and_counted() {
    let system = System::new();
    provision(&Provision {
        place: system.dir.path().to_owned().into(),
        count: 400,
        prefix: "load".to_owned(),
        first: 0,
        password: "load password".to_owned(),
        cheap_hash: true,
    })
    .unwrap();
    let system = system.start(&[]);
    system.node().await;
    let mut browsers = Vec::new();
    for start in 0..20 {
        let mut browser = system.connect().await;
        browsers.push(tokio::spawn(async move {
            for number in (start..400).step_by(20) {
                let login =
                    json!({"username": format!("load{number}"), "password": "load password"});
                assert_eq!(browser.error("/trylogin_server", login).await, 0);
            }
        }));
    }
    for browser in browsers {
        browser.await.unwrap();
    }
    let (status, page) = system.connect().await.send("GET", "/metrics", vec![]).await;
    assert_eq!(status, 200);
    let line = "ringline_gateway_answers_total{route=\"trylogin_server\",error=\"0\"} 400";
    assert!(page.lines().any(|shown| shown == line), "{page}");
    assert!(!page.contains("load password"));
    let nodes = system.balancer.list_nodes().await.unwrap();
    assert_eq!(nodes[0].reservations, 400, "each login holds its place");
    system.stop().await;
}

#[tokio::test]
async fn no_password_is_on_the_disk() {
    let system = System::new().start(&["--development", "--skip-verification"]);
    let mut browser = system.connect().await;
    let bob = json!({"username": "bob", "password": "correct horse", "email": "bob@example.org"});
    assert_eq!(browser.error("/post_registration", bob).await, 0);
    let files: Vec<_> = std::fs::read_dir(system.dir.path()).unwrap().collect();
    let mut saw_account = false;
    for file in files {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        saw_account |= holds(b"bob@example.org") && holds(b"$argon2id$");
        assert!(!holds(b"correct horse"));
    }
    assert!(saw_account, "the search finds what is there");
    system.stop().await;
}
