//! Measuring a setting: runs in turns, a ratio, a line beside the claim, and the value as it was whatever happens.

mod ground;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ground::{folder, run_in};

const BACKLOG: &str = "proc/sys/net/core/netdev_max_backlog";

/// A load generator that is faster with a longer queue, or fails at its n-th run.
fn generator(root: &Path, fails_at: usize) -> PathBuf {
    let path = root.join("loadgen.sh");
    let (value, runs) = (root.join(BACKLOG), root.join("runs"));
    let script = format!(
        "#!/bin/sh\n\
         echo \"$(cat {value}) $*\" >> {runs}\n\
         count=$(wc -l < {runs})\n\
         if [ \"$count\" = {fails_at} ]; then echo 'the port is taken' >&2; exit 8; fi\n\
         rate=$(cat {value})\n\
         echo \"{{\\\"verdict\\\":{{\\\"validity\\\":\\\"VALID\\\"}},\\\"achieved\\\":{{\\\"acked_per_s\\\":$((rate + count))}},\
         \\\"classes\\\":{{}}}}\"\n",
        value = value.display(),
        runs = runs.display(),
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn measure(root: &Path, loadgen: &Path, more: &[&str]) -> ground::Said {
    let base = [
        "measure",
        "path.netdev_backlog",
        "--connections",
        "100k",
        "--loadgen",
        loadgen.to_str().unwrap(),
    ];
    let place = ["--root", root.to_str().unwrap()];
    ground::run(&[&base[..], &place, more].concat())
}

#[test]
fn runs_take_turns_and_the_ratio_is_kept() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    let loadgen = generator(root, 0);
    let said = measure(root, &loadgen, &["--runs", "4", "--json", "--", "local", "--closed", "8"]);
    assert_eq!(said.code, 0, "{}", said.error);
    let values: Vec<String> = fs::read_to_string(root.join("runs"))
        .unwrap()
        .lines()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(values, ["1000", "16384", "16384", "1000", "1000", "16384", "16384", "1000"]);
    let asked = fs::read_to_string(root.join("runs")).unwrap();
    assert!(
        asked.lines().all(|line| line.contains("local --closed 8 --json --quiet --report")),
        "{asked}"
    );
    let measured: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let figure = &measured["figures"][0];
    assert_eq!(figure["name"], "messages acknowledged per second");
    let ratio = figure["ratio"]["ratio"].as_f64().unwrap();
    assert!((16.0..16.5).contains(&ratio), "{ratio}");
    assert!(figure["ratio"]["low"].as_f64().unwrap() > 15.0);
    assert_eq!(fs::read_to_string(root.join(BACKLOG)).unwrap(), "1000\n", "the value is as it was");
    let explained = run_in(root, &["explain", "path.netdev_backlog"]).out;
    assert!(
        explained.contains("messages acknowledged per second: 16.") && explained.contains("better"),
        "{explained}"
    );
    assert!(run_in(root, &["status"]).out.contains("Nothing is in force"));
}

#[test]
fn a_run_that_fails_ends_it_and_brings_the_value_back() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    // The third run is the second with the other value.
    let loadgen = generator(root, 3);
    let said = measure(root, &loadgen, &["--runs", "4"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(
        said.error.contains("the port is taken")
            && said.error.contains("run 3 of 8, B (16384)")
            && said.error.contains("as it was"),
        "{}",
        said.error
    );
    assert_eq!(fs::read_to_string(root.join(BACKLOG)).unwrap(), "1000\n");
    assert!(run_in(root, &["explain", "path.netdev_backlog"]).out.contains("nothing yet"));
}

#[test]
fn what_somebody_else_sets_meanwhile_ends_it_and_stays() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    let loadgen = generator(root, 0);
    // The first run sets the value itself, as somebody else would.
    let script = fs::read_to_string(&loadgen).unwrap();
    fs::write(&loadgen, format!("{script}echo 4321 > {}\n", root.join(BACKLOG).display())).unwrap();
    let said = measure(root, &loadgen, &["--runs", "4"]);
    assert_eq!(said.code, 6, "{}", said.out);
    assert!(said.error.contains("4321"), "{}", said.error);
    assert_eq!(fs::read_to_string(root.join(BACKLOG)).unwrap(), "4321\n");
    assert_eq!(fs::read_to_string(root.join("runs")).unwrap().lines().count(), 1);
}

/// A load generator that does something to whoever started it, in its second run.
fn hostile(root: &Path, does: &str) -> PathBuf {
    let path = generator(root, 0);
    let script = fs::read_to_string(&path).unwrap();
    let script = script.replace("rate=", &format!("if [ \"$count\" = 2 ]; then {does}; fi\nrate="));
    fs::write(&path, script).unwrap();
    path
}

#[test]
fn interrupted_it_brings_the_value_back() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    let said = measure(root, &hostile(root, "kill -INT $PPID"), &["--runs", "4"]);
    assert_eq!(said.code, 130, "{}", said.error);
    assert_eq!(fs::read_to_string(root.join("runs")).unwrap().lines().count(), 2);
    assert_eq!(fs::read_to_string(root.join(BACKLOG)).unwrap(), "1000\n");
}

#[test]
fn killed_its_watchdog_brings_the_value_back() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    let loadgen = hostile(root, "kill -KILL $PPID; exit 1");
    let place =
        ["--root", root.to_str().unwrap(), "--loadgen", loadgen.to_str().unwrap(), "--limit", "1s"];
    let base = ["measure", "path.netdev_backlog", "--connections", "100k"];
    let killed = ground::command(&[&base[..], &place].concat()).output().unwrap();
    assert_eq!(killed.status.code(), None, "it was killed");
    let start = std::time::Instant::now();
    let is_back = || fs::read_to_string(root.join(BACKLOG)).unwrap() == "1000\n";
    while !is_back() {
        assert!(
            start.elapsed() < std::time::Duration::from_secs(60),
            "the value did not come back"
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    let place = ["--root", root.to_str().unwrap()];
    let refused = |arguments: &[&str]| {
        let said = ground::run(&[&["measure"][..], arguments, &place].concat());
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.error);
        said.error
    };
    assert!(refused(&["cpu.steal"]).contains("not for this tool to change"));
    assert!(refused(&["tcp.somaxconn"]).contains("--value"));
    assert!(refused(&["path.netdev_backlog", "--value", "many"]).contains("form"));
    assert!(refused(&["path.netdev_backlog", "--value", "1000"]).contains("already"));
    assert!(refused(&["mem.thp", "--value", "sometimes"]).contains("always, madvise, never"));
    refused(&["path.netdev_backlog", "--runs", "0"]);
    assert_eq!(fs::read_to_string(root.join(BACKLOG)).unwrap(), "1000\n");
}
