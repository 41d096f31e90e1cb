//! What a reader must know before believing a figure: the command, the commit, and the machine.
//!
//! Collected by the program that measures, never typed. Never holds a host name, a user or a path: results are published.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

use procfs::Current;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A fact that the machine does not tell.
const UNKNOWN: &str = "unknown";

/// The facts of one measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// What was run, as it would be typed in the checkout.
    pub command: String,
    /// The commit that the sources were at.
    pub commit: String,
    /// Whether tracked files differed from that commit.
    pub is_dirty: bool,
    /// When the facts were collected, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub cpu_model: String,
    /// Whether a hypervisor runs this machine.
    pub is_virtual: bool,
    /// Processors that are online.
    pub cores: u64,
    /// Memory of the machine, in bytes.
    pub memory_bytes: u64,
    /// Mean number of runnable tasks in the minute before, times 100: how busy the machine was already.
    pub load_percent: u64,
    /// The compiler's version.
    pub rustc: String,
    /// `release` or `debug`.
    pub profile: String,
}

/// The facts of now, for this program as it was started.
#[must_use]
pub fn collect() -> Facts {
    Facts { command: command_line(std::env::args()), ..collect_for("") }
}

/// The facts of now, for a command that is not this program: a script's, or cargo's.
#[must_use]
pub fn collect_for(command: &str) -> Facts {
    let cpu = procfs::CpuInfo::current().ok();
    let field = |name: &str| {
        let info = cpu.as_ref()?;
        info.fields.get(name).or_else(|| info.cpus.first()?.get(name)).cloned()
    };
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let load = procfs::LoadAverage::current().map_or(0.0, |load| load.one);
    Facts {
        command: command.to_owned(),
        commit: output("git", &["rev-parse", "--short=12", "HEAD"]),
        is_dirty: !output("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty(),
        unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        kernel: kernel_release(),
        cpu_model: field("model name").unwrap_or_else(|| UNKNOWN.into()),
        is_virtual: field("flags")
            .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        cores: cpu.as_ref().map_or(0, |info| info.cpus.len() as u64),
        memory_bytes: procfs::Meminfo::current().map_or(0, |memory| memory.mem_total),
        load_percent: (load * 100.0) as u64,
        rustc: output("rustc", &["--version"]).trim_start_matches("rustc ").to_owned(),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" }.into(),
    }
}

impl Facts {
    /// As one paragraph, for the head of a page of figures.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let changed = if self.is_dirty { " with changes" } else { "" };
        format!(
            "```text\n{}\n```\n\nCommit {}{changed}, {}, rustc {}, {}, load {:.2} before.\n",
            self.command,
            self.commit,
            self.machine(),
            self.rustc,
            self.profile,
            self.load_percent as f64 / 100.0,
        )
    }

    /// The machine in a few words.
    #[must_use]
    pub fn machine(&self) -> String {
        format!(
            "Linux {}, {} {}cores of {}, {:.0} GiB",
            self.kernel,
            self.cores,
            if self.is_virtual { "virtual " } else { "" },
            self.cpu_model,
            self.memory_bytes as f64 / (1u64 << 30) as f64,
        )
    }
}

/// Where results lie.
#[must_use]
pub fn results_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
}

/// Writes `benches/results/NAME.json`: the facts, and the raw data under `data`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json(name: &str, facts: &Facts, data: &impl Serialize) -> io::Result<()> {
    let mut whole = serde_json::Map::new();
    whole.insert("facts".into(), serde_json::to_value(facts)?);
    whole.insert("data".into(), serde_json::to_value(data)?);
    let text = serde_json::to_string_pretty(&Value::Object(whole))?;
    fs::write(results_folder().join(format!("{name}.json")), text + "\n")
}

/// Writes `benches/results/NAME.md`: a title, the facts, then what the figures say.
///
/// # Errors
/// When the file cannot be written.
pub fn write_markdown(name: &str, title: &str, facts: &Facts, body: &str) -> io::Result<()> {
    let text = format!("# {title}\n\n{}\n{}\n", facts.to_markdown(), body.trim_end());
    fs::write(results_folder().join(format!("{name}.md")), text)
}

/// How a program of this crate is started again: through cargo, and without the folders that its files lie in.
fn command_line(args: impl Iterator<Item = String>) -> String {
    let without_folder = |arg: String| match arg.rsplit_once('/') {
        Some((folder, name)) if folder.starts_with('/') && !folder.contains("//") => name.into(),
        _ => arg,
    };
    let mut words = args.map(without_folder);
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    let profile = if cfg!(debug_assertions) { "" } else { "--release " };
    let rest: Vec<String> = words.collect();
    let separator = if rest.is_empty() { "" } else { " -- " };
    format!("cargo run {profile}-p benches --bin {program}{separator}{}", rest.join(" "))
}

fn kernel_release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // What follows the numbers names a build, sometimes a host.
    let numbers = release.trim().split(['-', '+']).next().unwrap_or_default();
    if numbers.is_empty() { UNKNOWN.into() } else { numbers.into() }
}

/// What a command says, run in the checkout.
fn output(program: &str, args: &[&str]) -> String {
    let run = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    match run {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => UNKNOWN.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_of_this_machine_are_there_and_name_no_folder() {
        let facts = collect();
        assert!(facts.cores >= 1 && facts.memory_bytes > 1 << 20);
        assert!(facts.kernel.starts_with(|first: char| first.is_ascii_digit()));
        assert!(facts.rustc.starts_with("1."), "{}", facts.rustc);
        let told = serde_json::to_string(&facts).unwrap();
        assert!(!told.contains(env!("CARGO_MANIFEST_DIR")) && !told.contains("/target/"), "{told}");
    }

    #[test]
    fn a_command_is_told_without_its_folders() {
        let args = ["target/x/pairs", "--report", "/tmp/x/report", "--target", "127.0.0.1:4000"];
        let line = command_line(args.map(str::to_owned).into_iter());
        let end = "-p benches --bin pairs -- --report report --target 127.0.0.1:4000";
        assert!(line.starts_with("cargo run ") && line.ends_with(end), "{line}");
    }

    #[test]
    fn facts_are_read_as_they_were_written() {
        let facts = collect_for("cargo bench");
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), facts);
        assert!(facts.to_markdown().contains(&facts.commit));
    }
}
