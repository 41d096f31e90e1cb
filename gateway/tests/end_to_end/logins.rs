//! Logins: who is let in, who is locked out, and what a balancer that is down costs.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use gateway::{Provision, provision};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::system::{Browser, OPEN, System, bind};

#[tokio::test]
async fn wrong_passwords_and_unknown_names_get_the_same_answer() {
    let system = System::new().start(OPEN);
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
async fn without_a_node_a_login_is_told_that_there_is_none() {
    let system = System::new().start(OPEN);
    let mut browser = system.connect().await;
    let bob = json!({"username": "bob", "password": "correct horse", "email": "bob@example.org"});
    assert_eq!(browser.error("/post_registration", bob.clone()).await, 0);
    assert_eq!(browser.error("/trylogin_server", bob.clone()).await, 10);
    system.node().await;
    assert_eq!(browser.error("/trylogin_server", bob).await, 0);
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
    let page = system.connect().await.send("GET", "/metrics", vec![]).await;
    assert_eq!(page.status, 200);
    let page = page.text;
    let line = "ringline_gateway_answers_total{route=\"trylogin_server\",error=\"0\"} 400";
    assert!(page.lines().any(|shown| shown == line), "{page}");
    assert!(!page.contains("load password"));
    let nodes = system.balancer.list_nodes().await.unwrap();
    assert_eq!(nodes[0].reservations, 400, "each login holds its place");
    system.stop().await;
}

async fn bob(browser: &mut Browser, name: &str) {
    let email = format!("{name}@example.org");
    let account = json!({"username": name, "password": "correct horse", "email": email});
    assert_eq!(browser.error("/post_registration", account).await, 0);
}

/// A login of a client behind the proxy that the test is.
async fn try_login(
    browser: &mut Browser,
    client: &str,
    name: &str,
    password: &str,
) -> crate::system::Answer {
    let body = json!({"username": name, "password": password}).to_string();
    browser.send_for(Some(client), "POST", "/trylogin_server", body.into_bytes()).await
}

#[tokio::test]
async fn an_account_is_locked_after_ten_wrong_passwords_whether_or_not_it_exists() {
    let system = System::new().start(&[OPEN, &["--trusted-proxy", "127.0.0.1"]].concat());
    system.node().await;
    let mut browser = system.connect().await;
    bob(&mut browser, "bob").await;
    bob(&mut browser, "carol").await;
    let mut courses = Vec::new();
    for name in ["bob", "nobody"] {
        let mut course = Vec::new();
        for attempt in 0..12 {
            // From everywhere: it is the account that is guarded here.
            let client = format!("198.51.100.{attempt}");
            // Capitals make no other account.
            let name = if attempt % 2 == 0 { name.to_owned() } else { name.to_uppercase() };
            let answer = try_login(&mut browser, &client, &name, "wrong horse").await;
            course.push((answer.status, answer.error()));
        }
        courses.push(course);
    }
    let expected = [vec![(200, 17); 10], vec![(429, 18); 2]].concat();
    assert_eq!(courses, [expected.clone(), expected]);

    let right = try_login(&mut browser, "203.0.113.1", "bob", "correct horse").await;
    assert_eq!((right.status, right.error()), (429, 18), "not even a right one tells");
    assert!(right.retry_after.is_some_and(|seconds| (80..=91).contains(&seconds)), "{right:?}");
    assert_eq!(try_login(&mut browser, "203.0.113.1", "carol", "correct horse").await.error(), 0);
    system
        .until_shown(
            "ringline_gateway_rate_refusals_total{bound=\"wrong_passwords_per_account\"} 5",
        )
        .await;
    system.stop().await;
}

#[tokio::test]
async fn a_right_password_makes_the_wrong_ones_before_it_forgotten() {
    let system = System::new().start(&[OPEN, &["--trusted-proxy", "127.0.0.1"]].concat());
    system.node().await;
    let mut browser = system.connect().await;
    bob(&mut browser, "bob").await;
    for _ in 0..3 {
        for _ in 0..9 {
            let answer = try_login(&mut browser, "198.51.100.1", "bob", "wrong horse").await;
            assert_eq!(answer.error(), 17);
        }
        assert_eq!(
            try_login(&mut browser, "198.51.100.1", "bob", "correct horse").await.error(),
            0
        );
    }
    system.stop().await;
}

#[tokio::test]
async fn a_client_that_tries_many_names_is_locked_out_and_nobody_else() {
    let system = System::new().start(&[OPEN, &["--trusted-proxy", "127.0.0.1"]].concat());
    system.node().await;
    let mut browser = system.connect().await;
    bob(&mut browser, "bob").await;
    let (hostile, honest) = ("198.51.100.1", "198.51.100.2");
    for attempt in 0..50 {
        let name = format!("name{attempt}");
        assert_eq!(try_login(&mut browser, hostile, &name, "wrong horse").await.error(), 17);
    }
    assert_eq!(try_login(&mut browser, hostile, "name50", "wrong horse").await.error(), 18);
    assert_eq!(try_login(&mut browser, hostile, "bob", "correct horse").await.error(), 18);
    assert_eq!(try_login(&mut browser, honest, "bob", "correct horse").await.error(), 0);
    system.stop().await;
}

/// Logs in at a gateway whose balancer is at this address; gives the shortest of a few times that it took to fail.
async fn time_to_fail(balancer: &str) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let bound = bind(&dir, balancer, OPEN).unwrap();
    let address = bound.address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(bound.serve(async {
        let _ = stopped.await;
    }));
    let mut browser = Browser::connect(address).await;
    bob(&mut browser, "bob").await;
    let mut times = Vec::new();
    // The machine may be busy with other tests: the best of some tries is what the gateway itself takes.
    for _ in 0..5 {
        let begun = Instant::now();
        let login = json!({"username": "bob", "password": "correct horse"});
        let answer = browser.post("/trylogin_server", login).await;
        times.push(begun.elapsed());
        assert_eq!(answer["error"], 3, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("the balancer cannot be reached"));
    }
    let health = browser.send("GET", "/healthz", vec![]).await;
    assert_eq!((health.status, health.text.contains("balancer")), (503, true));
    let _ = stop.send(());
    served.await.unwrap().unwrap();
    times.into_iter().min().unwrap()
}

