//! The machine's part: processors, pressure, memory, control groups.

use super::{Diagnosis, Severity, Sight};
use crate::checks::{row, time_in};
use crate::limits::NEAR_PERCENT;
use crate::value::{grouped, sized};

pub(super) fn diagnose(sight: &Sight<'_>) -> Vec<Diagnosis> {
    let mut all = vec![steal(sight), processors(sight), throttling(sight), frequency(sight)];
    all.extend(pressure(sight));
    all.extend([reclaim(sight), group_memory(sight), files(sight)]);
    all
}

const STAT: &str = "/proc/stat";

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// The share of all processors' time that went to something, while watched.
fn share(sight: &Sight<'_>, ticks: impl Fn(&str) -> Option<u64>) -> Option<f64> {
    let all = sight.grown(STAT, |text| time_in(text).map(|(all, _)| all))?;
    let part = sight.grown(STAT, ticks)?;
    (all > 0).then(|| part as f64 / all as f64)
}

pub(super) fn stolen(sight: &Sight<'_>) -> f64 {
    share(sight, |text| time_in(text).map(|(_, stolen)| stolen)).unwrap_or(0.0)
}

fn steal(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "stolen time";
    let Some((all, stolen_all)) = time_in(sight.text(STAT)) else {
        return Diagnosis::new(ABOUT, Severity::Unknown, format!("{STAT} cannot be read"));
    };
    let now = stolen(sight);
    let since_boot = stolen_all as f64 / all.max(1) as f64;
    let says = format!(
        "{} while watched, {} since the boot: pauses that nothing here can see or shorten",
        percent(now),
        percent(since_boot)
    );
    let advice = "a machine with processors of its own, or another time: tuning explain cpu.steal";
    if now >= 0.10 {
        Diagnosis::new(ABOUT, Severity::Limit, says).todo(advice)
    } else if now >= 0.01 || since_boot >= 0.01 {
        Diagnosis::new(ABOUT, Severity::Risk, says).todo(advice)
    } else {
        Diagnosis::ok(
            ABOUT,
            format!("{} while watched, {} since the boot", percent(now), percent(since_boot)),
        )
    }
}

/// The share of time that processors were idle, the kernel's waiting for disks included.
pub(super) fn idle(sight: &Sight<'_>) -> Option<f64> {
    share(sight, |text| {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let mut ticks = line.split_whitespace().skip(3).map_while(|tick| tick.parse::<u64>().ok());
        Some(ticks.next()?.saturating_add(ticks.next()?))
    })
}

fn processors(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "processors";
    let Some(idle) = idle(sight) else {
        return Diagnosis::new(
            ABOUT,
            Severity::Unsupported,
            "no time passed between the two looks: a longer --window",
        );
    };
    let load = sight.text("/proc/loadavg").split_whitespace().next().unwrap_or("?");
    let cpus =
        sight.text(STAT).lines().filter(|line| line.starts_with("cpu")).count().saturating_sub(1);
    let busy = 1.0 - idle;
    let own: f64 =
        sight.threads().iter().map(|(_, ran, _)| ran).sum::<f64>() / (cpus.max(1) as f64);
    let mut says = format!("{} busy, load {load} on {cpus}", percent(busy));
    if sight.pid.is_some() {
        says += &format!("; the node has {} of it", percent(own));
    }
    let others = "other programs take the processors: timing results would be INVALID; measure when they are gone";
    if busy > 0.95 {
        let advice = if sight.pid.is_some() && own > 0.5 {
            "the node itself is what takes them: more processors, or less load"
        } else {
            others
        };
        return Diagnosis::new(ABOUT, Severity::Limit, says).todo(advice);
    }
    if busy - own > 0.10 && sight.pid.is_some() || busy > 0.80 {
        return Diagnosis::new(ABOUT, Severity::Risk, says).todo(others);
    }
    Diagnosis::ok(ABOUT, says)
}

fn throttling(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "processor quota";
    let grown = |name: &str| {
        sight.cpu_stats.iter().filter_map(|path| sight.grown(path, |text| row(text, name))).max()
    };
    let Some(times) = grown("nr_throttled") else {
        return Diagnosis::new(
            ABOUT,
            Severity::Unsupported,
            "no control group here counts it: no quota is set",
        );
    };
    if times > 0 {
        let micros =
            grown("throttled_usec").unwrap_or(0).max(grown("throttled_time").unwrap_or(0) / 1_000);
        let says = format!(
            "the control group was stopped {} times, for {:.1} ms in all, its quota used up",
            grouped(times),
            micros as f64 / 1e3
        );
        return Diagnosis::new(ABOUT, Severity::Limit, says).todo("tuning explain cgroup.cpu");
    }
    Diagnosis::ok(ABOUT, "nobody was stopped")
}

