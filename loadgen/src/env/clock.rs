//! The clock that every latency is read from, and what reading it costs.

use std::time::{Duration, Instant};

use super::{Environment, text};

const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// Reads per round: enough that the two outer reads do not count.
const READS: u32 = 10_000;
/// The least of several rounds, since another process may interrupt any one of them.
const ROUNDS: usize = 5;

/// What is known of the clock.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockCost {
    /// The kernel's clock source, when it says so.
    pub source: Option<String>,
    /// What one reading costs.
    pub read: Duration,
}

/// Measures what a reading of the clock costs.
#[must_use]
pub fn clock_cost() -> ClockCost {
    let round = || {
        let start = Instant::now();
        (0..READS).for_each(|_| {
            std::hint::black_box(Instant::now());
        });
        start.elapsed() / READS
    };
    let read = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
    ClockCost { source: text(CLOCKSOURCE).ok(), read }
}

pub(super) fn read(environment: &mut Environment) {
    environment.record("clock.source", text(CLOCKSOURCE));
    environment.set("now.clock_read_ns", clock_cost().read.as_nanos() as u64);
}
