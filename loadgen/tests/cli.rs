//! The program as a shell sees it: what it refuses, with which status, and what it says.

use std::net::TcpListener;
use std::process::{Command, Output};

fn loadgen(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(args).output().expect("the program runs")
}

#[track_caller]
fn refused(args: &[&str], status: i32, because: &str) {
    let output = loadgen(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.contains(because), "it should say `{because}`: {said}");
    assert!(output.stdout.is_empty(), "a refusal is no report");
}

#[test]
fn a_load_that_makes_no_sense_is_refused_before_anything_starts() {
    refused(&["local", "--rate", "10k/s", "--closed", "5"], 2, "cannot be used with");
    refused(&["local", "--slo", "delivery.p99 < 5"], 2, "needs a unit");
    refused(&["local", "--slo", "speed > 5"], 2, "is not known");
    refused(&["local", "--size", "8"], 2, "carry the ledger's stamp");
    refused(&["local", "--connections", "0"], 2, "--connections");
    refused(&["local", "--connections", "1.5"], 2, "10k or 1M");
    refused(&["local", "--connections", "11M"], 2, "between 1 and 10000000");
    refused(&["local", "--duration", "15"], 2, "write a time as");
    refused(&["local", "--preset", "idle", "--rate", "5/s"], 2, "sends no messages");
    refused(&["local", "--shards", "none"], 2, "choose auto");
    refused(&["local", "--redis", "private", "--login", "direct"], 2, "leave out --redis");
    refused(&["local", "--redis", "private", "--keep"], 2, "leave out --keep");
    refused(&["local", "--redis", "here"], 2, "redis://HOST:PORT");
    refused(&["local", "--redis", "redis://:p@127.0.0.1:1"], 2, "without a password");
}

#[test]
fn overload_must_be_asked_for() {
    refused(&["local", "--preset", "rooms", "--rate", "5k/s", "--shards", "1"], 2, "--overload");
}

#[test]
fn what_cannot_fit_is_refused_before_anything_starts_and_validate_shows_why() {
    // Ten million connections need some ninety gigabytes and more shards than there may be.
    let many = ["--connections", "10000000", "--login", "direct", "--store", "memory"];
    let local: Vec<&str> = ["local"].iter().chain(&many).copied().collect();
    refused(&local, 2, "fit");
    let far = ["run", "--target", "10.0.0.1:1", "--token-key", "none", "--connections", "9000000"];
    refused(&far, 2, "ports");
    let shown = loadgen(&[
        "validate",
        "run",
        "--target",
        "10.0.0.1:1",
        "--token-key",
        "none",
        "--connections",
        "9000000",
    ]);
    assert_eq!(shown.status.code(), Some(2));
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("NO  ports") && text.contains("--source"), "{text}");
}

#[test]
fn validate_of_a_small_run_is_content_and_starts_nothing() {
    let shown =
        loadgen(&["validate", "--connections", "0.1k", "--login", "direct", "--store", "memory"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(shown.status.code(), Some(0), "{text}");
    for part in ["100 connections, node and generator", "together", "ok  memory", "ok  ports"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_store_in_memory_cannot_commit() {
    refused(&["local", "--store", "memory", "--durability", "commit"], 2, "--store sqlite");
}

#[test]
fn epoll_cannot_hold_more_than_the_descriptors() {
    refused(&["local", "--io", "epoll", "--connections", "10000000"], 2, "--io uring");
    refused(&["local", "--engine", "epoll", "--connections", "10000000"], 2, "--engine uring");
}

#[test]
fn run_needs_a_system() {
    refused(&["run"], 2, "--gateway");
    refused(&["run", "--target", "127.0.0.1:1"], 2, "--token-key");
}

#[test]
fn a_target_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    refused(&["run", "--target", &address, "--token-key", key], 8, &address);
    refused(&["run", "--gateway", &format!("http://{address}")], 8, "cannot be reached");
}

#[test]
fn help_has_examples_and_every_status() {
    for args in [&["--help"][..], &["local", "--help"], &["run", "--help"]] {
        let output = loadgen(args);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        assert!(said.contains("loadgen local --preset rooms --io epoll"), "{said}");
        for status in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "8 ", "130 "] {
            assert!(said.contains(&format!("\n  {status}")), "status {status} is missing: {said}");
        }
        assert!(!said.contains("role"), "the roles are no commands for people: {said}");
    }
}

#[test]
fn the_environment_is_json_on_request() {
    let output = loadgen(&["env", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert!(json["kernel"]["release"].is_string());
    assert!(json["missing"].is_object());
    let text = String::from_utf8(loadgen(&["env"]).stdout).expect("it is text");
    assert!(text.lines().any(|line| line.starts_with("kernel.release")), "{text}");
}

#[test]
fn a_role_ends_with_the_process_that_it_was_started_for() {
    refused(&["role", "--parent", "1", "balancer", "--", "--help"], 1, "has ended");
}
