//! `loadgen sweep`: every point of a grid of a run's words, several times each, in an order that is drawn.
//!
//! Owns the grid, the order, the table and the CSV; the pictures are in `page`. A point's figure is the middle of its
//! runs, shown with their range; whether two points differ is `compare`'s to say.

mod page;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;

use crate::child_run::RunWords;
use crate::cli::{SweepArgs, SweepAxis};
use crate::compare::interleave::directory_for;
use crate::compare::metrics::{METRICS, Metric};
use crate::exit::{Exit, Refusal};
use crate::export::cell;
use crate::plan::Watch;
use crate::stats::median_of;
use crate::stored::StoredRun;

/// Runs of a sweep: days of them.
const RUNS_MAX: usize = 10_000;

/// The runs of one point of the grid.
#[derive(Clone, Debug)]
pub struct Point {
    /// The value of each axis.
    pub values: Vec<String>,
    /// What its runs found.
    pub runs: Vec<Measured>,
}

/// What is kept of a run.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Whether its measurement is to be trusted.
    pub validity: String,
    /// The metrics in their order; nothing where one was not measured.
    pub figures: Vec<Option<f64>>,
}

/// Makes the runs, shows the table, writes the CSV and the page.
///
/// # Errors
/// When the words make no sense, or a run breaks.
pub fn run(args: &SweepArgs, watch: &Watch) -> Result<Vec<Exit>, Refusal> {
    let mut points = grid(&args.axis);
    let runs = points.len() * args.repeat as usize;
    if runs > RUNS_MAX {
        return Err(Refusal::usage(format!("{runs} runs are too many: {RUNS_MAX} at most")));
    }
    let words = words(args, &points)?;
    let out = directory_for(args.out.as_deref(), "sweep")?;
    let mut order: Vec<usize> = (0..runs).map(|at| at % points.len()).collect();
    fastrand::Rng::with_seed(args.seed).shuffle(&mut order);
    let began = Instant::now();
    for (made, at) in order.iter().enumerate() {
        let found = words[*at].run(&out.join(format!("{:04}", made + 1)), watch)?;
        let made = made + 1;
        let left = began.elapsed().as_secs_f64() / made as f64 * (runs - made) as f64;
        let point = points[*at].values.join(", ");
        let validity = found.text("/verdict/validity");
        eprintln!("run {made} of {runs}: {point}: {validity}; about {left:.0} s left");
        points[*at].runs.push(Measured::of(&found));
        write(&out.join("sweep.csv"), &csv(&args.axis, &points))?;
    }
    print!("{}", table(&args.axis, &points));
    write(&out.join("sweep.html"), &page::page(&args.axis, &points))?;
    println!("runs, sweep.csv and sweep.html: {}", out.display());
    Ok(Vec::new())
}

/// Every point, the last axis moving fastest.
fn grid(axes: &[SweepAxis]) -> Vec<Point> {
    let mut points = vec![Vec::new()];
    for axis in axes {
        let further = |point: &Vec<String>| {
            let values =
                axis.values.iter().map(|value| [point.clone(), vec![value.clone()]].concat());
            values.collect::<Vec<_>>()
        };
        points = points.iter().flat_map(further).take(RUNS_MAX + 1).collect();
    }
    points.into_iter().map(|values| Point { values, runs: Vec::new() }).collect()
}

/// The words of every point's run, all of them read before the first is made.
fn words(args: &SweepArgs, points: &[Point]) -> Result<Vec<RunWords>, Refusal> {
    let of_point = |point: &Point| {
        let pairs = args.axis.iter().zip(&point.values);
        let axes = pairs.flat_map(|(axis, value)| [format!("--{}", axis.name), value.clone()]);
        RunWords::of(args.words.iter().cloned().chain(axes).collect()).map_err(Refusal::usage)
    };
    points.iter().map(of_point).collect()
}

impl Measured {
    fn of(run: &StoredRun) -> Self {
        Self {
            validity: run.text("/verdict/validity").into(),
            figures: METRICS.iter().map(|metric| (metric.read)(run)).collect(),
        }
    }
}

impl Point {
    /// The figures of one metric over the runs that measured it.
    fn figures(&self, metric: usize) -> Vec<f64> {
        self.runs.iter().filter_map(|run| run.figures[metric]).collect()
    }

    /// The least, the middle and the most of them.
    fn spread(&self, metric: usize) -> Option<[f64; 3]> {
        let figures = self.figures(metric);
        let low = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let high = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some([low, median_of(&figures)?, high])
    }
}

/// The metrics that some run of some point measured, with their places.
fn measured(points: &[Point]) -> Vec<(usize, &'static Metric)> {
    let is_measured =
        |(at, _): &(usize, &Metric)| points.iter().any(|point| !point.figures(*at).is_empty());
    METRICS.iter().enumerate().filter(is_measured).collect()
}

