//! Control groups, of both versions: what this process is bounded by.

use procfs::{FromBufRead as _, ProcessCGroups};

use super::{Scene, Unreadable, form};
use crate::finding::{Outcome, Profile, Status};
use crate::limits::{BASE_BYTES, PAIR_BYTES, THREADS_MIN};
use crate::value::{grouped, sized};

/// One control group above this process, the innermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its folder.
    pub(crate) folder: String,
    /// Whether it is of version 2.
    pub(crate) is_unified: bool,
}

/// The groups with a controller, from this process's own to the top: a bound holds for everything below it.
///
/// With version 1 a controller has its own tree; with both mounted, the unified tree has only what version 1 has not.
pub(crate) fn groups(scene: &Scene<'_>, controller: &str) -> Result<Vec<Group>, Unreadable> {
    let path = "/proc/self/cgroup";
    let Some(text) = scene.read_if_any(path)? else { return Ok(Vec::new()) };
    let mine = ProcessCGroups::from_buf_read(text.as_bytes()).map_err(|_| form(path, &text))?;
    let mut groups = Vec::new();
    for group in mine {
        let is_unified = group.hierarchy == 0;
        let root = if is_unified {
            "/sys/fs/cgroup".to_owned()
        } else if group.controllers.iter().any(|known| known == controller) {
            format!("/sys/fs/cgroup/{}", group.controllers.join(","))
        } else {
            continue;
        };
        // Some mount `cpu,cpuacct` under one of the two names, and version 2 beside version 1 in a folder of its own.
        let other = if is_unified { "unified" } else { controller };
        let roots = [format!("/sys/fs/cgroup/{other}"), root.clone()];
        let root = roots.iter().find(|root| scene.root.list(root).is_ok()).unwrap_or(&root);
        let mut folder = group.pathname.trim_end_matches('/');
        // Paths are short: the kernel bounds their depth.
        loop {
            groups.push(Group { folder: format!("{root}{folder}"), is_unified });
            let Some((above, _)) = folder.rsplit_once('/') else { break };
            folder = above;
        }
    }
    Ok(groups)
}

/// What the tightest memory bound above this process leaves, and whether one slows down before it kills; `None` without a bound.
pub(super) fn memory_left(scene: &Scene<'_>) -> Result<Option<u64>, Unreadable> {
    let mut tightest: Option<u64> = None;
    for group in groups(scene, "memory")? {
        let (max, used, cache) = if group.is_unified {
            (["memory.max", "memory.high"], "memory.current", "inactive_file")
        } else {
            (
                ["memory.limit_in_bytes", "memory.limit_in_bytes"],
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        };
        let file = |name: &str| format!("{}/{name}", group.folder);
        for bound in max {
            let Some(bound) = bound_in(scene, &file(bound))? else { continue };
            let used = scene.read_if_any(&file(used))?;
            let used = used.and_then(|used| used.trim().parse::<u64>().ok()).unwrap_or(0);
            // File pages that nobody used lately are given back before the bound is felt.
            let stat = scene.read_if_any(&file("memory.stat"))?.unwrap_or_default();
            let cache = row(&stat, cache).unwrap_or(0);
            let left = bound.saturating_sub(used.saturating_sub(cache));
            tightest = Some(tightest.map_or(left, |other| other.min(left)));
        }
    }
    Ok(tightest)
}

/// A number, or `None` for `max`, for the number by which version 1 says so, and without the file.
fn bound_in(scene: &Scene<'_>, path: &str) -> Result<Option<u64>, Unreadable> {
    let Some(text) = scene.read_if_any(path)? else { return Ok(None) };
    match text.trim() {
        "max" | "-1" => Ok(None),
        number => {
            let number: u64 = number.parse().map_err(|_| form(path, &text))?;
            Ok((number < UNBOUNDED_V1).then_some(number))
        }
    }
}

/// Version 1 shows the largest number of whole pages where there is no bound: 2^63 less a page, of 4 to 64 KiB.
const UNBOUNDED_V1: u64 = (1 << 63) - (1 << 17);

/// A row `name value` of a statistics file.
pub(crate) fn row(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (known, value) = line.split_once(' ')?;
        (known == name).then(|| value.trim().parse().ok())?
    })
}

