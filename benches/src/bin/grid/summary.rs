//! What the passes over the grid say together: medians, and ratios between engines that ran side by side.
//!
//! A ratio is taken within a pass, of runs that followed each other at once, and the median of those is shown: figures of
//! different minutes of a shared machine are never divided.

use std::collections::BTreeMap;

use benches::runs::median;

use crate::cells::Cell;
use crate::run::{Found, Row};

/// The engine that the others are compared with, if it is there.
pub(crate) const BASE: &str = "epoll";

/// One engine in one cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spot {
    /// Medians over the passes.
    pub(crate) per_cpu_s: Option<f64>,
    pub(crate) syscalls_per_message: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// The node's share of its processor.
    pub(crate) node_busy: Option<f64>,
    /// The generator's share of its own.
    pub(crate) generator_busy: Option<f64>,
    /// Messages per processor second over those of [`BASE`]: median, lowest and highest pass.
    pub(crate) ratio: Option<[f64; 3]>,
    /// Runs that gave figures.
    pub(crate) runs: usize,
    /// Why others did not.
    pub(crate) failed: Vec<String>,
}

/// By cell, then by engine in the given order.
pub(crate) type Summary = BTreeMap<Cell, Vec<(String, Spot)>>;

/// Sums up the rows of all passes.
pub(crate) fn summary(rows: &[Row], engines: &[String]) -> Summary {
    let cells: std::collections::BTreeSet<Cell> = rows.iter().map(|row| row.cell).collect();
    let of_cell = |cell: Cell| {
        let spots = engines.iter().map(|engine| (engine.clone(), spot(rows, cell, engine)));
        (cell, spots.collect())
    };
    cells.into_iter().map(of_cell).collect()
}

fn spot(rows: &[Row], cell: Cell, engine: &str) -> Spot {
    let of = |engine: &str| {
        let engine = engine.to_owned();
        rows.iter().filter(move |row| row.cell == cell && row.engine == engine)
    };
    let found: Vec<&Found> = of(engine).filter_map(|row| row.found.as_ref()).collect();
    let over = |figure: fn(&Found) -> Option<f64>| {
        median(found.iter().filter_map(|found| figure(found)).collect())
    };
    let ratios: Vec<f64> = of(engine)
        .filter_map(|row| {
            let mine = row.found.as_ref()?.per_cpu_s;
            let base = of(BASE).find(|base| base.pass == row.pass)?.found.as_ref()?.per_cpu_s;
            (base > 0.0).then_some(mine / base)
        })
        .collect();
    let lowest = ratios.iter().copied().reduce(f64::min);
    let highest = ratios.iter().copied().reduce(f64::max);
    let middle = median(ratios);
    Spot {
        per_cpu_s: over(|found| Some(found.per_cpu_s)),
        syscalls_per_message: over(|found| found.syscalls_per_message),
        p50_us: over(|found| found.p50_us),
        p99_us: over(|found| found.p99_us),
        node_busy: over(|found| found.node_busy),
        generator_busy: over(|found| found.generator_busy),
        ratio: middle.zip(lowest).zip(highest).map(|((middle, low), high)| [middle, low, high]),
        runs: found.len(),
        failed: of(engine).filter_map(|row| row.failed.clone()).collect(),
    }
}

/// An engine against [`BASE`] over all cells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Against {
    pub(crate) engine: String,
    /// The median of the cells' ratios.
    pub(crate) middle: f64,
    /// The cell with the lowest ratio, and the one with the highest.
    pub(crate) least: (Cell, f64),
    pub(crate) most: (Cell, f64),
}

/// Every other engine against [`BASE`].
pub(crate) fn against(summary: &Summary, engines: &[String]) -> Vec<Against> {
    let of_engine = |engine: &String| {
        let ratios: Vec<(Cell, f64)> = summary
            .iter()
            .filter_map(|(cell, spots)| {
                let (_, spot) = spots.iter().find(|(name, _)| name == engine)?;
                Some((*cell, spot.ratio?[0]))
            })
            .collect();
        let by_ratio = |one: &&(Cell, f64), other: &&(Cell, f64)| one.1.total_cmp(&other.1);
        Some(Against {
            engine: engine.clone(),
            middle: median(ratios.iter().map(|(_, ratio)| *ratio).collect())?,
            least: *ratios.iter().min_by(by_ratio)?,
            most: *ratios.iter().max_by(by_ratio)?,
        })
    };
    engines.iter().filter(|engine| *engine != BASE).filter_map(of_engine).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: Cell = Cell { burst: 1, size: 64, connections: 100 };

    fn row(pass: u32, engine: &str, per_cpu_s: Option<f64>) -> Row {
        let found = per_cpu_s.map(|per_cpu_s| Found { per_cpu_s, ..Found::default() });
        let failed = found.is_none().then(|| "it fell over".to_owned());
        let (command, engine) = (String::new(), engine.to_owned());
        Row { pass, cell: CELL, engine, window: 64, command, seconds: 1.0, found, failed }
    }

    #[test]
    fn ratios_are_of_neighbours_and_the_median_of_them_is_shown() {
        // The machine slows down tenfold; the ratios say 2, 2 and 3.
        let rows = [
            row(1, "uring", Some(200.0)),
            row(1, "epoll", Some(100.0)),
            row(2, "uring", Some(20.0)),
            row(2, "epoll", Some(10.0)),
            row(3, "uring", Some(30.0)),
            row(3, "epoll", Some(10.0)),
        ];
        let engines = ["uring".to_owned(), "epoll".to_owned()];
        let summary = summary(&rows, &engines);
        let spots = &summary[&CELL];
        assert_eq!((spots[0].0.as_str(), spots[0].1.ratio), ("uring", Some([2.0, 2.0, 3.0])));
        assert_eq!((spots[1].1.ratio, spots[1].1.per_cpu_s), (Some([1.0, 1.0, 1.0]), Some(10.0)));
        let [uring] = &against(&summary, &engines)[..] else { panic!("one other engine") };
        assert_eq!((uring.engine.as_str(), uring.middle, uring.most), ("uring", 2.0, (CELL, 2.0)));
    }

    #[test]
    fn a_run_that_failed_is_named_and_spoils_no_figure() {
        let rows = [row(1, "uring", Some(7.0)), row(1, "epoll", None), row(2, "uring", Some(9.0))];
        let engines = ["uring".to_owned(), "epoll".to_owned()];
        let summary = summary(&rows, &engines);
        let [(_, uring), (_, epoll)] = &summary[&CELL][..] else { panic!("two engines") };
        assert_eq!((uring.per_cpu_s, uring.ratio, uring.runs), (Some(8.0), None, 2));
        assert_eq!((epoll.per_cpu_s, epoll.runs), (None, 0));
        assert_eq!(epoll.failed, ["it fell over"]);
    }
}