/// A row for each run.
fn csv(axes: &[SweepAxis], points: &[Point]) -> String {
    let names = axes.iter().map(|axis| cell(&axis.name));
    let head = names.chain(["run".into(), "validity".into()]);
    let head = head.chain(METRICS.iter().map(|metric| metric.name.into()));
    let mut out = head.collect::<Vec<String>>().join(",") + "\n";
    for point in points {
        for (number, run) in point.runs.iter().enumerate() {
            let values = point.values.iter().map(|value| cell(value));
            let figures =
                run.figures.iter().map(|figure| figure.map(|f| f.to_string()).unwrap_or_default());
            let row = values.chain([(number + 1).to_string(), run.validity.clone()]).chain(figures);
            out.push_str(&(row.collect::<Vec<String>>().join(",") + "\n"));
        }
    }
    out
}

/// A block for each metric, a row for each point.
fn table(axes: &[SweepAxis], points: &[Point]) -> String {
    use crate::compare::figure_text as show;
    let names: Vec<&str> = axes.iter().map(|axis| axis.name.as_str()).collect();
    let mut out = String::new();
    for (at, metric) in measured(points) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n{} ({})", metric.words, metric.unit);
        let _ = writeln!(
            out,
            "  {:32} {:>12} {:>12} {:>12}  runs",
            names.join(", "),
            "least",
            "median",
            "most"
        );
        for point in points {
            let name = point.values.join(", ");
            let runs = point.figures(at).len();
            let cells = point.spread(at).map_or_else(
                || format!("{:>12} {:>12} {:>12}", "n/a", "n/a", "n/a"),
                |[low, middle, high]| {
                    format!("{:>12} {:>12} {:>12}", show(low), show(middle), show(high))
                },
            );
            let _ = writeln!(out, "  {name:32} {cells}  {runs}");
        }
    }
    let invalid =
        points.iter().flat_map(|point| &point.runs).filter(|run| run.validity == "INVALID");
    match invalid.count() {
        0 => out,
        count => {
            out + &format!(
                "\n{count} runs were INVALID: see sweep.csv before believing their points\n"
            )
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Refusal> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::sample::run as sample;

    fn axes() -> Vec<SweepAxis> {
        ["connections=1k,10k", "size=64,1_000"].map(|axis| axis.parse().unwrap()).to_vec()
    }

    fn swept() -> Vec<Point> {
        let mut points = grid(&axes());
        for (at, point) in points.iter_mut().enumerate() {
            let rates = [1.0, 1.1, 0.9].map(|noise| 1e5 * noise * (at + 1) as f64);
            point.runs = rates.map(|rate| Measured::of(&sample(rate, |_| {}))).to_vec();
        }
        points
    }

    #[test]
    fn an_axis_is_a_word_and_its_values() {
        for refused in ["connections", "=1", "size=", "size=1,,2", "size=1,1"] {
            assert!(refused.parse::<SweepAxis>().is_err(), "{refused}");
        }
        assert_eq!("--size=1, 2".parse::<SweepAxis>().unwrap().values, ["1", "2"]);
    }

    #[test]
    fn the_grid_has_every_point_once_and_its_words_are_read_first() {
        let points = grid(&axes());
        let values: Vec<String> = points.iter().map(|point| point.values.join(" ")).collect();
        assert_eq!(values, ["1k 64", "1k 1_000", "10k 64", "10k 1_000"]);
        let args = |axis: &str| SweepArgs {
            axis: vec![axis.parse().unwrap()],
            repeat: 1,
            seed: 1,
            out: None,
            words: vec!["local".into()],
        };
        let good = args("connections=1k,10k");
        assert_eq!(words(&good, &grid(&good.axis)).unwrap()[1].text(), "local --connections 10k");
        for bad in ["connections=1k,many", "speed=1"] {
            let bad = args(bad);
            assert_eq!(words(&bad, &grid(&bad.axis)).unwrap_err().exit, Exit::Usage);
        }
    }

    #[test]
    fn the_table_and_the_csv_have_every_point_and_every_run() {
        let points = swept();
        let table = table(&axes(), &points);
        assert!(table.contains("deliveries a second") && table.contains("10k, 1_000"), "{table}");
        assert!(table.contains("90,000      100,000      110,000  3"), "{table}");
        let csv = csv(&axes(), &points);
        assert_eq!(csv.lines().count(), 1 + 12);
        assert!(csv.starts_with("connections,size,run,validity,delivered_per_s,"), "{csv}");
    }

    #[test]
    fn the_page_has_a_picture_for_each_metric_and_needs_nothing_else() {
        let points = swept();
        let page = page::page(&axes(), &points);
        assert_eq!(page.matches("<svg").count(), measured(&points).len());
        for foreign in ["<script", "http", "NaN", "inf"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
