//! How often something may be done: so often at once, and once more after each interval.
//!
//! Pure. What is remembered of a subject is one moment, so that it fits one key of any store: the moment at which it has
//! all of its burst back (the generic cell rate algorithm).

use std::time::{Duration, Instant};

use super::Wait;

/// A bound on how often something may be done by or to one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What it bounds, in metrics and keys.
    pub(crate) name: &'static str,
    burst: u32,
    interval: Duration,
}

impl Rate {
    /// `burst` at once, and one more after each `interval`.
    ///
    /// # Panics
    /// Neither may be zero: constants are checked when they are compiled.
    #[must_use]
    pub const fn new(name: &'static str, burst: u32, interval: Duration) -> Self {
        assert!(burst > 0 && !interval.is_zero());
        Self { name, burst, interval }
    }

    /// After how long one more may be done.
    pub(crate) const fn interval(&self) -> Duration {
        self.interval
    }

    /// How far ahead of now the moment may be at which a subject has all of its burst back, for one more to be done.
    pub(super) fn ahead_max(&self) -> Duration {
        self.interval * (self.burst - 1)
    }

    /// A subject's key.
    pub(crate) fn key(&self, subject: &str) -> String {
        format!("{}:{subject}", self.name)
    }

    /// Whether it may be done once more, for a subject that has all of its burst back at `full`.
    ///
    /// # Errors
    /// See [`Wait`].
    pub(super) fn check(&self, now: Instant, full: Instant) -> Result<(), Wait> {
        let ahead = full.saturating_duration_since(now);
        let allowed = self.ahead_max();
        if ahead <= allowed { Ok(()) } else { Err(Wait(ahead - allowed)) }
    }

    /// When a subject that does it now has all of its burst back.
    pub(super) fn after(&self, now: Instant, full: Instant) -> Instant {
        full.max(now) + self.interval
    }

    /// When it has it back if the last time did not count.
    pub(super) fn before(&self, full: Instant) -> Option<Instant> {
        full.checked_sub(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::new("test", 3, Duration::from_secs(10));

    #[test]
    fn a_burst_is_free_and_then_one_for_each_interval() {
        let start = Instant::now();
        let mut full = start;
        for _ in 0..3 {
            assert_eq!(RATE.check(start, full), Ok(()));
            full = RATE.after(start, full);
        }
        assert_eq!(RATE.check(start, full), Err(Wait(Duration::from_secs(10))));
        let later = start + Duration::from_secs(4);
        assert_eq!(RATE.check(later, full), Err(Wait(Duration::from_secs(6))));
        let later = start + Duration::from_secs(10);
        assert_eq!(RATE.check(later, full), Ok(()));
        full = RATE.after(later, full);
        assert_eq!(RATE.check(later, full), Err(Wait(Duration::from_secs(10))));
        let rested = start + Duration::from_secs(3600);
        assert_eq!(
            RATE.after(rested, full),
            rested + Duration::from_secs(10),
            "no more than a burst"
        );
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let start = Instant::now();
        let full = RATE.after(start, RATE.after(start, RATE.after(start, start)));
        assert!(RATE.check(start, full).is_err());
        assert_eq!(RATE.check(start, RATE.before(full).unwrap()), Ok(()));
    }
}
