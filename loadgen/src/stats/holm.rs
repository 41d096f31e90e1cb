//! Several tests at once: Holm's step-down correction, which keeps the chance of any false alarm among them below the
//! level of one test, whatever depends on what. (S. Holm, A simple sequentially rejective multiple test procedure, 1979.)

/// Each p made so large that it can be held against the level by itself. Keeps the order given.
#[must_use]
pub fn adjust(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|one, other| p[*one].total_cmp(&p[*other]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least = 0.0_f64;
    for (step, at) in order.into_iter().enumerate() {
        least = least.max(p[at] * (p.len() - step) as f64).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_pays_for_all_and_none_overtakes() {
        let adjusted = adjust(&[0.04, 0.01, 0.03]);
        let expected = [0.06, 0.03, 0.06];
        for (found, expected) in adjusted.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(adjust(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(adjust(&[]).is_empty());
    }
}
