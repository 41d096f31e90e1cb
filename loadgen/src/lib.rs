//! Ringline's load generator: open-loop load, a delivery ledger, and a verdict on the measurement itself.

pub mod fleet;
pub mod ledger;
pub mod outcome;
pub mod plan;
pub mod recorder;
pub mod schedule;
pub mod stamp;
