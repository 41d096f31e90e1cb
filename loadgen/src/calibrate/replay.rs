//! How often `compare` claims a change where there is none, and how often it finds one that is there.
//!
//! Every window of ten consecutive runs of a series is labelled ABBAABBAAB, as `compare --vs` makes them, and judged: all
//! runs were made alike, so any claim is a false alarm. Windows overlap, so the rate's interval comes from blocks of them.
//! Beside them stand series drawn from a model of the host's drift. A planted change gives the power.

use serde::Serialize;

use super::series::Series;
use crate::compare::interleave;
use crate::compare::judge::{self, Figures, Word};
use crate::compare::metrics::{Better, METRICS, Metric, PRIMARY_MAX};
use crate::stats::bootstrap;
use crate::stats::drift::Drift;

/// Runs of a window.
pub const WINDOW: usize = 10;
/// Windows that share no run with each other are this far apart; blocks are twice as long.
const BLOCK: usize = 2 * WINDOW;
/// The change that is planted for the power.
const PLANTED: f64 = 0.10;
/// False alarms that are allowed: the level of the tests.
pub const RATE_MAX: f64 = 0.05;
/// Everything drawn comes from this number: the same series gives the same answer.
const SEED: u64 = 1;

/// A share of windows with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    /// Windows.
    pub windows: usize,
    /// Of those, how many.
    pub hits: usize,
    /// The share.
    pub rate: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Rate {
    /// Of a hit or a miss for each window, in order; `block` is how many of them belong together.
    #[must_use]
    pub fn of(hits: &[bool], block: usize) -> Self {
        let series: Vec<f64> = hits.iter().map(|hit| f64::from(u8::from(*hit))).collect();
        let mut random = fastrand::Rng::with_seed(SEED);
        let (low, high) = bootstrap::interval(&series, block, &mut random).unwrap_or_default();
        let count = hits.iter().filter(|hit| **hit).count();
        let rate = count as f64 / hits.len().max(1) as f64;
        Self { windows: hits.len(), hits: count, rate, low, high }
    }

    /// Whether the rate is not shown to be above the level.
    #[must_use]
    pub fn is_within_level(&self) -> bool {
        self.low <= RATE_MAX
    }
}

/// The power to find a planted change in one metric.
#[derive(Clone, Debug, Serialize)]
pub struct Power {
    /// The metric.
    pub metric: &'static str,
    /// How its values wander from run to run.
    pub drift: Drift,
    /// In the windows of the series.
    pub replayed: Rate,
    /// In drawn series.
    pub simulated: Rate,
}

/// What a calibration found.
#[derive(Clone, Debug, Serialize)]
pub struct Calibration {
    /// Runs of the series.
    pub runs: usize,
    /// Of those, with an INVALID measurement: they are taken too, because they are part of the host's moods.
    pub invalid: usize,
    /// False alarms in the windows of the series.
    pub replayed: Rate,
    /// False alarms in drawn series.
    pub simulated: Rate,
    /// The change planted for the power.
    pub planted: f64,
    /// For each metric that is tested.
    pub power: Vec<Power>,
}

