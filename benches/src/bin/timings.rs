//! Nanoseconds per piece of work: runs criterion's benchmarks several times and keeps the medians and their spread.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use benches::{facts, frames, runs};
use clap::Parser;
use serde_json::{Value, json};

/// Runs the micro-benchmarks and keeps their figures.
#[derive(Parser)]
struct Args {
    /// So many times: one run says nothing about the next.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds for each benchmark in each round, the warm-up in addition.
    #[arg(long, default_value_t = 0.5, value_name = "S")]
    seconds: f64,
}

/// Medians of all rounds by benchmark, in nanoseconds.
type Medians = BTreeMap<String, Vec<f64>>;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let facts = facts::collect();
    let mut medians = Medians::new();
    for _ in 0..args.rounds {
        let _ = fs::remove_dir_all(folder()); // An earlier run's figures, if there was one.
        bench(args.seconds)?;
        read(&folder(), &mut medians)?;
    }
    ensure!(!medians.is_empty(), "criterion left no figures");
    let hash = format!("{:08x}", frames::result_hash());
    let data = json!({ "unit": "ns", "medians": medians, "result_hash": hash });
    facts::write_json("timings", &facts, &data)?;
    facts::write_markdown(
        "timings",
        "Nanoseconds per piece of work",
        &facts,
        &page(&medians, &hash),
    )?;
    Ok(())
}

fn bench(seconds: f64) -> anyhow::Result<()> {
    let time = seconds.to_string();
    let status = Command::new("cargo")
        .args(["bench", "--locked", "-p", "benches", "--bench", "work", "--bench", "frame", "--"])
        .args(["--warm-up-time", "0.2", "--noplot", "--measurement-time", &time])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CRITERION_HOME", folder())
        .status()
        .context("starting cargo")?;
    ensure!(status.success(), "the benchmarks failed ({status})");
    Ok(())
}

/// Where criterion keeps its figures.
fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("ringline-timings-{}", std::process::id()))
}

/// Adds the medians of every benchmark below a folder.
fn read(folder: &Path, medians: &mut Medians) -> anyhow::Result<()> {
    let figures = folder.join("estimates.json");
    if folder.ends_with("new") && figures.exists() {
        let json = |path: &Path| -> anyhow::Result<Value> {
            Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
        };
        let id = json(&folder.join("benchmark.json"))?;
        let name = id["full_id"].as_str().context("a benchmark has an id")?.to_owned();
        let median = json(&figures)?["median"]["point_estimate"].as_f64();
        medians.entry(name).or_default().push(median.context("a benchmark has a median")?);
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| "reading criterion's figures")? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, medians)?;
        }
    }
    Ok(())
}

fn page(medians: &Medians, hash: &str) -> String {
    let mut page = String::from(
        "Medians over the rounds, with the lowest and the highest round. The number behind a frame's name is the bytes of \
         its body, behind others that of connections, members or messages at once; `floor` is what no protocol can be \
         faster than (cutting, checking UTF-8, copying).\n\n| work | ns | lowest to highest |\n|---|--:|--:|\n",
    );
    for (name, rounds) in medians {
        let lowest = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = rounds.iter().copied().fold(0.0, f64::max);
        let middle = runs::median(rounds.clone()).unwrap_or_default();
        page.push_str(&format!("| {name} | {middle:.1} | {lowest:.1} to {highest:.1} |\n"));
    }
    page + &format!("\nResult hash `{hash}`: what is measured does what it did.\n")
}
