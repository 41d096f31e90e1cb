//! The words of `loadgen validate`.

use clap::{Args, Subcommand};

use super::{LocalArgs, RunArgs};

/// `loadgen validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Which run, if it is not a local one.
    #[command(subcommand)]
    pub planned: Option<Planned>,
    /// A local run.
    #[command(flatten)]
    pub local: LocalArgs,
}

/// A run that is only planned.
#[derive(Debug, Subcommand)]
pub enum Planned {
    /// Node and generator on this machine.
    Local(Box<LocalArgs>),
    /// The generator alone.
    Run(Box<RunArgs>),
}
