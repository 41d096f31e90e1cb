//! The node's part: its own figures, its process, and what of the machine explains them.

use super::metrics::Metrics;
use super::{Diagnosis, Severity, Sight, host};
use crate::checks::{limit_in, shown_limit};
use crate::limits::NEAR_PERCENT;
use crate::value::grouped;

pub(super) fn diagnose(sight: &Sight<'_>) -> Vec<Diagnosis> {
    let mut all = Vec::new();
    match sight.node() {
        None => all.push(
            Diagnosis::new("node", Severity::Note, "no node was named: only the machine was looked at")
                .todo("name its admin port: --node http://127.0.0.1:5902"),
        ),
        Some(Err(error)) => all.push(
            Diagnosis::new("node", Severity::Unknown, format!("its figures cannot be read: {error}"))
                .todo("is this its admin port (--admin), and does it run? A node that is too busy to answer is one that is too busy"),
        ),
        Some(Ok((before, after))) => {
            all.push(presence(after));
            all.push(lag(sight, before, after));
            all.extend(refusals(before, after));
            all.push(store(before, after));
        }
    }
    if sight.pid.is_some() {
        all.extend(namespace(sight));
        all.push(descriptors(sight));
        all.push(shards(sight));
    }
    all
}

/// Whether what is read of the network here is the node's at all.
fn namespace(sight: &Sight<'_>) -> Option<Diagnosis> {
    let pid = sight.pid?;
    let own = sight.root.link("/proc/self/ns/net").ok()?;
    let its = sight.root.link(&format!("/proc/{pid}/ns/net")).ok()?;
    (own != its).then(|| {
        Diagnosis::new("node", Severity::Risk, "it lives in another network namespace: what is said of the network here is not said of it")
            .todo(format!("nsenter --net --target {pid} tuning doctor ..."))
    })
}

fn whole(number: f64) -> String {
    // Counters are whole and far below 2^53.
    grouped(number.max(0.0) as u64)
}

fn grown(before: &Metrics, after: &Metrics, name: &str) -> f64 {
    (after.sum(name).unwrap_or(0.0) - before.sum(name).unwrap_or(0.0)).max(0.0)
}

fn presence(after: &Metrics) -> Diagnosis {
    let sum = |name: &str| whole(after.sum(name).unwrap_or(0.0));
    let says = format!(
        "{} sessions on {} connections, {} shards",
        sum("sessions"),
        sum("connections"),
        after.each("sessions").len()
    );
    if after.sum("draining").unwrap_or(0.0) > 0.0 {
        return Diagnosis::new("node", Severity::Note, format!("it is draining; {says}"));
    }
    Diagnosis::ok("node", says)
}

fn millis(seconds: f64) -> String {
    if seconds.is_finite() {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        "more than any bound".to_owned()
    }
}

/// How late the loops are, and the machine's part in it.
fn lag(sight: &Sight<'_>, before: &Metrics, after: &Metrics) -> Diagnosis {
    const ABOUT: &str = "node's loop";
    let quantile = |name: &str| after.quantile_since(before, name, 0.99);
    let Some(turn) = quantile("turn_seconds") else {
        return Diagnosis::ok(ABOUT, "it had nothing to do while watched");
    };
    let lag = quantile("loop_lag_seconds");
    let late = lag.map_or_else(
        || "no deadline fell due".to_owned(),
        |lag| format!("late for its deadlines by {} (p99)", millis(lag)),
    );
    let says = format!("turns of {} (p99), {late}", millis(turn));
    let is_late = lag.is_some_and(|lag| lag > 0.02) || turn > 0.02;
    if !is_late {
        return Diagnosis::ok(ABOUT, says);
    }
    // What of the machine explains it, the surest first.
    let (stolen, waited) =
        (host::stolen(sight), host::stalled(sight, "cpu", "some").unwrap_or(0.0));
    let waiting = sight.threads().iter().map(|(.., waited)| *waited).fold(0.0, f64::max);
    let why = if stolen > 0.02 {
        format!("the host took {:.1} % of the time: nothing to be done here", stolen * 100.0)
    } else if waiting > 0.05 {
        format!(
            "a thread of it waited {:.0} % of the time for a processor that others had: pin it apart (--cpus), or take them away",
            waiting * 100.0
        )
    } else if waited > 0.20 {
        "the processors are wanted by more than they can serve (cpu pressure above)".to_owned()
    } else {
        "nothing of the machine explains it: the turns themselves are long; fewer connections for each shard, or more shards".to_owned()
    };
    Diagnosis::new(ABOUT, Severity::Limit, says).todo(why)
}

/// Counters of what the node refuses, closes or puts off: name, what it means, what to do.
const BOUNDS: [(&str, &str, &str); 11] = [
    (
        "shed_total",
        "connections were refused: the node is full",
        "raise --connections, or add a node",
    ),
    (
        "accept_errors_total",
        "accepts failed",
        "descriptors or memory: tuning explain limits.nofile, and the node's log has the error",
    ),
    (
        "accept_pauses_total",
        "times accepting was paused for want of a descriptor",
        "tuning explain limits.nofile; with --io uring: tuning explain uring.direct_table",
    ),
    ("busy_total", "messages were answered `busy`", "the store is behind: see the store below"),
    (
        "slow_closed_total",
        "slow readers were closed",
        "their networks are slow, or one room is too loud for them",
    ),
    (
        "queue_budget_hits_total",
        "times a shard's memory for queues was used up",
        "more shards, or fewer slow readers",
    ),
    (
        "mail_credit_hits_total",
        "times one shard had to wait for another",
        "a shard is full: see the shards below",
    ),
    (
        "enobufs_total",
        "receives found no buffer",
        "the shard takes bytes more slowly than they come: see the shards below",
    ),
    (
        "kernel_busy_total",
        "times the kernel had no room for completions",
        "a burst beyond the completion queue: more shards",
    ),
    (
        "dropped_frames_total",
        "frames were dropped with the connections that were closed",
        "see slow readers",
    ),
    (
        "login_timeouts_total",
        "connections did not log in in time",
        "clients that hang, or a gateway that is too slow",
    ),
];

