//! Recorded machines, and what is said about them.

mod ground;

use ground::{MACHINES, machine, path, plan, run};
use tuning::catalogue;
use tuning::root::{Live, Recording, Root as _, UringProbe};
use tuning::{Finding, Plan, Profile, Status, Summary, check};

fn findings(name: &str, connections: u64, direct_descriptors: bool) -> Vec<Finding> {
    check(&machine(name), &Plan { direct_descriptors, ..plan(connections) })
}

#[track_caller]
fn expect(findings: &[Finding], id: &str, status: Status, note: &str) {
    let finding = findings.iter().find(|finding| finding.id == id).unwrap();
    assert_eq!(finding.status, status, "{finding:?}");
    assert!(finding.note.contains(note), "{note:?} is not in {finding:?}");
    assert!(finding.todo.iter().all(|step| !step.contains("{value}")), "{finding:?}");
}

fn summary(findings: &[Finding]) -> Summary {
    Summary::of(findings.iter().map(|finding| finding.status))
}

#[test]
fn descriptors_depend_on_the_plan() {
    let (nofile, table) = ("limits.nofile", "uring.direct_table");
    let virtual_machine =
        |connections, direct| findings("kvm-guest-cgroup-v1", connections, direct);
    expect(&virtual_machine(1_000_000, false), nofile, Status::Fail, "hard limit is too low");
    expect(&virtual_machine(1_000_000, true), nofile, Status::Ok, "rings' tables");
    expect(&virtual_machine(1_000_000, true), table, Status::Warn, "55 rings");
    expect(&virtual_machine(15_000, true), table, Status::Ok, "1 ring needed");
    expect(
        &findings("bare-metal-intel", 100_000, false),
        nofile,
        Status::Warn,
        "no privileges needed",
    );
    expect(&findings("container-cgroup-v2", 1_000_000, false), nofile, Status::Ok, "");
}

#[test]
fn ports_have_a_cliff() {
    let id = "tcp.port_range";
    let virtual_machine = |connections| findings("kvm-guest-cgroup-v1", connections, true);
    expect(&virtual_machine(14_116), id, Status::Ok, "near 14,116");
    expect(&virtual_machine(14_117), id, Status::Warn, "get slow");
    let million = virtual_machine(1_000_000);
    expect(&million, id, Status::Warn, "can open only 28,232");
    let finding = million.iter().find(|finding| finding.id == id).unwrap();
    assert!(finding.todo[0].contains("71 source or destination"), "{finding:?}");
    assert_eq!(finding.changes[0].to, "1024 65535");
    // Wide as it can be: more addresses are the only way, and nothing is written.
    let wide = findings("bare-metal-amd", 1_000_000, true);
    expect(&wide, id, Status::Warn, "can open only 64,512");
    assert!(wide.iter().find(|finding| finding.id == id).unwrap().changes.is_empty());
}

#[test]
fn an_old_kernel() {
    let findings = findings("bare-metal-old", 100_000, false);
    expect(&findings, "uring.permission", Status::Fail, "does not know");
    expect(&findings, "limits.memlock", Status::Fail, "counts rings");
    expect(&findings, "tcp.somaxconn", Status::Fail, "dropped and tried again");
    expect(&findings, "path.netdev_backlog", Status::Warn, "5 packets dropped just now");
    expect(&findings, "tcp.conntrack", Status::Fail, "packets will be dropped");
    expect(&findings, "mem.connections", Status::Ok, "");
    expect(&findings, "uring.disabled", Status::Unsupported, "before 6.6");
}

