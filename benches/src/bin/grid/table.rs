//! The grid as a table to read.

use std::fmt::Write as _;

use benches::runs::grouped;

use crate::summary::{Against, BASE, Spot, Summary};

/// What stands for a figure that there is not.
const ABSENT: &str = "n/a";

/// The table, and below it what failed.
pub(crate) fn markdown(summary: &Summary) -> String {
    let mut text = String::new();
    let head = format!(
        "| burst | size, B | connections | window | engine | messages per node CPU s | over {BASE} (lowest to highest) | \
         system calls per message | p50 | p99 | node's CPU | generator's | runs |"
    );
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{head}\n|--:|--:|--:|--:|---|--:|---|--:|--:|--:|--:|--:|--:|");
    for (cell, spots) in summary {
        for (engine, spot) in spots {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {engine} | {} | {} | {} | {} | {} | {} | {} | {} |",
                cell.burst,
                grouped(f64::from(cell.size)),
                grouped(f64::from(cell.connections)),
                grouped(f64::from(cell.window())),
                shown(spot.per_cpu_s, grouped),
                ratio(spot),
                shown(spot.syscalls_per_message, |calls| format!("{calls:.3}")),
                shown(spot.p50_us, micros),
                shown(spot.p99_us, micros),
                shown(spot.node_busy, percent),
                shown(spot.generator_busy, percent),
                spot.runs,
            );
        }
    }
    text.push_str(&failures(summary));
    text
}

/// The other engines against the base, a line each.
pub(crate) fn standing(all: &[Against]) -> String {
    let mut text = String::new();
    for Against { engine, middle, least, most } in all {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "- {engine} over {BASE}: {middle:.2} in the median cell; {:.2} at most ({}), {:.2} at least ({})",
            most.1,
            most.0.words(),
            least.1,
            least.0.words()
        );
    }
    text
}

fn failures(summary: &Summary) -> String {
    let mut text = String::new();
    for (cell, spots) in summary {
        for (engine, spot) in spots.iter().filter(|(_, spot)| !spot.failed.is_empty()) {
            let (times, why) = (spot.failed.len(), spot.failed[0].replace('\n', " "));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "- {engine}, {}: {times} failed: {why}", cell.words());
        }
    }
    if text.is_empty() { text } else { format!("\nRuns without figures:\n\n{text}") }
}

fn shown(value: Option<f64>, words: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| ABSENT.to_owned(), words)
}

fn ratio(spot: &Spot) -> String {
    match spot.ratio {
        Some([middle, low, high]) if low < high => format!("{middle:.2} ({low:.2} to {high:.2})"),
        Some([middle, ..]) => format!("{middle:.2}"),
        None => ABSENT.to_owned(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Microseconds in the unit that leaves three digits or so.
pub(crate) fn micros(us: f64) -> String {
    if us < 1_000.0 { format!("{us:.0} us") } else { format!("{:.2} ms", us / 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Cell;

    #[test]
    fn every_engine_has_a_line_and_failures_are_told() {
        let cell = Cell { burst: 16, size: 1_024, connections: 10_000 };
        let well = Spot {
            per_cpu_s: Some(123_456.0),
            p99_us: Some(1_500.0),
            ratio: Some([1.25, 1.2, 1.3]),
            runs: 3,
            ..Spot::default()
        };
        let ill = Spot { failed: vec!["exit status: 1:\nno ring".into()], ..Spot::default() };
        let summary = Summary::from([(cell, vec![("uring".into(), well), ("epoll".into(), ill)])]);
        let text = markdown(&summary);
        assert!(
            text.contains("| uring | 123,456 | 1.25 (1.20 to 1.30) | n/a | n/a | 1.50 ms |"),
            "{text}"
        );
        assert!(text.contains("| epoll | n/a | n/a |"), "{text}");
        assert!(text.contains("burst 16: 1 failed: exit status: 1: no ring"), "{text}");
    }
}
