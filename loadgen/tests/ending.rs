//! How a local run ends before its time: Ctrl-C drains and reports; however it dies, the servers die with it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Starts a run that would last for minutes, and returns when it measures. Its servers are children of it.
fn measuring(directory: &Path) -> (Child, BufReader<ChildStderr>) {
    let mut run = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args([
            "local",
            "--connections",
            "20",
            "--rate",
            "100/s",
            "--warmup",
            "0s",
            "--duration",
            "10m",
        ])
        .args(["--ramp", "500/s", "--dir"])
        .arg(directory)
        .arg("--report")
        .arg(directory.join("report"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut said = BufReader::new(run.stderr.take().expect("it is piped"));
    let mut all = String::new();
    let mut line = String::new();
    while !line.starts_with("measuring") {
        line.clear();
        let bytes = said.read_line(&mut line).expect("it can be read");
        assert!(bytes > 0, "it ended before it measured: {all}");
        all.push_str(&line);
    }
    (run, said)
}

fn pid_of(run: &Child) -> Pid {
    Pid::from_raw(run.id().cast_signed()).expect("a process id")
}

/// A handle on each child of the run's main thread.
fn servers_of(run: &Child) -> Vec<OwnedFd> {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.id()));
    let children = children.expect("the kernel lists children");
    let pids = children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().expect("a number")));
    pids.map(|pid| pidfd_open(pid.expect("above zero"), PidfdFlags::empty()).expect("it runs"))
        .collect()
}

/// Waits for a process's end; the bound is only there so that a server that stays does not hang the tests.
#[track_caller]
fn ended(server: &OwnedFd) {
    let bound = Timespec { tv_sec: 60, tv_nsec: 0 };
    let count = poll(&mut [PollFd::new(server, PollFlags::IN)], Some(&bound)).expect("poll");
    assert_eq!(count, 1, "a server goes on");
}

#[test]
fn an_interrupt_drains_reports_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut run, mut said) = measuring(directory.path());
    let servers = servers_of(&run);
    assert_eq!(servers.len(), 3, "balancer, node and gateway");
    kill_process(pid_of(&run), Signal::INT).expect("it runs");
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("it can be read");
    let status = run.wait().expect("it ends");
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(rest.contains("drained and ended cleanly"), "{rest}");
    servers.iter().for_each(ended);
    let report = std::fs::read_to_string(directory.path().join("report/run.json"))
        .expect("a partial report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(
        (&report["run"]["interrupted"], &report["ledger"]["lost"]),
        (&true.into(), &0.into())
    );
    assert_eq!(report["verdict"]["validity"], "INVALID");
}

#[test]
fn the_servers_die_with_a_run_that_is_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut run, _said) = measuring(directory.path());
    let servers = servers_of(&run);
    assert_eq!(servers.len(), 3, "balancer, node and gateway");
    run.kill().expect("it runs");
    run.wait().expect("it ends");
    servers.iter().for_each(ended);
}
