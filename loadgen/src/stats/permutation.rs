//! Permutation tests with the run as the unit: if the sides do not differ, every way of dealing the runs to them is as
//! likely as the one that was seen.
//!
//! All ways are tried when they are few; else some are drawn, and the one seen counts as one of them, so that p is never
//! zero. (R. A. Fisher, The Design of Experiments, 1935; B. Phipson and G. K. Smyth, Permutation p-values should never be
//! zero, 2010.)

/// Ways up to which all are tried: ten runs against ten are drawn, seven against seven are counted out.
const ALL_MAX: f64 = 5_000.0;
/// Ways that are drawn otherwise.
const DRAWN: u32 = 2_000;
/// How much smaller than the one seen a statistic may be and still count as equal: sums in another order differ so much.
const EQUAL: f64 = 1e-12;

/// The probability of a statistic as large as that of the first `first` runs against the other `second`, if the sides do
/// not differ. The statistic is told which runs are the second side's.
pub fn test(
    first: usize,
    second: usize,
    random: &mut fastrand::Rng,
    mut statistic: impl FnMut(&[bool]) -> f64,
) -> f64 {
    let mut in_second: Vec<bool> = (0..first + second).map(|at| at >= first).collect();
    let seen = statistic(&in_second);
    let mut is_as_large = |dealt: &[bool]| statistic(dealt) >= seen - EQUAL * seen.abs().max(1.0);
    let ways: f64 = (1..=second).map(|k| (first + k) as f64 / k as f64).product();
    let (mut tried, mut as_large) = (0_u32, 0_u32);
    if ways <= ALL_MAX {
        // The one seen is the largest of all, where `next` begins.
        loop {
            tried += 1;
            as_large += u32::from(is_as_large(&in_second));
            if !next(&mut in_second) {
                break;
            }
        }
    } else {
        tried = 1 + DRAWN;
        as_large = 1;
        for _ in 0..DRAWN {
            random.shuffle(&mut in_second);
            as_large += u32::from(is_as_large(&in_second));
        }
    }
    f64::from(as_large) / f64::from(tried)
}

/// Goes on to the next arrangement: read as a binary number, the first run being the lowest digit, the next smaller one
/// with as many ones. Says whether there was one.
fn next(dealt: &mut [bool]) -> bool {
    // The lowest one that has a zero below it moves there; the ones below follow it as high as they can.
    let Some(zero) = dealt.windows(2).position(|two| !two[0] && two[1]) else {
        return false;
    };
    dealt.swap(zero, zero + 1);
    let ones = dealt[..zero].iter().filter(|is| **is).count();
    for (at, is) in dealt[..zero].iter_mut().enumerate() {
        *is = at >= zero - ones;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_arrangement_comes_once() {
        let mut dealt = vec![false, false, false, true, true, true];
        let mut seen = BTreeSet::from([dealt.clone()]);
        while next(&mut dealt) {
            assert_eq!(dealt.iter().filter(|is| **is).count(), 3);
            assert!(seen.insert(dealt.clone()), "{dealt:?} came again");
        }
        assert_eq!(seen.len(), 20);
    }

    #[test]
    fn sides_apart_have_the_smallest_p_and_equal_ones_the_largest() {
        let values = [1.0, 2.0, 3.0, 4.0, 11.0, 12.0, 13.0, 14.0];
        let apart = |dealt: &[bool]| {
            let signed = values.iter().zip(dealt).map(|(x, is)| if *is { *x } else { -x });
            signed.sum::<f64>().abs()
        };
        let mut random = fastrand::Rng::with_seed(1);
        // The arrangement seen and its mirror, of 70.
        assert!((test(4, 4, &mut random, apart) - 2.0 / 70.0).abs() < 1e-12);
        assert_eq!(test(4, 4, &mut random, |_| 1.0), 1.0);
    }

    #[test]
    fn many_runs_are_drawn_and_p_is_never_zero() {
        let mut random = fastrand::Rng::with_seed(1);
        let starts = |dealt: &[bool]| dealt[..30].iter().filter(|is| !**is).count() as f64;
        let p = test(30, 30, &mut random, starts);
        assert!(p > 0.0 && p < 0.001, "{p}");
    }
}
