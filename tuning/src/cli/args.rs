//! The command line's words.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::words::{count, cpu_list, micros, runs, time};
use crate::catalogue::Risk;
use crate::doctor::Source;
use crate::finding::{Plan, Profile};

const EXAMPLES: &str = "\
Examples:
  tuning check --connections 100k --direct-descriptors    can this machine hold that? (no privileges, no writes)
  tuning check --root machine.txt --json                  the same of a recorded machine
  tuning plan --connections 100k                          what would be changed, from what to what, and why
  tuning apply --connections 100k --for 10m               does it, and takes it back in ten minutes...
  tuning confirm                                          ...unless you are still there to say this
  tuning rollback                                         takes the last apply back
  tuning verify                                           does what was written still stand?
  tuning doctor --node http://127.0.0.1:5902 --window 30s what limits this node and this machine right now?
  tuning plan --persist etc-files                         files for /etc that keep it over a restart
  tuning explain tcp.port_range                           what it is, when not to touch it, what was measured
  tuning measure tcp.somaxconn --runs 5 -- local --preset churn --connections 200 --duration 5s
                                                          what is it worth on this machine?
  tuning record machine.txt                               this machine in one file, for a report

Exit codes:
  0  fine: nothing to do, or done
  1  something broke in the tool itself
  2  the command line makes no sense
  3  warnings, or something to change (with --strict)
  4  something fails the plan (check), a limit is hit (doctor), or a value has drifted (verify)
  5  something could not be read
  6  refused: nothing was changed, or all of it was taken back
  7  a value could not be taken back: tuning status says which
  8  another tuning is at work, or an apply waits for confirm
  130  interrupted; the value is as it was (measure)";

/// Host tuning for Ringline: checks, explains, changes with a way back, watches and measures.
#[derive(Clone, Debug, Parser)]
#[command(name = "tuning", version, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Judges every setting by a plan. Reads only, needs no privileges.
    #[command(after_help = EXAMPLES)]
    Check(CheckArgs),
    /// Shows what apply would write: from what, to what, why, and with which risk. Writes nothing to the machine.
    #[command(after_help = EXAMPLES)]
    Plan(PlanCommandArgs),
    /// Writes what the plan wants: each value in a journal first, read back after, and all taken back if one fails.
    #[command(after_help = EXAMPLES)]
    Apply(ApplyArgs),
    /// Keeps an apply that would take itself back (--for).
    Confirm(StateArgs),
    /// Takes the last apply back. What somebody else has changed since is left as it is.
    Rollback(RollbackArgs),
    /// Lists what this tool has written and what is in force.
    Status(StatusArgs),
    /// Says whether what was written still stands: exit code 4 if somebody else has changed it.
    Verify(StatusArgs),
    /// Takes an apply back when its time is over; started by apply --for.
    #[command(hide = true)]
    Watchdog(WatchdogArgs),
    /// Watches counters of the machine and of a node for a while and names what limits them. Reads only.
    #[command(after_help = EXAMPLES)]
    Doctor(DoctorArgs),
    /// Tells what a setting is for, when not to touch it, and how to go back; without an id, lists them.
    Explain(ExplainArgs),
    /// Shows what one setting is worth here: runs of loadgen with and without it, in turns, and the ratio with its interval.
    #[command(after_help = EXAMPLES)]
    Measure(MeasureArgs),
    /// Holds the processors' deep idle states off while a command runs.
    Hold(HoldArgs),
    /// Records what the checks read of this machine into one file, for a report or a test.
    Record(RecordArgs),
    /// Makes a folder for --root out of a recording.
    Unpack(UnpackArgs),
}

/// What the machine is wanted for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Connections to hold, with both ends on this machine; 10k and 1M are understood
    #[arg(long, default_value = "10k", value_parser = count)]
    pub(crate) connections: u64,
    /// Messages a second; 10k and 1M are understood
    #[arg(long, default_value = "10k", value_parser = count)]
    pub(crate) rate: u64,
    /// What counts most
    #[arg(long, value_enum, default_value_t)]
    pub(crate) profile: Profile,
    /// The node uses direct descriptors: connections take no process descriptors
    #[arg(long)]
    pub(crate) direct_descriptors: bool,
}

