//! Percentiles that the samples can bear. Owns the rule for "not enough samples"; never averages percentiles.

use hdrhistogram::Histogram;
use serde::Serialize;

/// A percentile with fewer samples beyond it than this is not given: it would be the luck of a few samples.
pub const BEYOND_MIN: u64 = 100;

/// The percentiles of every report, in per cent.
pub const REPORTED: [f64; 6] = [50.0, 90.0, 99.0, 99.9, 99.99, 99.999];

/// One percentile of a latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentile {
    /// Which, in per cent.
    pub p: f64,
    /// The latency in microseconds, or nothing when too few samples lie beyond.
    pub value_us: Option<f64>,
    /// Samples beyond it.
    pub n_beyond: u64,
}

/// Samples that lie beyond the percentile `p` of `count` samples.
#[must_use]
pub fn beyond(count: u64, p: f64) -> u64 {
    // Rounding first to a millionth of a sample keeps 99.9 % of 1,000 at 999, which binary fractions would miss.
    let below = (count as f64 * p / 100.0 * 1e6).round() / 1e6;
    count.saturating_sub(below.ceil() as u64)
}

/// The percentile `p` (in per cent) of a histogram of nanoseconds.
#[must_use]
pub fn percentile(histogram: &Histogram<u64>, p: f64) -> Percentile {
    let n_beyond = beyond(histogram.len(), p);
    let value_us = (n_beyond >= BEYOND_MIN).then(|| micros(histogram.value_at_percentile(p)));
    Percentile { p, value_us, n_beyond }
}

/// The largest sample in microseconds, or nothing without samples.
#[must_use]
pub fn max_us(histogram: &Histogram<u64>) -> Option<f64> {
    (!histogram.is_empty()).then(|| micros(histogram.max()))
}

/// The mean in microseconds, or nothing without samples.
#[must_use]
pub fn mean_us(histogram: &Histogram<u64>) -> Option<f64> {
    (!histogram.is_empty()).then(|| histogram.mean() / 1_000.0)
}

const fn micros(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting_to(n: u64) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        (1..=n).for_each(|us| histogram.record(us * 1_000).unwrap());
        histogram
    }

    #[test]
    fn a_percentile_needs_a_hundred_samples_beyond_it() {
        assert_eq!(beyond(10_000, 99.0), 100);
        assert_eq!(beyond(9_999, 99.0), 99);
        assert_eq!(beyond(1_000, 99.9), 1);
        assert!(percentile(&counting_to(10_000), 99.0).value_us.is_some());
        assert_eq!(percentile(&counting_to(9_999), 99.0).value_us, None);
        assert_eq!(percentile(&counting_to(0), 50.0).value_us, None);
    }

    #[test]
    fn values_are_microseconds_within_the_precision_of_the_histogram() {
        let value = percentile(&counting_to(10_000), 50.0).value_us.unwrap();
        assert!((value / 5_000.0 - 1.0).abs() < 0.002, "{value}");
        assert_eq!(max_us(&Histogram::new(3).unwrap()), None);
    }
}
