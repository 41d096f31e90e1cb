//! Pairs: both variants do the same work in turn, and only their ratio is believed.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Args;
use crate::load::Load;
use crate::variant::{Subject, Variant};

/// What some work took.
#[derive(Clone, Copy, Default)]
struct Cost {
    cpu_ns: f64,
    wall_ns: f64,
    write_calls: f64,
    write_bytes: f64,
}

/// One variant with its file and its messages.
struct Side {
    variant: Variant,
    subject: Box<dyn Subject>,
    load: Load,
    costs: Vec<Cost>,
    _directory: tempfile::TempDir,
}

impl Side {
    fn new(args: &Args, parent: &Path, variant: Variant, body: &[u8]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("append-")
            .tempdir_in(parent)
            .expect("a directory that can be written");
        let mut side = Self {
            variant,
            subject: variant.open(directory.path()),
            load: Load::new(args),
            costs: Vec::new(),
            _directory: directory,
        };
        let mut filled = 0;
        while filled < args.filled {
            side.subject.append(&side.load.next(5_000, args.expired), body);
            filled += 5_000;
        }
        side
    }

    fn work(&mut self, args: &Args, body: &[u8]) {
        let batches: Vec<_> =
            (0..args.batches).map(|_| self.load.next(args.batch, false)).collect();
        let (begin, calls) = (Instant::now(), thread_writes());
        let cpu = thread_cpu();
        for batch in &batches {
            self.subject.append(batch, body);
        }
        let (cpu, after) = (thread_cpu() - cpu, thread_writes());
        let count = (args.batch * args.batches) as f64;
        self.costs.push(Cost {
            cpu_ns: cpu.as_nanos() as f64 / count,
            wall_ns: begin.elapsed().as_nanos() as f64 / count,
            write_calls: (after.0 - calls.0) as f64 / count,
            write_bytes: (after.1 - calls.1) as f64 / count,
        });
    }

    fn row(&self, baseline: &Self) -> String {
        let mean =
            |of: fn(&Cost) -> f64| self.costs.iter().map(of).sum::<f64>() / self.costs.len() as f64;
        let ratios: Vec<f64> = self
            .costs
            .iter()
            .zip(&baseline.costs)
            .map(|(own, other)| own.cpu_ns / other.cpu_ns)
            .collect();
        let (low, ratio, high) = hodges_lehmann(&ratios);
        format!(
            "{:<28} {:>8.2} {:>8.2} {:>8.2} {:>8.0}   {ratio:>5.3} ({low:.3} to {high:.3})",
            self.variant.name,
            mean(|cost| cost.cpu_ns) / 1e3,
            mean(|cost| cost.wall_ns) / 1e3,
            mean(|cost| cost.write_calls),
            mean(|cost| cost.write_bytes),
        )
    }
}

/// What the columns are.
pub(crate) fn heading() -> String {
    format!(
        "{:<28} {:>8} {:>8} {:>8} {:>8}   CPU ratio (95 %)",
        "per message:", "CPU us", "wall us", "writes", "bytes"
    )
}

/// Measures two variants against one another and gives a row for each.
pub(crate) fn pair(
    args: &Args,
    parent: &Path,
    baseline: Variant,
    other: Variant,
) -> (String, String) {
    let body: Vec<u8> = (b'a'..=b'z').cycle().take(args.size).collect();
    let mut sides =
        [Side::new(args, parent, baseline, &body), Side::new(args, parent, other, &body)];
    for round in 0..args.pairs {
        for turn in 0..2 {
            sides[(round + turn) % 2].work(args, &body);
        }
    }
    (sides[0].row(&sides[0]), sides[1].row(&sides[0]))
}

/// The median of all pairwise means, with the 95 % interval of Wilcoxon's signed rank test.
fn hodges_lehmann(values: &[f64]) -> (f64, f64, f64) {
    let mut means: Vec<f64> = (0..values.len())
        .flat_map(|i| (i..values.len()).map(move |j| f64::midpoint(values[i], values[j])))
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let n = values.len() as f64;
    let total = means.len() as f64;
    let away = 1.96 * (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt();
    let at = |rank: f64| means[rank.clamp(0.0, total - 1.0) as usize];
    (at((total / 2.0 - away).floor()), at(total / 2.0), at((total / 2.0 + away).ceil()))
}

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Write calls and bytes of this thread so far; zeros where the kernel does not count them.
fn thread_writes() -> (u64, u64) {
    let page = std::fs::read_to_string("/proc/thread-self/io").unwrap_or_default();
    let field = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    };
    (field("syscw:"), field("wchar:"))
}
