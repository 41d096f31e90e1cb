//! Pictures as SVG text: lines over time, percentile spectra, heat maps. Colours are classes of the page's style, so that
//! they follow its theme; lines differ by dash as well as by colour.

use std::fmt::Write as _;

/// A line of a chart.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// What it shows.
    pub(super) name: String,
    /// Its points, from left to right.
    pub(super) points: Vec<(f64, f64)>,
}

/// How numbers of an axis are placed and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Evenly, from zero.
    Linear,
    /// Microseconds by their logarithm.
    LogMicros,
    /// Bytes, evenly, from zero.
    Bytes,
}

/// A chart: lines over one axis, and spans of it that are shaded.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// For those who do not see it.
    pub(super) label: String,
    /// The lines.
    pub(super) lines: Vec<Line>,
    /// Shaded spans, with their names.
    pub(super) bands: Vec<(f64, f64, String)>,
    /// How the vertical axis is placed.
    pub(super) scale: Scale,
    /// The ends of the horizontal axis, if they are not those of the lines.
    pub(super) span: Option<(f64, f64)>,
    /// Numbers below the horizontal axis.
    pub(super) ticks: Vec<(f64, String)>,
    /// What these numbers are.
    pub(super) unit: &'static str,
}

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;
/// Numbers on the vertical axis, about.
const ROWS: f64 = 4.0;
/// Styles that lines can have.
const STYLES: usize = 4;

/// Where values lie.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    scale: Scale,
}

impl Frame {
    fn left(&self, x: f64) -> f64 {
        let span = (self.x.1 - self.x.0).max(f64::MIN_POSITIVE);
        LEFT + (x - self.x.0) / span * (WIDTH - LEFT - RIGHT)
    }

    fn top(&self, y: f64) -> f64 {
        let (y, low, high) = match self.scale {
            Scale::Linear | Scale::Bytes => (y, self.y.0, self.y.1),
            Scale::LogMicros => (y.max(self.y.0).log10(), self.y.0.log10(), self.y.1.log10()),
        };
        let span = (high - low).max(f64::MIN_POSITIVE);
        HEIGHT - BOTTOM - (y - low) / span * (HEIGHT - TOP - BOTTOM)
    }

    /// The numbers of the vertical axis.
    fn rows(&self) -> Vec<f64> {
        match self.scale {
            Scale::LogMicros => {
                let decades = self.y.0.log10().ceil() as i32..=self.y.1.log10().floor() as i32;
                decades.map(|decade| 10f64.powi(decade)).collect()
            }
            Scale::Linear | Scale::Bytes => {
                let least = self.y.1 / ROWS;
                let step = match self.scale {
                    Scale::Bytes => 2f64.powf(least.max(1.0).log2().ceil()),
                    Scale::Linear | Scale::LogMicros => round_step(least),
                };
                (0..).map(|row| f64::from(row) * step).take_while(|y| *y <= self.y.1).collect()
            }
        }
    }

    fn written(&self, y: f64) -> String {
        match self.scale {
            Scale::Linear => short(y),
            Scale::Bytes => bytes(y),
            Scale::LogMicros => micros(y),
        }
    }
}

