//! The ratio of two series of runs, with its interval: Hodges-Lehmann over logarithms, and the interval that the exact distribution
//! of Mann and Whitney's U gives. Nothing is assumed of how runs are spread.

use serde::{Deserialize, Serialize};

/// How many times the one is of the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The middle.
    pub ratio: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How often such an interval holds the truth: at least 95 %, or as much as so few runs can give.
    pub coverage: f64,
}

/// What can be said of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval is above one.
    More,
    /// The whole interval is below one.
    Less,
    /// The whole interval is within the margin of one: no effect that matters.
    Same,
    /// The runs do not tell.
    Unclear,
}

/// Effects smaller than this do not matter.
pub const MARGIN: f64 = 0.05;

/// What an interval is to hold.
const COVERAGE: f64 = 0.95;

/// Runs of a side beyond which nothing is gained, and the exact distribution gets long.
const RUNS_MAX: usize = 60;

impl Ratio {
    /// The ratio of B to A; `None` without values above zero on both sides, or with too many.
    #[must_use]
    pub fn of(a: &[f64], b: &[f64]) -> Option<Self> {
        let is_good = |side: &[f64]| {
            (1..=RUNS_MAX).contains(&side.len())
                && side.iter().all(|value| value.is_finite() && *value > 0.0)
        };
        if !is_good(a) || !is_good(b) {
            return None;
        }
        let mut differences: Vec<f64> =
            b.iter().flat_map(|b| a.iter().map(|a| b.ln() - a.ln())).collect();
        differences.sort_by(f64::total_cmp);
        let below = u_distribution(a.len(), b.len());
        // The interval leaves out as many differences at each end as it may.
        let cut = below.iter().take_while(|share| **share <= (1.0 - COVERAGE) / 2.0).count();
        let missed = if cut == 0 { below[0] } else { below[cut - 1] };
        let low = cut.saturating_sub(1);
        let middle =
            (differences[(differences.len() - 1) / 2] + differences[differences.len() / 2]) / 2.0;
        Some(Self {
            ratio: middle.exp(),
            low: differences[low].exp(),
            high: differences[differences.len() - 1 - low].exp(),
            coverage: 1.0 - 2.0 * missed,
        })
    }

    /// What can be said. Intervals of too few runs say nothing.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.coverage < COVERAGE {
            Verdict::Unclear
        } else if self.low >= 1.0 - MARGIN && self.high <= 1.0 + MARGIN {
            Verdict::Same
        } else if self.low > 1.0 {
            Verdict::More
        } else if self.high < 1.0 {
            Verdict::Less
        } else {
            Verdict::Unclear
        }
    }
}

/// How likely U is at most 0, 1, 2… when both sides are alike.
fn u_distribution(m: usize, n: usize) -> Vec<f64> {
    // How many orders of i values of one side and j of the other give each U: the last one of an order is either of the one
    // side, with j of the other before it, or of the other.
    let top = m * n;
    let mut rows: Vec<Vec<f64>> = (0..=n).map(|_| unit(top)).collect();
    for _ in 1..=m {
        let mut next: Vec<Vec<f64>> = vec![unit(top)];
        for j in 1..=n {
            let mut counts = next[j - 1].clone();
            for (u, count) in rows[j].iter().enumerate() {
                if u + j <= top {
                    counts[u + j] += count;
                }
            }
            next.push(counts);
        }
        rows = next;
    }
    let counts = &rows[n];
    let all: f64 = counts.iter().sum();
    let mut sum = 0.0;
    counts
        .iter()
        .map(|count| {
            sum += count / all;
            sum
        })
        .collect()
}

fn unit(top: usize) -> Vec<f64> {
    let mut counts = vec![0.0; top + 1];
    counts[0] = 1.0;
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn the_distribution_is_that_of_the_tables() {
        // 3 and 3: 20 orders, of which 1, 1, 2, 3… have U = 0, 1, 2, 3.
        let small = u_distribution(3, 3);
        assert!(near(small[0], 0.05) && near(small[1], 0.10) && near(small[2], 0.20), "{small:?}");
        assert!(near(small[9], 1.0));
        // 5 and 5: the smallest two-sided p is 0.0079.
        let five = u_distribution(5, 5);
        assert!(near(five[0] * 2.0, 2.0 / 252.0), "{five:?}");
        // Symmetric: U below the middle is as likely as above.
        let (four, six) = (u_distribution(4, 6), u_distribution(6, 4));
        assert!(four.iter().zip(&six).all(|(one, other)| near(*one, *other)));
        assert!(near(four[11], 1.0 - four[12]));
    }

    #[test]
    fn a_ratio_is_found_and_bounded() {
        let a = [100.0, 102.0, 98.0, 101.0, 99.0];
        let twice = a.map(|value| value * 2.0);
        let ratio = Ratio::of(&a, &twice).unwrap();
        assert!(
            (ratio.ratio - 2.0).abs() < 0.01 && ratio.low > 1.9 && ratio.high < 2.1,
            "{ratio:?}"
        );
        assert_eq!(ratio.verdict(), Verdict::More);
        assert_eq!(Ratio::of(&twice, &a).unwrap().verdict(), Verdict::Less);
        assert_eq!(Ratio::of(&a, &a).unwrap().verdict(), Verdict::Same);
        let wild = [10.0, 300.0, 50.0, 100.0, 200.0];
        assert_eq!(Ratio::of(&a, &wild).unwrap().verdict(), Verdict::Unclear);
    }

    #[test]
    fn the_interval_of_five_and_five_leaves_out_two_differences() {
        // Differences of logarithms of powers of e are whole: 25 of them, from -4 to 4 around 10.
        let a: Vec<f64> = (0..5).map(|power| f64::from(power).exp()).collect();
        let b: Vec<f64> = (10..15).map(|power| f64::from(power).exp()).collect();
        let ratio = Ratio::of(&a, &b).unwrap();
        // P(U <= 2) is 4 of 252: the third difference from each end is the bound, and those are 6, 7, 7…
        assert!(near(ratio.coverage, 1.0 - 2.0 * 4.0 / 252.0), "{ratio:?}");
        assert!(
            near(ratio.low.ln(), 7.0)
                && near(ratio.high.ln(), 13.0)
                && near(ratio.ratio.ln(), 10.0),
            "{ratio:?}"
        );
    }

    #[test]
    fn too_few_or_senseless_runs_say_nothing() {
        let ratio = Ratio::of(&[1.0, 1.0, 1.0], &[9.0, 9.0, 9.0]).unwrap();
        assert!(near(ratio.coverage, 0.90), "{ratio:?}");
        assert_eq!(ratio.verdict(), Verdict::Unclear);
        assert_eq!(Ratio::of(&[], &[1.0]), None);
        assert_eq!(Ratio::of(&[1.0], &[0.0]), None);
        assert_eq!(Ratio::of(&[f64::NAN], &[1.0]), None);
        assert_eq!(Ratio::of(&[1.0; 61], &[1.0]), None);
    }
}
