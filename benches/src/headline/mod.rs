//! README's table of figures, made from the files in `benches/results` and from nothing else.
//!
//! A result file is `{ "facts": …, "data": … }` and may say itself what belongs into the table, as a list `headline` of
//! `{ "work", "figure", "goal"? }` beside or in its data. What the programs of this crate write is read in `rows`.

mod rows;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::facts::{Facts, results_folder};

/// What stands before the table.
pub const START: &str =
    "<!-- figures: written by `cargo run -p benches --bin headline`, not by hand -->";
/// What stands after it.
pub const END: &str = "<!-- end of figures -->";

/// The results in the order of the table, by their name or what it begins with; what is not there is absent from it.
const ORDER: &[&str] = &[
    "pairs-private",
    "pairs-private10k",
    "pairs-burst",
    "pairs-room",
    "pairs-login",
    "pairs-latency",
    "pairs",
    "idle",
    "capacity",
    "durable",
    "shards",
    "grid",
    "engines",
    "counts",
];

/// A result's place in the table; `None` if it has none.
fn place(name: &str) -> Option<usize> {
    let begins = |start: &str| name.strip_prefix(start).is_some_and(|rest| rest.starts_with('-'));
    let exact = ORDER.iter().position(|start| *start == name);
    exact.or_else(|| ORDER.iter().position(|start| begins(start)))
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was measured.
    pub work: String,
    /// What came out.
    pub figure: String,
    /// What was to be reached, if anything.
    pub goal: String,
}

/// A result file.
#[derive(Clone, Debug)]
pub struct ResultFile {
    /// Its name without the ending.
    pub name: String,
    /// Where and how it was measured.
    pub facts: Facts,
    /// Everything in it.
    pub whole: Value,
}

impl ResultFile {
    /// Reads one.
    ///
    /// # Errors
    /// If it cannot be read, or lacks a fact or its data; the text says which.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)?;
        let whole: Value = serde_json::from_str(&text)?;
        let facts = whole.get("facts").context("it has no facts")?;
        let facts: Facts = serde_json::from_value(facts.clone()).context("its facts")?;
        for (fact, what) in [
            (&facts.command, "command"),
            (&facts.commit, "commit"),
            (&facts.kernel, "kernel"),
            (&facts.cpu_model, "processor"),
            (&facts.rustc, "compiler"),
        ] {
            ensure!(!fact.is_empty(), "its facts name no {what}");
        }
        ensure!(facts.cores > 0 && facts.memory_bytes > 0, "its facts lack cores or memory");
        ensure!(whole.get("data").is_some_and(|data| !data.is_null()), "it has no data");
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, facts, whole })
    }

    /// What of it belongs into the table.
    ///
    /// # Errors
    /// If it is of a known kind and not as those are.
    pub fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let data = &self.whole["data"];
        let told = self.whole.get("headline").or_else(|| data.get("headline"));
        if let Some(told) = told {
            return told.as_array().context("`headline` is a list")?.iter().map(told_row).collect();
        }
        let family = self.name.split('-').next().unwrap_or_default();
        let read = rows::READERS.iter().find(|(of, _)| *of == family);
        read.map_or_else(|| Ok(Vec::new()), |(_, read)| read(data))
    }
}

/// Every result file, in the order of their names.
///
/// # Errors
/// If one of them is not as it should be; the text names it.
pub fn read_results() -> anyhow::Result<Vec<ResultFile>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(results_folder()).context("reading benches/results")? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        ResultFile::read(path).with_context(|| format!("benches/results/{name}"))
    };
    paths.iter().map(read).collect()
}

