//! The floor: the least that a chat server cannot avoid doing with a ring, and nothing else. What a node costs beyond it is
//! what the node can still save.
//!
//! Owns the process; the work is in [`server`]. Never grows a feature: it has no sessions, no order, no bounds on queues.

mod server;

use clap::Parser;
use server::{Args, Floor};

fn main() -> anyhow::Result<()> {
    Floor::open(&Args::parse())?.announce()?.serve()
}
