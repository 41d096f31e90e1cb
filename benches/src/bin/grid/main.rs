//! When does which I/O engine win? Every engine of the node under the same closed loop, over connections, sizes and
//! bursts: raw data, a table and a picture, from one command.
//!
//! Each run is `loadgen local` in a process of its own, which is this program again; so are the servers that it starts.

mod cells;
mod plot;
mod run;
mod summary;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use benches::facts::{self, Facts};
use benches::runs;
use clap::{Parser, ValueEnum};
use loadgen::cli::{IoName, parse_duration};
use loadgen::engines::EngineName;
use serde::{Deserialize, Serialize};

use cells::{Turn, turns};
use run::{Phases, Row};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Examples:
  grid                                              the whole grid, three passes, to benches/results/grid.{json,md,svg}
  grid --plan                                       what would be run, and how long it would take
  grid --engines uring,epoll --connections 1000 --sizes 64 --bursts 1,16 --passes 1
                                                    four runs, only shown
  grid --sizes 64 --name grid-small                 a subset that is kept
  grid --redraw                                     table and picture again, from the raw data

A figure is messages delivered for each second of the node's processor time, in a closed loop with one shard, store
memory, durability none. Engines of a cell run one after the other in an order that is drawn, and ratios are taken of such
neighbours only: figures of different minutes of a shared machine say nothing about each other.";

/// The node's I/O engines over connections, sizes and bursts.
#[derive(Debug, Parser)]
#[command(name = "grid", version, after_help = EXAMPLES)]
struct Args {
    /// The node's engines; by default all that `loadgen local --io` knows.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = engines())]
    engines: Vec<String>,
    /// Connections held.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "100,1000,10000", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    connections: Vec<u32>,
    /// Bytes of a message's body.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "64,1024,16384", value_parser = clap::value_parser!(u32).range(43..=32_768))]
    sizes: Vec<u32>,
    /// Messages that a sender says at once.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,16", value_parser = clap::value_parser!(u32).range(1..=64))]
    bursts: Vec<u32>,
    /// Times that the whole grid is run, each in a new order.
    #[arg(long, alias = "repeat", default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    passes: u32,
    /// The measured phase of each run.
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = parse_duration)]
    duration: Duration,
    /// Load before it.
    #[arg(long, default_value = "700ms", value_name = "TIME", value_parser = parse_duration)]
    warmup: Duration,
    /// The generator's own engine.
    #[arg(long, value_enum, default_value_t)]
    generator: EngineName,
    /// The orders are drawn from this number.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Write to benches/results/NAME.{json,md,svg}. The whole grid is written to `grid` anyway; a subset is only shown.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only say what would be run.
    #[arg(long)]
    plan: bool,
    /// Run nothing: make table and picture again from the raw data.
    #[arg(long)]
    redraw: bool,
}

/// The raw data.
#[derive(Debug, Serialize, Deserialize)]
struct Data {
    engines: Vec<String>,
    /// The generator's engine.
    generator: String,
    rows: Vec<Row>,
}

/// `benches/results/NAME.json` as it is written.
#[derive(Debug, Deserialize)]
struct Kept {
    facts: Facts,
    data: Data,
}

/// The words that `--io` takes.
fn engines() -> Vec<String> {
    let names = IoName::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    names.map(|value| value.get_name().to_owned()).collect()
}

