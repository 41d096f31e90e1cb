//! The statistics of comparing runs: pure arithmetic, without I/O, clock or shared state.
//!
//! Owns the estimates, tests and resampling that `compare`, `calibrate` and the benchmarks use. The unit is always the
//! run: nothing here treats the messages of one run as independent observations. What is random takes its generator as
//! an argument, so that the same input gives the same answer. `tests/stats.rs` holds all of it against scipy.

pub mod bootstrap;
pub mod distribution;
pub mod drift;
pub mod equivalence;
pub mod holm;
pub mod mann_whitney;
pub mod more_runs;
pub mod normal;
pub mod paired;
pub mod permutation;
pub mod ranks;
pub mod two_sample;

/// How often an interval misses the truth where nothing else is said: 5 %.
pub const ALPHA: f64 = 0.05;

/// An estimate with its interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The estimate itself: a median of averages or of differences.
    pub median: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
    /// How often such an interval covers the truth, 0 to 1: the least the distribution has above 95 %, or with very few
    /// observations the most that there is.
    pub coverage: f64,
}

impl Estimate {
    /// The same of numbers whose logarithms these are.
    #[must_use]
    pub fn exp(self) -> Self {
        let Self { median, low, high, coverage } = self;
        Self { median: median.exp(), low: low.exp(), high: high.exp(), coverage }
    }

    /// Whether the interval lies wholly on one side of `value`.
    #[must_use]
    pub fn excludes(&self, value: f64) -> bool {
        self.low > value || self.high < value
    }
}

/// The middle of sorted numbers; `None` of none.
#[must_use]
pub fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[middle - 1] + upper) / 2.0 })
}

/// The middle of numbers in any order; `None` of none.
#[must_use]
pub fn median_of(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    median(&sorted)
}

/// The logarithms of numbers; `None` if one of them is not above zero: a ratio of it would say nothing.
#[must_use]
pub fn logarithms(numbers: &[f64]) -> Option<Vec<f64>> {
    let logs = numbers.iter().map(|number| number.ln());
    logs.map(|log| log.is_finite().then_some(log)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_needs_no_order_and_at_least_one_number() {
        assert_eq!(median_of(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median_of(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median_of(&[]), None);
    }

    #[test]
    fn what_is_not_above_zero_has_no_ratio() {
        assert_eq!(logarithms(&[1.0, 0.0]), None);
        assert_eq!(logarithms(&[1.0, -2.0]), None);
        assert_eq!(logarithms(&[1.0, f64::INFINITY]), None);
        assert_eq!(logarithms(&[1.0]), Some(vec![0.0]));
    }
}
