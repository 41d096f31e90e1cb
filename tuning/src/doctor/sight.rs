//! What a doctor sees: the same files at two moments, and the node's figures beside them.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use super::Look;
use super::metrics::{Metrics, Source};
use crate::checks::{Scene, groups, netstat};
use crate::finding::{Plan, Profile};
use crate::root::Root;

/// Files that are read at both moments.
const FILES: [&str; 14] = [
    "/proc/net/netstat",
    "/proc/net/snmp",
    "/proc/net/softnet_stat",
    "/proc/net/sockstat",
    "/proc/net/stat/nf_conntrack",
    "/proc/stat",
    "/proc/vmstat",
    "/proc/pressure/cpu",
    "/proc/pressure/memory",
    "/proc/pressure/io",
    "/proc/sys/fs/file-nr",
    "/proc/sys/net/netfilter/nf_conntrack_count",
    "/proc/loadavg",
    "/proc/meminfo",
];

/// Threads of the node that are looked at.
const THREADS_MAX: usize = 512;

/// A thread's time on a processor and its time waiting for one, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ThreadTime {
    pub(super) ran: u64,
    pub(super) waited: u64,
}

/// One moment.
#[derive(Debug, Default)]
struct Moment {
    files: BTreeMap<String, io::Result<String>>,
    metrics: Option<io::Result<Metrics>>,
    threads: BTreeMap<String, (String, ThreadTime)>,
}

/// Both moments.
pub(crate) struct Sight<'r> {
    pub(super) root: &'r dyn Root,
    pub(super) pid: Option<u32>,
    pub(super) seconds: f64,
    before: Moment,
    after: Moment,
    /// `cpu.stat` of the control groups above this process or the node, with version 1 or 2.
    pub(super) cpu_stats: Vec<String>,
    pub(super) memory_events: Vec<String>,
}

impl<'r> Sight<'r> {
    /// Looks, waits, and looks again.
    pub(crate) fn of(root: &'r dyn Root, look: &Look) -> Self {
        let pid = look.pid.or_else(|| look.node.pid(root));
        // Which control groups there are does not depend on the plan.
        let plan =
            Plan { connections: 0, rate: 0, profile: Profile::Capacity, direct_descriptors: false };
        let scene = Scene::still(root, &plan);
        let files = |controller: &str, name: &str| -> Vec<String> {
            let groups = groups(&scene, controller).unwrap_or_default();
            groups.iter().map(|group| format!("{}/{name}", group.folder)).collect()
        };
        let cpu_stats = files("cpu", "cpu.stat");
        let memory_events = files("memory", "memory.events");
        let more: Vec<String> = cpu_stats.iter().chain(&memory_events).cloned().collect();
        let take = |node: &Source| Moment::of(root, node, pid, &more);
        let start = Instant::now();
        let before = take(&look.node);
        root.rest(look.window);
        let after = take(&look.node);
        // A recording says nothing of the time between its moments.
        let seconds = if root.is_live() { start.elapsed() } else { look.window }.as_secs_f64();
        Self { root, pid, seconds, before, after, cpu_stats, memory_events }
    }

    /// A file as it is now; empty if it cannot be read.
    pub(super) fn text(&self, path: &str) -> &str {
        match self.after.files.get(path) {
            Some(Ok(text)) => text,
            Some(Err(_)) | None => "",
        }
    }

    /// A file as it was.
    pub(super) fn earlier(&self, path: &str) -> &str {
        match self.before.files.get(path) {
            Some(Ok(text)) => text,
            Some(Err(_)) | None => "",
        }
    }

    /// What a figure in a file has grown by: `None` if it is in neither.
    pub(super) fn grown(&self, path: &str, figure: impl Fn(&str) -> Option<u64>) -> Option<u64> {
        let after = figure(self.text(path))?;
        Some(after.saturating_sub(figure(self.earlier(path)).unwrap_or(after)))
    }

    /// What a counter of TCP has grown by, and what it is.
    pub(super) fn tcp(&self, name: &str) -> (u64, u64) {
        let path = "/proc/net/netstat";
        let counter = |text: &str| netstat(text, "TcpExt", name);
        (self.grown(path, counter).unwrap_or(0), counter(self.text(path)).unwrap_or(0))
    }

    /// The node's figures at both moments; an error if a node was named and does not answer.
    pub(super) fn node(&self) -> Option<Result<(&Metrics, &Metrics), String>> {
        match (&self.before.metrics, &self.after.metrics) {
            (Some(Ok(before)), Some(Ok(after))) => Some(Ok((before, after))),
            (Some(Err(error)), _) | (_, Some(Err(error))) => Some(Err(error.to_string())),
            (None, _) | (_, None) => None,
        }
    }

    /// The node's threads: name, share of the time on a processor, share of it waiting for one.
    pub(super) fn threads(&self) -> Vec<(&str, f64, f64)> {
        let share = |after: u64, before: u64| {
            after.saturating_sub(before) as f64 / 1e9 / self.seconds.max(1e-3)
        };
        self.after
            .threads
            .iter()
            .filter_map(|(id, (name, now))| {
                let (_, then) = self.before.threads.get(id)?;
                Some((name.as_str(), share(now.ran, then.ran), share(now.waited, then.waited)))
            })
            .collect()
    }
}

impl Moment {
    fn of(root: &dyn Root, node: &Source, pid: Option<u32>, more: &[String]) -> Self {
        let paths = FILES.iter().map(ToString::to_string).chain(more.iter().cloned());
        let files = paths.map(|path| (path.clone(), root.read(&path))).collect();
        let mut moment = Self { files, metrics: node.metrics(root), threads: BTreeMap::new() };
        if let Some(pid) = pid {
            let folder = format!("/proc/{pid}/task");
            for thread in root.list(&folder).unwrap_or_default().into_iter().take(THREADS_MAX) {
                let name = root.read(&format!("{folder}/{thread}/comm")).unwrap_or_default();
                let times = root.read(&format!("{folder}/{thread}/schedstat")).unwrap_or_default();
                let mut times = times.split_whitespace().map_while(|time| time.parse::<u64>().ok());
                if let (Some(ran), Some(waited)) = (times.next(), times.next()) {
                    moment
                        .threads
                        .insert(thread, (name.trim().to_owned(), ThreadTime { ran, waited }));
                }
            }
        }
        moment
    }
}
