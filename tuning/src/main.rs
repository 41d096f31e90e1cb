//! The `tuning` program: a thin shell around the library.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    tuning::cli::run(&tuning::cli::Args::parse(), &mut std::io::stdout().lock())
}
