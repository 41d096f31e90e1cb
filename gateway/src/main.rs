//! The gateway's process: arguments in, exit code out.

use clap::Parser;
use gateway::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    match Cli::parse() {
        Cli { command: Some(Command::Provision(args)), .. } => gateway::provision::run(&args),
        Cli { command: None, serve: Some(args) } => gateway::run(args),
        Cli { command: None, serve: None } => {
            anyhow::bail!("see --help: --balancer and --data are needed")
        }
    }
}