impl Chart {
    /// The picture, if there is anything to see.
    pub(super) fn svg(&self) -> Option<String> {
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let left = all().map(|point| point.0).reduce(f64::min)?;
        let right = all().map(|point| point.0).reduce(f64::max)?;
        let highest = all().map(|point| point.1).reduce(f64::max)?;
        let lowest = all().map(|point| point.1).filter(|y| *y > 0.0).reduce(f64::min);
        let y = match self.scale {
            Scale::Linear | Scale::Bytes => (0.0, (highest * 1.08).max(1.0)),
            Scale::LogMicros => {
                let low = 10f64.powf(lowest.unwrap_or(1.0).max(0.1).log10().floor());
                (low, (highest * 1.2).max(low * 10.0))
            }
        };
        let (left, right) = self.span.unwrap_or((left, right));
        let frame = Frame { x: (left, right.max(left + 1e-9)), y, scale: self.scale };
        let mut out = open(&self.label, HEIGHT, &self.hover(&frame));
        self.bands(&mut out, &frame);
        axes(&mut out, &frame, &self.ticks, self.unit);
        for (at, line) in self.lines.iter().enumerate() {
            let points = line.points.iter();
            let points: Vec<String> = points
                .map(|(x, y)| format!("{:.1},{:.1}", frame.left(*x), frame.top(*y)))
                .collect();
            let style = at % STYLES;
            put(
                &mut out,
                format_args!("<polyline class=\"l l{style}\" points=\"{}\"/>", points.join(" ")),
            );
            let x = LEFT + 150.0 * at as f64;
            put(
                &mut out,
                format_args!(
                    "<line class=\"l l{style}\" x1=\"{x}\" y1=\"14\" x2=\"{}\" y2=\"14\"/>",
                    x + 26.0
                ),
            );
            text(&mut out, (x + 32.0, 18.0), "", "start", &line.name);
        }
        out.push_str("</svg>");
        Some(out)
    }

    fn bands(&self, out: &mut String, frame: &Frame) {
        for (from, until, name) in &self.bands {
            let (from, until) = (frame.left(from.max(frame.x.0)), frame.left(until.min(frame.x.1)));
            if until > from {
                let (width, height) = (until - from, HEIGHT - TOP - BOTTOM);
                put(
                    out,
                    format_args!(
                        "<rect class=\"band\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"/>"
                    ),
                );
                text(out, (from + 4.0, TOP + 12.0), "small", "start", name);
            }
        }
    }

    /// What the page's script shows under the pointer.
    fn hover(&self, frame: &Frame) -> String {
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                let points: Vec<_> = line
                    .points
                    .iter()
                    .map(|(x, y)| serde_json::json!([frame.left(*x), frame.written(*y)]))
                    .collect();
                serde_json::json!({ "name": line.name, "points": points })
            })
            .collect();
        serde_json::Value::from(lines).to_string()
    }
}

/// A heat map: columns from left to right, each with its bucket's lower ends and counts.
pub(super) fn heat(label: &str, columns: &[(f64, Vec<(f64, f64)>)]) -> Option<String> {
    let cells = || columns.iter().flat_map(|(_, cells)| cells);
    let most = cells().map(|cell| cell.1).reduce(f64::max)?;
    let (low, high) = (
        cells().map(|cell| cell.0).reduce(f64::min)?,
        cells().map(|cell| cell.0).reduce(f64::max)?,
    );
    let (left, right) = (columns.first()?.0, columns.last()?.0 + 1.0);
    let y = (10f64.powf(low.max(1.0).log10().floor()), (high * 1.3).max(low * 10.0));
    let frame = Frame { x: (left, right), y, scale: Scale::LogMicros };
    let mut out = open(label, HEIGHT, "");
    axes(&mut out, &frame, &seconds(left, right), "seconds");
    let width = (frame.left(1.0) - frame.left(0.0)).max(1.0);
    for (at, cells) in columns {
        for (low, count) in cells {
            // A quarter of a doubling; the share by its logarithm, since few slow ones are what matters.
            let (top, bottom) = (frame.top(low * 1.19), frame.top(*low));
            let opacity = 0.12 + 0.88 * (1.0 + count).ln() / (1.0 + most).ln();
            put(
                &mut out,
                format_args!(
                    "<rect class=\"heat\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" opacity=\"{opacity:.2}\"><title>second {at}: {count} from {}</title></rect>",
                    frame.left(*at),
                    (bottom - top).max(1.5),
                    micros(*low)
                ),
            );
        }
    }
    out.push_str("</svg>");
    Some(out)
}

fn open(label: &str, height: f64, hover: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\" data-hover=\"{}\">\n",
        escape(label),
        escape(hover)
    )
}

