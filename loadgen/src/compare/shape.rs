//! Whether the shape of the latencies changed although the median need not have: each run's distribution by its own
//! median, the sides' mean curves, and how likely so large a distance is by chance. The run is the unit here too.

use serde::Serialize;

use crate::stats::distribution::{Curves, Distances, Weighted};
use crate::stats::{ALPHA, median_of, permutation};
use crate::stored::StoredRun;

/// A vertical distance below this moves less than one message in fifty: no change of shape that matters.
const DISTANCE_MIN: f64 = 0.02;
/// The permutations that are drawn come from this number: the same runs give the same answer.
const SEED: u64 = 1;
/// The latency whose shape is looked at.
pub const KIND: &str = "delivery";

/// What was found of the shape.
#[derive(Clone, Debug, Serialize)]
pub struct Shape {
    /// How far the mean curves lie apart, in shares of messages and in medians.
    pub distances: Distances,
    /// How likely so large a vertical distance is if the sides do not differ.
    pub p: f64,
    /// Whether the shape changed.
    pub is_changed: bool,
    /// The middle over runs of p99 / median: first, second.
    pub tails: [f64; 2],
    /// The middle over runs of (p75 - p25) / median.
    pub spreads: [f64; 2],
}

/// Compares the shapes; nothing if a run has no such latencies.
#[must_use]
pub fn compare(first: &[StoredRun], second: &[StoredRun]) -> Option<Shape> {
    let runs: Option<Vec<Weighted>> = first.iter().chain(second).map(by_median).collect();
    let runs = runs.filter(|_| !first.is_empty() && !second.is_empty())?;
    let curves = Curves::new(&runs);
    let in_second: Vec<bool> = (0..runs.len()).map(|at| at >= first.len()).collect();
    let distances = curves.distances(&in_second);
    let mut random = fastrand::Rng::with_seed(SEED);
    let p = permutation::test(first.len(), second.len(), &mut random, |dealt| {
        curves.distances(dealt).vertical
    });
    let (one, other) = runs.split_at(first.len());
    let middle = |runs: &[Weighted], figure: fn(&Weighted) -> f64| {
        median_of(&runs.iter().map(figure).collect::<Vec<_>>()).unwrap_or(f64::NAN)
    };
    let both = |figure: fn(&Weighted) -> f64| [middle(one, figure), middle(other, figure)];
    Some(Shape {
        distances,
        p,
        is_changed: p <= ALPHA && distances.vertical >= DISTANCE_MIN,
        tails: both(|run| run.quantile(0.99)),
        spreads: both(|run| run.quantile(0.75) - run.quantile(0.25)),
    })
}

/// A run's latencies with their own median as the unit.
fn by_median(run: &StoredRun) -> Option<Weighted> {
    let histogram = run.latencies.get(KIND)?;
    let counts = histogram.iter_recorded();
    let counts = counts.map(|step| (step.value_iterated_to() as f64, step.count_at_value()));
    Weighted::new(counts)?.by_median()
}

impl Shape {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let percent = self.distances.vertical * 100.0;
        let [tail, other_tail] = self.tails;
        let [spread, other_spread] = self.spreads;
        let what = if self.is_changed { "changed" } else { "not shown to have changed" };
        format!(
            "shape of the delivery latencies: {what}; {percent:.1} % of them lie elsewhere (p {:.3}); p99 is {tail:.2} \
             medians, then {other_tail:.2}; the middle half spans {spread:.2} medians, then {other_spread:.2}",
            self.p
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::sample::document;

    fn runs(middles: [f64; 5], spread: f64) -> Vec<StoredRun> {
        let run = |middle| StoredRun::new("x".into(), document(1e5, middle, spread)).unwrap();
        middles.map(run).to_vec()
    }

    const MIDDLES: [f64; 5] = [1_000.0, 1_100.0, 980.0, 1_010.0, 1_050.0];

    #[test]
    fn a_slower_side_of_the_same_shape_has_not_changed_its_shape() {
        let found = compare(&runs(MIDDLES, 3.0), &runs(MIDDLES.map(|us| us * 2.0), 3.0)).unwrap();
        assert!(!found.is_changed && found.distances.vertical < 0.01, "{found:?}");
        assert!(found.words().contains("not shown"));
    }

    #[test]
    fn a_longer_tail_with_the_same_median_has() {
        let mut wide = runs(MIDDLES, 3.0);
        // Every tenth message far out: the median stays where it is.
        for run in &mut wide {
            let histogram = run.latencies.get_mut(KIND).unwrap();
            let far = histogram.value_at_quantile(0.5) * 8;
            histogram.record_n(far, 20_000).unwrap();
        }
        let found = compare(&runs(MIDDLES, 3.0), &wide).unwrap();
        assert!(found.is_changed && found.p < 0.01, "{found:?}");
        assert!(found.tails[1] > found.tails[0] * 1.5, "{found:?}");
    }

    #[test]
    fn runs_without_latencies_have_no_shape() {
        let mut silent = runs(MIDDLES, 3.0);
        silent[0].latencies.clear();
        assert!(compare(&silent, &runs(MIDDLES, 3.0)).is_none());
        assert!(compare(&[], &runs(MIDDLES, 3.0)).is_none());
    }
}
