//! The grid as a picture: a panel for each burst and size, in it a line for each engine over the connections. SVG written
//! by hand: a few lines, circles and texts, whose colours follow the reader's light or dark page.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use benches::runs::grouped;

use crate::cells::Cell;
use crate::summary::{BASE, Spot, Summary};

// The places of things, in pixels.
const PANEL_WIDTH: f64 = 300.0;
const PANEL_HEIGHT: f64 = 180.0;
/// Beside and between panels: room for the numbers of the vertical axis.
const LEFT: f64 = 84.0;
/// Above a panel: its name.
const ABOVE: f64 = 40.0;
/// Below a panel: connections, and the ratio.
const BELOW: f64 = 52.0;
/// Above all panels: title and legend.
const HEAD: f64 = 88.0;
const RIGHT: f64 = 28.0;
const WIDTH_MIN: f64 = 780.0;
const FOOT: f64 = 18.0;
/// Numbers on a vertical axis, about.
const TICKS: f64 = 4.0;

/// Colours and dashes of the engines, in their order. Dark enough on white, and light enough on black.
const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1b1f24}\
.title{font-size:17px;font-weight:600}.small{font-size:12px;fill:#57606a}.name{font-weight:600}\
.page{fill:#ffffff}.grid{stroke:#d0d7de;stroke-width:1}.axis{stroke:#57606a;stroke-width:1}\
.line{fill:none;stroke-width:2.25}\
.e0{stroke:#0b62a8}.e1{stroke:#b84a00;stroke-dasharray:7 3}.e2{stroke:#00795a;stroke-dasharray:2 3}\
.e3{stroke:#9c3578;stroke-dasharray:9 3 2 3}.mark{fill:#ffffff;stroke-width:2.25;stroke-dasharray:none}\
@media (prefers-color-scheme: dark){text{fill:#e6edf3}.small{fill:#9da7b1}.page{fill:#0d1117}.grid{stroke:#30363d}\
.axis{stroke:#9da7b1}.e0{stroke:#62b6f0}.e1{stroke:#ff9c4f}.e2{stroke:#3fd0a3}.e3{stroke:#f09acb}.mark{fill:#0d1117}}";

/// Styles that there are.
const STYLES: usize = 4;

/// The picture.
pub(crate) fn svg(summary: &Summary, engines: &[String]) -> String {
    let bursts: BTreeSet<u32> = summary.keys().map(|cell| cell.burst).collect();
    let sizes: BTreeSet<u32> = summary.keys().map(|cell| cell.size).collect();
    let (across, down) = (sizes.len() as f64, bursts.len() as f64);
    // Title and legend need their room beside few panels too.
    let width = ((LEFT + PANEL_WIDTH) * across + RIGHT).max(WIDTH_MIN);
    let height = HEAD + (ABOVE + PANEL_HEIGHT + BELOW) * down + FOOT;
    let mut out = Picture::default();
    out.push(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Messages per second of node processor time by engine, connections, size and burst\">"
    ));
    out.push(format_args!("<style>{STYLE}</style>"));
    out.push(format_args!("<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>"));
    out.text(
        (LEFT, 30.0),
        "title",
        "start",
        "Messages delivered per second of the node's processor time",
    );
    legend(&mut out, engines);
    for (row, burst) in bursts.iter().enumerate() {
        for (column, size) in sizes.iter().enumerate() {
            let panel = Panel {
                left: LEFT + (LEFT + PANEL_WIDTH) * column as f64,
                top: HEAD + ABOVE + (ABOVE + PANEL_HEIGHT + BELOW) * row as f64,
                cells: summary
                    .iter()
                    .filter(|(cell, _)| cell.burst == *burst && cell.size == *size)
                    .collect(),
            };
            panel.draw(&mut out, engines, (*burst, *size));
        }
    }
    out.push(format_args!("</svg>"));
    out.0
}

#[derive(Default)]
struct Picture(String);

impl Picture {
    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{element}"); // Writing to a String cannot fail.
    }

    fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: &str, words: &str) {
        let words = words.replace('&', "&amp;").replace('<', "&lt;");
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{words}</text>"
        ));
    }

    fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// The mark of an engine's figure: a shape of its own, so that nobody needs the colours.
    fn mark(&mut self, engine: usize, (x, y): (f64, f64)) {
        let class = format!("mark e{}", engine % STYLES);
        match engine % STYLES {
            0 => self.push(format_args!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"
            )),
            1 => self.push(format_args!(
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>",
                x - 4.0,
                y - 4.0
            )),
            2 => self.push(format_args!(
                "<path class=\"{class}\" d=\"M{x:.1} {:.1}l5.5 9.5h-11z\"/>",
                y - 6.0
            )),
            _ => self.push(format_args!(
                "<path class=\"{class}\" d=\"M{x:.1} {:.1}l5.5 5.5l-5.5 5.5l-5.5 -5.5z\"/>",
                y - 5.5
            )),
        }
    }
}

fn legend(out: &mut Picture, engines: &[String]) {
    let mut x = LEFT;
    for (at, engine) in engines.iter().enumerate() {
        let y = 58.0;
        out.line(&format!("line e{}", at % STYLES), (x, y), (x + 36.0, y));
        out.mark(at, (x + 18.0, y));
        out.text((x + 44.0, y + 4.5), "name", "start", engine);
        // Wide enough for any font.
        x += 64.0 + 9.5 * engine.chars().count() as f64;
    }
    let mut words =
        "closed loop, one shard, memory only; medians; each panel has its own scale".to_owned();
    if let Some(first) = engines.iter().find(|engine| *engine != BASE) {
        // Writing to a String cannot fail.
        let _ = write!(words, "; small figures: {first} / {BASE}");
    }
    out.text((LEFT, 82.0), "small", "start", &words);
}

struct Panel<'a> {
    left: f64,
    top: f64,
    cells: Vec<(&'a Cell, &'a Vec<(String, Spot)>)>,
}

