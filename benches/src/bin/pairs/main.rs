//! Floor and node in turns under the same load, and the ratio of what they do per processor second: the only speed of a node
//! that a machine with moods can tell.
//!
//! Owns the order of things: start both servers, draw who goes first in each pair, run, estimate, say whether a goal is
//! reached. The servers are this program again, on the first processor; the load is loadgen's engine in this process, on
//! the last.

#[path = "../floor/server/mod.rs"]
mod floor;
mod load;
mod rows;
mod server;
mod table;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rows::{Row, RowName};
use table::Finding;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ratios of node to floor, from runs in turns.
#[derive(Debug, Parser)]
#[command(name = "pairs", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    server: Option<ServerCommand>,
    #[command(flatten)]
    what: What,
}

#[derive(Clone, Debug, Args)]
struct What {
    /// The rows to measure
    #[arg(value_enum, default_value = "all")]
    rows: Vec<RowName>,
    /// Runs of each server
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pairs: u32,
    /// Measured seconds of each run
    #[arg(long, default_value_t = 3.0, value_name = "S")]
    seconds: f64,
    /// Seconds of load before them
    #[arg(long, default_value_t = 0.5, value_name = "S")]
    warmup: f64,
    /// The order of the pairs is drawn from this number
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Write the results even of fewer than 20 pairs; otherwise those are only shown
    #[arg(long)]
    write: bool,
    /// Further words for the node's command line, such as `--node-arg=--io=epoll`
    #[arg(long, value_name = "WORD")]
    node_arg: Vec<String>,
}

/// A part that this program plays when it starts itself.
#[derive(Clone, Debug, Subcommand)]
enum ServerCommand {
    /// Plays a server
    #[command(hide = true)]
    Serve(server::ServeArgs),
}

/// Pairs of which results are kept.
const PAIRS_WRITTEN: u32 = 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.server {
        Some(ServerCommand::Serve(args)) => server::play(args).map(|()| Vec::new()),
        None => measure(&cli.what),
    };
    match done {
        Ok(findings) if findings.iter().all(|finding| finding.is_reached) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(what: &What) -> anyhow::Result<Vec<Finding>> {
    server::raise_descriptor_limit();
    let mut findings = Vec::new();
    for row in rows::chosen(&what.rows) {
        let finding = measure_row(row, what)?;
        println!("{}", table::foot(&finding));
        if what.write || what.pairs >= PAIRS_WRITTEN {
            let name = format!("pairs-{}", row.name);
            benches::facts::write_json(&name, &benches::facts::collect(), &finding)?;
        }
        findings.push(finding);
    }
    if findings.len() > 1 {
        println!("{}", table::summary(&findings));
    }
    Ok(findings)
}

fn measure_row(row: &'static Row, what: &What) -> anyhow::Result<Finding> {
    let mut bench = load::Bench::open(row, what)?;
    let offered = bench.offer(row, what)?;
    println!("{}", table::head(row, &offered));
    let mut pairs = Vec::new();
    for number in 1..=what.pairs {
        let floor_first = loadgen::schedule::mix(what.seed << 32 | u64::from(number)) & 1 == 0;
        let (floor, node) = if floor_first {
            let floor = bench.run_floor(&offered)?;
            (floor, bench.run_node(&offered)?)
        } else {
            let node = bench.run_node(&offered)?;
            (bench.run_floor(&offered)?, node)
        };
        let pair = table::Pair { floor_first, floor, node };
        println!("{}", table::line(row, number, &pair));
        pairs.push(pair);
    }
    bench.close()?;
    table::find(row, offered, pairs)
}

#[cfg(test)]
mod tests;
