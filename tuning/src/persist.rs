//! Files that keep changes over a restart: made anew in a folder, never edited in place.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::apply::sysctl_name;
use crate::catalogue;
use crate::finding::{Change, Finding, Plan, Status};
use crate::render::plan_words;

/// One file: where it belongs, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Below `/`.
    pub path: &'static str,
    /// What it says.
    pub text: String,
    /// What makes it count.
    pub then: &'static str,
}

const SYSCTL: &str = "etc/sysctl.d/90-ringline.conf";
const TMPFILES: &str = "etc/tmpfiles.d/90-ringline.conf";
const LIMITS: &str = "etc/security/limits.d/90-ringline.conf";
const UNIT: &str = "etc/systemd/system/ringline-node.service.d/90-tuning.conf";
const IRQBALANCE: &str = "etc/systemd/system/irqbalance.service.d/90-ringline.conf";

/// The files for a plan: what it would change, and what was changed already. `shard_cpus` are the processors of the node's shards;
/// interrupts stay away from them.
#[must_use]
pub fn files(
    plan: &Plan,
    findings: &[Finding],
    applied: &[Change],
    shard_cpus: Option<&str>,
) -> Vec<Kept> {
    let head = format!(
        "# Made by `tuning plan --persist` ({} {}) for {}.\n# Make it anew rather than edit it: `tuning explain ID` says why each \
         line is here.\n",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        plan_words(plan)
    );
    // What is planned now counts more than what was applied before.
    let mut values: BTreeMap<&str, &Change> = BTreeMap::new();
    for change in applied.iter().chain(findings.iter().flat_map(|finding| &finding.changes)) {
        values.insert(&change.path, change);
    }
    let mut kept = Vec::new();
    let mut keep = |path, body: String, then| {
        if !body.is_empty() {
            kept.push(Kept { path, text: format!("{head}{body}"), then });
        }
    };
    keep(SYSCTL, lines(&values, sysctl_line), "sysctl --system");
    keep(TMPFILES, lines(&values, tmpfiles_line), "systemd-tmpfiles --create");
    let limits = process_limits(findings);
    keep(LIMITS, limits_body(&limits), "a new login; services do not read it");
    keep(UNIT, unit_body(&limits), "systemctl daemon-reload; systemctl restart ringline-node");
    keep(
        IRQBALANCE,
        irqbalance_body(shard_cpus),
        "systemctl daemon-reload; systemctl restart irqbalance",
    );
    kept
}

fn lines(values: &BTreeMap<&str, &Change>, line: fn(&Change) -> Option<String>) -> String {
    let mut out = String::new();
    for change in values.values() {
        if let Some(line) = line(change) {
            let why = catalogue::find(&change.id).map_or("", |setting| setting.title.as_str());
            let _ = write!(out, "\n# {}: {why}\n{line}\n", change.id); // a String takes all
        }
    }
    out
}

fn sysctl_line(change: &Change) -> Option<String> {
    let name = sysctl_name(&change.path)?;
    // Tracking may not be loaded yet when these are read; with a dash that is no error.
    let dash = if name.starts_with("net.netfilter.") { "-" } else { "" };
    Some(format!("{dash}{name} = {}", change.to))
}

fn tmpfiles_line(change: &Change) -> Option<String> {
    // A card's files and those of a processor come and go; of the rest, one line each.
    change.path.starts_with("/sys/").then(|| format!("w {} - - - - {}", change.path, change.to))
}

/// Limits that a plan wants and the process does not have, in the words of limits.conf.
fn process_limits(findings: &[Finding]) -> Vec<(&'static str, String)> {
    let mut limits = Vec::new();
    for finding in
        findings.iter().filter(|finding| matches!(finding.status, Status::Warn | Status::Fail))
    {
        match finding.id {
            "limits.nofile" => limits.push(("nofile", finding.value.clone())),
            "limits.memlock" => limits.push(("memlock", finding.value.clone())),
            _ => {}
        }
    }
    limits
}

fn limits_body(limits: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (name, value) in limits {
        // Root is not meant by the star. A String takes all.
        let _ = write!(
            out,
            "\n* soft {name} {value}\n* hard {name} {value}\nroot soft {name} {value}\nroot hard {name} {value}\n"
        );
    }
    out
}

/// What the packaged unit has already, and what must not be lowered.
const UNIT_NOFILE: u64 = 1_048_576;

fn unit_body(limits: &[(&str, String)]) -> String {
    let wanted = limits
        .iter()
        .find(|(name, _)| *name == "nofile")
        .and_then(|(_, value)| value.parse::<u64>().ok());
    match wanted {
        Some(wanted) if wanted > UNIT_NOFILE => {
            format!(
                "# The packaged unit has {UNIT_NOFILE}, and 1G of locked memory.\n[Service]\nLimitNOFILE={wanted}\n"
            )
        }
        Some(_) | None => String::new(),
    }
}

fn irqbalance_body(shard_cpus: Option<&str>) -> String {
    shard_cpus.map_or_else(String::new, |list| {
        format!("# No interrupts on the shards' processors.\n[Service]\nEnvironment=IRQBALANCE_BANNED_CPULIST={list}\n")
    })
}

/// Writes the files below a folder. Files of that name that this tool did not make are not touched.
///
/// # Errors
/// As the file system says, or when a file is somebody else's.
pub fn write(folder: &Path, files: &[Kept]) -> io::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for file in files {
        let path = folder.join(file.path);
        match fs::read_to_string(&path) {
            Ok(old) if !old.starts_with("# Made by `tuning plan --persist`") => {
                let words = format!(
                    "{}: is there, and not made by this tool; move it away or name another folder",
                    path.display()
                );
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, words));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        // Whole or not at all: half a file of limits would count too.
        let new = path.with_extension("new");
        let mut out = fs::File::create(&new)?;
        out.write_all(file.text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&new, &path)?;
        written.push(path);
    }
    Ok(written)
}
