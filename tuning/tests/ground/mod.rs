//! What the tests stand on: the recorded machines, and the program as a shell sees it.
#![allow(dead_code, reason = "each test uses some of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use tuning::root::Recording;
use tuning::{Plan, Profile};

/// All recorded machines.
pub(crate) const MACHINES: [&str; 8] = [
    "bare-metal-amd",
    "bare-metal-arm",
    "bare-metal-intel",
    "bare-metal-old",
    "container-cgroup-v1",
    "container-cgroup-v2",
    "kvm-guest-cgroup-v1",
    "unreadable",
];

pub(crate) fn path(machine: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines").join(format!("{machine}.txt"))
}

pub(crate) fn machine(machine: &str) -> Recording {
    Recording::load(&path(machine)).unwrap()
}

/// A machine as a folder that can be written.
pub(crate) fn folder(machine: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    self::machine(machine).unpack(folder.path()).unwrap();
    folder
}

pub(crate) fn plan(connections: u64) -> Plan {
    Plan { connections, rate: 10_000, profile: Profile::Capacity, direct_descriptors: false }
}

pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The program, with a state folder that is never the machine's.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tuning"));
    command.args(arguments).env_remove("RINGLINE_TUNING_STATE").env("NO_COLOR", "1");
    command
}

pub(crate) fn run(arguments: &[&str]) -> Said {
    command(arguments).output().unwrap().into()
}

/// The program for the machine in a folder.
pub(crate) fn run_in(root: &Path, arguments: &[&str]) -> Said {
    run(&[arguments, &["--root", root.to_str().unwrap()]].concat())
}
