//! Ringline's load generator: open-loop load, a delivery ledger, and a verdict on the measurement itself.

pub mod calibrate;
pub mod capacity;
pub mod capture;
pub mod child_run;
pub mod cli;
pub mod compare;
pub mod disk;
pub mod durable;
pub mod engine;
pub mod engines;
pub mod env;
pub mod exit;
pub mod export;
pub mod fleet;
pub mod grants_direct;
pub mod grants_gateway;
pub mod grants_raw;
pub mod heat;
pub mod http;
pub mod ledger;
pub mod local;
pub mod offer;
pub mod outcome;
pub mod page;
pub mod placement;
pub mod plan;
pub mod poller;
pub mod progress;
pub mod recorder;
pub mod remote;
pub mod report;
pub mod schedule;
pub mod search;
pub mod selftest;
pub mod server_cost;
pub mod server_series;
pub mod slo;
pub mod stamp;
pub mod stats;
pub mod stored;
pub mod sweep;
pub mod trial;
pub mod validate;
pub mod validity;

#[cfg(test)]
mod sample;
