//! The time of the readiness engine, what its thread cost, and where the thread runs. The only file that reads a clock.

use std::io;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The monotonic clock, counted from the start of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    zero_ns: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { zero_ns: whole_ns(clock_gettime(ClockId::Monotonic)) }
    }

    /// Nanoseconds after the start of the run.
    pub(super) fn now_ns(self) -> u64 {
        whole_ns(clock_gettime(ClockId::Monotonic)).saturating_sub(self.zero_ns)
    }
}

/// A clock's reading; clocks of this kind are never below zero and reach 584 years.
fn whole_ns(at: Timespec) -> u64 {
    let (seconds, rest) = (u64::try_from(at.tv_sec), u64::try_from(at.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(rest.unwrap_or(0))
}

/// Nanoseconds of a plan's duration, small enough to be added to any time of a run.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX / 4)
}

/// What the calling thread has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// Processor time, in nanoseconds.
    pub(super) cpu_ns: u64,
    /// Time spent runnable, waiting for a processor, in nanoseconds; zero where the kernel does not tell.
    pub(super) queued_ns: u64,
}

impl Used {
    pub(super) fn now() -> Self {
        // The kernel's line: time run, time waited, times run.
        let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let queued = line.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok());
        Self {
            cpu_ns: whole_ns(clock_gettime(ClockId::ThreadCPUTime)),
            queued_ns: queued.unwrap_or(0),
        }
    }

    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            queued_ns: self.queued_ns.saturating_sub(before.queued_ns),
        }
    }
}

/// Keeps the calling thread on one processor while it lives.
pub(super) struct OnCpu {
    before: Option<CpuSet>,
}

impl OnCpu {
    /// Pins the thread to `cpu`, or leaves it where it is.
    pub(super) fn new(cpu: Option<usize>) -> io::Result<Self> {
        let Some(cpu) = cpu else { return Ok(Self { before: None }) };
        let allowed = sched_getaffinity(None)?;
        if cpu >= CpuSet::MAX_CPU || !allowed.is_set(cpu) {
            let why =
                format!("this process may not use processor {cpu}: see its affinity or cpuset");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one)?;
        Ok(Self { before: Some(allowed) })
    }
}

impl Drop for OnCpu {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = sched_setaffinity(None, before); // It was allowed before; nobody is there to be told otherwise.
        }
    }
}
