//! Recorded machines, and what is said about them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tuning::{Finding, Fixture, Host as _, Live, Plan, Status, Summary, UringProbe, check};

fn fixture(machine: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(machine)
}

fn findings(machine: &str, connections: u64, direct_descriptors: bool) -> Vec<Finding> {
    check(&Fixture::new(fixture(machine)), &Plan { connections, direct_descriptors })
}

#[track_caller]
fn expect(findings: &[Finding], id: &str, status: Status, note: &str) {
    let finding = findings.iter().find(|finding| finding.id == id).unwrap();
    assert_eq!(finding.status, status, "{finding:?}");
    assert!(finding.note.contains(note), "{note:?} is not in {finding:?}");
    let has_todo = matches!(status, Status::Warn | Status::Fail);
    assert_eq!(!finding.todo.is_empty(), has_todo, "{finding:?}");
    assert!(finding.todo.iter().all(|step| !step.contains("{value}")), "{finding:?}");
}

#[test]
fn a_virtual_machine_is_fine_for_ten_thousand() {
    let findings = findings("kvm-guest", 10_000, false);
    assert!(findings.iter().all(|finding| finding.status == Status::Ok), "{findings:#?}");
    assert_eq!(findings.len(), 8);
}

#[test]
fn descriptors_depend_on_the_plan() {
    let id = "limits.nofile";
    expect(&findings("kvm-guest", 1_000_000, false), id, Status::Fail, "hard limit is too low");
    expect(&findings("kvm-guest", 1_000_000, true), id, Status::Warn, "55 rings");
    expect(&findings("kvm-guest", 15_000, true), id, Status::Ok, "1 ring needed");
    expect(&findings("bare-metal", 100_000, false), id, Status::Warn, "no privileges needed");
    expect(&findings("container", 1_000_000, false), id, Status::Ok, "");
}

#[test]
fn ports_have_a_cliff() {
    let id = "tcp.port_range";
    expect(&findings("kvm-guest", 26_718, true), id, Status::Ok, "near 26,718"); // half of what is not reserved
    expect(&findings("kvm-guest", 26_719, true), id, Status::Warn, "get slow");
    let million = findings("kvm-guest", 1_000_000, true);
    expect(&million, id, Status::Warn, "can open only");
    let todo = &million.iter().find(|finding| finding.id == id).unwrap().todo;
    assert!(todo[0].contains("38 source or destination"), "{todo:?}");
}

#[test]
fn an_old_kernel_on_bare_metal() {
    let findings = findings("bare-metal", 100_000, false);
    expect(&findings, "uring.permission", Status::Fail, "does not know");
    expect(&findings, "limits.memlock", Status::Fail, "counts rings");
    expect(&findings, "tcp.backlog", Status::Fail, "stand still");
    expect(&findings, "path.netdev_backlog", Status::Warn, "5 packets dropped just now");
    expect(&findings, "tcp.conntrack", Status::Fail, "packets will be dropped");
    expect(&findings, "mem.connections", Status::Ok, "");
}

#[test]
fn a_container_with_a_filter_and_a_small_cgroup() {
    let findings = findings("container", 30_000, false);
    expect(&findings, "uring.permission", Status::Fail, "seccomp");
    expect(&findings, "path.netdev_backlog", Status::Unsupported, "network namespace");
    expect(&findings, "tcp.conntrack", Status::Unsupported, "not loaded");
    // 512 MiB, of which 200 MiB are used and half of that comes back: 412 MiB are less than the machine has.
    expect(&findings, "mem.connections", Status::Fail, "about 3,7");
    let memory = findings.last().unwrap();
    assert!(memory.current.contains("412.0 MiB available in this memory cgroup"), "{memory:?}");
}

