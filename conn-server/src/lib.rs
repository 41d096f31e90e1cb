//! Ringline's chat node: pinned shard threads, each with its listeners, its I/O driver and one sans-IO chat core.
//!
//! The seams, from the inside out: `host` holds one shard's core with its lanes and clock; a [`driver`] moves bytes
//! between sockets and that host; [`mesh`] carries mail between shard threads; [`server`] builds a [`server::Node`] of
//! them. Whatever serves HTTP, stores messages or talks to a balancer does it through [`server::NodeHandle`] (snapshots,
//! drain, abort) and [`mesh::StoreLane`] (batches in, outcomes out); none of it ever runs on a shard's thread. `front` ends
//! TLS before the chat port, on threads of its own.

mod admin;
mod args;
pub mod clock;
mod config;
mod control;
pub mod driver;
mod front;
mod handle;
mod heap;
mod host;
mod lane;
pub mod limits;
pub mod listener;
pub mod mesh;
mod metrics;
mod networks;
mod operator;
mod postbox;
mod process;
mod registration;
mod retain;
mod run;
pub mod server;
pub mod signals;
pub mod sizing;
pub mod stats;
pub mod store_lane;
#[cfg(test)]
mod threads;

pub use args::{Args, Cpus, DurabilityChoice};
pub use networks::Networks;
pub use operator::operate;
pub use run::{Running, run};
