//! The normal distribution: probability below a point, and the point below which a probability lies.

/// Halvings after which the interval that holds a quantile is narrower than a double can tell.
const HALVINGS: u32 = 80;
/// Beyond so many deviations nothing is left that a double could show.
const FAR: f64 = 40.0;

/// The probability that a standard normal variable lies below `z`.
#[must_use]
pub fn below(z: f64) -> f64 {
    libm::erfc(-z / std::f64::consts::SQRT_2) / 2.0
}

/// The probability that a standard normal variable lies above `z`, exact in the far tail too.
#[must_use]
pub fn above(z: f64) -> f64 {
    below(-z)
}

/// The point below which a standard normal variable lies with probability `p`, by bisection: it is asked for a few times
/// per comparison. Infinite outside of (0, 1).
#[must_use]
pub fn quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (-FAR, FAR);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if below(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// A draw from the standard normal distribution, by the method of Box and Muller (A note on the generation of random
/// normal deviates, 1958).
#[must_use]
pub fn draw(random: &mut fastrand::Rng) -> f64 {
    // Away from zero, where the logarithm has no end.
    let first = 1.0 - random.f64();
    let second = random.f64();
    (-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_undo_probabilities() {
        for z in [-5.0, -1.96, -0.3, 0.0, 0.7, 3.0] {
            assert!((quantile(below(z)) - z).abs() < 1e-9, "{z}");
        }
        assert_eq!(quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(quantile(1.0), f64::INFINITY);
    }

    #[test]
    fn draws_have_the_mean_and_the_spread_of_the_standard_normal() {
        let mut random = fastrand::Rng::with_seed(5);
        let draws: Vec<f64> = (0..100_000).map(|_| draw(&mut random)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let square = draws.iter().map(|draw| draw * draw).sum::<f64>() / draws.len() as f64;
        // Six deviations of the mean of 100,000 draws.
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((square - 1.0).abs() < 0.03, "{square}");
    }
}
