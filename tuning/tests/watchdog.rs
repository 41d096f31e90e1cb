//! An apply that takes itself back: whatever becomes of the terminal, and never when somebody has confirmed.

mod ground;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ground::{command, folder, run_in};

const BACKLOG: &str = "proc/sys/net/core/netdev_max_backlog";
const APPLY: [&str; 6] =
    ["apply", "--yes", "--only", "path.netdev_backlog", "--connections", "100k"];

fn backlog(root: &Path) -> String {
    fs::read_to_string(root.join(BACKLOG)).unwrap()
}

/// Waits for something that must happen, for as long as a busy machine may need.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not happen");
        thread::sleep(Duration::from_millis(10));
    }
}

fn status(root: &Path) -> serde_json::Value {
    let said = run_in(root, &["status", "--all", "--json"]);
    serde_json::from_str::<serde_json::Value>(&said.out).unwrap()["journals"][0].clone()
}

fn watchdog(root: &Path) -> Option<u64> {
    status(root)["watchdog"].as_u64()
}

#[test]
fn its_time_over_it_is_taken_back() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    let applied = run_in(root, &[&APPLY[..], &["--for", "300ms"]].concat());
    assert_eq!(applied.code, 0, "{}", applied.error);
    assert!(applied.out.contains("tuning confirm"), "{}", applied.out);
    until("the rollback", || status(root)["stage"] == "rolled_back");
    assert_eq!(backlog(root), "1000\n");
    // What it waited for is over: there is nothing to confirm, once the watchdog has let go of the lock.
    until("the refusal", || run_in(root, &["confirm"]).code == 6);
}

#[test]
fn confirmed_it_stays_and_nobody_watches_any_more() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    assert_eq!(run_in(root, &[&APPLY[..], &["--for", "1h"]].concat()).code, 0);
    let pid = watchdog(root).unwrap();
    // Nothing else may be applied while an answer is owed.
    assert_eq!(
        run_in(root, &["apply", "--yes", "--only", "tcp.port_range", "--connections", "100k"]).code,
        8
    );
    assert_eq!(run_in(root, &["confirm"]).code, 0);
    until("the watchdog's end", || !is_watchdog(pid));
    assert_eq!(status(root)["stage"], "confirmed");
    assert_eq!(backlog(root), "16384\n");
    assert_eq!(run_in(root, &["rollback"]).code, 0);
    assert_eq!(backlog(root), "1000\n");
}

/// Whether a process is there and is a watchdog: its number may be another's by now.
fn is_watchdog(pid: u64) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|word| word == b"watchdog")
}

#[test]
fn it_outlives_its_terminal_and_leaves_what_others_set() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    // A session of its own that gets, with everything in its process group, the signal of a terminal that closes.
    let script = "\"$0\" \"$@\"; kill -HUP 0; exit 9";
    let program = env!("CARGO_BIN_EXE_tuning");
    let ended = Command::new("setsid")
        .args(["--wait", "sh", "-c", script, program])
        .args(APPLY)
        .args(["--for", "1500ms", "--root", root.to_str().unwrap()])
        .env_remove("RINGLINE_TUNING_STATE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(!ended.success(), "the shell was ended by the signal");
    let pid = watchdog(root);
    if let Some(pid) = pid {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let session = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(3)?.parse::<u64>().ok());
        assert!(session.is_none_or(|session| session == pid), "it leads a session of its own");
    }
    until("the rollback", || status(root)["stage"] == "rolled_back");
    assert_eq!(backlog(root), "1000\n");
}

#[test]
fn what_others_set_meanwhile_is_theirs() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    assert_eq!(run_in(root, &[&APPLY[..], &["--for", "1h"]].concat()).code, 0);
    fs::write(root.join(BACKLOG), "5000\n").unwrap();
    assert_eq!(run_in(root, &["rollback"]).code, 0);
    assert_eq!(backlog(root), "5000\n");
}

#[test]
fn that_nobody_watches_is_said() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    assert_eq!(run_in(root, &[&APPLY[..], &["--for", "1h"]].concat()).code, 0);
    let pid = watchdog(root).unwrap();
    let kill = format!("kill -KILL {pid}");
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    until("the watchdog's end", || !is_watchdog(pid));
    assert!(run_in(root, &["status"]).out.contains("NOBODY WATCHES"));
    assert_eq!(backlog(root), "16384\n", "its end takes nothing back");
    assert_eq!(run_in(root, &["rollback"]).code, 0);
    assert_eq!(backlog(root), "1000\n");
}

#[test]
fn where_no_journal_can_be_kept_nothing_is_written() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    let place = ["--for", "1h", "--root", root.to_str().unwrap(), "--state", "/proc/self"];
    let said = command(&[&APPLY[..], &place].concat()).output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert_eq!(backlog(root), "1000\n");
}