pub(super) fn memory(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let Some(left) = memory_left(scene)? else {
        return Ok(Outcome::new(
            Status::Ok,
            "no bound",
            "no control group bounds this process's memory",
        )
        .wanted("no bound"));
    };
    let needed = scene.plan.connections.saturating_mul(PAIR_BYTES).saturating_add(BASE_BYTES);
    let (status, note) = if left >= needed {
        (Status::Ok, "the plan fits, sockets included")
    } else {
        (
            Status::Fail,
            "a process of this control group is slowed down or killed before the plan is reached",
        )
    };
    Ok(Outcome::new(status, format!("{} left", sized(left)), note)
        .wanted(sized(needed))
        .value(sized(needed)))
}

pub(super) fn cpu(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let mut tightest: Option<(u64, u64)> = None;
    let mut throttled = 0;
    for group in groups(scene, "cpu")? {
        let quota = if group.is_unified {
            let path = format!("{}/cpu.max", group.folder);
            let text = scene.read_if_any(&path)?.unwrap_or_else(|| "max 100000".to_owned());
            let mut words = text.split_whitespace();
            let quota = words.next().unwrap_or("max");
            let period = words
                .next()
                .and_then(|period| period.parse().ok())
                .ok_or_else(|| form(&path, &text))?;
            if quota == "max" {
                None
            } else {
                Some((quota.parse().map_err(|_| form(&path, &text))?, period))
            }
        } else {
            let period = scene
                .number_if_any(&format!("{}/cpu.cfs_period_us", group.folder))?
                .unwrap_or(100_000);
            bound_in(scene, &format!("{}/cpu.cfs_quota_us", group.folder))?
                .map(|quota| (quota, period))
        };
        let stat = scene.read_if_any(&format!("{}/cpu.stat", group.folder))?.unwrap_or_default();
        throttled = throttled.max(row(&stat, "nr_throttled").unwrap_or(0));
        if let Some((quota, period)) = quota {
            let is_tighter = |(known, of): (u64, u64)| {
                u128::from(quota) * u128::from(of) < u128::from(known) * u128::from(period)
            };
            if tightest.is_none_or(is_tighter) {
                tightest = Some((quota, period));
            }
        }
    }
    let Some((quota, period)) = tightest else {
        return Ok(Outcome::new(Status::Ok, "no quota", "no control group stops this process")
            .wanted("no quota"));
    };
    let hundredths = quota.saturating_mul(100) / period.max(1);
    let current = format!(
        "{}.{:02} processors, stopped {} times",
        hundredths / 100,
        hundredths % 100,
        grouped(throttled)
    );
    let is_below = scene.cpus().is_some_and(|cpus| hundredths < cpus.saturating_mul(100));
    let (status, note) = if throttled > 0 {
        (Status::Warn, "its threads have been stopped until the next period")
    } else if is_below && scene.plan.profile == Profile::Latency {
        (
            Status::Warn,
            "its threads are stopped until the next period whenever the quota is used up",
        )
    } else {
        (Status::Ok, "it has not stopped anybody yet")
    };
    Ok(Outcome::new(status, current, note).wanted("no quota, or one that is never used up"))
}

pub(super) fn pids(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let mut tightest: Option<u64> = None;
    for group in groups(scene, "pids")? {
        if let Some(max) = bound_in(scene, &format!("{}/pids.max", group.folder))? {
            let used = scene.number_if_any(&format!("{}/pids.current", group.folder))?.unwrap_or(0);
            let left = max.saturating_sub(used);
            tightest = Some(tightest.map_or(left, |other: u64| other.min(left)));
        }
    }
    let wanted = THREADS_MIN.saturating_add(scene.cpus().unwrap_or(1).saturating_mul(8));
    let Some(left) = tightest else {
        return Ok(Outcome::new(
            Status::Ok,
            "no bound",
            "no control group bounds the number of threads",
        )
        .wanted("no bound"));
    };
    let (status, note) = if left >= wanted {
        (Status::Ok, "enough for shards, the store and the rings' workers")
    } else {
        (Status::Warn, "threads may be missing, the rings' workers among them")
    };
    Ok(Outcome::new(status, format!("{} left", grouped(left)), note)
        .wanted(format!("{} or more", grouped(wanted)))
        .value(wanted))
}
