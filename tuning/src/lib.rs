//! Host tuning: can this machine hold the plan, what stands in the way, and how is it changed and changed back?
//!
//! [`check()`] reads settings through a [`root::Root`] and judges them by a [`Plan`]; it never writes. [`apply::apply`] writes what
//! a check found, each write in a [journal] first and read back after, and [`apply::roll_back`] takes it back unless somebody else
//! has changed it meanwhile. What a setting is for is data: the [catalogue]. [`cli`] prints it all.
#![forbid(unsafe_code)]

pub mod apply;
pub mod catalogue;
mod checks;
pub mod cli;
pub mod doctor;
mod finding;
pub mod formula;
pub mod journal;
pub mod limits;
pub mod measure;
pub mod page;
pub mod persist;
mod render;
pub mod root;
pub mod state;
pub mod value;
pub mod watchdog;

pub use checks::{check, check_one};
pub use finding::{Change, Finding, Plan, Profile, Status, Summary};
