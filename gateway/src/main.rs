//! The gateway's process: arguments in, exit code out.

use std::process::ExitCode;

use balancer::config::{Configured, load};
use gateway::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Configured { args: Cli { command, serve }, values, again } = load::<Cli>();
    let done = match (command, serve) {
        (Some(Command::Provision(args)), _) => gateway::provision::run(&args),
        (None, Some(args)) => {
            gateway::run(Configured { args, values, again: again.map(gateway::serving) })
        }
        (None, None) => Err(anyhow::anyhow!("see --help: --balancer and --data are needed")),
    };
    balancer::launch::end(done)
}
