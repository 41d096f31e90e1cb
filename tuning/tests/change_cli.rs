//! Changing and changing back at the command line, on machines in folders.

mod ground;

use std::fs;
use std::io;
use std::path::Path;

use ground::{MACHINES, folder, path, run_in};
use tuning::state::State;

fn text(root: &Path, file: &str) -> String {
    fs::read_to_string(root.join(file)).unwrap()
}

const BACKLOG: &str = "proc/sys/net/core/netdev_max_backlog";

#[test]
fn the_whole_story_at_the_command_line() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    let plan = ["--connections", "100k"];
    let planned = run_in(root, &[&["plan", "--strict"], &plan[..]].concat());
    assert_eq!(planned.code, 3, "{}", planned.error);
    assert!(
        planned.out.contains("path.netdev_backlog") && planned.out.contains("risk medium"),
        "{}",
        planned.out
    );
    assert_eq!(text(root, BACKLOG), "1000\n", "a plan writes nothing");
    // Nobody is there to ask.
    assert_eq!(run_in(root, &[&["apply"], &plan[..]].concat()).code, 2);
    let applied = run_in(root, &[&["apply", "--yes"], &plan[..]].concat());
    assert_eq!(applied.code, 0, "{}", applied.error);
    assert_eq!(text(root, BACKLOG), "16384\n");
    assert_eq!(run_in(root, &["verify"]).code, 0);
    assert!(run_in(root, &["status"]).out.contains("as written"));
    // What is in force needs no change, and stays in files that keep it.
    let again = run_in(root, &[&["apply", "--yes"], &plan[..]].concat());
    assert!(again.out.contains("Nothing to change"), "{}", again.out);
    fs::write(root.join(BACKLOG), "20000\n").unwrap();
    let verified = run_in(root, &["verify", "--json"]);
    assert_eq!(verified.code, 4);
    let report: serde_json::Value = serde_json::from_str(&verified.out).unwrap();
    let lines = report["journals"][0]["lines"].as_array().unwrap();
    assert!(
        lines.iter().any(|line| line["stands"] == "drifted" && line["now"] == "20000"),
        "{lines:?}"
    );
    let back = run_in(root, &["rollback"]);
    assert_eq!(back.code, 0, "{}", back.error);
    assert!(back.out.contains("somebody else has set it since"), "{}", back.out);
    assert_eq!(text(root, BACKLOG), "20000\n");
    assert_eq!(text(root, "proc/sys/net/ipv4/tcp_max_syn_backlog"), "2048\n");
    assert!(run_in(root, &["rollback"]).out.contains("Nothing is in force"));
}

#[test]
fn an_answer_that_nobody_reads_is_no_consent() {
    let folder = folder("kvm-guest-cgroup-v1");
    let root = folder.path();
    let arguments = ["apply", "--yes", "--connections", "100k", "--root", root.to_str().unwrap()];
    // A pipe whose other end is closed already.
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let said = ground::command(&arguments).stdout(writer).output().unwrap();
    assert_eq!(said.status.code(), Some(6));
    assert_eq!(text(root, BACKLOG), "1000\n");
    // Who only looks has read enough.
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let check = ["check", "--root", root.to_str().unwrap()];
    assert_eq!(ground::command(&check).stdout(writer).output().unwrap().status.code(), Some(0));
}

#[test]
fn risks_are_taken_only_by_name() {
    let folder = folder("bare-metal-arm");
    let root = folder.path();
    let apply = |more: &[&str]| {
        run_in(root, &[&["apply", "--yes", "--connections", "100k"], more].concat())
    };
    apply(&[]);
    assert_eq!(
        text(root, "proc/sys/net/ipv4/ip_local_port_range"),
        "32768\t60999\n",
        "medium, and not named"
    );
    apply(&["--only", "tcp.port_range"]);
    assert_eq!(text(root, "proc/sys/net/ipv4/ip_local_port_range"), "1024\t65535\n");
    apply(&["--only", "uring.disabled"]);
    assert_eq!(text(root, "proc/sys/kernel/io_uring_disabled"), "1\n", "high, and only named");
    apply(&["--only", "uring.disabled", "--risk", "high"]);
    assert_eq!(text(root, "proc/sys/kernel/io_uring_disabled"), "0\n");
    assert_eq!(apply(&["--only", "no.such"]).code, 2);
    assert_eq!(run_in(root, &["rollback", "--all"]).code, 0);
    assert_eq!(text(root, "proc/sys/kernel/io_uring_disabled"), "1\n");
    assert_eq!(text(root, "proc/sys/net/ipv4/ip_local_port_range"), "32768\t60999\n");
}

