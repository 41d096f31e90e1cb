//! The server's figures, from pages as a node writes them.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;
use crate::sample::outcome;

fn snapshot(page: &str, after: Duration, process: Option<(f64, u64)>) -> Snapshot {
    let at = origin() + after;
    Snapshot {
        at,
        incarnation: Some(9),
        samples: Ok(Samples::parse(page)),
        process: process.map(Ok),
    }
}

fn origin() -> Instant {
    static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

const START: &str = "# TYPE ringline_node_enters counter\n\
    ringline_node_enters_total{shard=\"0\"} 100\n\
    ringline_node_cqes_total{shard=\"0\"} 300\n\
    ringline_node_messages_in_total{shard=\"0\"} 0\n\
    ringline_node_cpu_seconds_total 1.5\n\
    ringline_node_rss_bytes 33554432\n";
const END: &str = "ringline_node_enters_total{shard=\"0\"} 300\n\
    ringline_node_enters_total{shard=\"1\"} 300\n\
    ringline_node_cqes_total{shard=\"0\"} 1300\n\
    ringline_node_messages_in_total{shard=\"0\"} 1000\n\
    ringline_node_cpu_seconds_total 3.5\n\
    ringline_node_rss_bytes 34554432\n";

fn info() -> NodeInfo {
    NodeInfo {
        io: "uring".into(),
        shards: 2,
        rss_start_bytes: Some(33_554_432),
        ..NodeInfo::default()
    }
}

#[test]
fn a_metric_is_the_sum_over_its_labels() {
    let samples = Samples::parse(END);
    assert_eq!(samples.sum("ringline_node_enters_total"), Some(600.0));
    assert_eq!(samples.sum("ringline_node_enters"), None);
    assert_eq!(Samples::parse("a{path=\"x y\"} 2 1700000000\n\nnonsense\n").sum("a"), Some(2.0));
}

#[test]
fn figures_are_differences_over_the_measured_phase() {
    let found = outcome(|outcome| {
        outcome.measured = Duration::from_secs(10);
        outcome.established = 1_000;
        outcome.delivered = 120_000;
        outcome.acked = 100_000;
    });
    let (start, end) =
        (snapshot(START, Duration::ZERO, None), snapshot(END, Duration::from_secs(10), None));
    let figures = ServerFigures::over(Some(&info()), Some(&start), Some(&end), &found);
    assert_eq!(figures.cpu_s, Some(2.0));
    assert_eq!(figures.delivered_per_cpu_s, Some(60_000.0));
    assert_eq!(figures.acked_per_cpu_s, Some(50_000.0));
    assert_eq!(figures.rss_per_connection_bytes, Some(1_000.0));
    assert_eq!(figures.syscalls_per_message, Some(0.5));
    assert_eq!(figures.cqes_per_enter, Some(2.0));
    assert_eq!(figures.enobufs, None);
    assert_eq!(figures.missing, Vec::<String>::new());
}

#[test]
fn what_was_not_measured_is_missing_and_says_why() {
    let nothing = ServerFigures::over(None, None, None, &outcome(|_| {}));
    assert_eq!(nothing.cpu_s, None);
    assert!(nothing.missing[0].contains("--node-admin"));
    let mut broken = snapshot(START, Duration::ZERO, None);
    broken.samples = Err("http://x/metrics: status 500".into());
    let end = snapshot(END, Duration::from_secs(10), None);
    let figures = ServerFigures::over(Some(&info()), Some(&broken), Some(&end), &outcome(|_| {}));
    assert_eq!((figures.cpu_s, figures.delivered_per_cpu_s), (None, None));
    assert!(figures.missing[0].contains("status 500"));
    // No completions without a ring: epoll has no such figure, not a figure of zero.
    let epoll = START.replace("cqes", "other");
    let start = snapshot(&epoll, Duration::ZERO, None);
    let end = snapshot(&END.replace("cqes", "other"), Duration::from_secs(10), None);
    let figures = ServerFigures::over(Some(&info()), Some(&start), Some(&end), &outcome(|_| {}));
    assert_eq!(figures.cqes_per_enter, None);
}

#[test]
fn a_node_that_was_started_anew_has_no_figures_over_the_phase() {
    let start = snapshot(START, Duration::ZERO, None);
    let mut end = snapshot(END, Duration::from_secs(10), None);
    end.incarnation = Some(10);
    let figures = ServerFigures::over(Some(&info()), Some(&start), Some(&end), &outcome(|_| {}));
    assert_eq!((figures.cpu_s, figures.rss_bytes), (None, None));
    assert!(figures.missing[0].contains("started anew"));
}

#[test]
fn the_kernels_figures_are_compared_with_the_nodes() {
    let compare = |cpu_end: f64, rss: u64| {
        let start = snapshot(START, Duration::ZERO, Some((1.0, rss)));
        let end = snapshot(END, Duration::from_secs(10), Some((cpu_end, rss)));
        let figures =
            ServerFigures::over(Some(&info()), Some(&start), Some(&end), &outcome(|_| {}));
        figures.cross_check.unwrap().disagreement().unwrap()
    };
    assert_eq!(compare(3.0, 34_554_432), 0.0);
    assert_eq!(compare(3.05, 34_554_432), 0.0, "within the kernel's ticks");
    assert!(compare(4.0, 34_554_432) > 0.2);
    assert!(compare(3.0, 69_000_000) > 0.4);
}

#[test]
fn a_probe_reads_the_admin_port() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let about = r#"{"name":"n1","incarnation":9,"shards":2,"new_field":1}"#;
        for body in [about, START, about] {
            let (mut conn, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let count = conn.read(&mut request).unwrap();
            assert!(request[..count].starts_with(b"GET /"));
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            conn.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    let probe = Probe::new(&address).unwrap().with_process(std::process::id());
    let info = probe.info().unwrap();
    assert_eq!((info.name.as_str(), info.incarnation, info.shards), ("n1", 9, 2));
    let snapshot = probe.snapshot();
    assert_eq!(snapshot.metric("cpu_seconds_total"), Some(1.5));
    assert_eq!(snapshot.incarnation, Some(9));
    assert!(snapshot.process().is_some_and(|(_, rss)| rss > 0));
    server.join().unwrap();
}

#[test]
fn an_admin_port_that_is_none_is_a_clear_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Probe::new(&address).unwrap().info().unwrap_err();
    assert!(format!("{error:#}").contains(&address), "{error:#}");
    assert!(Probe::new("not an address").is_err());
}