fn frequency(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "frequency";
    let folder = "/sys/devices/system/cpu";
    let read = |cpu: &str, name: &str| {
        sight
            .root
            .read(&format!("{folder}/{cpu}/cpufreq/{name}"))
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    let names = sight.root.list(folder).unwrap_or_default();
    let slowest = names
        .iter()
        .filter_map(|cpu| Some((read(cpu, "scaling_cur_freq")?, read(cpu, "cpuinfo_max_freq")?)))
        .min_by_key(|(now, most)| now.saturating_mul(100) / (*most).max(1));
    let Some((now, most)) = slowest else {
        return Diagnosis::new(
            ABOUT,
            Severity::Unsupported,
            "not shown here (virtual machines do not)",
        );
    };
    let throttled = names.iter().any(|cpu| {
        let path = format!("{folder}/{cpu}/thermal_throttle/core_throttle_count");
        sight.root.read(&path).is_ok_and(|text| text.trim() != "0")
    });
    let heat = if throttled { ", and heat has slowed it down since the boot" } else { "" };
    let says = format!("the slowest processor is at {} MHz of {}{heat}", now / 1_000, most / 1_000);
    if now.saturating_mul(2) < most || throttled {
        return Diagnosis::new(ABOUT, Severity::Risk, says)
            .todo("tuning explain cpu.governor; with heat: cooling");
    }
    Diagnosis::ok(ABOUT, says)
}

/// The share of the time in which something waited, while watched.
pub(super) fn stalled(sight: &Sight<'_>, kind: &str, who: &str) -> Option<f64> {
    let path = format!("/proc/pressure/{kind}");
    let total = |text: &str| {
        let line = text.lines().find(|line| line.starts_with(who))?;
        line.split_whitespace().find_map(|word| word.strip_prefix("total=")?.parse::<u64>().ok())
    };
    let micros = sight.grown(&path, total)?;
    Some((micros as f64 / 1e6 / sight.seconds.max(1e-3)).min(1.0))
}

fn pressure(sight: &Sight<'_>) -> Vec<Diagnosis> {
    let kinds = [
        (
            "cpu pressure",
            "cpu",
            "some",
            0.20,
            "something waited for a processor",
            "take other programs away, or give the node more processors",
        ),
        (
            "memory pressure",
            "memory",
            "some",
            0.01,
            "something waited for memory",
            "less load, more memory, or a larger bound: tuning explain cgroup.memory",
        ),
        (
            "disk pressure",
            "io",
            "full",
            0.20,
            "everything waited for the disk",
            "a faster disk for the store, or --durability relaxed",
        ),
    ];
    let judge =
        |(about, kind, who, bound, what, advice): (&'static str, &str, &str, f64, &str, &str)| {
            let Some(share) = stalled(sight, kind, who) else {
                return Diagnosis::new(
                    about,
                    Severity::Unsupported,
                    "this kernel does not count it (psi=1 at boot)",
                );
            };
            let says = format!("{} of the time {what}", percent(share));
            if share > bound {
                Diagnosis::new(about, Severity::Limit, says).todo(advice)
            } else if share > bound / 4.0 {
                Diagnosis::new(about, Severity::Risk, says).todo(advice)
            } else {
                Diagnosis::ok(about, says)
            }
        };
    kinds.into_iter().map(judge).collect()
}

fn reclaim(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "memory";
    let path = "/proc/vmstat";
    let grown = |names: &[&str]| -> u64 {
        names.iter().filter_map(|name| sight.grown(path, |text| row(text, name))).sum()
    };
    let killed = grown(&["oom_kill"]);
    let stalls =
        grown(&["allocstall_normal", "allocstall_movable", "allocstall_dma32", "allocstall"]);
    let compacted = grown(&["compact_stall"]);
    let swapped = grown(&["pswpin", "pswpout"]);
    if killed > 0 {
        let says = format!("{} processes were killed for want of memory", grouped(killed));
        return Diagnosis::new(ABOUT, Severity::Limit, says).todo("tuning explain mem.connections");
    }
    if swapped > 0 {
        let says = format!("{} pages went to or came from swap", grouped(swapped));
        return Diagnosis::new(ABOUT, Severity::Limit, says).todo("tuning explain mem.swap");
    }
    if stalls + compacted > 0 {
        let says = format!(
            "{} times a thread stopped to make room for its allocation, {} times for a huge page",
            grouped(stalls),
            grouped(compacted)
        );
        return Diagnosis::new(ABOUT, Severity::Risk, says)
            .todo("tuning explain mem.thp_defrag; tuning explain mem.connections");
    }
    Diagnosis::ok(ABOUT, "no thread stopped for memory, nothing was swapped, nobody was killed")
}

fn group_memory(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "control group's memory";
    let grown = |name: &str| {
        sight
            .memory_events
            .iter()
            .filter_map(|path| sight.grown(path, |text| row(text, name)))
            .max()
    };
    let (Some(high), Some(max)) = (grown("high"), grown("max")) else {
        return Diagnosis::new(
            ABOUT,
            Severity::Unsupported,
            "no control group of version 2 counts it here",
        );
    };
    if high + max > 0 {
        let says = format!(
            "the group was slowed down at memory.high {} times and stood at memory.max {} times",
            grouped(high),
            grouped(max)
        );
        return Diagnosis::new(ABOUT, Severity::Limit, says).todo("tuning explain cgroup.memory");
    }
    Diagnosis::ok(ABOUT, "the group was not held at its bound")
}

fn files(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "open files";
    let text = sight.text("/proc/sys/fs/file-nr");
    let mut numbers = text.split_whitespace().map_while(|number| number.parse::<u64>().ok());
    let (Some(used), Some(max)) = (numbers.next(), numbers.nth(1)) else {
        return Diagnosis::new(ABOUT, Severity::Unknown, "/proc/sys/fs/file-nr cannot be read");
    };
    let available = row_kilobytes(sight.text("/proc/meminfo"), "MemAvailable:");
    let memory = available
        .map_or_else(String::new, |bytes| format!("; {} of memory available", sized(bytes)));
    let says = format!("{} of {} on the whole machine{memory}", grouped(used), grouped(max));
    if used.saturating_mul(100) > max.saturating_mul(NEAR_PERCENT) {
        return Diagnosis::new(ABOUT, Severity::Risk, says).todo("tuning explain limits.file_max");
    }
    Diagnosis::ok(ABOUT, says)
}

fn row_kilobytes(text: &str, name: &str) -> Option<u64> {
    let row = text.lines().find_map(|line| line.strip_prefix(name))?;
    row.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
}
