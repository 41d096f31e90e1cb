//! The node's clocks: the only place that asks the system for the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chat::Now;

/// How often the wall clock is read again, in monotonic nanoseconds: it is only stored and shown, and a second read of
/// the system clock per turn would buy nothing.
const WALL_REFRESH_NS: u64 = 100_000_000;

/// A monotonic clock that starts at zero when the node starts, shared by all its threads.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Time since the start.
    #[must_use]
    pub fn mono(&self) -> chat::Instant {
        let elapsed = self.origin.elapsed().as_nanos();
        chat::Instant(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// A point of this clock on the system's own, for a runtime's timers.
    #[must_use]
    pub fn system(&self, at: chat::Instant) -> Instant {
        self.origin + Duration::from_nanos(at.0)
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// One shard's reading of the clocks: one system read per turn.
#[derive(Debug)]
pub(crate) struct TurnClock {
    clock: Clock,
    wall_at: u64,
    wall_ms: u64,
}

impl TurnClock {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, wall_at: clock.mono().0, wall_ms: unix_ms() }
    }

    /// Both clocks, now.
    pub(crate) fn now(&mut self) -> Now {
        let mono = self.clock.mono();
        let mut since = mono.0.saturating_sub(self.wall_at);
        if since > WALL_REFRESH_NS {
            self.wall_at = mono.0;
            self.wall_ms = unix_ms();
            since = 0;
        }
        Now { mono, unix_ms: self.wall_ms + since / 1_000_000 }
    }

    /// As [`Clock::system`].
    pub(crate) fn system(&self, at: chat::Instant) -> Instant {
        self.clock.system(at)
    }

    /// The monotonic clock alone.
    pub(crate) fn mono(&self) -> chat::Instant {
        self.clock.mono()
    }
}
