//! A server's part, played by this program: what `local` starts it again for.

use std::ffi::OsString;

use anyhow::{Context, bail};
use clap::Parser;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::cli::{Role, RoleArgs};

/// A server's arguments as a command line of its own, whatever way the server declares them.
#[derive(Parser)]
struct Line<A: clap::Args> {
    #[command(flatten)]
    args: A,
}

/// Plays the role until it ends.
///
/// # Errors
/// The server's own.
pub fn play(role: RoleArgs) -> anyhow::Result<()> {
    if let Some(parent) = role.parent {
        die_with(parent)?;
    }
    match role.role {
        Role::Balancer => {
            balancer::run(arguments::<balancer::Args>("ringline-balancer", role.args))
        }
        Role::Gateway => gateway::run(arguments::<gateway::Args>("ringline-gateway", role.args)),
        Role::Node => conn_server::run(arguments::<conn_server::Args>("ringline-node", role.args)),
    }
}

fn arguments<A: clap::Args>(name: &str, args: Vec<OsString>) -> A {
    Line::<A>::parse_from(std::iter::once(OsString::from(name)).chain(args)).args
}

/// Ends this process when its parent ends, however that ends.
fn die_with(parent: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("PR_SET_PDEATHSIG")?;
    // The parent may have ended before the line above.
    let now = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if now != Some(parent) {
        bail!("the process {parent} that started this one has ended");
    }
    Ok(())
}
