//! Do the planned connections fit the memory that is left, here and in this process's memory cgroup?

use procfs::{FromBufRead as _, Meminfo, ProcessCGroups};

use super::{Unreadable, form, grouped, read, read_if_any, sized};
use crate::finding::{Outcome, Plan, Status};
use crate::host::Host;
use crate::limits::{BASE_BYTES, KERNEL_PAIR_BYTES, MEMORY_WARN_PERCENT, USER_PAIR_BYTES};

const PAIR_BYTES: u64 = KERNEL_PAIR_BYTES + USER_PAIR_BYTES;

pub(super) fn connections(host: &dyn Host, plan: &Plan) -> Result<Outcome, Unreadable> {
    let path = "/proc/meminfo";
    let text = read(host, path)?;
    let meminfo = Meminfo::from_buf_read(text.as_bytes()).map_err(|_| form(path, &text))?;
    let machine = meminfo.mem_available.unwrap_or(meminfo.mem_free);
    let cgroup = cgroup_left(host)?;
    let (available, whose) = match cgroup {
        Some(left) if left < machine => (left, "in this memory cgroup"),
        Some(_) | None => (machine, "on this machine"),
    };
    let needed = plan.connections.saturating_mul(PAIR_BYTES).saturating_add(BASE_BYTES);
    let comfortable = available / 100 * MEMORY_WARN_PERCENT;
    let status = if needed <= comfortable {
        Status::Ok
    } else if needed <= available {
        Status::Warn
    } else {
        Status::Fail
    };
    let fitting = comfortable.saturating_sub(BASE_BYTES) / PAIR_BYTES;
    Ok(Outcome {
        status,
        current: format!("{} available {whose}", sized(available)),
        wanted: format!("{} for both ends", sized(needed)),
        note: format!("about {} connections fit with both ends here", grouped(fitting)),
        value: grouped(fitting),
    })
}

/// What the tightest memory cgroup above this process leaves; `None` if none has a limit.
fn cgroup_left(host: &dyn Host) -> Result<Option<u64>, Unreadable> {
    let path = "/proc/self/cgroup";
    let Some(text) = read_if_any(host, path)? else { return Ok(None) };
    let groups = ProcessCGroups::from_buf_read(text.as_bytes()).map_err(|_| form(path, &text))?;
    let mut tightest: Option<u64> = None;
    for group in groups {
        let files = if group.hierarchy == 0 {
            Files {
                root: "/sys/fs/cgroup",
                max: "memory.max",
                used: "memory.current",
                cache: "inactive_file",
            }
        } else if group.controllers.iter().any(|controller| controller == "memory") {
            Files {
                root: "/sys/fs/cgroup/memory",
                max: "memory.limit_in_bytes",
                used: "memory.usage_in_bytes",
                cache: "total_inactive_file",
            }
        } else {
            continue;
        };
        let mut folder = group.pathname.trim_end_matches('/');
        // A limit holds for everything below it. Paths are short: the kernel bounds their depth.
        loop {
            if let Some(left) = files.left(host, folder)? {
                tightest = Some(tightest.map_or(left, |other| other.min(left)));
            }
            let Some((above, _)) = folder.rsplit_once('/') else { break };
            folder = above;
        }
    }
    Ok(tightest)
}

/// Where a version of cgroups keeps its numbers.
struct Files {
    root: &'static str,
    max: &'static str,
    used: &'static str,
    cache: &'static str,
}

impl Files {
    /// What one cgroup leaves; `None` if it has no limit.
    fn left(&self, host: &dyn Host, folder: &str) -> Result<Option<u64>, Unreadable> {
        let file = |name: &str| format!("{}{folder}/{name}", self.root);
        let Some(max) = read_if_any(host, &file(self.max))? else { return Ok(None) };
        let Ok(max) = max.trim().parse::<u64>() else { return Ok(None) }; // "max"
        let used = read_if_any(host, &file(self.used))?;
        let used = used.and_then(|used| used.trim().parse::<u64>().ok()).unwrap_or(0);
        // File pages that nobody used lately are given back before the limit is felt.
        let stat = read_if_any(host, &file("memory.stat"))?.unwrap_or_default();
        let cache = stat.lines().find_map(|line| {
            let (name, value) = line.split_once(' ')?;
            (name == self.cache).then(|| value.trim().parse::<u64>().ok())?
        });
        Ok(Some(max.saturating_sub(used.saturating_sub(cache.unwrap_or(0)))))
    }
}
