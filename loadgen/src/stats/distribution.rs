//! Distributions of latencies, one per run, and how far the two sides' lie apart in shape.
//!
//! Every run counts alike, whatever it sent: a side's distribution is the mean of its runs' cumulative curves. Two
//! distances: the largest vertical one (A. N. Kolmogorov 1933, N. V. Smirnov 1939), which says how much of the latencies
//! moved, and the area between the curves (L. V. Kantorovich and L. N. Vaserstein), which says how far they moved.

/// Values at which curves are read, chosen so that equally much lies between any two: a vertical distance is found to
/// within a thousandth.
const GRID_MAX: usize = 1_000;

/// The values of one run with their weights, which sum up to 1. Sorted.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted(Vec<(f64, f64)>);

impl Weighted {
    /// Of values with how often each was seen; `None` if nothing was seen or a value is no number.
    #[must_use]
    pub fn new(counts: impl IntoIterator<Item = (f64, u64)>) -> Option<Self> {
        let mut points: Vec<(f64, f64)> =
            counts.into_iter().map(|(value, count)| (value, count as f64)).collect();
        let all: f64 = points.iter().map(|(_, count)| count).sum();
        if all <= 0.0 || points.iter().any(|(value, _)| !value.is_finite()) {
            return None;
        }
        points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        points.iter_mut().for_each(|(_, count)| *count /= all);
        Some(Self(points))
    }

    /// The smallest value up to which at least `share` of the weight lies.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut below = 0.0;
        let reached = self.0.iter().find(|(_, weight)| {
            below += weight;
            below >= share
        });
        reached.or_else(|| self.0.last()).map_or(f64::NAN, |(value, _)| *value)
    }

    /// The same with its own median as the unit: what is left is the shape. `None` if the median is not above zero.
    #[must_use]
    pub fn by_median(&self) -> Option<Self> {
        let median = self.quantile(0.5);
        let scaled = self.0.iter().map(|(value, weight)| (value / median, *weight));
        (median > 0.0).then(|| Self(scaled.collect()))
    }
}

/// The cumulative curves of several runs, read at the same values.
#[derive(Clone, Debug)]
pub struct Curves {
    at: Vec<f64>,
    curves: Vec<Vec<f64>>,
}

/// How far two sides lie apart.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Distances {
    /// The largest difference of the cumulative curves, 0 to 1.
    pub vertical: f64,
    /// The area between them, in the unit of the values.
    pub area: f64,
}

impl Curves {
    /// Reads the runs' curves.
    #[must_use]
    pub fn new(runs: &[Weighted]) -> Self {
        let mut values: Vec<(f64, f64)> =
            runs.iter().flat_map(|run| run.0.iter().copied()).collect();
        values.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let at = grid(&values, runs.len() as f64);
        let curves = runs.iter().map(|run| read(run, &at)).collect();
        Self { at, curves }
    }

    /// The distances between the mean curve of the runs that are `in_second` and that of the others.
    #[must_use]
    pub fn distances(&self, in_second: &[bool]) -> Distances {
        let second = in_second.iter().filter(|is| **is).count().max(1) as f64;
        let first = in_second.iter().filter(|is| !**is).count().max(1) as f64;
        let mut apart = vec![0.0; self.at.len()];
        for (curve, is_second) in self.curves.iter().zip(in_second) {
            let weight = if *is_second { 1.0 / second } else { -1.0 / first };
            for (sum, height) in apart.iter_mut().zip(curve) {
                *sum += weight * height;
            }
        }
        let vertical = apart.iter().fold(0.0_f64, |most, apart| most.max(apart.abs()));
        let steps = self.at.windows(2).map(|ends| ends[1] - ends[0]);
        let area = steps.zip(&apart).map(|(step, apart)| step * apart.abs()).sum();
        Distances { vertical, area }
    }
}

/// Every distinct value if they are few, else those at which another equal share of the weight is reached.
fn grid(sorted: &[(f64, f64)], whole: f64) -> Vec<f64> {
    let distinct = 1 + sorted.windows(2).filter(|two| two[0].0 != two[1].0).count();
    let share = if distinct <= GRID_MAX { 0.0 } else { whole / GRID_MAX as f64 };
    let mut at: Vec<f64> = Vec::new();
    let (mut since, last) = (0.0, sorted.last().map(|(value, _)| *value));
    for (value, weight) in sorted {
        since += weight;
        if since >= share && at.last() != Some(value) {
            at.push(*value);
            since = 0.0;
        }
    }
    // The curves must end together, at 1.
    at.extend(last.filter(|last| at.last() != Some(last)));
    at
}

/// The height of a run's cumulative curve at each of the values.
fn read(run: &Weighted, at: &[f64]) -> Vec<f64> {
    let mut points = run.0.iter().peekable();
    let mut height = 0.0;
    let heights = at.iter().map(|value| {
        while let Some((_, weight)) = points.next_if(|(point, _)| point <= value) {
            height += weight;
        }
        height
    });
    heights.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(values: &[f64]) -> Weighted {
        Weighted::new(values.iter().map(|value| (*value, 1))).unwrap()
    }

    #[test]
    fn curves_that_do_not_overlap_are_a_whole_apart() {
        let curves = Curves::new(&[run(&[1.0, 2.0]), run(&[5.0, 6.0])]);
        let found = curves.distances(&[false, true]);
        assert_eq!(found, Distances { vertical: 1.0, area: 4.0 });
        assert_eq!(curves.distances(&[false, false]).vertical, 1.0, "one side is empty");
    }

    #[test]
    fn every_run_counts_alike_however_much_it_saw() {
        let many = Weighted::new([(1.0, 1_000_000)]).unwrap();
        let few = Weighted::new([(3.0, 1)]).unwrap();
        let curves = Curves::new(&[many, few, run(&[1.0, 3.0])]);
        let found = curves.distances(&[false, false, true]);
        assert!(found.vertical.abs() < 1e-12 && found.area.abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn the_median_as_the_unit_leaves_the_shape() {
        let slow = run(&[10.0, 20.0, 60.0]).by_median().unwrap();
        assert_eq!(slow, run(&[0.5, 1.0, 3.0]));
        assert_eq!(run(&[0.0, 0.0]).by_median(), None);
        assert_eq!(Weighted::new([]), None);
        assert_eq!(Weighted::new([(f64::NAN, 1)]), None);
    }

    #[test]
    fn a_grid_of_many_values_keeps_the_distance_to_a_thousandth() {
        let first = Weighted::new((0..50_000).map(|n| (f64::from(n), 1))).unwrap();
        let second = Weighted::new((0..50_000).map(|n| (f64::from(n) + 10_000.5, 1))).unwrap();
        let found = Curves::new(&[first, second]).distances(&[false, true]);
        assert!((found.vertical - 0.2).abs() < 0.002, "{found:?}");
        assert!((found.area / 10_000.5 - 1.0).abs() < 0.01, "{found:?}");
    }
}
