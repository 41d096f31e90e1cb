//! The gateway's process: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use gateway::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Cli { command, serve } = Cli::parse();
    let done = match (command, serve) {
        (Some(Command::Provision(args)), _) => gateway::provision::run(&args),
        (None, Some(args)) => gateway::run(args),
        (None, None) => Err(anyhow::anyhow!("see --help: --balancer and --data are needed")),
    };
    balancer::launch::end(done)
}
