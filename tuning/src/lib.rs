//! Host checks: can this machine hold the planned connections, and if not, what stands in the way?
//!
//! [`check`] reads settings through a [`Host`] and judges them by a [`Plan`]; it never writes and needs no privileges. What a
//! setting is for, and what to do about it, is data: the [catalogue]. [`cli`] prints both.
#![forbid(unsafe_code)]

pub mod catalogue;
mod checks;
pub mod cli;
mod finding;
mod host;
pub mod limits;
mod render;

pub use checks::check;
pub use finding::{Finding, Plan, Status, Summary};
pub use host::{Fixture, Host, Live, UringProbe};