impl Panel<'_> {
    fn draw(&self, out: &mut Picture, engines: &[String], (burst, size): (u32, u32)) {
        let speech =
            if burst == 1 { "one by one".to_owned() } else { format!("bursts of {burst}") };
        let name = format!("{} bytes, {speech}", grouped(size.into()));
        out.text((self.left, self.top - 14.0), "name", "start", &name);
        let figures = self.cells.iter().flat_map(|(_, spots)| spots.iter());
        let most = figures.filter_map(|(_, spot)| spot.per_cpu_s).fold(0.0, f64::max);
        let step = step(most);
        let top = (most / step).ceil().max(1.0) * step;
        self.axes(out, step, top);
        for (at, engine) in engines.iter().enumerate() {
            self.engine(out, at, engine, top);
        }
    }

    fn bottom(&self) -> f64 {
        self.top + PANEL_HEIGHT
    }

    /// Where a cell stands, by its place among the panel's.
    fn x(&self, at: usize) -> f64 {
        self.left + PANEL_WIDTH * (at as f64 + 0.5) / self.cells.len().max(1) as f64
    }

    fn axes(&self, out: &mut Picture, step: f64, top: f64) {
        let right = self.left + PANEL_WIDTH;
        let mut value = 0.0;
        while value <= top + step / 2.0 {
            let y = self.bottom() - PANEL_HEIGHT * value / top;
            let class = if value == 0.0 { "axis" } else { "grid" };
            out.line(class, (self.left, y), (right, y));
            out.text((self.left - 8.0, y + 4.5), "small", "end", &grouped(value));
            value += step;
        }
        for (at, (cell, spots)) in self.cells.iter().enumerate() {
            let x = self.x(at);
            out.line("axis", (x, self.bottom()), (x, self.bottom() + 4.0));
            let connections = grouped(cell.connections.into());
            let unit = if at == 0 { " conns" } else { "" };
            out.text((x, self.bottom() + 20.0), "", "middle", &format!("{connections}{unit}"));
            let first = spots.iter().find(|(engine, _)| engine != BASE);
            if let Some((_, Spot { ratio: Some([ratio, ..]), .. })) = first {
                let words = format!("{ratio:.2}");
                out.text((x, self.bottom() + 38.0), "small", "middle", &words);
            }
        }
    }

    fn engine(&self, out: &mut Picture, at: usize, engine: &str, top: f64) {
        let figure =
            |spots: &[(String, Spot)]| spots.iter().find(|(name, _)| name == engine)?.1.per_cpu_s;
        let points: Vec<(f64, f64)> = self
            .cells
            .iter()
            .enumerate()
            .filter_map(|(cell, (_, spots))| Some((self.x(cell), figure(spots)?)))
            .map(|(x, figure)| (x, self.bottom() - PANEL_HEIGHT * figure / top))
            .collect();
        let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        out.push(format_args!(
            "<polyline class=\"line e{}\" points=\"{}\"/>",
            at % STYLES,
            line.join(" ")
        ));
        points.into_iter().for_each(|point| out.mark(at, point));
    }
}

/// A round distance between the numbers of an axis that reaches `most`.
fn step(most: f64) -> f64 {
    let rough = (most / TICKS).max(1.0);
    let power = 10f64.powf(rough.log10().floor());
    let round = [1.0, 2.0, 2.5, 5.0, 10.0].map(|by| by * power);
    round.into_iter().find(|step| *step >= rough).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers_and_reach_everything() {
        for (most, expected) in
            [(400_000.0, 100_000.0), (401_000.0, 200_000.0), (9.0, 2.5), (0.0, 1.0)]
        {
            assert!((step(most) - expected).abs() < 1e-6, "{most}: {}", step(most));
        }
    }

    #[test]
    fn a_picture_has_a_panel_for_each_burst_and_size_and_stays_within_its_edges() {
        let engines = ["uring", "epoll", "monoio", "tokio_uring"].map(str::to_owned);
        let mut summary = Summary::new();
        for cell in crate::cells::cells(&[100, 1_000], &[64, 1_024, 16_384], &[1, 16]) {
            let spot =
                |at: usize| Spot { per_cpu_s: Some(1e5 * (at + 1) as f64), ..Spot::default() };
            let spots = engines.iter().enumerate().map(|(at, name)| (name.clone(), spot(at)));
            summary.insert(cell, spots.collect());
        }
        let svg = svg(&summary, &engines);
        assert_eq!(svg.matches("<polyline").count(), 6 * 4);
        assert!(svg.contains("16,384 bytes, bursts of 16") && svg.contains("prefers-color-scheme"));
        let width: f64 = attribute(&svg, "width=\"").next().unwrap();
        assert!(attribute(&svg, " x=\"").all(|x| (0.0..width).contains(&x)));
    }

    fn attribute<'a>(svg: &'a str, name: &'a str) -> impl Iterator<Item = f64> + 'a {
        svg.split(name).skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok())
    }
}
