//! The engine's time: nanoseconds after the start of the run, and what its thread cost. The only file that reads a clock.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock, counted from the start of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Nanoseconds after the start of the run.
    pub(super) fn now_ns(self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What this thread has cost up to a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ThreadCost {
    /// Processor time.
    pub(super) cpu: Duration,
    /// Time spent runnable, waiting for a processor; zero where the kernel does not tell.
    pub(super) runqueue: Duration,
}

impl ThreadCost {
    /// Reads the calling thread's.
    pub(super) fn now() -> Self {
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        let cpu = Duration::new(
            u64::try_from(spent.tv_sec).unwrap_or(0),
            u32::try_from(spent.tv_nsec).unwrap_or(0),
        );
        let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let waited = schedstat.split_whitespace().nth(1).and_then(|field| field.parse().ok());
        Self { cpu, runqueue: Duration::from_nanos(waited.unwrap_or(0)) }
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            runqueue: self.runqueue.saturating_sub(earlier.runqueue),
        }
    }
}
