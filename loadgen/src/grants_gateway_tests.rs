//! Logins against a gateway made of a script: which answers are grants, which are tried again, which are failures.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const TOKEN: &str = "AQIDBA";

/// What the gateway answers: status and body, by the account's name and how often anybody asked before.
type Script = dyn Fn(&str, u32) -> (u16, String) + Send + Sync;

struct Gateway {
    uri: Uri,
    asked: Arc<AtomicU32>,
    conns: Arc<AtomicU32>,
}

/// Serves until the test process ends; every connection is kept open as a gateway keeps it.
fn gateway(script: impl Fn(&str, u32) -> (u16, String) + Send + Sync + 'static) -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let (asked, conns) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let script: Arc<Script> = Arc::new(script);
    let (counts, opened) = (Arc::clone(&asked), Arc::clone(&conns));
    std::thread::spawn(move || {
        for conn in listener.incoming() {
            opened.fetch_add(1, Ordering::Relaxed);
            let (script, counts) = (Arc::clone(&script), Arc::clone(&counts));
            std::thread::spawn(move || serve_conn(conn.unwrap(), &*script, &counts));
        }
    });
    Gateway { uri, asked, conns }
}

/// Answers one connection's requests; `None` when the peer has gone.
fn serve_conn(mut conn: TcpStream, script: &Script, asked: &AtomicU32) -> Option<()> {
    let mut reader = BufReader::new(conn.try_clone().ok()?);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let login: serde_json::Value = serde_json::from_slice(&body).ok()?;
        assert_eq!(login["password"], "secret");
        let before = asked.fetch_add(1, Ordering::Relaxed);
        let (status, answer) = script(login["username"].as_str()?, before);
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", answer.len());
        conn.write_all(format!("{head}{answer}").as_bytes()).ok()?;
    }
}

fn granted(name: &str) -> (u16, String) {
    let number: u64 = name.trim_start_matches("load").parse::<u64>().unwrap() + 1;
    let answer = format!(
        r#"{{"error":0,"uuid":"{number}","host":"127.0.0.1","port":"4001","token":"{TOKEN}"}}"#
    );
    (200, answer)
}

fn start(gateway: &Gateway) -> GatewayGrants {
    let accounts = Accounts { prefix: "load".into(), password: "secret".into() };
    GatewayGrants::start(&gateway.uri, accounts).unwrap()
}

/// Waits for the next grant. The deadline is only there so that a broken source does not hang the tests.
fn next(grants: &mut GatewayGrants) -> Granted {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(granted) = grants.poll() {
            return granted;
        }
        assert!(std::time::Instant::now() < end, "no grant came");
        std::thread::yield_now();
    }
}

#[test]
fn an_account_becomes_a_grant() {
    let gateway = gateway(|name, _| granted(name));
    let mut grants = start(&gateway);
    grants.request(41);
    let grant = next(&mut grants).unwrap();
    assert_eq!((grant.index, grant.user), (41, UserId(42)));
    assert_eq!(grant.address.to_string(), "127.0.0.1:4001");
    assert_eq!(grant.token, [1, 2, 3, 4]);
}

#[test]
fn many_logins_share_few_connections_and_none_is_forgotten() {
    let gateway = gateway(|name, _| granted(name));
    let mut grants = start(&gateway);
    let count = 3 * QUEUE_MAX as u32;
    (0..count).for_each(|index| grants.request(index));
    let seen: BTreeSet<u32> = (0..count).map(|_| next(&mut grants).unwrap().index).collect();
    assert_eq!(seen.len() as u32, count);
    assert_eq!(gateway.asked.load(Ordering::Relaxed), count);
    // The client may open one beside those that just came free, but never one for each login.
    let conns = gateway.conns.load(Ordering::Relaxed);
    assert!(conns < count / 10, "{conns} connections for {count} logins");
}

#[test]
fn a_gateway_that_is_busy_or_without_a_node_is_asked_again() {
    let gateway = gateway(|name, before| match before {
        0 => (200, r#"{"error":10}"#.into()),
        1 => (503, "{}".into()),
        2 => (429, String::new()),
        _ => granted(name),
    });
    let mut grants = start(&gateway);
    grants.request(0);
    assert_eq!(next(&mut grants).unwrap().user, UserId(1));
    assert_eq!(gateway.asked.load(Ordering::Relaxed), 4);
}

#[test]
fn refusals_are_failures_with_a_reason_and_are_not_repeated() {
    let answers = Mutex::new(vec![
        (200, r#"{"error":17}"#.to_owned(), "wrong name or password"),
        (200, r#"{"error":14}"#.to_owned(), "error 14"),
        (500, "{}".to_owned(), "status 500"),
        (200, "<html>".to_owned(), "no JSON"),
        (200, granted("load1").1.replace("127.0.0.1", "chat.example"), "IPv4"),
        (200, granted("load1").1.replace("4001", "70000"), "port"),
        (200, granted("load1").1.replace(TOKEN, "%%"), "token"),
        (200, granted("load6").1.replace("\"7\"", "\"seven\""), "uuid"),
    ]);
    let reasons: Vec<&str> = answers.lock().unwrap().iter().map(|(_, _, reason)| *reason).collect();
    let gateway = gateway(move |_, _| {
        let (status, body, _) = answers.lock().unwrap().remove(0);
        (status, body)
    });
    let mut grants = start(&gateway);
    for (at, reason) in reasons.iter().enumerate() {
        grants.request(7);
        let (index, why) = next(&mut grants).unwrap_err();
        assert_eq!(index, 7);
        assert!(why.contains(reason), "{why} should say {reason}");
        assert_eq!(gateway.asked.load(Ordering::Relaxed) as usize, at + 1);
    }
}

#[test]
fn leaving_early_cancels_what_is_under_way() {
    let gateway = gateway(|_, _| (200, r#"{"error":10}"#.into()));
    let mut grants = start(&gateway);
    (0..1_000).for_each(|index| grants.request(index));
    drop(grants);
}

#[test]
fn only_a_plain_url_is_a_gateway() {
    for wrong in ["https://127.0.0.1:1", "127.0.0.1:80", "/path"] {
        let accounts = Accounts { prefix: "load".into(), password: String::new() };
        let error = GatewayGrants::start(&wrong.parse().unwrap(), accounts).unwrap_err();
        assert!(error.to_string().contains("http://HOST:PORT"), "{wrong}: {error}");
    }
}