fn main() -> ExitCode {
    if let Some(ended) = runs::play() {
        return ended;
    }
    match grid(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn grid(args: &Args) -> anyhow::Result<()> {
    if args.redraw {
        return redraw(args.name.as_deref().unwrap_or("grid"));
    }
    for engine in &args.engines {
        anyhow::ensure!(
            engines().contains(engine),
            "there is no engine `{engine}`: choose from {}",
            engines().join(", ")
        );
    }
    let cells = cells::cells(&args.connections, &args.sizes, &args.bursts);
    let turns = turns(&cells, &args.engines, args.passes, args.seed);
    let phases = Phases { warmup: args.warmup, measured: args.duration };
    let mut clock = Remaining::new(&turns, phases);
    eprintln!(
        "{} cells x {} engines x {} passes = {} runs, about {}",
        cells.len(),
        args.engines.len(),
        args.passes,
        turns.len(),
        time(clock.left())
    );
    if args.plan {
        let line = |turn: &Turn| run::words(turn, phases, args.generator.label()).join(" ");
        turns.iter().for_each(|turn| println!("loadgen {}", line(turn)));
        return Ok(());
    }
    let whole = Args::parse_from(["grid"]);
    let is_whole = (&args.engines, &args.connections, &args.sizes, &args.bursts)
        == (&whole.engines, &whole.connections, &whole.sizes, &whole.bursts);
    let name = args.name.clone().or_else(|| is_whole.then(|| "grid".to_owned()));
    let facts = facts::collect();
    let generator = args.generator.label().to_owned();
    let mut data = Data { engines: args.engines.clone(), generator, rows: Vec::new() };
    for (at, turn) in turns.iter().enumerate() {
        eprint!("{:>4}/{}  {:<12} {}: ", at + 1, turns.len(), turn.engine, turn.cell.words());
        let row = run::run(turn, phases, args.generator.label());
        clock.done(turn, row.seconds);
        eprintln!("{}; {} left", outcome(&row), time(clock.left()));
        data.rows.push(row);
        // An interrupted grid keeps the passes that it has.
        let is_end_of_pass = turns.get(at + 1).is_none_or(|next| next.pass != turn.pass);
        if let Some(name) = name.as_deref().filter(|_| is_end_of_pass) {
            write(name, &facts, &data)?;
        }
    }
    println!("{}", table::markdown(&summary::summary(&data.rows, &data.engines)));
    match &name {
        Some(name) => eprintln!("written: benches/results/{name}.json, {name}.md and {name}.svg"),
        None => eprintln!("a subset is not written: name it with --name to keep it"),
    }
    Ok(())
}

fn write(name: &str, facts: &Facts, data: &Data) -> anyhow::Result<()> {
    facts::write_json(name, facts, data)?;
    draw(name, facts, data)
}

fn draw(name: &str, facts: &Facts, data: &Data) -> anyhow::Result<()> {
    let summary = summary::summary(&data.rows, &data.engines);
    let picture = facts::results_folder().join(format!("{name}.svg"));
    std::fs::write(&picture, plot::svg(&summary, &data.engines)).context("the picture")?;
    let passes = data.rows.iter().map(|row| row.pass).max().unwrap_or(0);
    let body = format!(
        "![Messages per node CPU second by engine]({name}.svg)\n\n{passes} passes, medians; the load from loadgen's {} \
         engine. Ratios are medians of ratios of neighbouring runs. Latencies are those of a closed loop: they compare \
         engines, and are nobody's experience of a quiet server. System calls are those that the node's driver makes \
         itself, per message received: what the runtimes of monoio and tokio_uring add is not in them. A generator that is \
         busier than its node was what limited the run. Raw data: `{name}.json`.\n\n{}\n{}\n{}",
        data.generator,
        table::standing(&summary::against(&summary, &data.engines)),
        table::markdown(&summary),
        runs::written_by_hand(name)
    );
    facts::write_markdown(
        name,
        "The I/O engines over connections, sizes and bursts",
        facts,
        &body,
    )?;
    Ok(())
}

fn redraw(name: &str) -> anyhow::Result<()> {
    let path = facts::results_folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path);
    let text = text.with_context(|| format!("no raw data `{name}.json`: run the grid first"))?;
    let kept: Kept = serde_json::from_str(&text).context("the raw data")?;
    draw(name, &kept.facts, &kept.data)
}

/// A run's outcome, short.
fn outcome(row: &Row) -> String {
    match (&row.found, &row.failed) {
        (Some(found), _) => format!(
            "{} per node CPU s, node {:.0} % busy",
            runs::grouped(found.per_cpu_s),
            found.node_busy.unwrap_or(f64::NAN) * 100.0
        ),
        (None, Some(why)) => format!("FAILED: {}", why.replace('\n', " ")),
        (None, None) => "nothing".to_owned(),
    }
}

/// How long the rest will take, from how long the runs so far took.
struct Remaining {
    planned_s: f64,
    phases: Phases,
    /// Seconds that a run takes beyond its phases.
    extra_s: f64,
    runs: usize,
    done: usize,
}

impl Remaining {
    fn new(turns: &[Turn], phases: Phases) -> Self {
        let planned_s = turns.iter().map(|turn| run::planned(turn, phases).as_secs_f64()).sum();
        // What starting and stopping a node took on a small machine.
        Self { planned_s, phases, extra_s: 1.0, runs: turns.len(), done: 0 }
    }

    fn done(&mut self, turn: &Turn, seconds: f64) {
        let planned_s = run::planned(turn, self.phases).as_secs_f64();
        self.planned_s -= planned_s;
        self.done += 1;
        let share = 1.0 / self.done as f64;
        self.extra_s += (seconds - planned_s - self.extra_s) * share;
    }

    fn left(&self) -> Duration {
        let left_s = self.planned_s + self.extra_s * (self.runs - self.done) as f64;
        Duration::from_secs_f64(left_s.clamp(0.0, 1e9))
    }
}

fn time(left: Duration) -> String {
    let seconds = left.as_secs();
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_knows_every_driver() {
        Args::command().debug_assert();
        let drivers = conn_server::driver::DriverKind::ALL.iter().map(|kind| kind.label());
        assert_eq!(engines(), drivers.collect::<Vec<_>>());
    }

    #[test]
    fn the_rest_is_estimated_from_what_was_done() {
        let turns = turns(&cells::cells(&[100], &[64], &[1]), &["a".into(), "b".into()], 1, 1);
        let phases = Phases { warmup: Duration::ZERO, measured: Duration::from_secs(1) };
        let mut clock = Remaining::new(&turns, phases);
        clock.done(&turns[0], 4.005);
        assert_eq!(clock.left().as_secs(), 4);
        clock.done(&turns[1], 4.005);
        assert_eq!(clock.left().as_millis(), 0);
    }
}
