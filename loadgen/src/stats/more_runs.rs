//! How many further runs an open question needs: a rough figure, from the noise that was seen.
//!
//! The interval of an estimate narrows with the square root of the runs. Enough are those after which, four times in five,
//! it would be narrow enough to answer one of the two questions: is there a difference (if the estimate is right), or is
//! there none that matters. (The usual sample size of a normal mean, as in J. Cohen, Statistical Power Analysis, 1988; a
//! rank estimate of normal noise needs some 5 % more, far less than what is unknown about the noise.)

use super::mann_whitney::smallest_p;
use super::{ALPHA, Estimate, normal};

/// How often the answer should be found, if it is there.
const POWER: f64 = 0.8;
/// Further runs of each side beyond which the advice is not to make more, but to find out what the noise is.
pub const MORE_MAX: u32 = 1_000;

/// An interval that covers less than this says nothing of the noise.
const COVERAGE_MIN: f64 = 0.5;

/// What is known before the further runs.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The difference of logarithms with its interval.
    pub shift: Estimate,
    /// Runs of the smaller side.
    pub runs: usize,
    /// A ratio within 1 / (1 + margin) and 1 + margin does not matter.
    pub margin: f64,
    /// Metrics that are tested together.
    pub metrics: usize,
}

/// Further runs of each side, 1 at least; `None` when more than [`MORE_MAX`] would be needed, or when the interval
/// promises nothing because there is hardly a run.
#[must_use]
pub fn further(question: &Question) -> Option<u32> {
    let Question { shift, runs, margin, metrics } = *question;
    if runs == 0 || shift.coverage < COVERAGE_MIN {
        return None;
    }
    let reach = normal::quantile(0.5 + shift.coverage / 2.0);
    let deviation = (shift.high - shift.low) / 2.0 / reach;
    let distance = shift.median.abs();
    let level = ALPHA / metrics.max(1) as f64;
    let power = normal::quantile(POWER);
    // Each question with the distance that the interval must fit into, and the level that it is asked at.
    let of_difference =
        wanted(runs, deviation, distance, normal::quantile(1.0 - level / 2.0) + power);
    let of_equivalence = wanted(
        runs,
        deviation,
        margin.ln_1p() - distance,
        normal::quantile(1.0 - ALPHA / 2.0) + power,
    );
    let least = (1..).find(|runs| smallest_p(*runs, *runs) <= level).unwrap_or(runs);
    let enough = of_difference.min(of_equivalence).max(least as f64);
    let more = (enough - runs as f64).ceil().max(1.0);
    (more <= f64::from(MORE_MAX)).then_some(more as u32)
}

/// Runs after which `reach` deviations of the estimate fit into `distance`.
fn wanted(runs: usize, deviation: f64, distance: f64, reach: f64) -> f64 {
    if distance <= 0.0 {
        return f64::INFINITY;
    }
    runs as f64 * (reach * deviation / distance).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(median: f64, half: f64, runs: usize) -> Question {
        let shift = Estimate { median, low: median - half, high: median + half, coverage: 0.95 };
        Question { shift, runs, margin: 0.02, metrics: 1 }
    }

    #[test]
    fn a_smaller_difference_and_more_noise_need_more_runs() {
        let runs = |median, half| further(&question(median, half, 5)).unwrap();
        assert!(runs(0.1, 0.2) < runs(0.05, 0.2));
        assert!(runs(0.1, 0.2) < runs(0.1, 0.4));
        // ((1.96 + 0.84) / 1.96 * 0.2 / 0.1)^2 * 5 = 40.8 runs, of which 5 are there.
        assert_eq!(runs(0.1, 0.2), 36);
    }

    #[test]
    fn a_difference_of_nothing_is_a_question_of_equivalence() {
        assert!(further(&question(0.0, 0.04, 5)).is_some());
        assert_eq!(further(&question(0.0, 4.0, 5)), None, "more than anybody makes");
    }

    #[test]
    fn fewer_runs_than_the_test_can_use_are_never_enough() {
        let mut question = question(1.0, 0.1, 2);
        question.metrics = 6;
        assert_eq!(further(&question), Some(3), "5 a side for six metrics");
        question.shift.coverage = 0.0;
        assert_eq!(further(&question), None);
    }

    #[test]
    fn so_many_runs_do_find_the_difference_four_times_in_five() {
        let mut random = fastrand::Rng::with_seed(9);
        let (difference, noise) = (0.1, 0.1);
        let deviation = noise * (2.0_f64 / 5.0).sqrt();
        let mut known = question(difference, deviation * normal::quantile(0.975), 5);
        known.margin = 0.0;
        let runs = 5 + further(&known).unwrap();
        let mut draws = |mean: f64| -> Vec<f64> {
            (0..runs).map(|_| mean + noise * normal::draw(&mut random)).collect()
        };
        let found = (0..1_000).filter(|_| {
            let (first, second) = (draws(0.0), draws(difference));
            super::super::mann_whitney::test(&first, &second).unwrap().p <= ALPHA
        });
        let found = found.count();
        assert!((700..=900).contains(&found), "{found} of 1,000 with {runs} runs a side");
    }
}