#[test]
fn containers_with_filters_and_small_control_groups() {
    let second = findings("container-cgroup-v2", 30_000, false);
    expect(&second, "uring.permission", Status::Fail, "seccomp");
    expect(&second, "path.netdev_backlog", Status::Unsupported, "network namespace");
    expect(&second, "tcp.conntrack", Status::Unsupported, "not loaded");
    expect(&second, "cgroup.cpu", Status::Warn, "have been stopped");
    expect(&second, "cgroup.pids", Status::Warn, "workers");
    // 512 MiB, of which 200 MiB are used and half of that comes back: 412 MiB are less than the machine has.
    expect(&second, "mem.connections", Status::Fail, "about 3,7");
    expect(&second, "cgroup.memory", Status::Fail, "killed");
    let first = findings("container-cgroup-v1", 30_000, false);
    expect(&first, "uring.permission", Status::Fail, "hides the call");
    expect(&first, "cgroup.cpu", Status::Ok, "no control group stops");
    for findings in [&first, &second] {
        let memory = findings.iter().find(|finding| finding.id == "mem.connections").unwrap();
        assert!(memory.current.contains("412.0 MiB available in this memory cgroup"), "{memory:?}");
    }
}

#[test]
fn servers_differ_and_profiles_do() {
    let of = |name: &str, profile| check(&machine(name), &Plan { profile, ..plan(100_000) });
    let intel = of("bare-metal-intel", Profile::Latency);
    expect(&intel, "cpu.governor", Status::Warn, "starts slow");
    expect(&intel, "cpu.idle_states", Status::Warn, "wake");
    expect(&intel, "cpu.numa_balancing", Status::Warn, "fault");
    expect(&intel, "mem.numa_nodes", Status::Note, "card");
    expect(&intel, "nic.rings", Status::Warn, "no place in the card's ring");
    expect(&intel, "nic.coalesce", Status::Warn, "wait in the card");
    expect(&intel, "nic.offloads", Status::Warn, "what the card could");
    let rings = intel.iter().find(|finding| finding.id == "nic.rings").unwrap();
    assert_eq!(rings.todo, ["ethtool -G eth0 rx 4096"]);
    assert!(rings.changes.is_empty(), "cards go down for it: only told");
    let quiet = of("bare-metal-intel", Profile::Capacity);
    expect(&quiet, "cpu.governor", Status::Ok, "wants nothing");
    expect(&quiet, "nic.coalesce", Status::Note, "throughput");

    let amd = of("bare-metal-amd", Profile::Throughput);
    expect(&amd, "mem.thp", Status::Warn, "2 MiB");
    expect(&amd, "path.busy_poll", Status::Warn, "spins");
    expect(&amd, "tcp.basics", Status::Warn, "old list");
    expect(&amd, "tcp.mem", Status::Warn, "more than half");
    expect(&amd, "cpu.clocksource", Status::Warn, "no better clock");
    expect(&amd, "nic.rings", Status::Unsupported, "ethtool");
    expect(&amd, "path.rps", Status::Warn, "few processors");
    let rps = amd.iter().find(|finding| finding.id == "path.rps").unwrap();
    assert_eq!(rps.changes.len(), 4);
    assert!(rps.changes.iter().all(|change| change.to == "ffff"));
    // Only the processors that are otherwise than wanted are written.
    let governor = amd.iter().find(|finding| finding.id == "cpu.governor").unwrap();
    assert_eq!(governor.changes.len(), 8, "{governor:?}");

    let arm = of("bare-metal-arm", Profile::Latency);
    expect(&arm, "cpu.clocksource", Status::Ok, "without entering");
    expect(&arm, "cpu.energy_preference", Status::Unsupported, "");
    expect(&arm, "cpu.nmi_watchdog", Status::Unsupported, "no such setting");
    expect(&arm, "uring.permission", Status::Fail, "io_uring_group");
    expect(&arm, "uring.group", Status::Warn, "there is none");
    expect(&arm, "path.rps", Status::Note, "fewer queues");
}

#[test]
fn the_rate_counts_too() {
    let at = |rate| check(&machine("bare-metal-intel"), &Plan { rate, ..plan(1_000) });
    expect(&at(99_999), "path.netdev_backlog", Status::Ok, "none just now");
    expect(&at(100_000), "path.netdev_backlog", Status::Warn, "at this rate");
    expect(&at(99_999), "cpu.governor", Status::Ok, "wants nothing");
    expect(&at(100_000), "cpu.governor", Status::Warn, "starts slow");
}