/// The tested metrics of a series, a column each.
struct Columns(Vec<(&'static Metric, Vec<f64>)>);

/// Replays a series, and as many drawn ones of ten runs.
///
/// # Errors
/// When the series is shorter than a window, or has no metric that all runs have measured.
pub fn calibrate(series: &Series, simulated: usize) -> Result<Calibration, String> {
    if series.runs.len() < WINDOW {
        return Err(format!("{} runs are no window: {WINDOW} are needed", series.runs.len()));
    }
    let columns = Columns::of(series);
    if columns.0.is_empty() {
        return Err("no metric was measured in every run".into());
    }
    let drifts = columns.drifts();
    let drawn = draw(&columns, &drifts, simulated);
    let windows: Vec<Columns> = columns.windows();
    let power = columns.0.iter().zip(&drifts).enumerate().map(|(at, ((metric, _), drift))| {
        let found = |windows: &[Columns]| -> Vec<bool> {
            windows.iter().map(|window| window.finds(at)).collect()
        };
        Power {
            metric: metric.name,
            drift: *drift,
            replayed: Rate::of(&found(&windows), BLOCK),
            simulated: Rate::of(&found(&drawn), 1),
        }
    });
    let alarms =
        |windows: &[Columns]| windows.iter().map(Columns::raises_alarm).collect::<Vec<bool>>();
    Ok(Calibration {
        runs: series.runs.len(),
        invalid: series.runs.iter().filter(|run| run.validity == "INVALID").count(),
        replayed: Rate::of(&alarms(&windows), BLOCK),
        simulated: Rate::of(&alarms(&drawn), 1),
        planted: PLANTED,
        power: power.collect(),
    })
}

impl Columns {
    /// The metrics that `compare` would test: the first that every run has measured.
    fn of(series: &Series) -> Self {
        let column = |metric: &'static Metric| {
            let at = series.head.metrics.iter().position(|name| name == metric.name)?;
            let values: Option<Vec<f64>> = series.runs.iter().map(|run| run.values[at]).collect();
            let values = values.filter(|values| values.iter().all(|value| *value > 0.0))?;
            Some((metric, values))
        };
        Self(METRICS.iter().filter_map(column).take(PRIMARY_MAX).collect())
    }

    fn drifts(&self) -> Vec<Drift> {
        let still = Drift { mean: 0.0, memory: 0.0, level: 0.0, noise: 0.0 };
        let fit = |values: &[f64]| {
            let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
            Drift::fit(&logs).unwrap_or(still)
        };
        self.0.iter().map(|(_, values)| fit(values)).collect()
    }

    fn windows(&self) -> Vec<Self> {
        let runs = self.0.first().map_or(0, |(_, values)| values.len());
        let window = |start: usize| {
            Self(
                self.0
                    .iter()
                    .map(|(metric, values)| (*metric, values[start..start + WINDOW].to_vec()))
                    .collect(),
            )
        };
        (0..=runs - WINDOW).map(window).collect()
    }

    /// The sides of a window; the second side's values of the metric `planted` are made worse.
    fn figures(&self, planted: Option<usize>) -> Vec<Figures> {
        let sides = interleave::order(WINDOW);
        let of = |at: usize, metric: &'static Metric, values: &[f64]| {
            let side = |side| {
                let of_side = values.iter().zip(&sides).filter(move |(_, of)| **of == side);
                of_side.map(|(value, _)| *value).collect::<Vec<f64>>()
            };
            let worse = match metric.better {
                _ if planted != Some(at) => 1.0,
                Better::More => 1.0 / (1.0 + PLANTED),
                Better::Less => 1.0 + PLANTED,
            };
            let second = side(1).into_iter().map(|value| value * worse).collect();
            Figures { metric, first: side(0), second, margin: metric.margin }
        };
        self.0.iter().enumerate().map(|(at, (metric, values))| of(at, metric, values)).collect()
    }

    fn raises_alarm(&self) -> bool {
        let findings = judge::judge(&self.figures(None));
        findings.iter().any(|found| matches!(found.verdict, Some(Word::Better | Word::Worse)))
    }

    /// Whether a change planted in the metric at this place is found, and nothing else said of it.
    fn finds(&self, at: usize) -> bool {
        let findings = judge::judge(&self.figures(Some(at)));
        findings.get(at).is_some_and(|found| found.verdict == Some(Word::Worse))
    }
}

/// Draws windows from the metrics' drift. Metrics are drawn by themselves: real ones move together, which makes it less
/// likely that one of them raises an alarm.
fn draw(columns: &Columns, drifts: &[Drift], count: usize) -> Vec<Columns> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut column = |(metric, drift): (&'static Metric, &Drift)| {
        let values = drift.draw(WINDOW, &mut random);
        (metric, values.into_iter().map(f64::exp).collect::<Vec<f64>>())
    };
    let metrics: Vec<&'static Metric> = columns.0.iter().map(|(metric, _)| *metric).collect();
    (0..count)
        .map(|_| Columns(metrics.iter().copied().zip(drifts).map(&mut column).collect()))
        .collect()
}

impl Calibration {
    /// Whether false alarms are not shown to be above the level, replayed or drawn.
    #[must_use]
    pub fn is_within_level(&self) -> bool {
        self.replayed.is_within_level() && self.simulated.is_within_level()
    }

