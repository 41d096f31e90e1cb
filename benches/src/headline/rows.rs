//! What the results of this crate's programs say in one line each. Pure: a result's data in, rows out.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

use super::Row;
use crate::runs::{grouped, median};

/// Puts a result's data into rows.
type Reader = fn(&Value) -> anyhow::Result<Vec<Row>>;

/// By the first word of the results' names.
pub(super) const READERS: &[(&str, Reader)] = &[
    ("counts", counts),
    ("engines", engines),
    ("grid", grid),
    ("pairs", pairs),
    ("shards", shards),
];

/// What a message between shards may cost, in messages within a shard.
const CROSS_GOAL: f64 = 1.3;
/// How far a median may lie on the wrong side of a goal that its interval reaches.
const SLACK: f64 = 0.03;

fn number(of: &Value, path: &str) -> anyhow::Result<f64> {
    let found = of.pointer(path).and_then(Value::as_f64);
    found.with_context(|| format!("it has no number at {path}"))
}

fn text<'a>(of: &'a Value, path: &str) -> anyhow::Result<&'a str> {
    let found = of.pointer(path).and_then(Value::as_str);
    found.with_context(|| format!("it has no text at {path}"))
}

/// An estimate: median, and the ends of its interval.
fn estimate(of: &Value, path: &str) -> anyhow::Result<[f64; 3]> {
    let at = |part: &str| number(of, &format!("{path}/{part}"));
    Ok([at("median")?, at("low")?, at("high")?])
}

fn shown([middle, low, high]: [f64; 3]) -> String {
    format!("{middle:.2} ({low:.2} to {high:.2})")
}

const fn reached(is_reached: bool) -> &'static str {
    if is_reached { "reached" } else { "not reached" }
}

/// The ratio of node to bare ring under one load.
fn pairs(data: &Value) -> anyhow::Result<Vec<Row>> {
    let ratio = shown(estimate(data, "/ratio")?);
    let (node, unit) = (number(data, "/medians/1")?, text(data, "/unit")?);
    let goal = number(data, "/goal")?;
    let is_reached =
        data["is_reached"].as_bool().context("it does not say whether it is reached")?;
    Ok(vec![Row {
        work: format!("{}, against a bare ring", text(data, "/work")?),
        figure: format!("{ratio} of the ring's; {} {unit}", grouped(node)),
        goal: format!("{goal} ({})", reached(is_reached)),
    }])
}

/// What a second shard brings, and what mail between shards costs.
fn shards(data: &Value) -> anyhow::Result<Vec<Row>> {
    let load = text(data, "/load")?;
    let rate = shown(estimate(data, "/rate_two_to_one")?);
    let cross = estimate(data, "/cost_cross_to_same")?;
    let [middle, low, _] = cross;
    let is_reached = low <= CROSS_GOAL && middle <= CROSS_GOAL + SLACK;
    Ok(vec![
        Row {
            work: format!("two shards beside one, `{load}`"),
            figure: format!("{rate} of one shard's deliveries per second"),
            goal: String::new(),
        },
        Row {
            work: format!("a message between shards beside one within, `{load}`"),
            figure: format!("{} of its processor time", shown(cross)),
            goal: format!("at most {CROSS_GOAL} ({})", reached(is_reached)),
        },
    ])
}

/// Each I/O engine beside epoll, over all cells.
fn grid(data: &Value) -> anyhow::Result<Vec<Row>> {
    const BASE: &str = "epoll";
    let rows = data["rows"].as_array().context("it has no rows")?;
    let mut runs: BTreeMap<(String, u64), BTreeMap<String, f64>> = BTreeMap::new();
    for row in rows {
        let cell = format!("{} {} {}", row["burst"], row["size"], row["connections"]);
        let pass = row["pass"].as_u64().context("a row has a pass")?;
        if let Some(found) = row.pointer("/found/per_cpu_s").and_then(Value::as_f64) {
            runs.entry((cell, pass)).or_default().insert(text(row, "/engine")?.to_owned(), found);
        }
    }
    // Engines of one cell and one pass are neighbours in time: only those are divided.
    let mut ratios: BTreeMap<String, BTreeMap<String, Vec<f64>>> = BTreeMap::new();
    for ((cell, _), engines) in runs {
        let Some(base) = engines.get(BASE).copied() else { continue };
        for (engine, found) in engines.into_iter().filter(|(engine, _)| engine != BASE) {
            let of_engine = ratios.entry(engine).or_default();
            of_engine.entry(cell.clone()).or_default().push(found / base);
        }
    }
    let said = ratios.into_iter().filter_map(|(engine, cells)| {
        let cells: Vec<f64> = cells.into_values().filter_map(median).collect();
        let lowest = cells.iter().copied().reduce(f64::min)?;
        let highest = cells.iter().copied().reduce(f64::max)?;
        Some(format!("{engine} {}", shown([median(cells)?, lowest, highest])))
    });
    let work = "messages per processor second of the node, against its epoll driver's: median over the cells of the \
                [grid](benches/results/grid.md), lowest and highest cell";
    let figure = said.collect::<Vec<_>>().join(", ");
    anyhow::ensure!(!figure.is_empty(), "it has no engine beside {BASE}");
    Ok(vec![Row { work: work.to_owned(), figure, goal: String::new() }])
}