#[test]
fn the_real_recorded_machine_is_told_as_it_was() {
    let findings = findings("kvm-guest-cgroup-v1", 100_000, true);
    expect(&findings, "uring.permission", Status::Ok, "can use io_uring");
    expect(&findings, "path.netdev_backlog", Status::Warn, "since the boot");
    expect(&findings, "cpu.governor", Status::Unsupported, "virtual machine");
    expect(&findings, "tcp.rmem", Status::Ok, "as wanted");
    let count = summary(&findings);
    assert_eq!((count.fail, count.unknown), (0, 0), "{count:?}");
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
        let mut text = format!("@ /proc/sys/kernel/osrelease\n6.6.1\n@ /probe/io_uring\n{errno}\n");
        if let Some(disabled) = disabled {
            text += &format!("@ /proc/sys/kernel/io_uring_disabled\n{disabled}\n");
        }
        let findings = check(&Recording::parse(&text).unwrap(), &plan(1));
        expect(&findings, "uring.permission", Status::Fail, note);
    }
}

#[test]
fn what_cannot_be_read_is_said_and_never_guessed() {
    let findings = findings("unreadable", 10_000, false);
    let unknown: Vec<_> =
        findings.iter().filter(|finding| finding.status == Status::Unknown).collect();
    assert!(unknown.len() > 50, "{}", unknown.len());
    for finding in &unknown {
        assert!(finding.note.contains('/'), "{finding:?} does not say which file");
    }
    assert!(
        unknown.iter().any(|finding| finding.note.contains("ask again as root")),
        "refused is not missing"
    );
    assert!(unknown.iter().any(|finding| finding.note.contains("not in the form")));
    assert!(
        findings.iter().all(|finding| finding.changes.is_empty()),
        "nothing is written on a guess"
    );
}

#[test]
fn an_empty_machine_and_absurd_plans_do_no_harm() {
    let nowhere = Recording::parse("@ /nothing\n").unwrap();
    for connections in [0, 1, u64::MAX] {
        for direct_descriptors in [false, true] {
            for profile in [Profile::Latency, Profile::Throughput, Profile::Capacity] {
                let plan = Plan { connections, rate: u64::MAX, profile, direct_descriptors };
                assert!(check(&nowhere, &plan).iter().all(|finding| finding.changes.is_empty()));
                for name in MACHINES {
                    assert_eq!(check(&machine(name), &plan).len(), catalogue::all().len());
                }
            }
        }
    }
}

#[test]
fn this_machine_can_be_checked() {
    assert_eq!(check(&Live, &plan(1)).len(), catalogue::all().len());
    assert_ne!(Live.probe_uring(), UringProbe::NotTried);
}

fn check_machine(machine: &str, more: &[&str]) -> (i32, String) {
    let root = path(machine);
    let said = run(&[&["check", "--root", root.to_str().unwrap()], more].concat());
    (said.code, said.out)
}