/// The table of these results, with its markers.
///
/// # Errors
/// If a result cannot be put into words.
pub fn table(results: &[ResultFile]) -> anyhow::Result<String> {
    let mut text = format!("{START}\n| work | figure | goal | command |\n|---|---|---|---|\n");
    let mut machines: Vec<String> = Vec::new();
    let mut placed: Vec<(usize, &ResultFile)> =
        results.iter().filter_map(|result| Some((place(&result.name)?, result))).collect();
    placed.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
    for (_, result) in placed {
        let rows =
            result.rows().with_context(|| format!("benches/results/{}.json", result.name))?;
        for row in &rows {
            let Row { work, figure, goal } = row;
            let command = &result.facts.command;
            text.push_str(&format!("| {work} | {figure} | {goal} | `{command}` |\n"));
        }
        let machine = result.facts.machine();
        if !rows.is_empty() && !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    if !machines.is_empty() {
        text.push_str(&format!("\nMeasured on {}.\n", machines.join("; and on ")));
    }
    Ok(text + END)
}

/// A page with the table in place of the one that it has.
///
/// # Errors
/// If the page has no place for it.
pub fn put_into(page: &str, table: &str) -> anyhow::Result<String> {
    let (Some(start), Some(end)) = (page.find(START), page.find(END)) else {
        bail!("the page has no markers for the table: {START} and {END}");
    };
    ensure!(start < end, "the page's markers are in the wrong order");
    Ok(format!("{}{table}{}", &page[..start], &page[end + END.len()..]))
}

/// README's path.
#[must_use]
pub fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")
}

fn told_row(told: &Value) -> anyhow::Result<Row> {
    let word = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Row {
        work: word("work").context("a headline names its work")?,
        figure: word("figure").context("a headline has a figure")?,
        goal: word("goal").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(name: &str, data: Value) -> ResultFile {
        let facts = Facts {
            command: format!("run {name}"),
            kernel: "6.1".into(),
            cpu_model: "a processor".into(),
            cores: 2,
            memory_bytes: 8 << 30,
            ..Facts::default()
        };
        ResultFile { name: name.into(), facts, whole: json!({ "data": data }) }
    }

    #[test]
    fn a_table_has_a_row_per_result_that_is_there_in_its_order() {
        let pairs = json!({
            "work": "private messages", "unit": "deliveries/CPU-s", "goal": 0.85, "is_reached": true,
            "ratio": { "median": 0.871, "low": 0.86, "high": 0.88 }, "medians": [100_000.0, 87_100.4],
        });
        let own = json!({ "headline": [{ "work": "durable", "figure": "10,000/s" }] });
        let table = table(&[result("durable", own), result("pairs-private", pairs)]).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[3],
            "| private messages, against a bare ring | 0.87 (0.86 to 0.88) of the ring's; 87,100 deliveries/CPU-s | \
             0.85 (reached) | `run pairs-private` |"
        );
        assert_eq!(lines[4], "| durable | 10,000/s |  | `run durable` |");
        assert_eq!(table.matches("a processor").count(), 1, "one machine is named once");
    }

    #[test]
    fn a_table_takes_the_place_of_the_old_one_and_of_nothing_else() {
        let page = format!("before\n{START}\nold\n{END}\nafter\n");
        let new = format!("{START}\nnew\n{END}");
        assert_eq!(put_into(&page, &new).unwrap(), format!("before\n{new}\nafter\n"));
        assert!(put_into("no place", &new).is_err());
    }

    #[test]
    fn a_result_of_a_known_kind_that_lacks_a_figure_is_refused() {
        let error = table(&[result("pairs-room", json!({ "work": "a room" }))]).unwrap_err();
        assert!(format!("{error:#}").contains("/ratio/median"), "{error:#}");
    }

    #[test]
    fn a_family_stands_together_and_its_named_members_first() {
        let names = ["shards-b", "pairs-room", "pairs-odd", "shards-a", "pairs-private", "timings"];
        let mut placed: Vec<_> =
            names.iter().filter_map(|name| Some((place(name)?, *name))).collect();
        placed.sort_unstable();
        let order: Vec<&str> = placed.into_iter().map(|(_, name)| name).collect();
        assert_eq!(order, ["pairs-private", "pairs-room", "pairs-odd", "shards-a", "shards-b"]);
    }
}
