//! What two shards cost beside one, and a message between shards beside one within a shard: the same load in turns, per
//! processor second of the node.
//!
//! Owns the order of things: start a node of one shard and a node of two, then in each round run every variant once, in
//! an order that is drawn. The generator is loadgen's engine in this process, on the last processor; its own processor
//! time is known by itself and never counted as the node's.

mod load;
mod table;

use clap::{Args, Parser, Subcommand, ValueEnum};
use loadgen::cli::{Role, RoleArgs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Two shards beside one, and messages between shards beside messages within one.
#[derive(Debug, Parser)]
#[command(name = "shards", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    server: Option<ServerCommand>,
    #[command(flatten)]
    what: What,
}

#[derive(Clone, Debug, Args)]
struct What {
    /// The load
    #[arg(value_enum, default_value_t = RowName::Closed)]
    row: RowName,
    /// Where the two shards run
    #[arg(long, value_enum, default_value_t = Layout::Apart)]
    layout: Layout,
    /// Runs of each variant
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Measured seconds of each run
    #[arg(long, default_value_t = 3.0, value_name = "S")]
    seconds: f64,
    /// The order within the rounds is drawn from this number
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Only show the results
    #[arg(long)]
    dry: bool,
    /// Further words for the nodes' command lines, such as `--node-arg=--io=epoll`
    #[arg(long, value_name = "WORD")]
    node_arg: Vec<String>,
}

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RowName {
    /// 256 outstanding over 1,000 connections.
    Closed,
    /// The same in bursts of 16, 4,096 outstanding.
    Burst,
    /// 10,000 messages/s, at their own times.
    Open,
}

impl RowName {
    const fn load(self) -> &'static str {
        match self {
            Self::Closed => "--preset pairs --connections 1000 --closed 256",
            Self::Burst => "--preset pairs --connections 1000 --closed 4096 --burst 16",
            Self::Open => "--preset pairs --connections 1000 --rate 10000/s",
        }
    }
}

/// Where the two shards run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// On two processors, the second of which is the generator's too.
    Apart,
    /// Both on the first processor; the generator has the last for itself.
    Together,
}

/// A part that this program plays when it starts itself.
#[derive(Clone, Debug, Subcommand)]
enum ServerCommand {
    /// Plays a node
    #[command(hide = true)]
    Serve {
        /// End with this process
        #[arg(long)]
        parent: u32,
        /// The node's command line
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.server {
        Some(ServerCommand::Serve { parent, args }) => {
            loadgen::local::role::play(RoleArgs { parent: Some(parent), role: Role::Node, args })
        }
        None => measure(&cli.what),
    }
}

fn measure(what: &What) -> anyhow::Result<()> {
    let facts = benches::facts::collect();
    let bench = load::Bench::open(what)?;
    println!("{}", table::head());
    let mut rounds = Vec::new();
    for number in 1..=what.rounds {
        let mut samples = [None; load::VARIANTS.len()];
        for at in order(what.seed << 32 | u64::from(number)) {
            let sample = bench.run(load::VARIANTS[at])?;
            println!("{}", table::line(number, load::VARIANTS[at], &sample));
            samples[at] = Some(sample);
        }
        rounds.push(samples.map(|sample| sample.expect("each variant ran")));
    }
    bench.close()?;
    let finding = table::find(what.row.load(), rounds);
    println!("\n{}", table::text(&finding));
    if !what.dry {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_owned())
        };
        let (row, layout) =
            (name(what.row.to_possible_value()), name(what.layout.to_possible_value()));
        benches::facts::write_json(&format!("shards-{row}-{layout}"), &facts, &finding)?;
    }
    Ok(())
}

/// All variants in an order drawn from a number (Fisher and Yates).
fn order(seed: u64) -> [usize; load::VARIANTS.len()] {
    let mut order = std::array::from_fn(|at| at);
    for last in (1..order.len()).rev() {
        let draw = loadgen::schedule::mix(seed ^ (last as u64) << 56);
        order.swap(last, (draw % (last as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_order_is_of_all_variants() {
        for seed in 0..100 {
            let mut order = super::order(seed);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3]);
        }
        assert_ne!(super::order(1), super::order(2));
    }
}
