//! The balancer: which nodes there are, which of them a login goes to, and the token that opens the session there.
//!
//! `registry` and `placement` decide and are pure; `keeper` has them in this process, or does the same in a Redis that
//! several balancers share; `service` puts it behind gRPC; `client` is what gateways and nodes call it with. What every
//! Ringline server needs (`config`, `launch`, `key`, `http`, `grpc`, `tls`, `redis`) lives here too, since gateway and node
//! both depend on this crate. Never writes state to a disk, never reaches into a node.

#![forbid(unsafe_code)]

pub mod admin;
mod args;
pub mod client;
pub mod config;
pub mod convert;
pub mod ends;
pub mod grpc;
pub mod http;
mod incoming;
pub mod keeper;
pub mod key;
pub mod launch;
pub mod limits;
mod metrics;
pub mod peers;
pub mod placement;
pub mod redis;
pub mod registry;
mod server;
mod service;
pub mod tls;

/// The messages and services of `proto/ringline.proto`, generated.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    reason = "generated code"
)]
pub mod proto {
    tonic::include_proto!("ringline.v1");

    /// The descriptors of `proto/ringline.proto`, encoded: for reflection.
    pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("ringline");
}

pub use args::Args;
pub use server::{Bound, run};
