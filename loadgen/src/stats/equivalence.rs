//! Whether two sides are as good as equal: two one-sided tests against the ends of a margin.
//!
//! That no difference was found does not show that there is none; this does. Equivalence is shown when the ratio is both
//! shown to lie above the margin's lower end and below its upper one. (D. J. Schuirmann, A comparison of the two one-sided
//! tests procedure and the power approach, 1987; with the rank-sum test in the place of Student's.)

use super::{logarithms, mann_whitney};

/// What the two tests found.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Equivalence {
    /// The p of the test against a ratio as low as 1 / (1 + margin).
    pub p_low: f64,
    /// The p of the test against a ratio as high as 1 + margin.
    pub p_high: f64,
    /// The larger of both: what is held against the level.
    pub p: f64,
}

/// Tests whether the ratio of `second` to `first` lies within 1 / (1 + margin) and 1 + margin; `None` without runs, or if
/// a number is not above zero.
#[must_use]
pub fn test(first: &[f64], second: &[f64], margin: f64) -> Option<Equivalence> {
    let (first, second) = (logarithms(first)?, logarithms(second)?);
    let edge = margin.ln_1p();
    let moved = |by: f64| second.iter().map(|log| log + by).collect::<Vec<f64>>();
    let p_low = mann_whitney::test(&first, &moved(edge))?.p_less;
    let p_high = mann_whitney::test(&first, &moved(-edge))?.p_greater;
    Some(Equivalence { p_low, p_high, p: p_low.max(p_high) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: [f64; 6] = [100.0, 101.0, 100.5, 99.5, 99.0, 100.2];

    #[test]
    fn the_same_runs_are_equivalent_within_a_margin_wider_than_their_noise() {
        assert!(test(&RUNS, &RUNS, 0.05).unwrap().p < 0.005);
        assert!(test(&RUNS, &RUNS, 0.001).unwrap().p > 0.3);
    }

    #[test]
    fn what_lies_outside_is_not_equivalent_at_either_end() {
        let higher = RUNS.map(|run| run * 1.1);
        let found = test(&RUNS, &higher, 0.05).unwrap();
        assert!(found.p_low < 0.005 && found.p_high > 0.9, "{found:?}");
        let lower = RUNS.map(|run| run / 1.1);
        let found = test(&RUNS, &lower, 0.05).unwrap();
        assert!(found.p_low > 0.9 && found.p_high < 0.005, "{found:?}");
        assert_eq!(test(&[], &RUNS, 0.05), None);
    }
}
