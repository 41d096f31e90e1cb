//! What else the machine did in the measured phase: stolen time, pressure, throttling, other processes, dropped and
//! repeated packets. Owns the reading of these counters and their differences; what they mean is judged in `validity`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use procfs::{Current, CurrentSI};
use serde::Serialize;

use super::host::{processes_seconds, processor_seconds};
use super::text;

/// A counter, or why it could not be read.
type Counter = Result<f64, String>;

/// The host's counters at one moment.
#[derive(Clone, Debug)]
pub struct HostCounters {
    at: Instant,
    busy_s: Counter,
    steal_s: Counter,
    pressure_s: Counter,
    throttled: Counter,
    own_s: Counter,
    softnet_drops: Counter,
    retransmits: Counter,
    listen_overflows: Counter,
}

/// The differences over a phase. What could not be read is missing, with the reason in `missing`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Interference {
    /// Share of the host's processor time that the hypervisor took, 0 to 1.
    pub steal: Option<f64>,
    /// Share of the time in which some runnable task waited for a processor (PSI "some"), 0 to 1.
    pub cpu_pressure: Option<f64>,
    /// Times the cgroup was kept from running.
    pub throttled: Option<f64>,
    /// Share of the host's processor time that went to processes outside the run, 0 to 1.
    pub foreign_cpu: Option<f64>,
    /// Packets that the kernel dropped for want of backlog.
    pub softnet_drops: Option<f64>,
    /// TCP segments sent again.
    pub retransmits: Option<f64>,
    /// Connections that a full accept queue turned away.
    pub listen_overflows: Option<f64>,
    /// Why a figure is missing.
    pub missing: BTreeMap<&'static str, String>,
}

impl HostCounters {
    /// Reads the counters; `own` are the processes that belong to the run.
    #[must_use]
    pub fn read(own: &[u32]) -> Self {
        let (busy_s, steal_s) = match processor_seconds() {
            Ok((busy, steal)) => (Ok(busy), Ok(steal)),
            Err(why) => (Err(why.clone()), Err(why)),
        };
        Self {
            at: Instant::now(),
            busy_s,
            steal_s,
            pressure_s: pressure_seconds(),
            throttled: throttled(),
            own_s: processes_seconds(own),
            softnet_drops: softnet_drops(),
            retransmits: retransmits(),
            listen_overflows: text("/proc/net/netstat")
                .and_then(|netstat| netstat_value(&netstat, "TcpExt", "ListenOverflows")),
        }
    }

    /// What happened from here to `end`.
    #[must_use]
    pub fn until(&self, end: &Self) -> Interference {
        let wall = end.at.duration_since(self.at);
        let capacity = wall.as_secs_f64() * host_processors() as f64;
        let mut missing = BTreeMap::new();
        let mut difference = |name, from: &Counter, to: &Counter, scale: f64| match (from, to) {
            (Ok(from), Ok(to)) => Some((to - from).max(0.0) / scale),
            (Err(why), _) | (_, Err(why)) => {
                missing.insert(name, why.clone());
                None
            }
        };
        let foreign = |counters: &Self| match (&counters.busy_s, &counters.own_s) {
            (Ok(busy), Ok(own)) => Ok(busy - own),
            (Err(why), _) | (_, Err(why)) => Err(why.clone()),
        };
        Interference {
            steal: difference("steal", &self.steal_s, &end.steal_s, capacity),
            cpu_pressure: difference(
                "cpu_pressure",
                &self.pressure_s,
                &end.pressure_s,
                wall.max(Duration::from_nanos(1)).as_secs_f64(),
            ),
            throttled: difference("throttled", &self.throttled, &end.throttled, 1.0),
            foreign_cpu: difference("foreign_cpu", &foreign(self), &foreign(end), capacity),
            softnet_drops: difference(
                "softnet_drops",
                &self.softnet_drops,
                &end.softnet_drops,
                1.0,
            ),
            retransmits: difference("retransmits", &self.retransmits, &end.retransmits, 1.0),
            listen_overflows: difference(
                "listen_overflows",
                &self.listen_overflows,
                &end.listen_overflows,
                1.0,
            ),
            missing,
        }
    }
}

/// Processors of the host, whatever this process may use: the counters are the host's.
fn host_processors() -> usize {
    procfs::KernelStats::current().map_or(1, |stat| stat.cpu_time.len().max(1))
}

fn pressure_seconds() -> Counter {
    let pressure = procfs::CpuPressure::current().map_err(|error| error.to_string())?;
    Ok(pressure.some.total as f64 / 1e6)
}

