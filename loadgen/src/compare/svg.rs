//! The pictures of a comparison: ratios with their intervals, every run in its order, and both sides' latencies.
//!
//! Plain SVG that needs no script; colours come from the page's style, so that they follow its theme. Marks differ in
//! shape as well as in colour.

use std::fmt::Write as _;

use super::Comparison;
use super::judge::{Finding, Word};
use super::text::figure;
use crate::stored::StoredRun;

/// A drawing under construction.
struct Picture {
    width: f64,
    height: f64,
    out: String,
}

impl Picture {
    const fn new(width: f64, height: f64) -> Self {
        Self { width, height, out: String::new() }
    }

    fn push(&mut self, part: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.out.write_fmt(part);
        self.out.push('\n');
    }

    fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: &str, words: &str) {
        let words = escape(words);
        self.push(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
        ));
    }

    fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
    }

    /// A run's mark: a circle for the first side, a square for the second.
    fn mark(&mut self, side: usize, (x, y): (f64, f64)) {
        match side {
            0 => self
                .push(format_args!("<circle class=\"s0\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>")),
            _ => self.rect("s1", (x - 4.0, y - 4.0), (8.0, 8.0)),
        }
    }

    fn finish(self, label: &str) -> String {
        let Self { width, height, out } = self;
        let label = escape(label);
        format!(
            "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{label}\">\n{out}</svg>\n"
        )
    }
}

/// Text that may stand in HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const WIDTH: f64 = 860.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 40.0;
const ROW: f64 = 34.0;
const TOP: f64 = 34.0;
/// The picture of ratios reaches at most this far: what lies beyond is drawn at its edge.
const RATIO_MAX: f64 = 10.0;

/// Every ratio with its interval over its margin.
pub(super) fn ratios(comparison: &Comparison) -> String {
    let findings: Vec<&Finding> = comparison.findings.iter().chain(&comparison.others).collect();
    let height = TOP + ROW * findings.len() as f64 + 30.0;
    let mut picture = Picture::new(WIDTH, height);
    let far = |finding: &&Finding| {
        finding.ratio.high.max(1.0 / finding.ratio.low).max(1.0 + finding.margin)
    };
    let reach = findings.iter().map(far).fold(1.06_f64, f64::max).min(RATIO_MAX) * 1.02;
    let x = |ratio: f64| {
        let share = (ratio.clamp(1.0 / reach, reach).ln() / reach.ln() + 1.0) / 2.0;
        LEFT + share * (WIDTH - LEFT - RIGHT)
    };
    let bottom = height - 26.0;
    for tick in ticks(reach) {
        picture.line("grid", (x(tick), TOP - 8.0), (x(tick), bottom));
        picture.text((x(tick), height - 8.0), "small", "middle", &format!("{tick:.2}"));
    }
    picture.line("axis", (x(1.0), TOP - 14.0), (x(1.0), bottom));
    picture.text((x(1.0), 14.0), "small", "middle", "second / first");
    for (at, finding) in findings.iter().enumerate() {
        let y = TOP + ROW * (at as f64 + 0.5);
        let edge = 1.0 + finding.margin;
        picture.rect("margin", (x(1.0 / edge), y - 12.0), (x(edge) - x(1.0 / edge), 24.0));
        let class = match finding.verdict {
            Some(Word::Better) => "good",
            Some(Word::Worse) => "bad",
            Some(Word::Equivalent | Word::Inconclusive) => "open",
            None => "faint",
        };
        let ratio = &finding.ratio;
        picture.line(&format!("bar {class}"), (x(ratio.low), y), (x(ratio.high), y));
        for end in [ratio.low, ratio.high] {
            picture.line(&format!("bar {class}"), (x(end), y - 5.0), (x(end), y + 5.0));
        }
        let (middle, size) = (x(ratio.median), 5.0);
        picture.push(format_args!(
            "<path class=\"dot {class}\" d=\"M{middle:.1} {:.1}l{size} {size}l-{size} {size}l-{size} -{size}z\"/>",
            y - size
        ));
        picture.text((LEFT - 12.0, y + 4.5), "name", "end", finding.words);
    }
    picture.finish("Ratio of the second to the first side with its interval, for each metric")
}

/// Ratios to write below the picture.
fn ticks(reach: f64) -> Vec<f64> {
    let steps: &[f64] = match reach {
        r if r <= 1.12 => &[0.9, 0.95, 1.0, 1.05, 1.1],
        r if r <= 1.6 => &[0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5],
        _ => &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0],
    };
    steps.iter().copied().filter(|tick| *tick <= reach && *tick >= 1.0 / reach).collect()
}

const PANEL: (f64, f64) = (270.0, 150.0);
const PANELS: usize = 3;
/// Above each panel, for its name.
const GAP: f64 = 48.0;

/// Every run of every tested metric, in the order of the sides' runs.
pub(super) fn runs(comparison: &Comparison) -> String {
    let rows = comparison.findings.len().div_ceil(PANELS);
    let mut picture = Picture::new(WIDTH, rows as f64 * (PANEL.1 + GAP) + 6.0);
    let order = order(&comparison.sides);
    for (at, finding) in comparison.findings.iter().enumerate() {
        let left = (at % PANELS) as f64 * (PANEL.0 + 20.0);
        let top = (at / PANELS) as f64 * (PANEL.1 + GAP) + GAP - 8.0;
        panel(&mut picture, finding, &order, (left, top));
    }
    picture.finish("Every run of every metric, in the order in which they were made")
}

