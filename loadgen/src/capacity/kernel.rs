//! The kernel's memory at one moment: what a connection costs beyond the two processes' own.

use std::collections::BTreeMap;

use procfs::{Current, Meminfo};
use serde::Serialize;

/// What the kernel holds, in bytes, machine-wide. A part that the kernel does not tell is zero in the sum and missing here.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KernelMemory {
    /// Sockets, files, operations and everything else that comes from slabs.
    pub slab_bytes: u64,
    /// Stacks of threads.
    pub stacks_bytes: Option<u64>,
    /// Page tables of processes.
    pub page_tables_bytes: Option<u64>,
    /// Memory that each processor has its own of.
    pub percpu_bytes: Option<u64>,
    /// Pages of TCP's queues.
    pub tcp_bytes: u64,
    /// TCP sockets in use.
    pub sockets: u64,
    /// Connections that the kernel remembers after their end.
    pub time_wait: u64,
    /// What could be given to new processes, by the kernel's estimate.
    pub available_bytes: Option<u64>,
    /// Bytes of each slab cache, where the kernel shows them.
    #[serde(skip)]
    pub caches: BTreeMap<String, u64>,
}

impl KernelMemory {
    /// Reads it.
    ///
    /// # Errors
    /// With the source that could not be read.
    pub fn read() -> Result<Self, String> {
        let info = Meminfo::current().map_err(|error| format!("/proc/meminfo: {error}"))?;
        let sockstat = std::fs::read_to_string("/proc/net/sockstat")
            .map_err(|error| format!("/proc/net/sockstat: {error}"))?;
        let tcp = Tcp::parse(&sockstat).ok_or("/proc/net/sockstat has no line for TCP")?;
        // Only root may read it; the sum does not need it.
        let slabinfo = std::fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        Ok(Self {
            slab_bytes: info.slab,
            stacks_bytes: info.kernel_stack,
            page_tables_bytes: info.page_tables,
            percpu_bytes: info.per_cpu,
            tcp_bytes: tcp.pages * PAGE_BYTES,
            sockets: tcp.in_use,
            time_wait: tcp.time_wait,
            available_bytes: info.mem_available,
            caches: caches(&slabinfo),
        })
    }

    /// The sum.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        let parts = [self.stacks_bytes, self.page_tables_bytes, self.percpu_bytes];
        self.slab_bytes + self.tcp_bytes + parts.into_iter().flatten().sum::<u64>()
    }

    /// The caches that grew most from here to `later`, with how much.
    #[must_use]
    pub fn grown_caches(&self, later: &Self, most: usize) -> Vec<(String, u64)> {
        let grown = later.caches.iter().map(|(name, bytes)| {
            let before = self.caches.get(name).copied().unwrap_or(0);
            (name.clone(), bytes.saturating_sub(before))
        });
        let mut grown: Vec<(String, u64)> = grown.filter(|(_, bytes)| *bytes > 0).collect();
        grown.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        grown.truncate(most);
        grown
    }
}

const PAGE_BYTES: u64 = 4_096;

/// The line of TCP in `sockstat`.
#[derive(Debug, PartialEq, Eq)]
struct Tcp {
    in_use: u64,
    time_wait: u64,
    pages: u64,
}

impl Tcp {
    fn parse(sockstat: &str) -> Option<Self> {
        let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP: "))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let value = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1)?.parse().ok()
        };
        Some(Self { in_use: value("inuse")?, time_wait: value("tw")?, pages: value("mem")? })
    }
}

/// Bytes of each cache: whole slabs, since what is free in one cannot be used by another.
fn caches(slabinfo: &str) -> BTreeMap<String, u64> {
    let lines = slabinfo.lines().skip(2);
    let cache = lines.filter_map(|line| {
        let (sizes, slabs) = line.split_once(": slabdata")?;
        let mut sizes = sizes.split_whitespace();
        let name = sizes.next()?;
        // Behind the name: active objects, objects, size, objects per slab, pages per slab.
        let pages = sizes.nth(4)?.parse::<u64>().ok()?;
        let slabs = slabs.split_whitespace().nth(1)?.parse::<u64>().ok()?;
        Some((name.to_owned(), slabs * pages * PAGE_BYTES))
    });
    cache.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_tcp_is_found_by_its_names() {
        let text = "sockets: used 9\nTCP: inuse 2007 orphan 0 tw 2010 alloc 2007 mem 922\nUDP: inuse 0 mem 0\n";
        assert_eq!(Tcp::parse(text), Some(Tcp { in_use: 2_007, time_wait: 2_010, pages: 922 }));
        assert_eq!(Tcp::parse("UDP: inuse 0 mem 0"), None);
    }

    #[test]
    fn a_cache_counts_with_whole_slabs_and_those_that_grew_come_first() {
        let page = |tcp: u64, filp: u64| {
            format!(
                "slabinfo - version: 2.1\n# name <active_objs>\n\
                 TCP 10 13 2432 13 8 : tunables 0 0 0 : slabdata {tcp} {tcp} 0\n\
                 filp 10 21 192 21 1 : tunables 0 0 0 : slabdata {filp} {filp} 0\n"
            )
        };
        let of =
            |tcp, filp| KernelMemory { caches: caches(&page(tcp, filp)), ..Default::default() };
        let (before, after) = (of(1, 5), of(3, 6));
        assert_eq!(before.caches["TCP"], 8 * 4_096);
        let grown = before.grown_caches(&after, 10);
        assert_eq!(grown, [("TCP".to_owned(), 2 * 8 * 4_096), ("filp".to_owned(), 4_096)]);
        assert_eq!(before.grown_caches(&after, 1).len(), 1);
    }

    #[test]
    fn this_kernel_tells_what_is_needed() {
        let memory = KernelMemory::read().unwrap();
        assert!(memory.slab_bytes > 0 && memory.total_bytes() > memory.slab_bytes);
    }
}
