//! Files that keep a plan over a restart: made in a folder, never over somebody else's.

mod ground;

use std::fs;
use std::path::Path;

use ground::{folder, run_in};

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn a_plan_becomes_files() {
    let machine = folder("bare-metal-amd");
    let out = tempfile::tempdir().unwrap();
    let to = out.path().to_str().unwrap();
    let arguments = [
        "plan",
        "--connections",
        "2M",
        "--profile",
        "latency",
        "--risk",
        "medium",
        "--persist",
        to,
        "--shard-cpus",
        "8-15",
    ];
    let said = run_in(machine.path(), &arguments);
    assert_eq!(said.code, 0, "{}", said.error);
    let sysctl = read(out.path(), "etc/sysctl.d/90-ringline.conf");
    assert!(sysctl.starts_with("# Made by `tuning plan --persist`"), "{sysctl}");
    for line in [
        "net.core.netdev_max_backlog = 16384",
        "net.core.busy_poll = 0",
        "kernel.nmi_watchdog = 0",
        "fs.nr_open = 2097152",
    ] {
        assert!(sysctl.lines().any(|known| known == line), "{line} is not in {sysctl}");
    }
    let is_fine =
        |line: &str| line.is_empty() || line.starts_with('#') || line.split_once(" = ").is_some();
    assert!(sysctl.lines().all(is_fine), "{sysctl}");
    let tmpfiles = read(out.path(), "etc/tmpfiles.d/90-ringline.conf");
    assert!(
        tmpfiles.contains("\nw /sys/kernel/mm/transparent_hugepage/enabled - - - - madvise\n"),
        "{tmpfiles}"
    );
    assert!(!tmpfiles.contains("/proc/"), "{tmpfiles}");
    let limits = read(out.path(), "etc/security/limits.d/90-ringline.conf");
    assert!(limits.contains("* hard nofile 2001024"), "{limits}");
    let unit = read(out.path(), "etc/systemd/system/ringline-node.service.d/90-tuning.conf");
    assert!(unit.contains("[Service]\nLimitNOFILE=2001024"), "{unit}");
    let irq = read(out.path(), "etc/systemd/system/irqbalance.service.d/90-ringline.conf");
    assert!(irq.contains("IRQBALANCE_BANNED_CPULIST=8-15"), "{irq}");
    // Made anew as often as one likes.
    assert_eq!(run_in(machine.path(), &arguments).code, 0);
    assert_eq!(
        fs::read_to_string(machine.path().join("proc/sys/net/core/busy_poll")).unwrap(),
        "50\n",
        "a plan writes nothing"
    );
}

#[test]
fn what_is_in_force_is_kept_too() {
    let machine = folder("kvm-guest-cgroup-v1");
    assert_eq!(run_in(machine.path(), &["apply", "--yes", "--connections", "100k"]).code, 0);
    let out = tempfile::tempdir().unwrap();
    let said = run_in(
        machine.path(),
        &["plan", "--connections", "100k", "--persist", out.path().to_str().unwrap()],
    );
    assert!(said.out.contains("Nothing to change"), "{}", said.out);
    let sysctl = read(out.path(), "etc/sysctl.d/90-ringline.conf");
    assert!(sysctl.contains("net.core.netdev_max_backlog = 16384"), "{sysctl}");
    assert!(!sysctl.contains("port_range"), "its risk was not accepted");
}

#[test]
fn somebody_elses_file_is_not_touched() {
    let machine = folder("kvm-guest-cgroup-v1");
    let out = tempfile::tempdir().unwrap();
    let mine = out.path().join("etc/sysctl.d/90-ringline.conf");
    fs::create_dir_all(mine.parent().unwrap()).unwrap();
    fs::write(&mine, "net.core.somaxconn = 1\n").unwrap();
    let said = run_in(
        machine.path(),
        &["plan", "--connections", "100k", "--persist", out.path().to_str().unwrap()],
    );
    assert_eq!(said.code, 1);
    assert!(said.error.contains("not made by this tool"), "{}", said.error);
    assert_eq!(fs::read_to_string(&mine).unwrap(), "net.core.somaxconn = 1\n");
}
