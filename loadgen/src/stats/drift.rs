//! A model of how a host's moods move a metric from run to run: a level that wanders and comes back, and noise on each run.
//!
//! The level is an autoregressive process of first order, fitted to the autocovariances of the series at lags 0, 1 and 2:
//! the level alone makes neighbours alike, so the lags give its memory and its variance, and what is left at lag 0 is
//! noise. (The method of moments for a first-order process seen through noise, as in P. J. Brockwell and R. A. Davis,
//! Time Series: Theory and Methods, 1991.)

use super::normal;

/// The longest memory that is fitted: a level that never comes back cannot be told from a trend by so few runs.
const MEMORY_MAX: f64 = 0.98;

/// A fitted model, of logarithms.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Drift {
    /// The mean of the series.
    pub mean: f64,
    /// The correlation of the level with itself one run later, 0 to below 1.
    pub memory: f64,
    /// The standard deviation of the level.
    pub level: f64,
    /// The standard deviation of the noise on each run.
    pub noise: f64,
}

impl Drift {
    /// Fits the model; `None` of fewer than four runs, from which nothing can be fitted.
    #[must_use]
    pub fn fit(series: &[f64]) -> Option<Self> {
        if series.len() < 4 {
            return None;
        }
        let mean = series.iter().sum::<f64>() / series.len() as f64;
        let [all, one, two] = [0, 1, 2].map(|lag| covariance(series, mean, lag));
        let memory = if one > 0.0 { (two / one).clamp(0.0, MEMORY_MAX) } else { 0.0 };
        let variance = if memory > 0.0 { (one / memory).min(all) } else { one.clamp(0.0, all) };
        Some(Self { mean, memory, level: variance.sqrt(), noise: (all - variance).max(0.0).sqrt() })
    }

    /// Draws a series of so many runs.
    #[must_use]
    pub fn draw(&self, runs: usize, random: &mut fastrand::Rng) -> Vec<f64> {
        let step = self.level * (1.0 - self.memory * self.memory).sqrt();
        let mut level = self.level * normal::draw(random);
        let series = (0..runs).map(|_| {
            let run = self.mean + level + self.noise * normal::draw(random);
            level = self.memory * level + step * normal::draw(random);
            run
        });
        series.collect()
    }
}

fn covariance(series: &[f64], mean: f64, lag: usize) -> f64 {
    let apart = series.iter().zip(&series[lag..]);
    apart.map(|(one, other)| (one - mean) * (other - mean)).sum::<f64>() / series.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() < within, "{found} is not {expected}");
    }

    #[test]
    fn what_was_drawn_is_fitted_again() {
        let model = Drift { mean: 2.0, memory: 0.8, level: 0.05, noise: 0.03 };
        let drawn = model.draw(100_000, &mut fastrand::Rng::with_seed(3));
        let found = Drift::fit(&drawn).unwrap();
        near(found.mean, 2.0, 0.005);
        near(found.memory, 0.8, 0.02);
        near(found.level, 0.05, 0.003);
        near(found.noise, 0.03, 0.003);
    }

    #[test]
    fn noise_alone_has_no_level_and_a_constant_has_nothing() {
        let model = Drift { mean: 0.0, memory: 0.0, level: 0.0, noise: 1.0 };
        let found = Drift::fit(&model.draw(100_000, &mut fastrand::Rng::with_seed(3))).unwrap();
        near(found.noise.hypot(found.level), 1.0, 0.02);
        near(found.level, 0.0, 0.15);
        let constant = Drift::fit(&[5.0; 10]).unwrap();
        assert_eq!((constant.level, constant.noise, constant.mean), (0.0, 0.0, 5.0));
        assert_eq!(Drift::fit(&[1.0; 3]), None);
    }
}
