//! What this machine has for a run: memory, ports, files. Only reads.

use std::fs;
use std::path::PathBuf;

use procfs::{Current, Meminfo};
use rustix::process::{Resource, getrlimit};

use crate::offer::ephemeral_ports;

/// What a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Bytes that new processes can have, by the kernel's estimate.
    pub available_bytes: Option<u64>,
    /// Bytes that this cgroup, and those above it, may still take.
    pub cgroup_bytes: Option<u64>,
    /// The limit of descriptors.
    pub descriptors: u64,
    /// Ports for outgoing connections.
    pub ports: u32,
    /// Files that the kernel still opens; nothing if this process is exempt from that limit.
    pub files: Option<u64>,
    /// Connections that the kernel's connection tracking still takes, where it is on.
    pub tracked: Option<u64>,
}

impl Host {
    /// Reads it.
    #[must_use]
    pub fn read() -> Self {
        Self {
            available_bytes: Meminfo::current().ok().and_then(|info| info.mem_available),
            cgroup_bytes: cgroup_left(),
            descriptors: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
            ports: ephemeral_ports(),
            files: files_left(),
            tracked: tracked_left(),
        }
    }
}

/// The processor may hold this capability without being root.
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Whoever has CAP_SYS_ADMIN opens files beyond `fs.file-max`.
fn files_left() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    if u64::from_str_radix(effective.trim(), 16).ok()? & CAP_SYS_ADMIN != 0 {
        return None;
    }
    let numbers = fs::read_to_string("/proc/sys/fs/file-nr").ok()?;
    let mut numbers = numbers.split_whitespace().map(str::parse::<u64>);
    let (open, _, most) = (numbers.next()?.ok()?, numbers.next()?, numbers.next()?.ok()?);
    Some(most.saturating_sub(open))
}

fn tracked_left() -> Option<u64> {
    let value = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/proc/sys/net/netfilter/{name}")).ok()?.trim().parse().ok()
    };
    // Where the kernel tracks, it knows the connections that are open now. Where it knows none, the limit binds nobody: no
    // rule of this network namespace asks for tracking.
    let tracked = value("nf_conntrack_count").filter(|tracked| *tracked > 0)?;
    Some(value("nf_conntrack_max")?.saturating_sub(tracked))
}

/// The least of what the cgroup of this process and those above it still have, of either version.
fn cgroup_left() -> Option<u64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = |wanted: &dyn Fn(&str) -> bool| {
        membership.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            let path = parts.next()?.trim_start_matches('/').to_owned();
            wanted(controllers).then_some(path)
        })
    };
    let unified =
        group(&str::is_empty).map(|path| ("/sys/fs/cgroup", path, "memory.max", "memory.current"));
    let first =
        group(&|controllers| controllers.split(',').any(|name| name == "memory")).map(|path| {
            ("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes")
        });
    let left = |(root, path, most, used): (&str, String, &str, &str)| {
        let root = PathBuf::from(root);
        let mut group = root.join(path);
        let mut least: Option<u64> = None;
        loop {
            let value = |name: &str| -> Option<u64> {
                fs::read_to_string(group.join(name)).ok()?.trim().parse().ok()
            };
            // A group without a limit says `max`, or a number beyond all memory.
            if let Some(most) = value(most).filter(|most| *most < UNLIMITED) {
                let left = most.saturating_sub(value(used).unwrap_or(0));
                least = Some(least.map_or(left, |least| least.min(left)));
            }
            if group == root || !group.pop() {
                return least;
            }
        }
    };
    [unified, first].into_iter().flatten().filter_map(left).min()
}

/// Version 1 says so, rounded to pages, where there is no limit.
const UNLIMITED: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_descriptors_and_ports() {
        let host = Host::read();
        assert!(host.available_bytes.is_none_or(|bytes| bytes > 0), "{host:?}");
        assert!(host.descriptors > 0 && host.ports > 0, "{host:?}");
    }
}