impl PlanArgs {
    pub(crate) const fn plan(&self) -> Plan {
        Plan {
            connections: self.connections,
            rate: self.rate,
            profile: self.profile,
            direct_descriptors: self.direct_descriptors,
        }
    }
}

/// In which form to answer.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct FormatArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print Markdown, for a report
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
}

/// Which machine.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RootArgs {
    /// The machine in this folder (its proc/ and sys/ files) or recording instead of this one
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) root: RootArgs,
    /// Let warnings fail too (exit code 3)
    #[arg(long)]
    pub(crate) strict: bool,
    /// Show what is fine too
    #[arg(long)]
    pub(crate) all: bool,
}

/// Which machine, and where its journals are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StateArgs {
    #[command(flatten)]
    pub(crate) root: RootArgs,
    /// Where journals and measurements are; by default /var/lib/ringline-tuning, below --root if there is one
    #[arg(long, value_name = "DIR", env = "RINGLINE_TUNING_STATE")]
    pub(crate) state: Option<PathBuf>,
}

/// Which settings.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ChooseArgs {
    /// Only these settings; naming one accepts a medium risk
    #[arg(long, value_name = "ID,..", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Not these settings
    #[arg(long, value_name = "ID,..", value_delimiter = ',')]
    pub(crate) skip: Vec<String>,
    /// The highest risk to take
    #[arg(long, value_enum, default_value = "low")]
    pub(crate) risk: Risk,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlanCommandArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) choose: ChooseArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Write a shell script that does it, and beside it (FILE.undo.sh) one that takes it back
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// Make sysctl.d, tmpfiles.d, limits.d, systemd and irqbalance files below this folder, for you to copy to /
    #[arg(long, value_name = "DIR")]
    pub(crate) persist: Option<PathBuf>,
    /// The processors of the node's shards, such as 2-7: with --persist, irqbalance is told to leave them alone
    #[arg(long, value_name = "LIST", requires = "persist", value_parser = cpu_list)]
    pub(crate) shard_cpus: Option<String>,
    /// End with 3 if there is something to change
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) choose: ChooseArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Take it back after this time unless confirmed: 30s, 10m, 1h
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) r#for: Option<Duration>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Leave out what cannot be written here instead of refusing all
    #[arg(long)]
    pub(crate) possible: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RollbackArgs {
    /// Which apply, as status names it; the last one by default
    pub(crate) journal: Option<String>,
    /// All that are in force, the last first
    #[arg(long, conflicts_with = "journal")]
    pub(crate) all: bool,
    /// Take back what somebody else has changed since, too
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Show what is over too
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WatchdogArgs {
    /// The journal
    pub(crate) journal: String,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) root: RootArgs,
    /// The node's admin port, such as http://127.0.0.1:5902
    #[arg(long, value_name = "URL", value_parser = Source::parse)]
    pub(crate) node: Option<Source>,
    /// The node's process, if it is not the one that its /info names
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// How long to watch
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(crate) window: Duration,
    /// Look again and again, until interrupted
    #[arg(long)]
    pub(crate) watch: bool,
    /// Let risks fail too (exit code 3)
    #[arg(long)]
    pub(crate) strict: bool,
    /// Show what is well too
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// As `check` prints it
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MeasureArgs {
    /// The setting
    pub(crate) id: String,
    /// The other value; by default what the plan wants
    #[arg(long)]
    pub(crate) value: Option<String>,
    /// Runs of each side; fewer than 4 cannot tell anything
    #[arg(long, default_value_t = 5, value_parser = runs)]
    pub(crate) runs: usize,
    /// The load generator; by default the one beside this program
    #[arg(long, value_name = "FILE")]
    pub(crate) loadgen: Option<PathBuf>,
    /// A watchdog takes the value back after this time, whatever happens to this process
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    pub(crate) limit: Duration,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// What loadgen is to do, such as: local --connections 1000 --closed 128 --duration 10s
    #[arg(last = true)]
    pub(crate) load: Vec<OsString>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HoldArgs {
    /// The longest time in which a processor may wake
    #[arg(long, value_name = "TIME", default_value = "1us", value_parser = micros)]
    pub(crate) latency: Duration,
    /// The command
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RecordArgs {
    /// The file to make
    pub(crate) file: PathBuf,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct UnpackArgs {
    /// What `tuning record` made
    pub(crate) recording: PathBuf,
    /// The folder to make
    pub(crate) folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Args;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
