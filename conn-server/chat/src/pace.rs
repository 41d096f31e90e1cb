//! How often sessions should send a heartbeat: as configured, and less often when there are very many.
//!
//! An interval is told at login and kept until the next one, so those who came to an empty node go on as they began; what
//! follows is at most `budget * (1 + ln(sessions / sessions at the configured interval))` heartbeats per second. The
//! timeout grows with the interval. No session remembers what it was told: all are given the patience of the longest
//! timeout that was told, so nobody expires too early, and who is dead may be found out later than it could be.

use core::time::Duration;

use crate::config::Config;
use crate::limits::HEARTBEAT_INTERVAL_MS_MAX;
use crate::timers::ticks_in;

/// What one login is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) interval_ms: u32,
    pub(crate) timeout_ms: u32,
}

/// One shard's share of the node's heartbeats.
#[derive(Debug)]
pub(crate) struct Pace {
    configured: Told,
    /// Heartbeats in a thousand seconds that this shard takes: a small budget divided by many shards is below one.
    per_1000_s: u64,
    /// Ticks of silence after which a session expires.
    patience: u32,
}

impl Pace {
    pub(crate) fn new(config: &Config) -> Self {
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        let configured = Told {
            interval_ms: millis(config.heartbeat_interval),
            timeout_ms: millis(config.heartbeat_timeout),
        };
        let shards = u64::from(config.shards.max(1));
        Self {
            configured,
            per_1000_s: (u64::from(config.heartbeats_per_s_max) * 1000 / shards).max(1),
            patience: ticks_in(config.heartbeat_timeout),
        }
    }

    /// By other settings from now on. Who was told a longer timeout is given it.
    pub(crate) fn change(&mut self, config: &Config) {
        let patience = self.patience;
        *self = Self::new(config);
        self.patience = self.patience.max(patience);
    }

    /// What a login is told that makes the shard's sessions `sessions`.
    pub(crate) fn tell(&mut self, sessions: u64) -> Told {
        let told = self.at(sessions);
        let patience = ticks_in(Duration::from_millis(told.timeout_ms.into()));
        // The only session is the only one that was told anything.
        self.patience = if sessions <= 1 { patience } else { self.patience.max(patience) };
        told
    }

    /// How many ticks a session may be silent.
    pub(crate) const fn patience(&self) -> u32 {
        self.patience
    }

    fn at(&self, sessions: u64) -> Told {
        let Told { interval_ms, timeout_ms } = self.configured;
        let crowded_ms = sessions.saturating_mul(1_000_000).div_ceil(self.per_1000_s);
        let most_ms = HEARTBEAT_INTERVAL_MS_MAX.max(interval_ms);
        let scaled_ms = u32::try_from(crowded_ms).unwrap_or(most_ms).clamp(interval_ms, most_ms);
        let timeout = u64::from(timeout_ms) * u64::from(scaled_ms) / u64::from(interval_ms.max(1));
        Told { interval_ms: scaled_ms, timeout_ms: u32::try_from(timeout).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_s: u64, shards: u64) -> Pace {
        let configured = Told { interval_ms: 30_000, timeout_ms: 90_000 };
        Pace { configured, per_1000_s: (per_s * 1000 / shards).max(1), patience: 0 }
    }

    fn told(interval_ms: u32, timeout_ms: u32) -> Told {
        Told { interval_ms, timeout_ms }
    }

    #[test]
    fn two_million_sessions_on_fifty_shards_beat_every_minute() {
        let pace = pace(33_334, 50);
        assert_eq!(pace.at(1), told(30_000, 90_000));
        assert_eq!(pace.at(20_000), told(30_000, 90_000));
        let Told { interval_ms, timeout_ms } = pace.at(40_000);
        assert!((59_900..=60_100).contains(&interval_ms), "{interval_ms}");
        assert_eq!(timeout_ms, interval_ms * 3);
    }

    #[test]
    fn the_interval_has_a_bound_that_a_configured_one_may_exceed() {
        assert_eq!(pace(1, 1).at(u64::MAX), told(300_000, 900_000));
        let patient = Told { interval_ms: 600_000, timeout_ms: 700_000 };
        let pace = Pace { configured: patient, ..pace(1, 1) };
        assert_eq!(pace.at(u64::MAX), patient);
    }

    #[test]
    fn patience_is_that_of_the_longest_timeout_until_everybody_has_gone() {
        let mut pace = pace(1, 1);
        pace.tell(1);
        let short = pace.patience();
        pace.tell(60);
        assert_eq!(pace.patience(), short * 2);
        pace.tell(2);
        assert_eq!(pace.patience(), short * 2);
        pace.tell(1);
        assert_eq!(pace.patience(), short);
    }
}
