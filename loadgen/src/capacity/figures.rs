//! The figures that are made of a run's marks and its outcome, as `run.json` gives them. A missing source leaves a figure
//! missing, never zero.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kernel::KernelMemory;
use super::{Mark, Marks, Process};
use crate::outcome::{Beats, Outcome};
use crate::report::percentile;

/// Slab caches that the report names.
const CACHES_SHOWN: usize = 12;

/// Everything that is said about holding connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CapacityFigures {
    /// Memory.
    pub memory: MemoryFigures,
    /// Heartbeats.
    pub heartbeats: BeatFigures,
    /// The silence before the load, if there was one.
    pub idle: Option<IdleFigures>,
    /// The way down.
    pub teardown: TeardownFigures,
}

/// Memory before the first connection, when all were held, and afterwards.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryFigures {
    /// The kernel's before the first connection.
    pub kernel_before: Option<KernelMemory>,
    /// The kernel's at the end of the hold.
    pub kernel_full: Option<KernelMemory>,
    /// The kernel's after the run.
    pub kernel_after: Option<KernelMemory>,
    /// What the kernel's grew by for each connection held; both ends, if the node is on this machine.
    pub kernel_per_connection_bytes: Option<f64>,
    /// Of that, by slab cache; needs root.
    pub kernel_caches_per_connection_bytes: BTreeMap<String, f64>,
    /// The generator's resident memory before the first connection.
    pub generator_rss_start_bytes: Option<f64>,
    /// What it grew by for each connection held.
    pub generator_rss_per_connection_bytes: Option<f64>,
    /// All of it for each connection held.
    pub generator_rss_total_per_connection_bytes: Option<f64>,
    /// All of the node's resident memory, its start included, for each connection held.
    pub node_rss_total_per_connection_bytes: Option<f64>,
}

/// Heartbeats.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BeatFigures {
    /// The shortest interval that a welcome told.
    pub interval_min_ms: Option<u32>,
    /// The longest.
    pub interval_max_ms: Option<u32>,
    /// Answered of those that were due when everybody was there.
    pub answered: u64,
    /// Answered late or not at all when the logouts began.
    pub unanswered: u64,
    /// Half of them were answered within this time of being due.
    pub p50_us: Option<f64>,
    /// Of a hundred, 99.
    pub p99_us: Option<f64>,
    /// Of a thousand, 999.
    pub p999_us: Option<f64>,
    /// The latest.
    pub max_us: Option<f64>,
    /// The latest of those that were due during the ramp.
    pub ramp_max_us: Option<f64>,
    /// Sessions that either side gave up for their silence, although nobody was silent.
    pub expired: u64,
}

/// What silence costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct IdleFigures {
    /// How long it lasted.
    pub seconds: f64,
    /// Heartbeats per second meanwhile.
    pub heartbeats_per_s: f64,
    /// Processors that the node used.
    pub node_cpu_share: Option<f64>,
    /// Processors that the generator used.
    pub generator_cpu_share: Option<f64>,
    /// Processor time of the node for each heartbeat.
    pub node_cpu_us_per_heartbeat: Option<f64>,
}

/// The way down.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TeardownFigures {
    /// From the first logout to the last goodbye.
    pub goodbyes_s: f64,
    /// From the first logout until the engine had closed everything.
    pub closed_s: Option<f64>,
    /// From the first logout until 95 % of what the kernel's memory had grown by were back; missing if that never came, or
    /// it never grew by much.
    pub kernel_back_s: Option<f64>,
    /// What the kernel's memory was above its beginning at last, as a share of that; below zero if it was less.
    pub kernel_residue: Option<f64>,
    /// The same as a share of what it had grown by.
    pub kernel_residue_of_growth: Option<f64>,
    /// The slab caches that were above their beginning at last by a megabyte and more, with how much: which of them are
    /// connections', and which are files' of other processes. Needs root.
    pub kernel_residue_caches_bytes: BTreeMap<String, u64>,
}

impl CapacityFigures {
    pub(crate) fn new(marks: &Marks, outcome: &Outcome) -> Self {
        Self {
            memory: memory(marks, outcome),
            heartbeats: heartbeats(&outcome.beats, outcome),
            idle: idle(marks, outcome),
            teardown: teardown(marks, outcome),
        }
    }