/// What the node refused, closed or put off because a bound was reached.
fn refusals(before: &Metrics, after: &Metrics) -> Vec<Diagnosis> {
    let mut all = Vec::new();
    for (name, what, advice) in BOUNDS {
        let count = grown(before, after, name);
        if count > 0.0 {
            let about = name.strip_suffix("_total").unwrap_or(name);
            all.push(
                Diagnosis::new(about, Severity::Limit, format!("{} {what}", whole(count)))
                    .todo(advice),
            );
        }
    }
    if all.is_empty() {
        all.push(Diagnosis::ok(
            "node's bounds",
            "nothing was refused, closed or put off while watched",
        ));
    }
    all
}

fn store(before: &Metrics, after: &Metrics) -> Diagnosis {
    const ABOUT: &str = "store";
    let is_failing = after.sum("store_failing").unwrap_or(0.0) > 0.0;
    let is_stalled = after.sum("store_stalled").unwrap_or(0.0) > 0.0;
    let Some(commit) = after.quantile_since(before, "store_commit_seconds", 0.99) else {
        if is_failing {
            return Diagnosis::new(ABOUT, Severity::Limit, "it cannot write")
                .todo("is its disk full? /healthz and the log say more");
        }
        return Diagnosis::ok(ABOUT, "nothing was committed while watched");
    };
    let says = format!(
        "commits take {} (p99), {} of them, {} messages",
        millis(commit),
        whole(grown(before, after, "store_commits_total")),
        whole(grown(before, after, "store_appended_total"))
    );
    if is_failing || is_stalled {
        return Diagnosis::new(ABOUT, Severity::Limit, format!("it is behind: {says}"))
            .todo("a faster disk, or --durability relaxed; disk pressure above tells whether others use it");
    }
    if commit > 0.1 {
        return Diagnosis::new(ABOUT, Severity::Risk, says)
            .todo("acknowledgements wait for it: a faster disk, or --durability relaxed");
    }
    Diagnosis::ok(ABOUT, says)
}

/// The process's descriptors against its limit, with the way out that needs no privilege.
fn descriptors(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "node's descriptors";
    let pid = sight.pid.unwrap_or_default();
    let limits = sight.root.read(&format!("/proc/{pid}/limits"));
    let limit = limits.as_ref().ok().and_then(|text| limit_in(text, "Max open files"));
    let Some((soft, hard)) = limit else {
        let why =
            limits.err().map_or_else(|| "in no known form".to_owned(), |error| error.to_string());
        return Diagnosis::new(ABOUT, Severity::Unknown, format!("/proc/{pid}/limits: {why}"))
            .todo("ask as root, or as the node's user");
    };
    let used = match sight.root.list(&format!("/proc/{pid}/fd")) {
        Ok(names) => names.len() as u64,
        Err(error) => {
            return Diagnosis::new(ABOUT, Severity::Unknown, format!("/proc/{pid}/fd: {error}"))
                .todo("ask as root, or as the node's user");
        }
    };
    let tables = sight
        .node()
        .and_then(Result::ok)
        .map(|(_, after)| after.each("open_descriptors"))
        .unwrap_or_default();
    let fullest = tables.into_iter().fold(0.0, f64::max) as u64;
    let mut says = format!(
        "{} of {} (hard {})",
        grouped(used),
        shown_limit(soft, grouped),
        shown_limit(hard, grouped)
    );
    if fullest > 0 {
        says += &format!(
            "; the fullest ring's table has {} of the same bound, each ring for itself",
            grouped(fullest)
        );
    }
    let is_near =
        |count: u64| u128::from(count) * 100 > u128::from(soft) * u128::from(NEAR_PERCENT);
    if is_near(used) {
        let severity =
            if used.saturating_add(8) >= soft { Severity::Limit } else { Severity::Risk };
        return Diagnosis::new(ABOUT, severity, says)
            .todo("--io uring keeps connections in the rings' own tables: they take no descriptor of the process")
            .todo(format!("or LimitNOFILE= above {} in its unit: tuning explain limits.nofile", grouped(soft)));
    }
    if is_near(fullest) {
        return Diagnosis::new(ABOUT, Severity::Risk, says).todo(
            "more shards: each ring has a table of its own (tuning explain uring.direct_table)",
        );
    }
    Diagnosis::ok(ABOUT, says)
}

/// How full the node's threads are.
fn shards(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "node's threads";
    let threads = sight.threads();
    let Some((name, ran, _)) = threads.iter().max_by(|one, other| one.1.total_cmp(&other.1)) else {
        return Diagnosis::new(
            ABOUT,
            Severity::Unknown,
            "their times cannot be read: ask as root, or as the node's user",
        );
    };
    let (late, _, waited) =
        threads.iter().max_by(|one, other| one.2.total_cmp(&other.2)).unwrap_or(&("", 0.0, 0.0));
    let says = format!(
        "{name} ran {:.0} % of the time; {late} waited {:.0} % of it for a processor",
        ran * 100.0,
        waited * 100.0
    );
    if *ran > 0.9 {
        return Diagnosis::new(ABOUT, Severity::Limit, says).todo(
            "that thread is full: more shards if there are processors for them, else another node",
        );
    }
    if *waited > 0.10 {
        return Diagnosis::new(ABOUT, Severity::Limit, says)
            .todo("others have its processor: pin it apart (--cpus), or take them away");
    }
    Diagnosis::ok(ABOUT, says)
}