    /// The calibration to read.
    #[must_use]
    pub fn to_text(&self) -> String {
        let show = |rate: &Rate| {
            let Rate { windows, hits, rate, low, high } = rate;
            format!(
                "{hits} of {windows}, {:.1} % (95 %: {:.1} .. {:.1})",
                rate * 100.0,
                low * 100.0,
                high * 100.0
            )
        };
        let mut out = format!(
            "series of {} runs ({} INVALID), windows of {WINDOW} labelled ABBAABBAAB\n\
             false alarms, replayed:  {}\nfalse alarms, simulated: {}\n\n\
             {:26} {:>8} {:>8} {:>8}  {:36} simulated\n",
            self.runs,
            self.invalid,
            show(&self.replayed),
            show(&self.simulated),
            format!("power at {:.0} %", self.planted * 100.0),
            "memory",
            "level",
            "noise",
            "replayed",
        );
        for power in &self.power {
            let Drift { memory, level, noise, .. } = power.drift;
            out.push_str(&format!(
                "{:26} {memory:>8.2} {:>6.2} % {:>6.2} %  {:36} {}\n",
                power.metric,
                level * 100.0,
                noise * 100.0,
                show(&power.replayed),
                show(&power.simulated)
            ));
        }
        let word = if self.is_within_level() { "within" } else { "ABOVE" };
        out + &format!("\nfalse alarms are {word} the level of {:.0} %\n", RATE_MAX * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::{Head, Run};
    use super::*;
    use crate::stats::normal;

    /// A series of two metrics; `value` gives the logarithm of a run's change.
    fn series(runs: usize, mut value: impl FnMut(usize) -> f64) -> Series {
        let mut run = |at: usize| {
            let change = value(at).exp();
            Run {
                started: String::new(),
                validity: "VALID".into(),
                values: vec![Some(1e5 * change), Some(1_000.0 / change)],
            }
        };
        Series {
            head: Head {
                schema: 1,
                name: "drawn".into(),
                words: "local".into(),
                facts: std::collections::BTreeMap::new(),
                metrics: vec!["delivered_per_s".into(), "delivery_p99_us".into()],
            },
            runs: (0..runs).map(&mut run).collect(),
        }
    }

    #[test]
    fn noise_and_drift_raise_alarms_within_the_level() {
        let mut random = fastrand::Rng::with_seed(7);
        let noise = calibrate(&series(200, |_| 0.1 * normal::draw(&mut random)), 500).unwrap();
        assert!(noise.is_within_level(), "{}", noise.to_text());
        assert_eq!((noise.replayed.windows, noise.simulated.windows), (191, 500));
        let model = Drift { mean: 0.0, memory: 0.9, level: 0.1, noise: 0.03 };
        let drifting = model.draw(200, &mut random);
        let drift = calibrate(&series(200, |at| drifting[at]), 500).unwrap();
        assert!(drift.is_within_level(), "{}", drift.to_text());
        assert!(drift.power[0].drift.memory > 0.6, "{}", drift.to_text());
    }

    #[test]
    fn a_host_that_moves_in_step_with_the_labels_is_found_out() {
        let sides = interleave::order(200);
        let mut random = fastrand::Rng::with_seed(7);
        let in_step = series(200, |at| 0.3 * sides[at] as f64 + 0.02 * normal::draw(&mut random));
        let found = calibrate(&in_step, 100).unwrap();
        assert!(found.replayed.rate > 0.3 && !found.is_within_level(), "{}", found.to_text());
        assert!(found.to_text().contains("ABOVE"));
    }

    #[test]
    fn a_change_larger_than_the_noise_is_found_and_one_below_it_is_not() {
        let mut random = fastrand::Rng::with_seed(7);
        let quiet = calibrate(&series(60, |_| 0.01 * normal::draw(&mut random)), 100).unwrap();
        assert!(quiet.power.iter().all(|power| power.replayed.rate > 0.95), "{}", quiet.to_text());
        let loud = calibrate(&series(60, |_| 0.5 * normal::draw(&mut random)), 100).unwrap();
        assert!(loud.power.iter().all(|power| power.replayed.rate < 0.3), "{}", loud.to_text());
    }

    #[test]
    fn a_series_that_is_no_window_is_refused() {
        assert!(calibrate(&series(9, |_| 0.0), 10).unwrap_err().contains("9 runs"));
        let mut silent = series(10, |_| 0.0);
        silent.runs[0].values = vec![None, None];
        assert!(calibrate(&silent, 10).unwrap_err().contains("no metric"));
    }
}
