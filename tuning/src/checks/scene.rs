//! What a judge looks at: the machine, the plan, and what counters said a moment before.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::{Unreadable, form};
use crate::finding::{Plan, Profile};
use crate::limits::OTHER_DESCRIPTORS;
use crate::root::Root;

/// Files with counters that a check watches for a moment.
const COUNTERS: [&str; 3] = ["/proc/net/softnet_stat", "/proc/net/netstat", "/proc/stat"];

/// What a judge looks at.
pub(crate) struct Scene<'s> {
    pub(crate) root: &'s dyn Root,
    pub(crate) plan: &'s Plan,
    earlier: BTreeMap<&'static str, String>,
    memory: OnceCell<Option<u64>>,
    cpus: OnceCell<Option<u64>>,
}

impl<'s> Scene<'s> {
    /// Reads the counters, lets time pass, and is then ready for judges, who read them again.
    pub(crate) fn sampled(root: &'s dyn Root, plan: &'s Plan, time: Duration) -> Self {
        let read = |path: &'static str| root.read(path).ok().map(|text| (path, text));
        let earlier = COUNTERS.into_iter().filter_map(read).collect();
        root.rest(time);
        Self { root, plan, earlier, memory: OnceCell::new(), cpus: OnceCell::new() }
    }

    /// Only the machine as it is: counters have not moved.
    pub(crate) fn still(root: &'s dyn Root, plan: &'s Plan) -> Self {
        Self {
            root,
            plan,
            earlier: BTreeMap::new(),
            memory: OnceCell::new(),
            cpus: OnceCell::new(),
        }
    }

    /// What a counter's file said before.
    pub(crate) fn earlier(&self, path: &str) -> &str {
        self.earlier.get(path).map_or("", String::as_str)
    }

    pub(crate) fn read(&self, path: &str) -> Result<String, Unreadable> {
        self.root.read(path).map_err(|error| Unreadable::Io { path: path.to_owned(), error })
    }

    /// A file's text, or `None` if there is no such file.
    pub(crate) fn read_if_any(&self, path: &str) -> Result<Option<String>, Unreadable> {
        match self.read(path) {
            Ok(text) => Ok(Some(text)),
            Err(Unreadable::Io { error, .. }) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn list_if_any(&self, path: &str) -> Result<Vec<String>, Unreadable> {
        match self.root.list(path) {
            Ok(names) => Ok(names),
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            Err(error) => Err(Unreadable::Io { path: path.to_owned(), error }),
        }
    }

    pub(crate) fn number_if_any(&self, path: &str) -> Result<Option<u64>, Unreadable> {
        let Some(text) = self.read_if_any(path)? else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| form(path, &text))
    }

    /// The kernel's version, major and minor.
    pub(crate) fn kernel(&self) -> Result<(u32, u32), Unreadable> {
        let path = "/proc/sys/kernel/osrelease";
        let text = self.read(path)?;
        let mut parts = text.split(|separator: char| !separator.is_ascii_digit());
        let mut part = || parts.next().and_then(|part| part.parse().ok());
        part().zip(part()).ok_or_else(|| form(path, &text))
    }

    /// A row of `/proc/meminfo` in bytes.
    pub(crate) fn meminfo(&self, row: &str) -> Result<Option<u64>, Unreadable> {
        let path = "/proc/meminfo";
        let text = self.read(path)?;
        let found = text.lines().find_map(|line| line.strip_prefix(row)?.strip_prefix(':'));
        let Some(found) = found else { return Ok(None) };
        let kilobytes =
            found.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        kilobytes
            .map(|kilobytes| Some(kilobytes.saturating_mul(1_024)))
            .ok_or_else(|| form(path, &text))
    }

    /// All memory of the machine.
    pub(crate) fn memory(&self) -> Option<u64> {
        *self.memory.get_or_init(|| self.meminfo("MemTotal").ok().flatten())
    }

    /// Processors that run.
    pub(crate) fn cpus(&self) -> Option<u64> {
        *self.cpus.get_or_init(|| {
            let text = self.root.read("/proc/stat").ok()?;
            let is_one = |line: &&str| {
                line.strip_prefix("cpu")
                    .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
            };
            let count = text.lines().filter(is_one).count();
            u64::try_from(count).ok().filter(|count| *count > 0)
        })
    }

    /// Process descriptors that the plan takes.
    pub(crate) fn descriptors(&self) -> u64 {
        let of_connections = if self.plan.direct_descriptors { 0 } else { self.plan.connections };
        of_connections.saturating_add(OTHER_DESCRIPTORS)
    }

    /// What the catalogue's formulas may name.
    pub(crate) fn fact(&self, name: &str) -> Option<i128> {
        let is = |profile: Profile| i128::from(self.plan.profile == profile);
        Some(match name {
            "connections" => self.plan.connections.into(),
            "rate" => self.plan.rate.into(),
            "direct" => i128::from(self.plan.direct_descriptors),
            "latency" => is(Profile::Latency),
            "throughput" => is(Profile::Throughput),
            "capacity" => is(Profile::Capacity),
            "descriptors" => self.descriptors().into(),
            "cpus" => self.cpus()?.into(),
            "memory" => self.memory()?.into(),
            "swap" => self.meminfo("SwapTotal").ok()?.unwrap_or(0).into(),
            _ => return None,
        })
    }

    /// The files that a path of the catalogue stands for: itself, or all that its stars match.
    pub(crate) fn expand(&self, pattern: &str) -> Result<Vec<String>, Unreadable> {
        let mut found = vec![String::new()];
        for part in pattern.split('/').skip(1) {
            let mut next = Vec::new();
            for folder in &found {
                let Some((before, after)) = part.split_once('*') else {
                    next.push(format!("{folder}/{part}"));
                    continue;
                };
                let matches = |name: &String| {
                    name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some_and(
                        |middle| {
                            // cpu* are processors, not cpufreq and cpuidle.
                            before.is_empty() || middle.bytes().all(|byte| byte.is_ascii_digit())
                        },
                    )
                };
                let names = self.list_if_any(folder)?;
                next.extend(
                    names
                        .iter()
                        .filter(|name| matches(name))
                        .map(|name| format!("{folder}/{name}")),
                );
            }
            found = next;
        }
        Ok(found)
    }
}

/// Whether an error says that there is no such file: a path through a file is one too.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