#[tokio::test]
async fn a_balancer_that_is_down_or_hangs_fails_a_login_within_a_second() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let down = time_to_fail(&format!("http://{gone}")).await;
    assert!(down <= Duration::from_secs(1), "{down:?}");
    // Connections are taken by the kernel; nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hangs = time_to_fail(&format!("http://{}", silent.local_addr().unwrap())).await;
    assert!(hangs <= Duration::from_secs(1), "{hangs:?}");
}

#[tokio::test]
async fn an_address_of_a_server_without_its_scheme_is_refused_with_what_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let refused = bind(&dir, "127.0.0.1:5900", OPEN).unwrap_err();
    let refused = format!("{refused:#}");
    assert!(
        refused.contains("--balancer") && refused.contains("write http://127.0.0.1:5900"),
        "{refused}"
    );
    let refused = bind(&dir, "http://127.0.0.1:5900", &["--verify", "127.0.0.1:5910"]).unwrap_err();
    let refused = format!("{refused:#}");
    assert!(
        refused.contains("--verify") && refused.contains("write http://127.0.0.1:5910"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_answered() {
    let system = System::new().start(OPEN);
    system.node().await;
    let mut browser = system.connect().await;
    bob(&mut browser, "bob").await;
    let mut asking = Vec::new();
    for _ in 0..20 {
        let mut browser = system.connect().await;
        asking.push(tokio::spawn(async move {
            let login = json!({"username": "bob", "password": "correct horse"});
            browser.post("/trylogin_server", login).await
        }));
    }
    tokio::task::yield_now().await;
    system.stop().await;
    let mut answers = Vec::<Value>::new();
    for asked in asking {
        // One that was not accepted yet is reset; one that was is answered.
        answers.extend(asked.await.ok());
    }
    assert!(!answers.is_empty());
    assert!(answers.iter().all(|answer| answer["error"] == 0), "{answers:?}");
}