/// The generator's second engine beside its first.
fn engines(data: &Value) -> anyhow::Result<Vec<Row>> {
    let samples = data.as_array().context("it is a list of samples")?;
    let mut pairs: BTreeMap<u64, BTreeMap<&str, f64>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample["load"] == "closed") {
        let pair = sample["pair"].as_u64().context("a sample has a pair")?;
        pairs
            .entry(pair)
            .or_default()
            .insert(text(sample, "/engine")?, number(sample, "/per_cpu_s")?);
    }
    let ratios: Vec<f64> =
        pairs.values().filter_map(|pair| Some(pair.get("epoll")? / pair.get("uring")?)).collect();
    let lowest = ratios.iter().copied().reduce(f64::min).context("it has no closed loop")?;
    let highest = ratios.iter().copied().reduce(f64::max).context("it has no closed loop")?;
    let middle = median(ratios).context("it has no closed loop")?;
    Ok(vec![Row {
        work: "the same load from the generator's two engines".to_owned(),
        figure: format!(
            "the node does {} as much per processor second under the epoll one",
            shown([middle, lowest, highest])
        ),
        goal: String::new(),
    }])
}

/// What a message costs the core.
fn counts(data: &Value) -> anyhow::Result<Vec<Row>> {
    let of = |name: &str| {
        let count = data["instructions"].get(name).and_then(Value::as_f64);
        count.with_context(|| format!("it has no count of {name}"))
    };
    let figure = format!(
        "{} alone, {} in bursts, {} per member of a room of 1,000, {} between shards",
        grouped(of("private/1000")?),
        grouped(of("burst/1000")?),
        grouped(of("room/1000")? / 999.0),
        grouped(of("cross/1000")?)
    );
    let work = "instructions of the core per message, acknowledged and delivered".to_owned();
    Ok(vec![Row { work, figure, goal: String::new() }])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown = [7.0, 999.6, 123_456.0, 1e9].map(grouped);
        assert_eq!(shown, ["7", "1,000", "123,456", "1,000,000,000"]);
    }

    #[test]
    fn a_grid_divides_neighbours_only() {
        let row = |pass: u32, engine: &str, size: u32, found: Option<f64>| {
            let found = found.map(|per_cpu_s| json!({ "per_cpu_s": per_cpu_s }));
            json!({ "pass": pass, "engine": engine, "burst": 1, "size": size, "connections": 9, "found": found })
        };
        let data = json!({ "rows": [
            row(1, "uring", 64, Some(220.0)), row(1, "epoll", 64, Some(200.0)),
            row(2, "uring", 64, Some(13.0)), row(2, "epoll", 64, Some(10.0)),
            row(1, "uring", 1024, Some(9.0)), row(1, "epoll", 1024, Some(10.0)),
            row(2, "uring", 1024, None), row(2, "epoll", 1024, Some(99.0)),
        ]});
        let rows = grid(&data).unwrap();
        assert_eq!(rows[0].figure, "uring 1.05 (0.90 to 1.20)");
        assert!(grid(&json!({ "rows": [] })).is_err());
    }

    #[test]
    fn mail_that_is_too_dear_is_not_called_reached() {
        let ratio =
            |median: f64, low: f64| json!({ "median": median, "low": low, "high": median + 0.1 });
        let row = |cross| {
            let data = json!({ "load": "x", "rate_two_to_one": ratio(1.8, 1.7), "cost_cross_to_same": cross });
            shards(&data).unwrap().remove(1)
        };
        assert_eq!(row(ratio(1.2, 1.1)).goal, "at most 1.3 (reached)");
        assert_eq!(row(ratio(1.35, 1.2)).goal, "at most 1.3 (not reached)");
        assert_eq!(row(ratio(1.32, 1.31)).goal, "at most 1.3 (not reached)");
    }
}
