//! Verification codes: how they reach people, and how often.

use serde_json::json;

use crate::system::{System, other};

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
    let answer = browser.send("POST", "/get_verification", body).await;
    assert_eq!((answer.status, answer.error(), answer.retry_after), (503, 2, Some(1)));
    system.stop().await;
}

#[tokio::test]
async fn in_development_a_code_is_in_the_answer_and_never_otherwise() {
    let system = System::new().start(&["--development"]);
    let mut browser = system.connect().await;
    let dims = browser.post("/get_verification", json!({"email": "a@example.org"})).await;
    let chatter = browser.post("/get_varifycode", json!({"email": "b@example.org"})).await;
    for answer in [&dims, &chatter] {
        let code = answer["code"].as_str().unwrap();
        assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{answer}");
    }
    system.stop().await;

    let system = System::new();
    let mails = system.dir.path().join("mails");
    let mails = mails.to_str().unwrap();
    let system = system.start(&["--mail-dir", mails, "--mail-from", "codes@example.org"]);
    let mut browser = system.connect().await;
    let dims = browser.post("/get_verification", json!({"email": "a@example.org"})).await;
    assert_eq!(dims, json!({"error": 0, "email": "a@example.org"}));
    for (path, email) in
        [("/get_varifycode", "b@example.org"), ("/get_verifycode", "c@example.org")]
    {
        let chatter = browser.post(path, json!({"email": email})).await;
        assert_eq!(chatter, json!({"error": 0, "email": email, "code": ""}));
    }
    system.stop().await;
}

/// The code of the only mail in a directory.
fn code_of_the_mail(dir: &std::path::Path) -> String {
    let mails: Vec<_> = std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().path()).collect();
    let [mail] = &mails[..] else { panic!("one mail was sent: {mails:?}") };
    let mail = std::fs::read_to_string(mail).unwrap();
    let code = mail.split("code is ").nth(1).unwrap().split_whitespace().next().unwrap();
    code.to_owned()
}

#[tokio::test]
async fn a_code_is_read_out_of_its_mail_and_both_spellings_are_taken() {
    for spelling in ["cpatcha", "captcha"] {
        let system = System::new();
        let mails = system.dir.path().join("mails");
        let args = ["--mail-dir", mails.to_str().unwrap(), "--mail-from", "codes@example.org"];
        let system = system.start(&args);
        let mut browser = system.connect().await;
        let email = "carol@example.org";
        assert_eq!(browser.error("/get_verification", json!({"email": email})).await, 0);
        let code = code_of_the_mail(&mails);
        let mut account = json!({"username": "carol", "password": "correct horse", "email": email});
        account[spelling] = json!(other(&code));
        assert_eq!(browser.error("/post_registration", account.clone()).await, 13);
        account[spelling] = json!(code);
        assert_eq!(browser.error("/post_registration", account).await, 0, "{spelling}");
        system.stop().await;
    }
}

#[tokio::test]
async fn codes_are_bounded_for_each_address_and_for_each_client() {
    let system = System::new().start(&["--development", "--trusted-proxy", "127.0.0.1"]);
    let mut browser = system.connect().await;
    let ask = async |browser: &mut crate::system::Browser, client: &str, email: &str| {
        let body = json!({ "email": email }).to_string().into_bytes();
        browser.send_for(Some(client), "POST", "/get_verification", body).await
    };
    assert_eq!(ask(&mut browser, "198.51.100.1", "bob@example.org").await.error(), 0);
    let again = ask(&mut browser, "198.51.100.2", "Bob@example.org").await;
    assert_eq!((again.status, again.error()), (429, 2), "the address is bounded for everybody");
    assert!(again.retry_after.is_some_and(|seconds| (10..=21).contains(&seconds)), "{again:?}");
    for number in 0..20 {
        let email = format!("u{number}@example.org");
        assert_eq!(ask(&mut browser, "198.51.100.3", &email).await.error(), 0, "{number}");
    }
    let flood = ask(&mut browser, "198.51.100.3", "u20@example.org").await;
    assert_eq!((flood.status, flood.error()), (429, 2));
    assert_eq!(ask(&mut browser, "198.51.100.4", "u20@example.org").await.error(), 0);
    for bound in ["codes_per_client", "code_resend"] {
        let line = format!("ringline_gateway_rate_refusals_total{{bound=\"{bound}\"}} 1");
        system.until_shown(&line).await;
    }
    system.stop().await;
}