fn axes(out: &mut String, frame: &Frame, ticks: &[(f64, String)], unit: &str) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for y in frame.rows() {
        let top = frame.top(y);
        put(
            out,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{top:.1}\" x2=\"{right}\" y2=\"{top:.1}\"/>"
            ),
        );
        text(out, (LEFT - 7.0, top + 4.0), "small", "end", &frame.written(y));
    }
    for (x, words) in ticks {
        let left = frame.left(*x);
        if (LEFT - 1.0..=right + 1.0).contains(&left) {
            put(
                out,
                format_args!(
                    "<line class=\"grid\" x1=\"{left:.1}\" y1=\"{TOP}\" x2=\"{left:.1}\" y2=\"{bottom}\"/>"
                ),
            );
            text(out, (left, bottom + 16.0), "small", "middle", words);
        }
    }
    put(
        out,
        format_args!(
            "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>"
        ),
    );
    text(out, (f64::midpoint(LEFT, right), HEIGHT - 6.0), "small", "middle", unit);
}

/// Numbers below a time axis.
pub(super) fn seconds(from: f64, until: f64) -> Vec<(f64, String)> {
    let step = round_step((until - from) / 9.0).max(1.0);
    let first = (from / step).ceil() as i64;
    (first..)
        .map(|at| at as f64 * step)
        .take_while(|at| *at <= until)
        .map(|at| (at, short(at)))
        .collect()
}

/// 1, 2 or 5 times a power of ten, at least this.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= least)
        .unwrap_or(power)
}

/// A count in few characters.
pub(super) fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = usize::from(value.fract().abs() > 1e-9) * if value.abs() < 10.0 { 2 } else { 1 };
    format!("{value:.digits$}{unit}")
}

/// Bytes in few characters.
pub(super) fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let power = ((value.max(1.0).log2() / 10.0) as usize).min(units.len() - 1);
    let unit = units.get(power).copied().unwrap_or_default();
    format!("{} {unit}", short(value / 1024f64.powi(power as i32)))
}

/// Microseconds in few characters.
pub(super) fn micros(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", three(us / 1e6)),
        us if us >= 1e3 => format!("{} ms", three(us / 1e3)),
        us => format!("{} us", three(us)),
    }
}

/// Three digits.
fn three(value: f64) -> String {
    let digits = if value >= 100.0 || value.fract().abs() < 1e-9 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

fn text(out: &mut String, (x, y): (f64, f64), class: &str, anchor: &str, words: &str) {
    let words = escape(words);
    put(
        out,
        format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
        ),
    );
}

/// Writing to a String cannot fail.
fn put(out: &mut String, part: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(part);
    out.push('\n');
}

/// Text that may stand in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)], scale: Scale) -> Chart {
        let lines = vec![Line { name: "a<b".into(), points: points.to_vec() }];
        Chart {
            label: "x".into(),
            lines,
            bands: vec![(1.0, 2.0, "kill".into())],
            scale,
            span: None,
            ticks: seconds(0.0, 3.0),
            unit: "seconds",
        }
    }

    #[test]
    fn nothing_to_see_is_no_picture() {
        assert!(chart(&[], Scale::Linear).svg().is_none());
        assert!(heat("x", &[]).is_none() && heat("x", &[(0.0, vec![])]).is_none());
    }

    #[test]
    fn what_is_drawn_lies_inside_and_names_are_escaped() {
        for scale in [Scale::Linear, Scale::LogMicros, Scale::Bytes] {
            let svg = chart(&[(0.0, 0.0), (1.0, 12.0), (3.0, 70_000.0)], scale).svg().unwrap();
            assert!(svg.contains("a&lt;b") && svg.contains("class=\"band\""), "{svg}");
            let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
            for point in points.split(' ') {
                let (x, y) = point.split_once(',').unwrap();
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                assert!((LEFT..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y), "{point}");
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [short(0.0), short(9_500.0), short(12_300.0), short(2_000_000.0)],
            ["0", "9500", "12.3k", "2M"]
        );
        assert_eq!(
            [micros(0.25), micros(999.0), micros(1_500.0), micros(2e6)],
            ["0.25 us", "999 us", "1.50 ms", "2 s"]
        );
        assert_eq!([bytes(512.0), bytes(3_145_728.0)], ["512 B", "3 MiB"]);
        assert_eq!([round_step(0.3), round_step(3.0), round_step(11.0)], [0.5, 5.0, 20.0]);
    }
}
