//! The command line: its words, its units, its help, a file per command. Owns parsing; what the words mean together is
//! decided in `offer`.

mod calibrate;
mod compare;
mod export;
mod load;
mod local;
mod redis;
mod run;
mod search;
mod sweep;
mod units;
mod validate;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use calibrate::{Calibrate, CalibrateArgs, RecordArgs};
pub use compare::{CompareArgs, InvalidRuns};
pub use export::{ExportArgs, ExportFormat};
pub use load::{LoadArgs, PresetName, ReceiveName};
pub use local::{DurabilityName, IoName, LocalArgs, LoginName, Role, RoleArgs, StoreName};
pub use redis::{RedisAt, RedisChoice};
pub use run::{ProtocolName, RunArgs};
pub use search::{Axis, SearchArgs};
pub use sweep::{SweepArgs, SweepAxis};
pub use units::{parse_count, parse_duration, parse_rate, parse_share};
pub use validate::{Planned, ValidateArgs};

const EXAMPLES: &str = "\
Examples:
  loadgen local                                  10,000 connections, 10,000 messages/s, the whole system started for it
  loadgen local --preset rooms --io epoll        rooms of 100 on the epoll driver
  loadgen local --preset idle --connections 100000 --login direct --store memory
  loadgen local --closed 256 --connections 1000 --store memory --shards 1
  loadgen local --store mysql --outage mysql:freeze@5s+2s          the database stands still for two seconds
  loadgen local --slo 'delivery.p99 < 5ms' --slo 'lost == 0'
  loadgen run --gateway http://10.0.0.5:8080 --node-admin 10.0.0.5:9100 --rate 20k/s
  loadgen run --target 10.0.0.5:9100 --token-key cluster.key
  loadgen run --protocol raw --target 127.0.0.1:7000 --server-pid 4711 --closed 256 --connections 1000
  loadgen validate --connections 1000000 --login direct --store memory     does that fit here?
  loadgen compare old/ --with new/ --html page.html    runs that were made before: better, worse, equivalent?
  loadgen compare --vs 'local --io uring' --vs 'local --io epoll' --runs 10      makes them, in turns
  loadgen search --slo 'delivery.p99 < 5ms' -- local --connections 1k      the largest rate that keeps it, and why
  loadgen sweep --axis connections=1k,10k --axis size=64,1k -- local --closed 256
  loadgen export reports/RUN --format hgrm       for HdrHistogram's plotter
  loadgen selftest                               proves the instrument with scripted faults
  loadgen env --json                             what a report says about this machine

Exit status:
  0    everything held
  1    something broke in loadgen or in the system under test
  2    the command line or the plan makes no sense, or does not fit this machine (`validate`)
  3    a service level objective was missed
  4    a message was lost, doubled, reordered, altered or misrouted
  5    the measurement is INVALID (with --require-valid, which `run` has on), or runs cannot be compared
  6    a comparison found something worse
  7    a comparison did not tell (with --require-conclusive)
  8    the target could not be reached, or the connections did not come up
  130  interrupted; a partial report was written
When several hold, the first of 4, 1, 2, 130, 5, 8, 6, 3, 7 is given.";

/// Ringline's load generator: open-loop load, a delivery ledger, and a verdict on the measurement itself.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Starts balancer, gateway and node from this program, loads them, and stops them cleanly.
    #[command(after_help = EXAMPLES)]
    Local(Box<LocalArgs>),
    /// Loads a system that runs already.
    #[command(after_help = EXAMPLES)]
    Run(Box<RunArgs>),
    /// Makes the page of a run: one HTML file without scripts from elsewhere, as every run leaves beside its run.json.
    Report {
        /// A report's directory, or its run.json.
        run: PathBuf,
        /// Where to write the page; by default report.html beside run.json.
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Proves the instrument: scripted faults in a reference server, each of which must be reported exactly.
    Selftest {
        /// A second for each case, and nothing that a busy machine could fail: for automated tests.
        #[arg(long)]
        short: bool,
    },
    /// Holds two sides of several runs each against each other: better, worse, equivalent or inconclusive.
    Compare(Box<CompareArgs>),
    /// Finds the largest load that keeps the objectives, by short trials, and says what limited it.
    Search(Box<SearchArgs>),
    /// Makes every point of a grid of a run's words, several times each, in an order that is drawn: table, CSV, pictures.
    Sweep(SweepArgs),
    /// Gives a stored run in the formats of other tools.
    Export(ExportArgs),
    /// Says whether comparisons are to be trusted on this kind of host: false alarms among runs that are all alike.
    #[command(subcommand)]
    Calibrate(Calibrate),
    /// Shows what a report says about this machine.
    Env {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Says whether memory, ports and descriptors suffice for a run, without starting it: `validate` with the arguments of
    /// `local`, or `validate run` with those of `run`.
    #[command(args_conflicts_with_subcommands = true)]
    Validate(Box<ValidateArgs>),
    /// One of the servers, started by `local` from the same program.
    #[command(hide = true)]
    Role(RoleArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_objective_is_refused_where_it_is_written() {
        let refused = Cli::try_parse_from(["loadgen", "local", "--slo", "delivery.p99 < 5"]);
        assert!(refused.unwrap_err().to_string().contains("needs a unit"));
    }

    #[test]
    fn run_needs_a_system_and_a_key_for_direct_logins() {
        assert!(Cli::try_parse_from(["loadgen", "run"]).is_err());
        assert!(Cli::try_parse_from(["loadgen", "run", "--protocol", "raw"]).is_err());
        let both = ["loadgen", "run", "--target", "127.0.0.1:1", "--token-key", "key"];
        assert!(Cli::try_parse_from(both).is_ok());
        assert!(Cli::try_parse_from(["loadgen", "run", "--gateway", "http://127.0.0.1:1"]).is_ok());
    }
}
