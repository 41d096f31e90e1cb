//! A sweep as a page of small pictures: one for each metric (and each value of further axes), the first axis along it, a
//! line for each value of the second. No network, no script, light and dark.

use std::fmt::Write as _;

use super::{Point, measured};
use crate::cli::SweepAxis;
use crate::compare::metrics::Metric;
use crate::compare::{escape, figure_text};

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--page:#fff;--rule:#d0d7de;--l0:#0b62a8;--l1:#b84a00;
--l2:#00795a;--l3:#8250df}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--page:#0d1117;--rule:#30363d;--l0:#6cb6ff;
--l1:#ff9a57;--l2:#4ac9a0;--l3:#c297ff}}
@media print{:root{color-scheme:light}figure{break-inside:avoid}}
body{margin:0 auto;max-width:1100px;padding:16px 20px 40px;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}
h1{font-size:22px}main{display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:18px}
figure{margin:0}figcaption{font-weight:600}svg{width:100%;height:auto}
svg text{font:12px system-ui,sans-serif;fill:var(--soft)}svg .grid{stroke:var(--rule)}
.line{fill:none;stroke-width:2}
.c0{stroke:var(--l0);color:var(--l0)}.c1{stroke:var(--l1);color:var(--l1);stroke-dasharray:7 3}
.c2{stroke:var(--l2);color:var(--l2);stroke-dasharray:2 3}.c3{stroke:var(--l3);color:var(--l3);stroke-dasharray:9 3 2 3}
.range{stroke-width:1.5;stroke-dasharray:none}.dot{stroke:none;fill:currentColor}
.key{font-weight:600;margin-right:14px}.soft{color:var(--soft)}
";

/// Lines that can be told apart; further ones repeat them.
const STYLES: usize = 4;
const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;

pub(super) fn page(axes: &[SweepAxis], points: &[Point]) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    let _ = write!(
        out,
        "<title>Sweep</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>Sweep</h1>\n"
    );
    let Some(first) = axes.first() else { return out };
    let _ = write!(out, "<p>along each picture: <b>{}</b>", escape(&first.name));
    if let Some(second) = axes.get(1) {
        let _ = write!(out, "; lines: <b>{}</b> ", escape(&second.name));
        for (at, value) in second.values.iter().enumerate() {
            let _ = write!(out, "<span class=\"key c{}\">{}</span>", at % STYLES, escape(value));
        }
    }
    out.push_str("</p>\n<p class=\"soft\">Medians of runs with the least and the most; every picture has its own scale.</p>\n<main>\n");
    for (at, metric) in measured(points) {
        for rest in rests(axes) {
            out.push_str(&figure(axes, points, (at, metric), &rest));
        }
    }
    out + "</main>\n</body></html>\n"
}

/// Every combination of the values of the axes beyond the second.
fn rests(axes: &[SweepAxis]) -> Vec<Vec<String>> {
    let further = axes.get(2..).unwrap_or_default();
    super::grid(further).into_iter().map(|point| point.values).collect()
}

fn figure(
    axes: &[SweepAxis],
    points: &[Point],
    (at, metric): (usize, &Metric),
    rest: &[String],
) -> String {
    let shown: Vec<&Point> =
        points.iter().filter(|point| point.values.get(2..).unwrap_or_default() == rest).collect();
    let most = shown
        .iter()
        .filter_map(|point| point.spread(at))
        .map(|[_, _, high]| high)
        .fold(0.0, f64::max);
    let top = if most > 0.0 { most * 1.05 } else { 1.0 };
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / top);
    let places = &axes[0].values;
    let x =
        |place: usize| LEFT + (WIDTH - LEFT - RIGHT) * (place as f64 + 0.5) / places.len() as f64;
    let names: Vec<String> =
        [metric.words.to_owned()].into_iter().chain(rest.iter().cloned()).collect();
    let caption = escape(&format!("{} ({})", names.join(", "), metric.unit));
    let mut out = format!(
        "<figure><figcaption>{caption}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{caption}\">\n"
    );
    // Writing to a String cannot fail.
    for share in [0.0, 0.5, 1.0] {
        let (value, at) = (top * share, y(top * share));
        let right = WIDTH - RIGHT;
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>"
        );
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            figure_text(value)
        );
    }
    for (place, value) in places.iter().enumerate() {
        let (x, y, value) = (x(place), HEIGHT - 8.0, escape(value));
        let _ =
            writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{value}</text>");
    }
    let lines =
        axes.get(1).map_or_else(|| vec![None], |axis| axis.values.iter().map(Some).collect());
    for (line, value) in lines.into_iter().enumerate() {
        let class = line % STYLES;
        let mut path = String::new();
        for (place, along) in places.iter().enumerate() {
            let point = shown
                .iter()
                .find(|point| point.values[0] == *along && point.values.get(1) == value);
            let Some([low, middle, high]) = point.and_then(|point| point.spread(at)) else {
                continue;
            };
            let (x, command) = (x(place), if path.is_empty() { 'M' } else { 'L' });
            let _ = write!(path, "{command}{x:.1} {:.1}", y(middle));
            let _ = writeln!(
                out,
                "<line class=\"range c{class}\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\"/>",
                y(low),
                y(high)
            );
            let y = y(middle);
            let _ = writeln!(
                out,
                "<circle class=\"dot c{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
            );
        }
        let _ = writeln!(out, "<path class=\"line c{class}\" d=\"{path}\"/>");
    }
    out + "</svg></figure>\n"
}
