//! The interval of a mean of observations that depend on their neighbours: the circular block bootstrap.
//!
//! Blocks of neighbours are drawn instead of single observations, so that what depends on what stays together; the series
//! is closed to a ring, so that every observation is drawn equally often. (D. N. Politis and J. P. Romano, A circular
//! block-resampling procedure for stationary data, 1992.)

use super::ALPHA;

/// Series that are drawn: the ends of a 95 % interval then rest on 100 each.
const ROUNDS: usize = 4_000;

/// The ends between which the mean lies in 95 of 100 cases; `None` of no observations. `block` should be longer than the
/// reach of the dependence.
#[must_use]
pub fn interval(series: &[f64], block: usize, random: &mut fastrand::Rng) -> Option<(f64, f64)> {
    let count = series.len();
    if count == 0 {
        return None;
    }
    let block = block.clamp(1, count);
    let mut means: Vec<f64> = (0..ROUNDS).map(|_| drawn_mean(series, block, random)).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((ROUNDS - 1) as f64 * share).round() as usize];
    Some((at(ALPHA / 2.0), at(1.0 - ALPHA / 2.0)))
}

fn drawn_mean(series: &[f64], block: usize, random: &mut fastrand::Rng) -> f64 {
    let count = series.len();
    let (mut sum, mut taken) = (0.0, 0);
    while taken < count {
        let start = random.usize(..count);
        let length = block.min(count - taken);
        sum += (start..start + length).map(|at| series[at % count]).sum::<f64>();
        taken += length;
    }
    sum / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_does_not_vary_has_no_width() {
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(interval(&[2.0; 30], 7, &mut random), Some((2.0, 2.0)));
        assert_eq!(interval(&[], 7, &mut random), None);
    }

    #[test]
    fn neighbours_that_move_together_make_it_wider() {
        let series: Vec<f64> = (0..400).map(|n| f64::from(n / 20 % 2)).collect();
        let mut random = fastrand::Rng::with_seed(1);
        let mut width = |block| {
            let (low, high) = interval(&series, block, &mut random).unwrap();
            high - low
        };
        let (single, blocks) = (width(1), width(15));
        assert!(blocks > 2.0 * single, "{blocks} and {single}");
    }
}
