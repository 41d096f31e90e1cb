//! What a peer can send, how slowly, and how often: each bound with its answer.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::system::{Browser, OPEN, System};

#[tokio::test]
async fn what_is_no_request_is_refused_and_costs_nothing_but_its_connection() {
    let system = System::new().start(&["--development"]);
    let mut browser = system.connect().await;
    for garbage in [&b""[..], b"{", b"\xff\xfe", b"null", b"{\"username\":\"a\",", b"12"] {
        for (path, error) in [("/trylogin_server", 1), ("/login", 1001), ("/reset_password", 1)] {
            let answer = browser.send("POST", path, garbage.to_vec()).await;
            assert_eq!((answer.status, answer.error()), (200, error));
        }
    }
    assert_eq!(browser.send("POST", "/no_such_path", vec![]).await.status, 404);
    assert_eq!(browser.send("GET", "/trylogin_server", vec![]).await.status, 405);
    let answer = browser.send("POST", "/trylogin_server", vec![b' '; 5000]).await;
    assert_eq!((answer.status, answer.error()), (413, 1));
    let mut next = system.connect().await;
    assert_eq!(next.send("GET", "/healthz", vec![]).await.text, "ok\n");
    system.stop().await;
}

/// Sends these bytes and nothing more; gives what comes back until the gateway closes.
async fn what_comes_back(system: &crate::system::Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(system.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await; // A reset ends it too.
    String::from_utf8(answer).unwrap()
}

// Time stands still while anything is going on and jumps when nothing is: nobody waits for these timeouts.
#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_cut_off() {
    let system = System::new().start(OPEN);
    let begun = tokio::time::Instant::now();
    let head = b"POST /trylogin_server HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\n\r\n{\"user";
    let answer = what_comes_back(&system, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("connection: close") && answer.contains("\"error\":1,"), "{answer}");
    assert_eq!(begun.elapsed().as_secs(), gateway::limits::BODY_TIMEOUT.as_secs());
    system.until_shown("ringline_gateway_bodies_refused_total{bound=\"time\"} 1").await;
    system.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_or_never_comes_is_cut_off() {
    let system = System::new().start(OPEN);
    for bytes in [&b"POST /trylogin_server HTTP/1.1\r\nhost: "[..], b"P", b""] {
        let begun = tokio::time::Instant::now();
        let answer = what_comes_back(&system, bytes).await;
        assert!(!answer.contains("200 OK"), "{answer}");
        assert_eq!(begun.elapsed().as_secs(), gateway::limits::HEAD_TIMEOUT.as_secs(), "{bytes:?}");
    }
    system.until_shown("ringline_gateway_http_head_slow_total 3").await;
    system.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let system = System::new().start(OPEN);
    let long = vec![b'x'; gateway::limits::HEAD_BYTES_MAX];
    let one = [b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ", &long[..]].concat();
    let many = b"x-many: 1\r\n".repeat(200);
    let many = [b"GET /healthz HTTP/1.1\r\nhost: x\r\n", &many[..], b"\r\n"].concat();
    for head in [one, many] {
        let answer = what_comes_back(&system, &head).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    system.until_shown("ringline_gateway_http_head_long_total 2").await;
    system.stop().await;
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_too() {
    let system = System::new().start(OPEN);
    let mut stream = TcpStream::connect(system.address).await.unwrap();
    let head = b"POST /login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let chunk = [b"400\r\n", &[b' '; 0x400][..], b"\r\n"].concat();
    for _ in 0..5 {
        stream.write_all(&chunk).await.unwrap();
    }
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    system.until_shown("ringline_gateway_bodies_refused_total{bound=\"bytes\"} 1").await;
    system.stop().await;
}

#[tokio::test]
async fn one_client_cannot_take_all_connections() {
    let system = System::new().start(OPEN);
    let max = gateway::limits::CONNECTIONS_PER_CLIENT_MAX;
    let mut held = Vec::new();
    for _ in 0..max {
        held.push(TcpStream::connect(system.address).await.unwrap());
    }
    // The kernel takes it, the gateway closes it without a word.
    let mut beyond = TcpStream::connect(system.address).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), beyond.read_to_end(&mut answer))
        .await
        .expect("it is closed at once");
    assert!(answer.is_empty());
    held.truncate(max - 10);
    system.until_shown("ringline_gateway_http_peer_full_total 1").await;
    drop(held);
    system.stop().await;
}

#[tokio::test]
async fn questions_whether_an_account_exists_are_answered_little_and_seldom() {
    let system = System::new().start(&[OPEN, &["--trusted-proxy", "127.0.0.1"]].concat());
    let mut browser = system.connect().await;
    let bob = json!({"username": "bob", "password": "correct horse", "email": "bob@example.org"});
    assert_eq!(browser.error("/post_registration", bob).await, 0);
    let ask = async |browser: &mut Browser, client: &str, username: &str, email: &str| {
        let body = json!({ "username": username, "email": email }).to_string().into_bytes();
        browser.send_for(Some(client), "POST", "/check_accountexists", body).await
    };
    let found = ask(&mut browser, "198.51.100.1", "Bob", "BOB@example.org").await.json();
    assert_eq!(found, json!({"error": 0, "username": "Bob", "email": "BOB@example.org"}));
    let mut refusals = Vec::new();
    for (username, email) in [
        ("bob", "eve@example.org"),
        ("eve", "bob@example.org"),
        ("eve", "eve@example.org"),
        ("", ""),
    ] {
        refusals.push(ask(&mut browser, "198.51.100.1", username, email).await.json());
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "which of the two is known is not said");
    assert_eq!(refusals[0]["error"], 16);
    for _ in 0..5 {
        ask(&mut browser, "198.51.100.1", "x", "x").await;
    }
    let flood = ask(&mut browser, "198.51.100.1", "bob", "bob@example.org").await;
    assert_eq!((flood.status, flood.error()), (429, 2));
    assert_eq!(ask(&mut browser, "198.51.100.2", "bob", "bob@example.org").await.error(), 0);
    system.stop().await;
}

#[tokio::test]
async fn who_is_unlimited_is_bounded_for_each_account_only() {
    let system = System::new().start(&[OPEN, &["--unlimited", "127.0.0.0/8"]].concat());
    let mut browser = system.connect().await;
    for _ in 0..30 {
        let nobody = json!({"username": "nobody", "email": "nobody@example.org"});
        assert_eq!(browser.error("/check_accountexists", nobody).await, 16);
    }
    let mut errors = Vec::new();
    for _ in 0..12 {
        let wrong = json!({"username": "nobody", "password": "wrong horse"});
        errors.push(browser.error("/trylogin_server", wrong).await);
    }
    assert_eq!(errors, [vec![17; 10], vec![18; 2]].concat());
    system.stop().await;
}