/// A file of the cgroup that this process is in, version 2 or the processor controller of version 1.
pub(super) fn cgroup_file(name: &str) -> Result<PathBuf, String> {
    let membership = text("/proc/self/cgroup")?;
    let group = |wanted: fn(&str) -> bool| {
        membership.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            wanted(controllers)
                .then(|| parts.next().unwrap_or("/").trim_start_matches('/').to_owned())
        })
    };
    let unified = group(str::is_empty);
    let version_1 =
        group(|controllers| controllers.split(',').any(|controller| controller == "cpu"));
    let roots = [("/sys/fs/cgroup", unified.clone()), ("/sys/fs/cgroup/unified", unified)];
    let roots = roots.into_iter().chain([("/sys/fs/cgroup/cpu", version_1)]);
    let mut files = roots.filter_map(|(root, group)| {
        // Inside a container the group's own path is often not visible: its files are then at the root.
        let group = PathBuf::from(root).join(group?).join(name);
        [group, PathBuf::from(root).join(name)].into_iter().find(|path| path.exists())
    });
    files.next().ok_or_else(|| format!("no {name} in this process's cgroup"))
}

fn throttled() -> Counter {
    let stat = text(cgroup_file("cpu.stat")?)?;
    let value = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    let value = value.ok_or("cpu.stat has no nr_throttled: no quota is set")?;
    value.parse().map_err(|_| format!("nr_throttled is `{value}`"))
}

/// The second column, of all processors.
fn softnet_drops() -> Counter {
    let stat = text("/proc/net/softnet_stat")?;
    let drops = stat.lines().map(|line| {
        let column = line.split_whitespace().nth(1).unwrap_or_default();
        u64::from_str_radix(column, 16).map(|drops| drops as f64)
    });
    drops.sum::<Result<f64, _>>().map_err(|error| format!("/proc/net/softnet_stat: {error}"))
}

fn retransmits() -> Counter {
    netstat_value(&text("/proc/net/snmp")?, "Tcp", "RetransSegs")
}

/// A value from the kernel's tables of two lines: names, then numbers.
fn netstat_value(table: &str, group: &str, name: &str) -> Counter {
    let mut lines =
        table.lines().filter_map(|line| line.split_once(": ")).filter(|(of, _)| *of == group);
    let (names, values) = (lines.next(), lines.next());
    let found = names.zip(values).and_then(|((_, names), (_, values))| {
        let at = names.split_whitespace().position(|column| column == name)?;
        values.split_whitespace().nth(at)?.parse().ok()
    });
    found.ok_or_else(|| format!("no {group} {name} in the kernel's counters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_group_and_its_name() {
        let table = "Ip: Forwarding\nIp: 1\nTcp: InSegs RetransSegs\nTcp: 100 7\n";
        assert_eq!(netstat_value(table, "Tcp", "RetransSegs"), Ok(7.0));
        assert!(netstat_value(table, "Tcp", "Nothing").is_err());
        assert!(netstat_value("Tcp: RetransSegs", "Tcp", "RetransSegs").is_err());
    }

    #[test]
    fn differences_are_shares_of_the_host_and_missing_sources_say_why() {
        let start = HostCounters {
            at: Instant::now(),
            busy_s: Ok(10.0),
            steal_s: Ok(1.0),
            pressure_s: Err("no PSI".into()),
            throttled: Ok(3.0),
            own_s: Ok(4.0),
            softnet_drops: Ok(0.0),
            retransmits: Ok(5.0),
            listen_overflows: Ok(0.0),
        };
        let mut end = start.clone();
        end.at = start.at + Duration::from_secs(10);
        end.busy_s = Ok(16.0);
        end.own_s = Ok(8.0);
        end.retransmits = Ok(9.0);
        let found = start.until(&end);
        let capacity = 10.0 * host_processors() as f64;
        assert_eq!(found.foreign_cpu, Some(2.0 / capacity));
        assert_eq!(found.steal, Some(0.0));
        assert_eq!(found.retransmits, Some(4.0));
        assert_eq!(found.cpu_pressure, None);
        assert_eq!(found.missing["cpu_pressure"], "no PSI");
    }

    #[test]
    fn this_process_uses_less_than_the_host_has() {
        let own = [std::process::id()];
        let start = HostCounters::read(&own);
        let found = start.until(&HostCounters::read(&own));
        assert!(found.steal.is_none_or(|share| share.is_finite()), "{found:?}");
        assert!(found.missing.values().all(|why| !why.is_empty()));
    }
}
