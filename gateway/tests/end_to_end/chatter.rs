//! Chatter's requests: its fields and its numbers, and the same accounts as those of the other system.

use serde_json::json;

use crate::system::{OPEN, System, other};

#[tokio::test]
async fn chatters_clients_register_and_log_in() {
    let system = System::new().start(&["--development"]);
    let mut browser = system.connect().await;
    let sent = browser.post("/get_verifycode", json!({"email": "alice@example.org"})).await;
    assert_eq!((&sent["error"], &sent["email"]), (&json!(0), &json!("alice@example.org")));
    let code = sent["code"].as_str().unwrap();
    let account = json!({
        "user": "alice", "email": "alice@example.org", "password": "correct horse", "code": code,
    });
    let made = browser.post("/register", account.clone()).await;
    assert_eq!((&made["error"], &made["user"]), (&json!(0), &json!("alice")));
    assert!(made["message"].is_string());
    let login = json!({"user": "ALICE", "password": "correct horse"});
    let entered = browser.post("/login", login).await;
    assert_eq!((&entered["error"], &entered["user"]), (&json!(0), &json!("alice")));
    assert_eq!(entered["email"], "alice@example.org");
    assert!(entered["message"].is_string());
    system.stop().await;
}

#[tokio::test]
async fn each_refusal_has_chatters_number() {
    let system = System::new().start(&["--development"]);
    let mut browser = system.connect().await;
    let account = |user: &str, email: &str, password: &str, code: &str| json!({"user": user, "email": email, "password": password, "code": code});
    let code = browser.code("bob@example.org").await;
    let good = account("bob", "bob@example.org", "correct horse", &code);
    for (expected, path, body) in [
        (1001, "/register", json!({"user": "bob"})),
        (1001, "/login", json!([])),
        (1001, "/get_varifycode", json!({})),
        (1002, "/get_varifycode", json!({"email": "bob@example.org"})),
        (1003, "/get_varifycode", json!({"email": "nobody"})),
        (1003, "/register", account("b", "bob@example.org", "correct horse", &code)),
        (1003, "/register", account("bob", "bob@example.org", "short", &code)),
        (1004, "/register", account("eve", "eve@example.org", "correct horse", &code)),
        (1005, "/register", account("bob", "bob@example.org", "correct horse", other(&code))),
        (0, "/register", good.clone()),
        (1004, "/register", good),
        (1008, "/login", json!({"user": "bob", "password": "wrong horse"})),
        (1008, "/login", json!({"user": "nobody", "password": "correct horse"})),
    ] {
        assert_eq!(browser.error(path, body.clone()).await, expected, "{path} {body}");
    }
    let code = browser.code("eve@example.org").await;
    let taken = account("BOB", "eve@example.org", "correct horse", &code);
    assert_eq!(browser.error("/register", taken).await, 1006);
    for _ in 0..10 {
        browser.error("/login", json!({"user": "bob", "password": "wrong horse"})).await;
    }
    let locked = json!({"user": "bob", "password": "correct horse"});
    assert_eq!(browser.error("/login", locked).await, 1009);
    system.stop().await;
}

#[tokio::test]
async fn an_account_of_one_system_is_an_account_of_the_other() {
    let system = System::new().start(OPEN);
    system.node().await;
    let mut browser = system.connect().await;
    let alice = json!({"user": "alice", "email": "alice@example.org", "password": "correct horse"});
    assert_eq!(browser.error("/register", alice).await, 0);
    let login = json!({"username": "alice", "password": "correct horse"});
    assert_eq!(browser.error("/trylogin_server", login).await, 0);
    let bob = json!({"username": "bob", "email": "bob@example.org", "password": "correct horse"});
    assert_eq!(browser.error("/post_registration", bob).await, 0);
    let login = json!({"user": "bob", "password": "correct horse"});
    assert_eq!(browser.error("/login", login).await, 0);
    let taken = json!({"user": "bob", "email": "other@example.org", "password": "correct horse"});
    assert_eq!(browser.error("/register", taken).await, 1006);
    system.stop().await;
}
