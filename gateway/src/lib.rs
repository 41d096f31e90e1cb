//! The gateway: a thin HTTP front that registers accounts, checks passwords and tells clients where to log in.
//!
//! `validate`, `codes` and `password` are pure; `accounts` and the balancer's client reach what outlives a request.
//! Holds no session and no state but verification codes. Never keeps, logs or answers with a password.

#![forbid(unsafe_code)]

mod accounts;
mod args;
mod codes;
mod delivery;
mod hash_pool;
pub mod limits;
mod login;
mod metrics;
mod password;
pub mod provision;
mod register;
mod routes;
mod server;
mod status;
mod validate;

pub use args::{Args, Cli, Command, serving};
pub use provision::{Provision, Provisioned, provision};
pub use server::{Bound, run};
pub use status::Status;