#[test]
fn every_refusal_of_a_ring_has_its_own_reason() {
    let cases = [
        (1, Some(0), "seccomp"),
        (1, None, "seccomp"),
        (1, Some(1), "io_uring_group"),
        (1, Some(2), "for everyone"),
        (13, Some(0), "security module"),
        (38, Some(0), "CONFIG_IO_URING"),
        (22, Some(0), "DEFER_TASKRUN"),
        (12, Some(0), "no memory"),
        (24, Some(0), "no descriptor"),
        (5, Some(0), "Input/output error"),
    ];
    for (errno, disabled, note) in cases {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: String| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/sys/kernel/osrelease", "6.6.1\n".to_owned());
        write("probe/io_uring", errno.to_string());
        if let Some(disabled) = disabled {
            write("proc/sys/kernel/io_uring_disabled", format!("{disabled}\n"));
        }
        let plan = Plan { connections: 1, direct_descriptors: true };
        let findings = check(&Fixture::new(folder.path()), &plan);
        expect(&findings, "uring.permission", Status::Fail, note);
    }
}

#[test]
fn what_cannot_be_read_is_said_and_never_guessed() {
    for finding in findings("unreadable", 10_000, false) {
        assert_eq!(finding.status, Status::Unknown, "{finding:?}");
        assert!(finding.note.contains('/'), "{finding:?} does not say which file");
    }
}

#[test]
fn an_empty_folder_and_absurd_plans_do_no_harm() {
    let nowhere = Fixture::new("/nowhere/at/all");
    for connections in [0, 1, u64::MAX] {
        for direct_descriptors in [false, true] {
            let plan = Plan { connections, direct_descriptors };
            assert_eq!(Summary::of(&check(&nowhere, &plan)).ok, 0);
            assert_eq!(check(&Fixture::new(fixture("kvm-guest")), &plan).len(), 8);
        }
    }
}

#[test]
fn this_machine_can_be_checked() {
    let host = Live::default();
    let plan = Plan { connections: 1, direct_descriptors: false };
    assert_eq!(check(&host, &plan).len(), 8);
    assert_ne!(host.probe_uring(), UringProbe::NotTried);
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tuning")).args(arguments).output().unwrap()
}

fn check_machine(machine: &str, more: &[&str]) -> (i32, String) {
    let root = fixture(machine);
    let output = run(&[&["check", "--root", root.to_str().unwrap()], more].concat());
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn exit_codes_tell_the_verdict() {
    assert_eq!(check_machine("kvm-guest", &[]).0, 0);
    let warned = ["--connections", "1M", "--direct-descriptors"];
    assert_eq!(check_machine("kvm-guest", &warned).0, 0);
    assert_eq!(check_machine("kvm-guest", &[&warned[..], &["--strict"]].concat()).0, 3);
    assert_eq!(check_machine("bare-metal", &["--connections", "100k"]).0, 4);
    assert_eq!(check_machine("unreadable", &[]).0, 5);
    assert_eq!(run(&["explain", "no.such"]).status.code(), Some(2));
}

#[test]
fn the_table_is_aligned_and_says_what_to_do() {
    let (_, text) = check_machine("bare-metal", &["--connections", "100k"]);
    let column = text.lines().find_map(|line| line.find("wanted")).unwrap();
    let table: Vec<&str> = text.lines().skip(3).take(8).collect();
    for line in table {
        let (before, wanted) = line.split_at(column);
        assert!(before.ends_with(' '), "{line:?}");
        assert!(!wanted.starts_with(' '), "{line:?}");
    }
    assert!(text.contains("FAIL tcp.backlog"), "{text}");
    assert!(text.contains("> sysctl -w net.core.somaxconn=4096"), "{text}");
    assert!(text.contains("Exit code 4"), "{text}");
}

#[test]
fn json_says_the_same() {
    let (code, text) = check_machine("container", &["--json", "--connections", "20000"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["schema"], "ringline.tuning.check/1");
    assert_eq!(report["plan"]["connections"], 20_000);
    assert_eq!(report["exit"], code);
    assert_eq!(report["findings"].as_array().unwrap().len(), 8);
    assert_eq!(report["findings"][1]["id"], "uring.permission");
    assert_eq!(report["findings"][1]["status"], "fail");
    assert_eq!(report["summary"]["unsupported"], 2);
}

#[test]
fn every_setting_can_be_explained() {
    let listed = String::from_utf8(run(&["explain"]).stdout).unwrap();
    let ids: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(ids.len(), 8);
    for id in ids {
        let output = run(&["explain", id]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(id) && text.contains("\nWhy\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
