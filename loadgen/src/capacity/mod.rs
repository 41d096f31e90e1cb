//! What holding connections costs: memory on both sides and in the kernel, processor time in silence, the way up and the
//! way down.
//!
//! Owns the readings at the phase changes of a run and the figures that are made of them. The engine's own part (ramp,
//! heartbeats, goodbyes) comes in with the outcome.

mod figures;
mod kernel;

use std::time::{Duration, Instant};

pub use figures::{BeatFigures, CapacityFigures, IdleFigures, MemoryFigures, TeardownFigures};
pub use kernel::KernelMemory;

use crate::env::{process_rss_bytes, process_seconds};
use crate::plan::Phase;

/// How long the kernel may take to give memory back after the last goodbye: it remembers ended connections for a minute.
const BACK_MAX: Duration = Duration::from_secs(75);
/// How often it is looked at meanwhile.
const BACK_LOOK: Duration = Duration::from_millis(250);
/// What has to have grown for its return to be waited for: less says nothing on a machine where others work too.
const BACK_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// What may be left of what the kernel's memory grew by. A share of what it was before would be mostly about the caches of
/// files, which other processes fill meanwhile; it is reported beside.
pub(crate) const BACK_SHARE_MAX: f64 = 0.05;

/// Both processes and the kernel at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) at: Instant,
    pub(crate) kernel: Result<KernelMemory, String>,
    pub(crate) generator: Process,
    pub(crate) node: Option<Process>,
}

/// One process at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) rss_bytes: Result<u64, String>,
    pub(crate) cpu_s: Result<f64, String>,
}

impl Process {
    fn read(pid: u32) -> Self {
        Self { rss_bytes: process_rss_bytes(pid), cpu_s: process_seconds(pid) }
    }
}

/// The marks of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) before: Option<Mark>,
    pub(crate) idle: Option<(Mark, Option<Mark>)>,
    pub(crate) full: Option<Mark>,
    pub(crate) closing: Option<Instant>,
    pub(crate) closed: Option<Mark>,
    pub(crate) after: Option<Mark>,
    /// From the first logout until the kernel had its memory back.
    pub(crate) back: Option<Duration>,
}

/// Watches a run's phases.
#[derive(Debug)]
pub struct CapacityWatch {
    node: Option<u32>,
    marks: Marks,
}

impl CapacityWatch {
    /// Reads what there is before the first connection. `node` is the node's process, if it is here.
    #[must_use]
    pub fn new(node: Option<u32>) -> Self {
        let mut watch = Self { node, marks: Marks::default() };
        watch.marks.before = Some(watch.mark());
        watch
    }

    fn mark(&self) -> Mark {
        Mark {
            at: Instant::now(),
            kernel: KernelMemory::read(),
            generator: Process::read(std::process::id()),
            node: self.node.map(Process::read),
        }
    }

    /// The run goes from one phase to the next.
    pub fn enter(&mut self, from: Phase, to: Phase) {
        if from == Phase::Idle
            && let Some((_, end)) = &self.marks.idle
            && end.is_none()
        {
            let end = self.mark();
            if let Some(idle) = &mut self.marks.idle {
                idle.1 = Some(end);
            }
        }
        if to == Phase::Idle {
            self.marks.idle = Some((self.mark(), None));
        }
        if from == Phase::Measured {
            self.marks.full = Some(self.mark());
        }
        if to == Phase::Close {
            self.marks.closing = Some(Instant::now());
        }
    }

    /// The engine has ended: waits until the kernel has its memory back, as far as that is worth waiting for, and gives
    /// what was found.
    pub(crate) fn finish(mut self, is_interrupted: bool) -> Marks {
        let closed = self.mark();
        let goal = self.goal_bytes().filter(|_| !is_interrupted);
        let mut now = closed.clone();
        self.marks.closed = Some(closed);
        if let Some((goal, closing)) = goal.zip(self.marks.closing) {
            let closed = Instant::now();
            loop {
                let is_back = now.kernel.as_ref().is_ok_and(|kernel| kernel.total_bytes() <= goal);
                if is_back {
                    self.marks.back = Some(now.at.duration_since(closing));
                }
                if is_back || closed.elapsed() > BACK_MAX {
                    break;
                }
                std::thread::sleep(BACK_LOOK);
                now = self.mark();
            }
        }
        self.marks.after = Some(now);
        self.marks
    }

    /// What the kernel's memory should fall to; `None` if it never rose by much.
    fn goal_bytes(&self) -> Option<u64> {
        let of = |mark: &Option<Mark>| Some(mark.as_ref()?.kernel.as_ref().ok()?.total_bytes());
        let (before, full) = (of(&self.marks.before)?, of(&self.marks.full)?);
        let grown = full.saturating_sub(before);
        let may_stay = (grown as f64 * BACK_SHARE_MAX) as u64;
        (grown >= BACK_BYTES_MIN).then_some(before + may_stay)
    }
}