/// The runs of both sides as (side, place in the side), by when they began.
fn order(sides: &[Vec<StoredRun>; 2]) -> Vec<(usize, usize)> {
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (side, runs) in sides.iter().enumerate() {
        order.extend((0..runs.len()).map(|at| (side, at)));
    }
    // Runs that began in the same second stay as they are.
    order.sort_by_key(|(side, at)| sides[*side][*at].text("/run/started").to_owned());
    order
}

fn panel(
    picture: &mut Picture,
    finding: &Finding,
    order: &[(usize, usize)],
    (left, top): (f64, f64),
) {
    let all = || finding.first.iter().chain(&finding.second).copied();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let room = (high - low).max(high * 1e-3) * 0.1;
    let (low, high) = ((low - room).max(0.0), high + room);
    let (inner, width) = (left + 62.0, PANEL.0 - 66.0);
    let y = |value: f64| top + PANEL.1 * (1.0 - (value - low) / (high - low));
    picture.text((left, top - 16.0), "name", "start", finding.words);
    for share in [0.0, 0.5, 1.0] {
        let value = low + (high - low) * share;
        picture.line("grid", (inner, y(value)), (inner + width, y(value)));
        picture.text((inner - 6.0, y(value) + 4.0), "small", "end", &figure(value));
    }
    for (side, median) in finding.medians.iter().enumerate() {
        picture.line(&format!("median s{side}"), (inner, y(*median)), (inner + width, y(*median)));
    }
    let step = width / order.len().max(1) as f64;
    for (place, (side, at)) in order.iter().enumerate() {
        let values = if *side == 0 { &finding.first } else { &finding.second };
        if let Some(value) = values.get(*at) {
            picture.mark(*side, (inner + step * (place as f64 + 0.5), y(*value)));
        }
    }
}

/// The halvings of what lies beyond a percentile that the picture reaches: 99.99 % lies beyond 13.
const NINES: f64 = 4.0;
const SPECTRUM: (f64, f64) = (740.0, 260.0);

/// Both sides' delivery latencies by percentile, a line for each run; nothing if there are none.
pub(super) fn spectrum(comparison: &Comparison) -> Option<String> {
    let histograms = |side: usize| {
        comparison.sides[side].iter().filter_map(|run| run.latencies.get(super::shape::KIND))
    };
    let all: Vec<_> = histograms(0).chain(histograms(1)).filter(|h| !h.is_empty()).collect();
    let most = all.iter().map(|h| h.value_at_quantile(1.0 - 10f64.powf(-NINES))).max()? as f64;
    let least = all.iter().map(|h| h.value_at_quantile(0.01).max(1_000)).min()? as f64;
    let (low, high) = (least.log10().floor(), most.log10().ceil().max(least.log10().floor() + 1.0));
    let (left, top) = (84.0, 16.0);
    let x = |nines: f64| left + SPECTRUM.0 * nines / NINES;
    let y = |ns: f64| top + SPECTRUM.1 * (1.0 - (ns.log10() - low) / (high - low));
    let mut picture = Picture::new(WIDTH, top + SPECTRUM.1 + 34.0);
    for power in low as i32..=high as i32 {
        let ns = 10f64.powi(power);
        picture.line("grid", (left, y(ns)), (left + SPECTRUM.0, y(ns)));
        picture.text((left - 8.0, y(ns) + 4.0), "small", "end", &time(ns));
    }
    for (nines, name) in [
        (0.0, "0 %"),
        (std::f64::consts::LOG10_2, "50 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
        (4.0, "99.99 %"),
    ] {
        picture.line("grid", (x(nines), top), (x(nines), top + SPECTRUM.1));
        picture.text((x(nines), top + SPECTRUM.1 + 20.0), "small", "middle", name);
    }
    for side in [0, 1] {
        for histogram in histograms(side).filter(|h| !h.is_empty()) {
            let mut path = String::new();
            for step in 0..=160 {
                let nines = NINES * f64::from(step) / 160.0;
                let ns = histogram.value_at_quantile(1.0 - 10f64.powf(-nines)).max(1_000) as f64;
                let command = if step == 0 { 'M' } else { 'L' };
                // Writing to a String cannot fail.
                let _ = write!(
                    path,
                    "{command}{:.1} {:.1}",
                    x(nines),
                    y(ns.min(10f64.powf(high)).max(10f64.powf(low)))
                );
            }
            picture.push(format_args!("<path class=\"curve c{side}\" d=\"{path}\"/>"));
        }
    }
    Some(picture.finish("Delivery latency by percentile, a line for each run of both sides"))
}

fn time(ns: f64) -> String {
    match ns {
        v if v >= 1e9 => format!("{:.0} s", v / 1e9),
        v if v >= 1e6 => format!("{:.0} ms", v / 1e6),
        v => format!("{:.0} us", v / 1e3),
    }
}