#[test]
fn exit_codes_tell_the_verdict() {
    let virtual_machine = |more: &[&str]| check_machine("kvm-guest-cgroup-v1", more).0;
    assert_eq!(virtual_machine(&[]), 0);
    assert_eq!(virtual_machine(&["--strict"]), 3);
    assert_eq!(virtual_machine(&["--connections", "1M"]), 4);
    assert_eq!(check_machine("bare-metal-old", &["--connections", "100k"]).0, 4);
    assert_eq!(check_machine("unreadable", &[]).0, 5);
    assert_eq!(run(&["check", "--root", "/nowhere/at/all"]).code, 5);
    assert_eq!(run(&["check", "--connections", "many"]).code, 2);
    let wrong = run(&["explain", "tcp.backlog"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.error.contains("tcp.somaxconn"), "{}", wrong.error);
}

#[test]
fn the_table_is_aligned_and_says_what_to_do() {
    let (_, text) = check_machine("bare-metal-old", &["--connections", "100k", "--all"]);
    let head = text.lines().find(|line| line.contains("wanted")).unwrap();
    let column = head.find("wanted").unwrap();
    let rows: Vec<&str> = text.lines().skip(3).take(catalogue::all().len()).collect();
    for line in rows {
        let (before, wanted): (String, String) =
            (line.chars().take(column).collect(), line.chars().skip(column).collect());
        assert!(before.ends_with(' ') && !wanted.starts_with(' '), "{line:?}");
    }
    assert!(text.contains("FAIL tcp.somaxconn"), "{text}");
    assert!(text.contains("> tuning apply --only tcp.somaxconn"), "{text}");
    assert!(text.contains("Exit code 4"), "{text}");
    let (_, short) = check_machine("bare-metal-old", &["--connections", "100k"]);
    assert!(short.lines().count() < text.lines().count());
    assert!(short.contains("ok: ") && short.contains("not on this machine: "), "{short}");
}

#[test]
fn json_and_markdown_say_the_same() {
    let (code, text) = check_machine("container-cgroup-v2", &["--json", "--connections", "20000"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["schema"], "ringline.tuning.check/2");
    assert_eq!(report["plan"]["connections"], 20_000);
    assert_eq!(report["exit"], code);
    let listed = report["findings"].as_array().unwrap();
    assert_eq!(listed.len(), catalogue::all().len());
    let permission = listed.iter().find(|finding| finding["id"] == "uring.permission").unwrap();
    assert_eq!(permission["status"], "fail");
    let (_, page) = check_machine("container-cgroup-v2", &["--markdown", "--connections", "20000"]);
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains('`')).count();
    assert_eq!(rows, listed.len(), "{page}");
}

#[test]
fn every_setting_can_be_explained() {
    let listed = run(&["explain"]).out;
    let ids: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(ids.len(), catalogue::all().len());
    for id in ids {
        let state = tempfile::tempdir().unwrap();
        let text = run(&["explain", id, "--state", state.path().to_str().unwrap()]).out;
        assert!(
            text.starts_with(id)
                && text.contains("\nWhy\n")
                && text.contains("\nMeasured on this machine\n"),
            "{text}"
        );
        let is_long = |line: &&str| line.chars().count() > 100 && line.trim().contains(' ');
        assert_eq!(text.lines().find(is_long), None);
    }
}

#[test]
fn a_machine_can_be_recorded_and_checked_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("here.txt");
    let said = run(&["record", file.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.error);
    let recording = Recording::load(&file).unwrap();
    assert!(recording.files().len() > 20);
    // What stands still says the same of the recording as of the machine.
    let statuses = |findings: Vec<Finding>| -> Vec<(&str, Status)> {
        let still = findings.into_iter().filter(|finding| {
            ["limits.", "uring.", "mem.thp", "mem.over", "cpu.mit", "cpu.smt"]
                .iter()
                .any(|group| finding.id.starts_with(group))
        });
        still.map(|finding| (finding.id, finding.status)).collect()
    };
    assert_eq!(statuses(check(&recording, &plan(10_000))), statuses(check(&Live, &plan(10_000))));
    let unpacked = folder.path().join("machine");
    let (file, unpacked) = (file.to_str().unwrap(), unpacked.to_str().unwrap());
    assert_eq!(run(&["unpack", file, unpacked]).code, 0);
    let of = |root: &str| run(&["check", "--root", root, "--json"]).code;
    assert_eq!(of(file), of(unpacked));
}

#[test]
fn what_is_no_recording_is_refused_with_its_line() {
    for (text, wrong) in [
        ("nothing here", "not a recording"),
        ("@ relative\n", "line 1"),
        ("@ /a\n1\n@ /a\n2\n", "line 3"),
        ("@ /a !ENOTHING\n", "line 1"),
        ("@write /a\n", "line 1"),
    ] {
        let error = Recording::parse(text).unwrap_err();
        assert!(error.contains(wrong), "{error}");
    }
    let escape = Recording::parse("@ /../outside\n1\n").unwrap();
    assert!(escape.unpack(tempfile::tempdir().unwrap().path()).is_err());
}
