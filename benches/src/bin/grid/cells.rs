//! The cells of the grid, their windows, and the order in which they are run. Pure.

use loadgen::schedule::mix;
use serde::{Deserialize, Serialize};

/// Bytes outstanding at most: two such halves are what a node may queue for all connections of a shard, and a connection
/// that is written to by chance more than others stays below its own bound.
const WINDOW_BYTES_MAX: u32 = 16 * 1_024 * 1_024;

/// One cell, run with every engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Messages that a sender says at once.
    pub(crate) burst: u32,
    /// Bytes of each body.
    pub(crate) size: u32,
    /// Connections that are held; any of them may speak.
    pub(crate) connections: u32,
}

impl Cell {
    /// Messages outstanding: enough to keep a shard busy, and no more bytes than fit.
    pub(crate) fn window(self) -> u32 {
        let senders = if self.connections >= 1_000 { 256 } else { 64 };
        let most = (WINDOW_BYTES_MAX / self.size.max(1)).max(self.burst);
        // Whole bursts only: what is left over of one would never be said.
        (senders * self.burst).min(most) / self.burst * self.burst
    }

    /// In words.
    pub(crate) fn words(self) -> String {
        let Self { connections, size, burst, .. } = self;
        format!("{connections} connections, {size} B, burst {burst}")
    }
}

/// One run: a cell with an engine, in one of the passes over the whole grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) pass: u32,
    pub(crate) cell: Cell,
    pub(crate) engine: String,
}

/// Every cell of these values.
pub(crate) fn cells(connections: &[u32], sizes: &[u32], bursts: &[u32]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &burst in bursts {
        for &size in sizes {
            cells.extend(connections.iter().map(|&connections| Cell { burst, size, connections }));
        }
    }
    cells
}

/// The runs of all passes. A host's speed drifts, so the engines of a cell follow each other at once, in an order that is
/// drawn anew each time, and so is the order of the cells.
pub(crate) fn turns(cells: &[Cell], engines: &[String], passes: u32, seed: u64) -> Vec<Turn> {
    let mut draw = Draw(mix(seed));
    let mut turns = Vec::new();
    for pass in 1..=passes {
        for cell in draw.shuffled(cells) {
            let engines = draw.shuffled(engines).into_iter();
            turns.extend(engines.map(|engine| Turn { pass, cell, engine }));
        }
    }
    turns
}

/// Numbers that look random and are the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = mix(self.0);
        (self.0 % bound as u64) as usize
    }

    fn shuffled<T: Clone>(&mut self, items: &[T]) -> Vec<T> {
        let mut items = items.to_vec();
        for left in (2..=items.len()).rev() {
            let other = self.below(left);
            items.swap(left - 1, other);
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engines() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }

    #[test]
    fn every_cell_meets_every_engine_once_a_pass_and_engines_are_neighbours() {
        let cells = cells(&[100, 1_000], &[64, 1_024], &[1, 16]);
        let turns = turns(&cells, &engines(), 3, 7);
        assert_eq!(turns.len(), 8 * 3 * 3);
        for group in turns.chunks(3) {
            assert!(
                group.iter().all(|turn| turn.cell == group[0].cell && turn.pass == group[0].pass)
            );
            let mut names: Vec<_> = group.iter().map(|turn| turn.engine.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, ["a", "b", "c"]);
        }
        for pass in turns.chunks(24) {
            let mut seen: Vec<Cell> = pass.iter().map(|turn| turn.cell).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 8);
        }
    }

    #[test]
    fn the_order_comes_from_the_seed() {
        let cells = cells(&[1, 2, 3, 4, 5], &[64], &[1]);
        let order = |seed| turns(&cells, &engines(), 2, seed);
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let first = &order(1)[..15];
        let engines: Vec<_> = first.chunks(3).map(|group| group[0].engine.clone()).collect();
        assert!(engines.iter().any(|engine| *engine != engines[0]), "nobody is always first");
    }

    #[test]
    fn windows_saturate_and_fit() {
        let window = |connections, size, burst| Cell { burst, size, connections }.window();
        assert_eq!(
            (window(100, 64, 1), window(1_000, 64, 1), window(10_000, 64, 16)),
            (64, 256, 4_096)
        );
        assert_eq!(window(10_000, 16_384, 16), 1_024);
        for cell in cells(&[2, 100, 10_000], &[48, 1_024, 16_384, 32_768], &[1, 3, 16]) {
            let window = cell.window();
            assert!(window >= cell.burst && window % cell.burst == 0, "{cell:?}: {window}");
        }
    }
}