#[test]
fn two_at_once_are_one_too_many() {
    let folder = folder("kvm-guest-cgroup-v1");
    let state = State::new(None, Some(folder.path())).unwrap();
    let lock = state.lock().unwrap();
    let busy = run_in(folder.path(), &["apply", "--yes", "--connections", "100k"]);
    assert_eq!(busy.code, 8, "{}", busy.out);
    assert!(busy.error.contains(&std::process::id().to_string()), "{}", busy.error);
    assert_eq!(text(folder.path(), BACKLOG), "1000\n");
    drop(lock);
    assert_eq!(run_in(folder.path(), &["apply", "--yes", "--connections", "100k"]).code, 0);
}

#[test]
fn a_link_out_of_the_folder_is_not_followed() {
    let (machine, outside) = (folder("kvm-guest-cgroup-v1"), tempfile::tempdir().unwrap());
    let real = outside.path().join("real");
    fs::write(&real, "1000\n").unwrap();
    fs::remove_file(machine.path().join(BACKLOG)).unwrap();
    std::os::unix::fs::symlink(&real, machine.path().join(BACKLOG)).unwrap();
    let said = run_in(machine.path(), &["apply", "--yes", "--connections", "100k"]);
    assert_eq!(said.code, 6, "{}", said.out);
    assert!(said.error.contains("leads out of the folder"), "{}", said.error);
    assert_eq!(fs::read_to_string(&real).unwrap(), "1000\n");
}

#[test]
fn a_recording_is_not_written_and_scripts_do_both_ways() {
    let said = run_in(&path("kvm-guest-cgroup-v1"), &["apply", "--yes", "--connections", "100k"]);
    assert_eq!(said.code, 2);
    assert!(said.error.contains("tuning unpack"), "{}", said.error);
    let folder = folder("bare-metal-amd");
    let script = folder.path().join("do.sh");
    let said = run_in(
        folder.path(),
        &["plan", "--connections", "1M", "--script", script.to_str().unwrap()],
    );
    assert_eq!(said.code, 0, "{}", said.error);
    let (there, back) = (text(folder.path(), "do.sh"), text(folder.path(), "do.undo.sh"));
    assert!(there.contains("'madvise' > '/sys/kernel/mm/transparent_hugepage/enabled'"), "{there}");
    assert!(back.contains("'always' > '/sys/kernel/mm/transparent_hugepage/enabled'"), "{back}");
}

#[test]
fn every_command_answers_in_every_form_for_every_machine() {
    for name in MACHINES {
        let root = path(name);
        for command in
            [&["check"][..], &["plan"], &["status"], &["verify"], &["doctor", "--window", "1ms"]]
        {
            for form in [&[][..], &["--json"], &["--markdown"]] {
                let state = tempfile::tempdir().unwrap();
                let mut arguments = [command, form].concat();
                if ["plan", "status", "verify"].contains(&command[0]) {
                    arguments.extend(["--state", state.path().to_str().unwrap()]);
                }
                let said = run_in(&root, &arguments);
                assert!(
                    [0, 4, 5].contains(&said.code),
                    "{name} {arguments:?}: {} {}",
                    said.code,
                    said.error
                );
                assert!(!said.out.trim().is_empty(), "{name} {arguments:?}");
                if form == ["--json"] {
                    assert!(
                        serde_json::from_str::<serde_json::Value>(&said.out).is_ok(),
                        "{}",
                        said.out
                    );
                }
            }
        }
    }
}
