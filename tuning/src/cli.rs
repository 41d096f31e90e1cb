//! The command line. It prints; the library decides.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::catalogue;
use crate::checks::check;
use crate::finding::{Plan, Summary};
use crate::host::{Fixture, Host, Live};
use crate::limits::SAMPLE;
use crate::render;

/// Checks whether this machine can hold the planned connections, and says what to do if not. Reads only; needs no privileges.
#[derive(Clone, Debug, Parser)]
#[command(name = "tuning", version)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Judges the settings that matter by a plan.
    ///
    /// Exit codes: 0 fine, 3 warnings (with --strict), 4 something fails, 5 something could not be read.
    Check {
        /// Connections to hold, with both ends on this machine; 10k and 1M are understood
        #[arg(long, default_value = "10k", value_parser = count)]
        connections: u64,
        /// The node uses direct descriptors: connections take no process descriptors
        #[arg(long)]
        direct_descriptors: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Let warnings fail too (exit code 3)
        #[arg(long)]
        strict: bool,
        /// Check the machine recorded in this folder (its proc/ and sys/ files) instead of this one
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
    },
    /// Tells what a setting is for, when not to touch it, and how to go back; without an id, lists them.
    Explain {
        /// As `check` prints it
        id: Option<String>,
    },
}

/// A count with an optional `k` or `M`.
fn count(text: &str) -> Result<u64, String> {
    let plain: String = text.chars().filter(|digit| !matches!(digit, '_' | ',')).collect();
    let (digits, factor) = match plain.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => {
            plain.strip_suffix(['m', 'M']).map_or((plain.as_str(), 1), |digits| (digits, 1_000_000))
        }
    };
    let number: u64 =
        digits.parse().map_err(|_| "give a number such as 10000, 10k or 1M".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "that is more than any machine holds".to_owned())
}

/// Runs the program and returns its exit code.
pub fn run(args: &Args, out: &mut impl Write) -> ExitCode {
    match answer(&args.command, out) {
        Ok(code) => ExitCode::from(code),
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "tuning: cannot write the answer: {error}"); // nobody is left to tell
            ExitCode::from(5)
        }
    }
}

fn answer(command: &Command, out: &mut impl Write) -> io::Result<u8> {
    match command {
        Command::Check { connections, direct_descriptors, json, strict, root } => {
            let plan = Plan { connections: *connections, direct_descriptors: *direct_descriptors };
            let (live, fixture) = (Live { sample: SAMPLE }, root.clone().map(Fixture::new));
            let host: &dyn Host = fixture.as_ref().map_or(&live, |fixture| fixture as &dyn Host);
            let findings = check(host, &plan);
            let code = Summary::of(&findings).exit_code(*strict);
            if *json {
                writeln!(out, "{}", render::json(&plan, &findings, code)?)?;
            } else {
                write!(out, "{}", render::table(&plan, &findings, code))?;
            }
            Ok(code)
        }
        Command::Explain { id: None } => {
            write!(out, "{}", render::list())?;
            Ok(0)
        }
        Command::Explain { id: Some(id) } => match catalogue::find(id) {
            Some(setting) => {
                write!(out, "{}", render::explanation(setting))?;
                Ok(0)
            }
            None => {
                let known: Vec<&str> =
                    catalogue::all().iter().map(|setting| setting.id.as_str()).collect();
                writeln!(
                    io::stderr(),
                    "tuning: no setting {id:?}; there are: {}",
                    known.join(", ")
                )?;
                Ok(2)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_may_be_short() {
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1M"), Ok(1_000_000));
        assert_eq!(count("1_000"), Ok(1_000));
        assert!(count("many").is_err());
        assert!(count("99999999999999999M").is_err());
    }
}
