//! Pauses after failed attempts, so that what is down is not hammered.

use std::time::{Duration, Instant};

use crate::limits::{RETRY_PAUSE_MAX, RETRY_PAUSE_MIN};

/// Growing pauses between attempts. Pure: time is an argument.
#[derive(Debug, Default)]
pub struct Breaker {
    open_until: Option<Instant>,
    pause: Duration,
}

impl Breaker {
    /// Whether an attempt may be made.
    #[must_use]
    pub fn is_closed(&self, now: Instant) -> bool {
        self.open_until.is_none_or(|until| now >= until)
    }

    /// Whether the last attempt failed.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.open_until.is_some()
    }

    /// Notes how an attempt ended. Failures of attempts that were begun before the pause do not lengthen it: a hundred
    /// calls that fail together are one failure.
    pub fn note(&mut self, now: Instant, succeeded: bool) {
        if succeeded {
            *self = Self::default();
        } else if self.is_closed(now) {
            self.pause = (self.pause * 2).clamp(RETRY_PAUSE_MIN, RETRY_PAUSE_MAX);
            self.open_until = Some(now + self.pause);
        }
    }
}

/// A pause of roughly `span`, between half and all of it, so that many who wait do not come back at once.
#[must_use]
pub fn jittered(span: Duration) -> Duration {
    span.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_bound_and_a_success_ends_them() {
        let mut breaker = Breaker::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(breaker.is_closed(now));
            breaker.note(now, false);
            assert!(!breaker.is_closed(now));
            breaker.note(now, false);
            let until = breaker.open_until.unwrap();
            pauses.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        breaker.note(now, true);
        breaker.note(now, false);
        assert!(breaker.is_closed(now + RETRY_PAUSE_MIN));
    }
}
