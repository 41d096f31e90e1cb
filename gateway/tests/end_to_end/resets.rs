//! A forgotten password: only who reads the account's mail gets a new one, and every session of the old one ends.

use balancer::client::{Reported, SessionEnd};
use balancer::proto;
use gateway::{Provision, provision};
use serde_json::{Value, json};
use wire::{Epoch, UserId};

use crate::system::{Browser, INCARNATION, Running, System, other};

const PATH: &str = "/reset_password";
const NAME: &str = "bob0";
const EMAIL: &str = "bob0@bob.invalid";
const OLD: &str = "correct horse";
const NEW: &str = "another horse";

async fn with_bob() -> (Running, Browser) {
    let system = System::new();
    provision(&Provision {
        place: system.dir.path().to_owned().into(),
        count: 1,
        prefix: "bob".to_owned(),
        first: 0,
        password: OLD.to_owned(),
        cheap_hash: true,
    })
    .unwrap();
    let system = system.start(&["--development"]);
    system.node().await;
    let browser = system.connect().await;
    (system, browser)
}

fn reset(username: &str, email: &str, password: &str, code: Option<&str>) -> Value {
    let mut body = json!({"username": username, "email": email, "password": password});
    if let Some(code) = code {
        body["cpatcha"] = json!(code);
    }
    body
}

async fn log_in(browser: &mut Browser, password: &str) -> u64 {
    browser.error("/trylogin_server", json!({"username": NAME, "password": password})).await
}

async fn report(system: &Running, ends_done: u64) -> Reported {
    let report = proto::ReportRequest {
        name: "n1".to_owned(),
        incarnation: INCARNATION,
        mono_ms: 1,
        load: None,
        state: proto::NodeState::Serving.into(),
        ends_done,
    };
    system.balancer.report(report).await.unwrap()
}

#[tokio::test]
async fn a_new_password_needs_the_code_and_ends_the_old_one_and_the_sessions_that_it_opened() {
    let (system, mut browser) = with_bob().await;
    assert_eq!(log_in(&mut browser, OLD).await, 0);
    assert_eq!(browser.error(PATH, reset(NAME, EMAIL, NEW, None)).await, 1);
    assert_eq!(browser.error(PATH, reset(NAME, EMAIL, NEW, Some("123456"))).await, 12);
    let eve = "eve@example.org";
    let eves = browser.code(eve).await;
    assert_eq!(browser.error(PATH, reset(NAME, eve, NEW, Some(&eves))).await, 15, "not his");
    assert_eq!(browser.error(PATH, reset(NAME, EMAIL, NEW, Some(&eves))).await, 12);
    let code = browser.code(EMAIL).await;
    assert_eq!(browser.error(PATH, reset(NAME, EMAIL, "short", Some(&code))).await, 15);
    assert_eq!(browser.error(PATH, reset(NAME, EMAIL, NEW, Some(other(&code)))).await, 13);
    assert_eq!(log_in(&mut browser, OLD).await, 0, "nothing has changed so far");

    assert_eq!(browser.error(PATH, reset("BOB0", "Bob0@bob.invalid", NEW, Some(&code))).await, 0);
    assert_eq!(log_in(&mut browser, OLD).await, 17);
    assert_eq!(browser.error(PATH, reset(NAME, EMAIL, "third horse", Some(&code))).await, 12);

    let told = report(&system, 0).await;
    let end = SessionEnd { user: UserId(1), below: Epoch(3) };
    assert_eq!(told.ends, [end], "those of both logins before it");
    system.until_shown("ringline_gateway_session_ends_waiting 1").await;
    assert_eq!(report(&system, told.ends_number).await.ends, []);
    system.until_shown("ringline_gateway_session_ends_waiting 0").await;
    assert_eq!(log_in(&mut browser, NEW).await, 0);
    system.stop().await;
}

#[tokio::test]
async fn of_two_changes_with_one_code_one_is_made() {
    let (system, mut browser) = with_bob().await;
    let code = browser.code(EMAIL).await;
    let mut asking = Vec::new();
    for number in 0..8 {
        let body = reset(NAME, EMAIL, &format!("horse number {number}"), Some(&code));
        let mut browser = system.connect().await;
        asking.push(tokio::spawn(async move { browser.error(PATH, body).await }));
    }
    let mut errors = Vec::new();
    for asked in asking {
        errors.push(asked.await.unwrap());
    }
    errors.sort_unstable();
    assert_eq!(errors, [0, 12, 12, 12, 12, 12, 12, 12]);
    system.stop().await;
}

#[tokio::test]
async fn sessions_end_even_if_the_balancer_is_away_when_the_password_changes() {
    let (mut system, mut browser) = with_bob().await;
    let code = browser.code(EMAIL).await;
    system.stop_balancer().await;
    assert_eq!(browser.error(PATH, reset(NAME, EMAIL, NEW, Some(&code))).await, 0);
    system.until_shown("ringline_gateway_session_ends_waiting 1").await;
    system.start_balancer_again();
    system.node().await;
    let end = SessionEnd { user: UserId(1), below: Epoch(1) };
    let told = loop {
        let told = report(&system, 0).await;
        if !told.ends.is_empty() {
            break told;
        }
    };
    assert_eq!(told.ends, [end]);
    report(&system, told.ends_number).await;
    system.until_shown("ringline_gateway_session_ends_waiting 0").await;
    system.stop().await;
}

#[tokio::test]
async fn a_locked_account_is_opened_by_a_reset() {
    let (system, mut browser) = with_bob().await;
    for _ in 0..10 {
        assert_eq!(log_in(&mut browser, "wrong horse").await, 17);
    }
    assert_eq!(log_in(&mut browser, OLD).await, 18);
    let code = browser.code(EMAIL).await;
    assert_eq!(browser.error(PATH, reset(NAME, EMAIL, NEW, Some(&code))).await, 0);
    assert_eq!(log_in(&mut browser, NEW).await, 0);
    system.stop().await;
}