    /// The figures that objectives can name; all missing if there are none.
    pub(crate) fn named(found: Option<&Self>) -> [(&'static str, Option<f64>); 13] {
        let memory = |of: fn(&MemoryFigures) -> Option<f64>| found.and_then(|f| of(&f.memory));
        let beats = |of: fn(&BeatFigures) -> Option<f64>| found.and_then(|f| of(&f.heartbeats));
        let idle = |of: fn(&IdleFigures) -> Option<f64>| found.and_then(|f| of(f.idle.as_ref()?));
        let down = |of: fn(&TeardownFigures) -> Option<f64>| found.and_then(|f| of(&f.teardown));
        [
            (
                "node_rss_total_per_connection_bytes",
                memory(|m| m.node_rss_total_per_connection_bytes),
            ),
            (
                "generator_rss_per_connection_bytes",
                memory(|m| m.generator_rss_per_connection_bytes),
            ),
            (
                "generator_rss_total_per_connection_bytes",
                memory(|m| m.generator_rss_total_per_connection_bytes),
            ),
            ("kernel_per_connection_bytes", memory(|m| m.kernel_per_connection_bytes)),
            ("heartbeat_p999", beats(|b| b.p999_us)),
            ("heartbeat_max", beats(|b| b.max_us)),
            ("expired", beats(|b| Some(b.expired as f64))),
            ("idle_node_cpu", idle(|i| i.node_cpu_share)),
            ("idle_generator_cpu", idle(|i| i.generator_cpu_share)),
            ("teardown_s", down(|t| t.closed_s)),
            ("kernel_back_s", down(|t| t.kernel_back_s)),
            ("kernel_residue", down(|t| t.kernel_residue)),
            ("kernel_residue_of_growth", down(|t| t.kernel_residue_of_growth)),
        ]
    }
}

fn kernel(mark: &Option<Mark>) -> Option<&KernelMemory> {
    mark.as_ref()?.kernel.as_ref().ok()
}

fn rss(process: Option<&Process>) -> Option<f64> {
    process?.rss_bytes.as_ref().ok().map(|bytes| *bytes as f64)
}

fn memory(marks: &Marks, outcome: &Outcome) -> MemoryFigures {
    let held = (outcome.established > 0).then(|| f64::from(outcome.established));
    let each = |bytes: Option<f64>| Some(bytes? / held?);
    let (before, full) = (kernel(&marks.before), kernel(&marks.full));
    let grown = before.zip(full);
    let caches = grown.map(|(before, full)| before.grown_caches(full, CACHES_SHOWN));
    let caches = caches.unwrap_or_default().into_iter();
    let generator = |mark: &Option<Mark>| rss(mark.as_ref().map(|mark| &mark.generator));
    let (start, end) = (generator(&marks.before), generator(&marks.full));
    let node = marks.full.as_ref().and_then(|mark| mark.node.as_ref());
    MemoryFigures {
        kernel_before: before.cloned(),
        kernel_full: full.cloned(),
        kernel_after: kernel(&marks.after).cloned(),
        kernel_per_connection_bytes: each(
            grown.map(|(before, full)| {
                full.total_bytes().saturating_sub(before.total_bytes()) as f64
            }),
        ),
        kernel_caches_per_connection_bytes: caches
            .filter_map(|(name, bytes)| Some((name, each(Some(bytes as f64))?)))
            .collect(),
        generator_rss_start_bytes: start,
        generator_rss_per_connection_bytes: each(
            start.zip(end).map(|(start, end)| (end - start).max(0.0)),
        ),
        generator_rss_total_per_connection_bytes: each(end),
        node_rss_total_per_connection_bytes: each(rss(node)),
    }
}

fn heartbeats(beats: &Beats, outcome: &Outcome) -> BeatFigures {
    let times = beats.punctuality.as_ref();
    let at = |p: f64| times.and_then(|times| percentile::percentile(times, p).value_us);
    let expired = ["silent for the heartbeat timeout", "goodbye: expired"];
    BeatFigures {
        interval_min_ms: beats.interval_ms.map(|(least, _)| least),
        interval_max_ms: beats.interval_ms.map(|(_, most)| most),
        answered: times.map_or(0, hdrhistogram::Histogram::len) - beats.unanswered,
        unanswered: beats.unanswered,
        p50_us: at(50.0),
        p99_us: at(99.0),
        p999_us: at(99.9),
        max_us: times.and_then(percentile::max_us),
        ramp_max_us: beats.ramp_punctuality.as_ref().and_then(percentile::max_us),
        expired: expired.iter().filter_map(|reason| outcome.disconnects.get(*reason)).sum(),
    }
}

fn idle(marks: &Marks, outcome: &Outcome) -> Option<IdleFigures> {
    let (start, end) = marks.idle.as_ref()?;
    let (end, cost) = (end.as_ref()?, outcome.idle?);
    let seconds = end.at.duration_since(start.at).as_secs_f64();
    let heartbeats_per_s = cost.heartbeats as f64 / cost.length.as_secs_f64();
    let share = |start: Option<&Process>, end: Option<&Process>| {
        let (start, end) = (start?.cpu_s.as_ref().ok()?, end?.cpu_s.as_ref().ok()?);
        (seconds > 0.0).then(|| (end - start) / seconds)
    };
    let node_cpu_share = share(start.node.as_ref(), end.node.as_ref());
    Some(IdleFigures {
        seconds,
        heartbeats_per_s,
        node_cpu_share,
        generator_cpu_share: share(Some(&start.generator), Some(&end.generator)),
        node_cpu_us_per_heartbeat: node_cpu_share
            .filter(|_| heartbeats_per_s > 0.0)
            .map(|share| share * 1e6 / heartbeats_per_s),
    })
}

fn teardown(marks: &Marks, outcome: &Outcome) -> TeardownFigures {
    let closed = marks.closing.zip(marks.closed.as_ref());
    let total = |mark: &Option<Mark>| kernel(mark).map(|kernel| kernel.total_bytes() as f64);
    let (before, full, after) = (total(&marks.before), total(&marks.full), total(&marks.after));
    let left = before.zip(after).map(|(before, after)| after - before);
    let grown = before.zip(full).map(|(before, full)| full - before).filter(|grown| *grown > 0.0);
    TeardownFigures {
        goodbyes_s: outcome.closing.as_secs_f64(),
        closed_s: closed.map(|(start, mark)| mark.at.duration_since(start).as_secs_f64()),
        kernel_back_s: marks.back.map(|back| back.as_secs_f64()),
        kernel_residue: left.zip(before).map(|(left, before)| left / before),
        kernel_residue_of_growth: left.zip(grown).map(|(left, grown)| left / grown),
        kernel_residue_caches_bytes: kernel(&marks.before)
            .zip(kernel(&marks.after))
            .map(|(before, after)| before.grown_caches(after, CACHES_SHOWN))
            .unwrap_or_default()
            .into_iter()
            .filter(|(_, bytes)| *bytes >= 1 << 20)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::outcome::IdleCost;
    use crate::sample;

    fn mark(at: Instant, slab_bytes: u64, rss: u64, cpu_s: f64) -> Mark {
        let process = Process { rss_bytes: Ok(rss), cpu_s: Ok(cpu_s) };
        let kernel = KernelMemory { slab_bytes, ..KernelMemory::default() };
        Mark { at, kernel: Ok(kernel), generator: process.clone(), node: Some(process) }
    }

    #[test]
    fn a_run_of_a_thousand_connections_adds_up() {
        let start = Instant::now();
        let later = |s| start + Duration::from_secs(s);
        let marks = Marks {
            before: Some(mark(start, 1_000_000, 100_000, 0.0)),
            idle: Some((mark(later(10), 0, 0, 1.0), Some(mark(later(70), 0, 0, 7.0)))),
            full: Some(mark(later(80), 9_000_000, 400_000, 9.0)),
            closing: Some(later(80)),
            closed: Some(mark(later(83), 0, 0, 9.5)),
            after: Some(mark(later(90), 1_040_000, 0, 9.5)),
            back: Some(Duration::from_secs(10)),
        };
        let outcome = sample::outcome(|outcome| {
            outcome.established = 1_000;
            outcome.idle = Some(IdleCost {
                length: Duration::from_secs(60),
                cpu: Duration::from_secs(6),
                heartbeats: 6_000,
            });
            outcome.disconnects.insert("goodbye: expired".into(), 2);
        });
        let found = CapacityFigures::new(&marks, &outcome);
        assert_eq!(found.memory.kernel_per_connection_bytes, Some(8_000.0));
        assert_eq!(found.memory.generator_rss_per_connection_bytes, Some(300.0));
        assert_eq!(found.memory.node_rss_total_per_connection_bytes, Some(400.0));
        let idle = found.idle.unwrap();
        assert_eq!((idle.seconds, idle.heartbeats_per_s), (60.0, 100.0));
        assert!((idle.node_cpu_share.unwrap() - 0.1).abs() < 1e-9);
        assert!((idle.node_cpu_us_per_heartbeat.unwrap() - 1_000.0).abs() < 1e-6);
        assert_eq!(found.teardown.closed_s, Some(3.0));
        assert!((found.teardown.kernel_residue.unwrap() - 0.04).abs() < 1e-9);
        assert!((found.teardown.kernel_residue_of_growth.unwrap() - 0.005).abs() < 1e-9);
        assert_eq!(found.heartbeats.expired, 2);
    }

    #[test]
    fn what_was_not_read_is_missing_and_not_zero() {
        let found = CapacityFigures::new(&Marks::default(), &sample::outcome(|_| {}));
        assert_eq!(found.memory, MemoryFigures::default());
        assert_eq!((found.idle, found.teardown.kernel_back_s), (None, None));
        assert_eq!(found.heartbeats.p999_us, None);
    }
}
