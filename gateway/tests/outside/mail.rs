//! Codes through a real mail server: encrypted, logged in, refused for a while; read out of the mail that arrived.

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::python;
use crate::system::{Running, System};

struct MailServer {
    port: u64,
    authority: String,
    said: Lines<BufReader<ChildStdout>>,
    dir: TempDir,
    _process: Child,
}

impl MailServer {
    async fn start(more: &[&str]) -> Option<Self> {
        let python = python::program("python")?;
        let dir = tempfile::tempdir().unwrap();
        let mut process = Command::new(python)
            .arg(python::folder().join("mail_server.py"))
            .arg("--directory")
            .arg(dir.path())
            .args(more)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut server = Self { port: 0, authority: String::new(), said, dir, _process: process };
        let started = server.next().await;
        server.port = started["port"].as_u64().unwrap();
        server.authority = started["authority"].as_str().unwrap().to_owned();
        Some(server)
    }

    /// What it says next: a mail, or a refusal.
    async fn next(&mut self) -> Value {
        let line = self.said.next_line().await.unwrap().expect("it runs");
        serde_json::from_str(&line).unwrap()
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn code_of(mail: &Value) -> &str {
    let text = mail["text"].as_str().unwrap();
    text.split("code is ").nth(1).unwrap().split_whitespace().next().unwrap()
}

const FROM: &str = "Ringline <codes@example.org>";

/// Registers an account with the code in the next mail, and checks whom the mail was for.
async fn register(system: &Running, server: &mut MailServer, email: &str) -> Value {
    let mut browser = system.connect().await;
    let sent = browser.post("/get_verification", json!({ "email": email })).await;
    assert_eq!(sent, json!({"error": 0, "email": email}));
    let mail = loop {
        let said = server.next().await;
        if said.get("refused").is_none() {
            break said;
        }
    };
    assert_eq!(
        (&mail["sender"], &mail["recipients"]),
        (&json!("codes@example.org"), &json!([email]))
    );
    let account = json!({
        "username": "carol", "password": "correct horse", "email": email, "captcha": code_of(&mail),
    });
    assert_eq!(browser.error("/post_registration", account).await, 0, "{mail}");
    mail
}

#[tokio::test]
async fn a_code_goes_out_encrypted_to_a_mail_server_that_wants_a_password() {
    for how in ["starttls", "tls"] {
        let args = ["--tls", how, "--user", "ringline", "--password", "a secret"];
        let Some(mut server) = MailServer::start(&args).await else { return };
        let password = server.dir.path().join("password");
        std::fs::write(&password, "a secret\n").unwrap();
        let (address, authority) = (server.address(), server.authority.clone());
        let system = System::new().start(&[
            "--smtp",
            &address,
            "--smtp-tls",
            how,
            "--smtp-ca",
            &authority,
            "--smtp-user",
            "ringline",
            "--smtp-password-file",
            password.to_str().unwrap(),
            "--mail-from",
            FROM,
        ]);
        let mail = register(&system, &mut server, "carol@example.org").await;
        assert_eq!(
            (&mail["is_encrypted"], &mail["user"]),
            (&json!(true), &json!("ringline")),
            "{how}"
        );
        system.stop().await;
    }
}

#[tokio::test]
async fn a_mail_server_that_says_later_gets_the_mail_later() {
    let Some(mut server) = MailServer::start(&["--refuse", "2"]).await else { return };
    let address = server.address();
    let args = ["--smtp", &address, "--smtp-tls", "none", "--mail-from", FROM];
    let system = System::new().start(&args);
    let mail = register(&system, &mut server, "carol@example.org").await;
    assert_eq!(mail["is_encrypted"], false);
    for line in [
        "ringline_gateway_mails_total{outcome=\"sent\"} 1",
        "ringline_gateway_mail_attempts_failed_total 2",
        "ringline_gateway_mail_failing 0",
    ] {
        system.until_shown(line).await;
    }
    system.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_to_a_mail_server_that_cannot_show_who_it_is() {
    let Some(mut server) = MailServer::start(&["--tls", "starttls"]).await else { return };
    let address = server.address();
    // Its authority is not among those that this machine knows, and is not named.
    let system = System::new().start(&["--smtp", &address, "--mail-from", FROM]);
    let asked = json!({"email": "carol@example.org"});
    let error = system.connect().await.error("/get_verification", asked).await;
    assert_eq!(error, 0, "it is in the queue");
    system.until_shown("ringline_gateway_mail_failing 1").await;
    system.stop().await;
    drop(server._process);
    assert!(server.said.next_line().await.unwrap().is_none(), "not a word of a mail");
}
