//! A Redis behind gateways and verification servers: what one counts, all count; and nothing is granted without it.

use std::path::Path;

use balancer::key;
use balancer::redis::PrivateRedis;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::system::{Answer, Browser, OPEN, System, other};
use crate::verify::VerifyServer;

/// A Redis, and how servers are told of it.
struct Server {
    redis: PrivateRedis,
    address: String,
    key: String,
    _dir: TempDir,
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("code.key");
        key::create(&key).unwrap();
        let redis = PrivateRedis::start(&dir.path().join("redis")).unwrap();
        let (address, key) = (redis.address(), key.to_str().unwrap().to_owned());
        Self { redis, address, key, _dir: dir }
    }

    fn with<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["--redis", &self.address, "--code-key-file", &self.key];
        args.extend(more);
        args
    }
}

/// Asks until the Redis answers: on a busy machine it may take longer than a person is kept waiting.
async fn settled(browser: &mut Browser, path: &str, body: &Value) -> Answer {
    loop {
        let answer = browser.send("POST", path, body.to_string().into_bytes()).await;
        if answer.status != 503 {
            return answer;
        }
    }
}

fn account(name: &str, code: &str) -> Value {
    let email = format!("{name}@example.org");
    json!({"username": name, "password": "correct horse", "email": email, "cpatcha": code})
}

#[tokio::test]
async fn a_code_of_one_gateway_is_good_at_another_and_only_once() {
    let server = Server::new();
    let args = server.with(&["--development"]);
    let (one, two) = (System::new().start(&args), System::new().start(&args));
    let (mut first, mut second) = (one.connect().await, two.connect().await);
    let email = json!({"email": "carol@example.org"});
    let sent = settled(&mut first, "/get_verification", &email).await.json();
    let code = sent["code"].as_str().unwrap();
    let again = settled(&mut second, "/get_verification", &email).await;
    assert_eq!((again.status, again.error()), (429, 2), "wherever it was asked for");
    let path = "/post_registration";
    let wrong = settled(&mut second, path, &account("carol", other(code))).await;
    assert_eq!(wrong.error(), 13);
    assert_eq!(settled(&mut second, path, &account("carol", code)).await.error(), 0);
    assert_eq!(settled(&mut first, path, &account("carol", code)).await.error(), 12, "used up");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn who_guesses_at_one_gateway_is_locked_out_at_all() {
    let server = Server::new();
    let args = server.with(OPEN);
    let (one, two) = (System::new().start(&args), System::new().start(&args));
    let (mut first, mut second) = (one.connect().await, two.connect().await);
    let login = json!({"username": "carol", "password": "wrong horse"});
    let mut locked = None;
    for _ in 0..11 {
        let answer = settled(&mut first, "/trylogin_server", &login).await;
        locked = Some((answer.status, answer.error()));
    }
    assert_eq!(locked, Some((429, 18)));
    let answer = settled(&mut second, "/trylogin_server", &login).await;
    assert_eq!((answer.status, answer.error()), (429, 18));
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn without_its_redis_a_gateway_grants_nothing_says_why_and_recovers() {
    let mut server = Server::new();
    let system = System::new().start(&server.with(OPEN));
    system.node().await;
    let mut browser = system.connect().await;
    let registered = settled(&mut browser, "/post_registration", &account("carol", "")).await;
    assert_eq!(registered.error(), 0);
    let login = json!({"username": "carol", "password": "correct horse"});
    assert_eq!(settled(&mut browser, "/trylogin_server", &login).await.error(), 0);

    server.redis.kill();
    for (path, number) in [("/trylogin_server", 12), ("/login", 1009)] {
        let login = json!({"username": "carol", "password": "correct horse", "user": "carol", "passwd": "correct horse"});
        let answer = browser.send("POST", path, login.to_string().into_bytes()).await;
        assert_eq!((answer.status, answer.error()), (503, number), "{answer:?}");
        assert!(answer.retry_after.is_some() && answer.text.contains("try again"), "{answer:?}");
    }
    let health = browser.send("GET", "/healthz", vec![]).await;
    assert!(health.status == 503 && health.text.contains("Redis"), "{health:?}");
    let page = browser.send("GET", "/metrics", vec![]).await.text;
    assert!(page.contains("ringline_gateway_redis_faults_total{kind=\"unreachable\"}"), "{page}");
    assert!(page.contains("ringline_gateway_redis_failing 1"), "{page}");

    server.redis.restart().unwrap();
    assert_eq!(settled(&mut browser, "/trylogin_server", &login).await.error(), 0);
    system.until_shown("ringline_gateway_redis_failing 0").await;
    system.stop().await;
}

#[tokio::test]
async fn without_its_redis_a_verification_server_says_so_and_its_gateway_too() {
    let mut server = Server::new();
    let codes = VerifyServer::start(&server.with(&["--development"]));
    let system = System::new().start(&["--verify", &codes.url()]);
    let mut browser = system.connect().await;
    let sent =
        settled(&mut browser, "/get_verification", &json!({"email": "carol@example.org"})).await;
    let code = sent.json()["code"].as_str().unwrap().to_owned();

    server.redis.kill();
    let asked = json!({"email": "dave@example.org"}).to_string().into_bytes();
    let answer = browser.send("POST", "/get_verification", asked).await;
    assert_eq!((answer.status, answer.error()), (503, 12), "{answer:?}");
    let registering = account("carol", &code).to_string().into_bytes();
    let answer = browser.send("POST", "/post_registration", registering).await;
    assert_eq!((answer.status, answer.error()), (503, 12), "{answer:?}");
    let health = Browser::connect(codes.admin).await.send("GET", "/healthz", vec![]).await;
    assert!(health.status == 503 && health.text.contains("Redis"), "{health:?}");

    server.redis.restart().unwrap();
    let lost = settled(&mut browser, "/post_registration", &account("carol", &code)).await;
    assert_eq!(lost.error(), 12, "what it kept is lost: {lost:?}");
    assert_eq!(lost.status, 200);
    codes.stop().await;
    system.stop().await;
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_the_start_without_a_password_being_shown() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |more: &[&str]| {
        let error = crate::system::bind(&dir, "http://127.0.0.1:1", more).unwrap_err();
        format!("{error:#}")
    };
    let bad = refused(&["--development", "--redis", "redis://:geheim"]);
    assert!(bad.contains("redis://HOST:PORT") && !bad.contains("geheim"), "{bad}");
    let keyless = refused(&["--development", "--redis", "redis://:geheim@127.0.0.1:1"]);
    assert!(keyless.contains("--code-key-file") && !keyless.contains("geheim"), "{keyless}");
    let missing = Path::new("/nowhere/code.key").to_str().unwrap();
    let url = "redis://127.0.0.1:1";
    let error = refused(&["--development", "--redis", url, "--code-key-file", missing]);
    assert!(error.contains("/nowhere/code.key"), "{error}");
}
