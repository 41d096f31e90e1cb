//! Ringline's load generator: open-loop load, a delivery ledger, and a verdict on the measurement itself.

pub mod outcome;
pub mod plan;
