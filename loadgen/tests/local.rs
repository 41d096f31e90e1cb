//! The whole system from one command: it comes up, carries a load, tells the truth about it, drains and leaves nothing.
//!
//! What is asserted is what was delivered and how it ended, never how fast: these machines are shared.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs `loadgen local` with its files in `directory`. Objectives and numbers are small: a test proves, it measures not.
fn local(directory: &Path, args: &[&str]) -> (Output, Value) {
    let reports = directory.join("report");
    let duration = if args.contains(&"--duration") { &[][..] } else { &["--duration", "1s"] };
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["local", "--connections", "50", "--warmup", "100ms", "--ramp", "500/s"])
        .args(duration)
        .args(args)
        .arg("--report")
        .arg(&reports)
        .arg("--dir")
        .arg(directory)
        .output()
        .expect("the program runs");
    let json = std::fs::read_to_string(reports.join("run.json"));
    let json = json.unwrap_or_else(|error| panic!("no report ({error}): {}", said(&output)));
    (output, serde_json::from_str(&json).expect("run.json is JSON"))
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[track_caller]
fn delivered_cleanly(output: &Output, json: &Value) {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
    assert_eq!(json["connections"]["established"], 50, "{}", said(output));
    let ledger = &json["ledger"];
    for violation in
        ["lost", "duplicate", "reordered", "corrupt", "misrouted", "indeterminate", "foreign"]
    {
        assert_eq!(ledger[violation], 0, "{violation}: {}", said(output));
    }
    assert!(ledger["sent"].as_u64() > Some(0), "{}", said(output));
    assert_eq!(ledger["sent"], ledger["acked"], "{}", said(output));
    assert!(said(output).contains("drained and ended cleanly"), "{}", said(output));
}

/// Nothing of the run is left beside its report.
#[track_caller]
fn left_nothing(directory: &Path) {
    let left = std::fs::read_dir(directory).expect("the directory is there").filter_map(Result::ok);
    let left: Vec<_> =
        left.map(|entry| entry.file_name()).filter(|name| name != "report").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn pairs_log_in_at_the_gateway_and_lose_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (output, json) = local(directory.path(), &["--rate", "500/s", "--slo", "lost == 0"]);
    delivered_cleanly(&output, &json);
    assert_eq!(json["ledger"]["delivered"], json["ledger"]["sent"]);
    assert_eq!(json["server"]["io"], "uring");
    assert_eq!(json["server"]["durability"], "commit");
    assert!(json["server"]["cpu_s"].as_f64() > Some(0.0), "{}", json["server"]);
    assert!(json["server"]["rss_start_bytes"].as_f64() > Some(0.0), "{}", json["server"]);
    assert!(json["server"]["cross_check"].is_object(), "{}", json["server"]);
    assert_eq!(json["verdict"]["slo"][0]["pass"], true);
    assert!(
        ["VALID", "DEGRADED", "INVALID"].iter().any(|word| json["verdict"]["validity"] == *word)
    );
    left_nothing(directory.path());
}

#[test]
fn a_redis_that_fails_under_load_ends_no_session_and_all_are_served_by_it_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let words = "--redis private --store memory --rate 200/s --duration 3s --outage redis:freeze@200ms+400ms \
                 --outage redis:kill@1s+300ms";
    let (output, json) = local(directory.path(), &words.split_whitespace().collect::<Vec<_>>());
    delivered_cleanly(&output, &json);
    assert_eq!(disturbed(&json), [("redis:freeze", true), ("redis:kill", true)]);
    left_nothing(directory.path());
}

#[test]
fn every_preset_and_driver_carries_its_load() {
    for (args, fan_out) in [
        (&["--preset", "rooms", "--rate", "50/s", "--io", "epoll"][..], 49),
        (&["--closed", "8", "--login", "direct", "--store", "memory", "--shards", "2"], 1),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let (output, json) = local(directory.path(), args);
        delivered_cleanly(&output, &json);
        let sent = json["ledger"]["sent"].as_u64().expect("a count");
        assert_eq!(json["ledger"]["delivered"], sent * fan_out, "{args:?}: {}", said(&output));
    }
}

#[test]
fn the_second_engine_carries_a_load_too_and_says_that_it_was_the_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let words = "--engine epoll --preset rooms --room-size 10 --burst 4 --rate 100/s --login direct --store memory";
    let (output, json) = local(directory.path(), &words.split_whitespace().collect::<Vec<_>>());
    delivered_cleanly(&output, &json);
    let sent = json["ledger"]["sent"].as_u64().expect("a count");
    assert_eq!(json["ledger"]["delivered"], sent * 9, "{}", said(&output));
    assert_eq!(json["generator"]["engine"], "epoll");
}

#[test]
fn silence_holds_its_connections() {
    let directory = tempfile::tempdir().expect("a directory");
    let words = [
        "--preset",
        "idle",
        "--login",
        "direct",
        "--store",
        "memory",
        "--slo",
        "established == 50",
    ];
    let (output, json) = local(directory.path(), &words);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(
        (&json["ledger"]["sent"], &json["server"]["delivered_per_cpu_s"]),
        (&0.into(), &Value::Null)
    );
    assert!(json["server"]["rss_per_connection_bytes"].is_number(), "{}", json["server"]);
}

