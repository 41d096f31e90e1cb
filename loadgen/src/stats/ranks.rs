//! Ranks of pooled observations, and the exact distribution of a rank sum: what the two-sample tests are made of.
//!
//! Ranks are kept doubled, so that the middle ranks of ties are whole numbers too and the distribution can be counted
//! instead of approximated. It is conditional on the ties that there are, which keeps tests exact with any number of them
//! (E. L. Lehmann, Nonparametrics: Statistical Methods Based on Ranks, 1975, section 1.4).

/// Twice the rank of each observation of `first` and of `second` among all of them, counted from 1; ties share the middle
/// of their ranks.
#[must_use]
pub fn doubled(first: &[f64], second: &[f64]) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..first.len() + second.len()).collect();
    let value = |at: usize| first.get(at).copied().unwrap_or_else(|| second[at - first.len()]);
    order.sort_by(|one, other| value(*one).total_cmp(&value(*other)));
    let mut ranks = vec![0; order.len()];
    let mut start = 0;
    while start < order.len() {
        let same = |at: &&usize| value(**at) == value(order[start]);
        let end = start + order[start..].iter().take_while(same).count();
        for at in &order[start..end] {
            // Ranks start + 1 to end: twice their mean.
            ranks[*at] = start + 1 + end;
        }
        start = end;
    }
    let of_second = ranks.split_off(first.len());
    (ranks, of_second)
}

/// The sum of t^3 - t over all groups of t equal ranks.
#[must_use]
pub fn ties(ranks: impl Iterator<Item = usize>) -> f64 {
    let mut sorted: Vec<usize> = ranks.collect();
    sorted.sort_unstable();
    let groups = sorted.chunk_by(|one, other| one == other);
    groups.map(|group| (group.len() as f64).powi(3) - group.len() as f64).sum()
}

/// The chance of each sum of `count` of the given doubled ranks, drawn without putting back, from a sum of 0 on.
#[must_use]
pub fn sums(ranks: &[usize], count: usize) -> Vec<f64> {
    let count = count.min(ranks.len());
    let mut largest = ranks.to_vec();
    largest.sort_unstable_by(|one, other| other.cmp(one));
    let most: usize = largest[..count].iter().sum();
    // ways[k][s]: in how many ways k of the ranks seen so far sum up to s.
    let mut ways = vec![vec![0.0_f64; most + 1]; count + 1];
    ways[0][0] = 1.0;
    for (seen, rank) in ranks.iter().enumerate() {
        for taken in (1..=count.min(seen + 1)).rev() {
            let (fewer, more) = ways.split_at_mut(taken);
            let (fewer, more) = (&fewer[taken - 1], &mut more[0]);
            for sum in *rank..=most {
                more[sum] += fewer[sum - rank];
            }
        }
    }
    let mut chances = ways.swap_remove(count);
    let all: f64 = chances.iter().sum();
    chances.iter_mut().for_each(|chance| *chance /= all);
    chances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_the_middle_of_their_ranks() {
        assert_eq!(doubled(&[1.0, 3.0], &[2.0]), (vec![2, 6], vec![4]));
        assert_eq!(doubled(&[1.0, 2.0], &[2.0, 2.0]), (vec![2, 6], vec![6, 6]));
        assert_eq!(ties([2, 6, 6, 6].into_iter()), 24.0);
        assert_eq!(doubled(&[], &[]), (vec![], vec![]));
    }

    #[test]
    fn two_of_four_ranks_have_six_sums() {
        let chances = sums(&[2, 4, 6, 8], 2);
        let sixths: Vec<f64> = chances.iter().map(|chance| (chance * 6.0).round()).collect();
        // 2+4, 2+6, 2+8 and 4+6, 4+8, 6+8.
        let at = |sum: usize| sixths[sum];
        assert_eq!([at(6), at(8), at(10), at(12), at(14)], [1.0, 1.0, 2.0, 1.0, 1.0]);
        assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
