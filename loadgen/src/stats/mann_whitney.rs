//! The rank-sum test of Mann and Whitney: whether one side's runs tend to lie above the other's.
//!
//! Exact for as many runs as anybody makes, with ties too; beyond, the normal approximation with the corrections for ties
//! and for continuity. (H. B. Mann and D. R. Whitney, On a test of whether one of two random variables is stochastically
//! larger than the other, 1947; the corrections as in Lehmann, Nonparametrics, 1975, section 1.4.)

use super::{normal, ranks};

/// Observations of both sides together up to which the distribution is counted out: 60 take some ten milliseconds.
pub const EXACT_MAX: usize = 60;

/// What the test found.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct MannWhitney {
    /// Pairs in which the first side's observation is the larger; equal ones count half.
    pub u: f64,
    /// The probability of a `u` as small or smaller if the sides do not differ.
    pub p_less: f64,
    /// The probability of a `u` as large or larger.
    pub p_greater: f64,
    /// Twice the smaller of both.
    pub p: f64,
    /// Whether the distribution was counted out.
    pub is_exact: bool,
}

/// Tests `first` against `second`; `None` when a side is empty or holds what is no number.
#[must_use]
pub fn test(first: &[f64], second: &[f64]) -> Option<MannWhitney> {
    if first.is_empty() || second.is_empty() || first.iter().chain(second).any(|x| x.is_nan()) {
        return None;
    }
    let (of_first, of_second) = ranks::doubled(first, second);
    let sum: usize = of_first.iter().sum();
    let count = first.len();
    let u = sum as f64 / 2.0 - (count * (count + 1)) as f64 / 2.0;
    let all: Vec<usize> = of_first.into_iter().chain(of_second).collect();
    let is_exact = all.len() <= EXACT_MAX;
    let (p_less, p_greater) = if is_exact {
        let chances = ranks::sums(&all, count);
        let at = sum.min(chances.len() - 1);
        (chances[..=at].iter().sum::<f64>(), chances[at..].iter().sum::<f64>())
    } else {
        approximate(u, &all, count)
    };
    let (p_less, p_greater) = (p_less.min(1.0), p_greater.min(1.0));
    Some(MannWhitney { u, p_less, p_greater, p: (2.0 * p_less.min(p_greater)).min(1.0), is_exact })
}

fn approximate(u: f64, ranks: &[usize], first: usize) -> (f64, f64) {
    let (all, pairs) = (ranks.len() as f64, (first * (ranks.len() - first)) as f64);
    let ties = ranks::ties(ranks.iter().copied()) / (all * (all - 1.0));
    let deviation = (pairs / 12.0 * (all + 1.0 - ties)).sqrt();
    if deviation == 0.0 {
        return (1.0, 1.0);
    }
    let above = |u: f64| normal::above((u - pairs / 2.0 - 0.5) / deviation);
    (above(pairs - u), above(u))
}

/// The smallest two-sided p that so many runs can give, all of one side above all of the other.
#[must_use]
pub fn smallest_p(first: usize, second: usize) -> f64 {
    let orders: f64 =
        (1..=first.min(second)).map(|k| (first + second - k + 1) as f64 / k as f64).product();
    (2.0 / orders).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_against_three_can_never_be_significant_and_five_against_five_supports_six_metrics() {
        assert!((smallest_p(3, 3) - 0.1).abs() < 1e-12);
        assert!((smallest_p(4, 4) - 2.0 / 70.0).abs() < 1e-12);
        let five = smallest_p(5, 5);
        assert!((five - 2.0 / 252.0).abs() < 1e-12);
        assert!(five * 6.0 < 0.05 && five * 7.0 > 0.05);
    }

    #[test]
    fn sides_apart_give_the_smallest_p_and_equal_ones_the_largest() {
        let apart = test(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]).unwrap();
        assert_eq!(apart.u, 0.0);
        assert!((apart.p - smallest_p(5, 5)).abs() < 1e-12);
        assert!(apart.p_less < 0.005 && apart.p_greater > 0.999);
        assert_eq!(test(&[1.0; 5], &[1.0; 5]).unwrap().p, 1.0);
        assert_eq!(test(&[1.0; 40], &[1.0; 40]).unwrap().p, 1.0);
    }

    #[test]
    fn what_is_no_sample_has_no_test() {
        assert_eq!(test(&[], &[1.0]), None);
        assert_eq!(test(&[f64::NAN], &[1.0]), None);
    }

    #[test]
    fn the_exact_and_the_approximate_meet_where_one_ends() {
        let first: Vec<f64> = (0..30).map(|n| f64::from(n * 7 % 31)).collect();
        let second: Vec<f64> = (0..30).map(|n| f64::from(n * 11 % 37) + 0.5).collect();
        let exact = test(&first, &second).unwrap();
        let (ranks, others) = ranks::doubled(&first, &second);
        let all: Vec<usize> = ranks.into_iter().chain(others).collect();
        let (less, greater) = approximate(exact.u, &all, 30);
        assert!(exact.is_exact);
        assert!((exact.p_less - less).abs() < 0.005 && (exact.p_greater - greater).abs() < 0.005);
    }
}