#[test]
fn a_missed_objective_is_the_exit_status() {
    let directory = tempfile::tempdir().expect("a directory");
    let words =
        ["--rate", "100/s", "--login", "direct", "--store", "memory", "--slo", "logins_per_s > 1M"];
    let (output, json) = local(directory.path(), &words);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(json["verdict"]["slo"][0]["pass"], false);
}

#[test]
fn a_system_that_is_kept_can_be_loaded_again_and_ended() {
    let directory = tempfile::tempdir().expect("a directory");
    let (output, _) = local(directory.path(), &["--rate", "100/s", "--keep"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let after = |word: &str| {
        let line = told.lines().find_map(|line| line.trim().strip_prefix(word));
        line.unwrap_or_else(|| panic!("`{word}` is missing: {told}")).trim().to_owned()
    };
    let (again, end) = (after("load it again"), after("end it"));
    let mut words = again.split_whitespace();
    assert_eq!(words.next(), Some("loadgen"));
    let report = directory.path().join("again");
    let run = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(words)
        .args([
            "--connections",
            "50",
            "--ramp",
            "500/s",
            "--rate",
            "100/s",
            "--warmup",
            "0s",
            "--duration",
            "1s",
        ])
        .args(["--allow-invalid", "--report"])
        .arg(&report)
        .stdin(Stdio::null())
        .output();
    let mut kill = end.split_whitespace();
    let killed = Command::new(kill.next().expect("a command")).args(kill).status();
    let run = run.expect("the program runs");
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert!(killed.is_ok_and(|status| status.success()), "{told}");
    let json = std::fs::read_to_string(report.join("run.json")).expect("a report");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["ledger"]["lost"], &json["connections"]["established"]),
        (&0.into(), &50.into())
    );
    assert!(
        json["server"]["cross_check"].is_object(),
        "the node's process is found: {}",
        json["server"]
    );
}

/// What each outage did: name, and whether it was over.
fn disturbed(json: &Value) -> Vec<(&str, bool)> {
    let rows = json["disturbed"].as_array().expect("a list");
    let row = |row: &Value| row["until_s"].as_f64() >= row["from_s"].as_f64();
    rows.iter().map(|one| (one["what"].as_str().expect("a name"), row(one))).collect()
}

#[test]
fn servers_that_fail_under_load_lose_nothing_and_everything_goes_on_by_itself() {
    let directory = tempfile::tempdir().expect("a directory");
    let words = "--store mysql --rate 300/s --duration 4s --outage mysql:freeze@200ms+600ms \
                 --outage balancer:freeze@300ms+400ms --outage gateway:kill@1s+100ms --outage mysql:kill@2s+300ms \
                 --outage balancer:kill@2100ms+300ms";
    let (output, json) = local(directory.path(), &words.split_whitespace().collect::<Vec<_>>());
    // What was due while the database was away was refused as busy and said again: in the end all of it is acknowledged.
    delivered_cleanly(&output, &json);
    assert_eq!(json["ledger"]["delivered"], json["ledger"]["sent"]);
    let names = ["mysql:freeze", "balancer:freeze", "gateway:kill", "mysql:kill", "balancer:kill"];
    assert_eq!(disturbed(&json), names.map(|name| (name, true)), "{}", json["disturbed"]);
    left_nothing(directory.path());
}

#[test]
fn clients_whose_node_is_killed_come_back_with_what_was_not_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory");
    let words = "--reconnect --rate 300/s --duration 4s --outage node:kill@500ms+300ms";
    let (output, json) = local(directory.path(), &words.split_whitespace().collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let ledger = &json["ledger"];
    for violation in ["lost", "duplicate", "reordered", "corrupt", "misrouted"] {
        assert_eq!(ledger[violation], 0, "{violation}: {}", said(&output));
    }
    assert_eq!(disturbed(&json), [("node:kill", true)]);
    let broken = json["connections"]["disconnects"].as_object().expect("reasons");
    let broken: u64 = broken.values().filter_map(Value::as_u64).sum();
    assert!(broken >= 50, "all of them lost it: {}", said(&output));
    left_nothing(directory.path());
}

#[test]
fn an_outage_that_cannot_be_is_refused_with_what_is_missing() {
    for (words, missing) in [
        ("--outage mysql:kill@100ms+100ms", "--store mysql"),
        ("--outage redis:kill@100ms+100ms", "--redis private"),
        ("--outage gateway:kill@100ms+100ms --login direct", "--login gateway"),
        ("--outage node:kill@100ms+100ms", "--reconnect"),
        ("--outage gateway:kill@100ms+60s", "--duration"),
        ("--outage disk:kill@100ms+1s", "SERVER"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .arg("local")
            .args(words.split_whitespace())
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{words}: {}", said(&output));
        assert!(said(&output).contains(missing), "{words}: {}", said(&output));
    }
}
