//! Accounts: registered, provisioned, unique, and without a password on the disk.

use gateway::{Provision, provision};
use serde_json::json;
use wire::{Epoch, UserId, home_of_user};

use crate::system::{OPEN, System};

#[tokio::test]
async fn who_registers_can_log_in_and_is_told_where() {
    let system = System::new().start(OPEN);
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
        let token = system.verify_token(&answer);
        assert_eq!((token.user, token.epoch), (UserId(1), Epoch(epoch)), "each login is newer");
    }
    system.stop().await;
}

#[tokio::test]
async fn taken_names_and_bad_fields_are_refused_each_with_its_number() {
    let system = System::new().start(OPEN);
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
async fn no_password_is_on_the_disk() {
    let system = System::new().start(OPEN);
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
