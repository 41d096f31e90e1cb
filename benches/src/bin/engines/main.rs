//! Does the generator shape the figures? The same loads from both of loadgen's engines in turns, and what the node's
//! figures say of it.
//!
//! Two loads: a closed loop, for messages per second of the node's processor time, and an open loop, for latencies at a
//! rate that both engines keep. Ratios are of neighbouring runs.

mod table;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use benches::facts;
use benches::runs::{figure, percentile, run};
use clap::Parser;
use loadgen::engines::EngineName;
use loadgen::schedule::mix;
use serde::Serialize;
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much longer than planned a run may take before it is ended.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pairs of which results are kept.
const PAIRS_WRITTEN: u32 = 5;
/// What the loads have in common.
const BOTH: &str = "--store memory --durability none --shards 1 --login direct --ramp 10000/s";

/// Loadgen's two engines in turns, under a closed loop and an open one.
#[derive(Debug, Parser)]
#[command(name = "engines", version)]
struct Args {
    /// Runs of each engine under each load.
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,
    /// The measured seconds of each run.
    #[arg(long, default_value_t = 4, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// The open loop's rate, in messages per second.
    #[arg(long, default_value_t = 10_000, value_name = "RATE")]
    rate: u32,
    /// The node's driver.
    #[arg(long, default_value = "uring", value_name = "NAME")]
    io: String,
    /// Who is first in a pair is drawn from this number.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Write benches/results/engines.{json,md} even of fewer than 5 pairs.
    #[arg(long)]
    write: bool,
}

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Load {
    Closed,
    Open,
}

impl Load {
    const ALL: [Self; 2] = [Self::Closed, Self::Open];

    fn words(self, args: &Args) -> String {
        match self {
            Self::Closed => "--closed 256 --connections 1000".to_owned(),
            Self::Open => format!("--rate {}/s --connections 1000", args.rate),
        }
    }
}

/// What one run found.
#[derive(Clone, Debug, Serialize)]
struct Sample {
    load: Load,
    pair: u32,
    engine: &'static str,
    command: String,
    /// Messages delivered per second of the node's processor time.
    per_cpu_s: Option<f64>,
    delivered_per_s: Option<f64>,
    syscalls_per_message: Option<f64>,
    /// Shares of a processor.
    node_busy: Option<f64>,
    generator_busy: Option<f64>,
    lag_p99_us: Option<f64>,
    /// Of the acknowledgement: half, 99 and 99.9 of a hundred.
    response_us: [Option<f64>; 3],
    delivery_us: [Option<f64>; 3],
    validity: String,
    reasons: Value,
}

fn main() -> ExitCode {
    if let Some(ended) = benches::runs::play() {
        return ended;
    }
    match compare(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> anyhow::Result<()> {
    let facts = facts::collect();
    let mut samples = Vec::new();
    for pair in 1..=args.pairs {
        for load in Load::ALL {
            let [first, second] = EngineName::ALL;
            let is_turned = mix(args.seed << 32 | u64::from(pair) << 1 | load as u64) & 1 == 1;
            for engine in if is_turned { [second, first] } else { [first, second] } {
                let sample = sample(args, load, pair, engine)?;
                eprintln!("{}", table::line(&sample));
                samples.push(sample);
            }
        }
    }
    let tables = table::markdown(&samples);
    println!("{tables}");
    let body = format!("{tables}{}", benches::runs::written_by_hand("engines"));
    if args.write || args.pairs >= PAIRS_WRITTEN {
        facts::write_json("engines", &facts, &samples)?;
        facts::write_markdown("engines", "Does the generator shape the figures?", &facts, &body)?;
    }
    Ok(())
}

fn sample(args: &Args, load: Load, pair: u32, engine: EngineName) -> anyhow::Result<Sample> {
    let line = format!(
        "local --engine {} --io {} {} {BOTH} --warmup 1s --duration {}s",
        engine.label(),
        args.io,
        load.words(args),
        args.seconds
    );
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let report = run(&words, Duration::from_secs(args.seconds) + PATIENCE);
    let report = report.with_context(|| format!("loadgen {line}"))?;
    let of = |path: &str| figure(&report, path);
    let measured = of("/achieved/measured_s").filter(|seconds| *seconds > 0.0);
    let percentiles = |kind: &str| [50.0, 99.0, 99.9].map(|p| percentile(&report, kind, p));
    Ok(Sample {
        load,
        pair,
        engine: engine.label(),
        command: format!("loadgen {line}"),
        per_cpu_s: of("/window/deliveries_per_server_cpu_s"),
        delivered_per_s: of("/achieved/delivered_per_s"),
        syscalls_per_message: of("/server/syscalls_per_message"),
        node_busy: of("/window/server_utilisation"),
        generator_busy: of("/generator/cpu_s").zip(measured).map(|(cpu, measured)| cpu / measured),
        lag_p99_us: percentile(&report, "lag", 99.0),
        response_us: percentiles("response"),
        delivery_us: percentiles("delivery"),
        validity: report["verdict"]["validity"].as_str().unwrap_or("unknown").to_owned(),
        reasons: report["verdict"]["reasons"].clone(),
    })
}
