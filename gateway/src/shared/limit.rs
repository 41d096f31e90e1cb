//! Bounds that are not the usual ones: how they are written, and what counts now.

use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use balancer::config::span;

use super::Rate;
use crate::limits::RATES;

/// A bound as an operator says it: `NAME=COUNT/TIME`, so many at once and one more after each such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(Rate);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = || {
            let (name, rate) = text.split_once('=')?;
            let (count, time) = rate.split_once('/')?;
            Some((name.trim(), count.trim(), time.trim()))
        };
        let (name, count, time) = parts().ok_or_else(|| {
            format!("{text:?} is no limit: write it like codes_per_client=20/30s, so many at once and one more every 30 s")
        })?;
        let usual = RATES.iter().find(|rate| rate.name == name).ok_or_else(|| {
            let names: Vec<&str> = RATES.iter().map(|rate| rate.name).collect();
            format!("{name:?} is no limit's name: {}", names.join(", "))
        })?;
        let count = count.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count));
        let count =
            count.ok_or_else(|| format!("{text:?}: a limit is 1 to {COUNT_MAX} at once"))?;
        Ok(Self(Rate::new(usual.name, count, span(time)?)))
    }
}

/// More at once is no bound; so many times a day is within what a moment can be told in.
const COUNT_MAX: u32 = 100_000;

/// What counts now where it is not what is usual.
#[derive(Debug, Default)]
pub(super) struct Limits(RwLock<Vec<Rate>>);

impl Limits {
    /// From now on.
    pub(super) fn set(&self, limits: &[Limit]) {
        let rates = limits.iter().map(|Limit(rate)| *rate).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rates;
    }

    /// What counts for this bound. Of two that say the same name the last counts, as on a command line.
    pub(super) fn now(&self, usual: &Rate) -> Rate {
        let rates = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rates.iter().rev().find(|rate| rate.name == usual.name).copied().unwrap_or(*usual)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::{CODE_TRIES, CODES_PER_CLIENT};

    #[test]
    fn a_limit_is_a_name_a_count_and_a_time() {
        let limit: Limit = "codes_per_client=100/10s".parse().unwrap();
        assert_eq!(limit, Limit(Rate::new("codes_per_client", 100, Duration::from_secs(10))));
        for (wrong, word) in [
            ("codes_per_client", "write it like"),
            ("codes_per_client=100", "write it like"),
            ("codes=1/1s", "codes_per_address"),
            ("codes_per_client=0/1s", "1 to"),
            ("codes_per_client=-1/1s", "1 to"),
            ("codes_per_client=1/0s", "30s"),
            ("codes_per_client=1/9999m", "30s"),
        ] {
            let error = wrong.parse::<Limit>().unwrap_err();
            assert!(error.contains(word), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_is_said_last_counts_and_the_rest_is_as_usual() {
        let limits = Limits::default();
        assert_eq!(limits.now(&CODE_TRIES), CODE_TRIES);
        let said = ["code_tries=3/1m", "code_tries=4/1m"].map(|text| text.parse().unwrap());
        limits.set(&said);
        assert_eq!(limits.now(&CODE_TRIES), said[1].0);
        assert_eq!(limits.now(&CODES_PER_CLIENT), CODES_PER_CLIENT);
        limits.set(&[]);
        assert_eq!(limits.now(&CODE_TRIES), CODE_TRIES);
    }
}
