//! The gateway: a thin HTTP front that registers accounts, checks passwords and tells clients where to log in; and the
//! verification of e-mail addresses, which can also be a server of its own.
//!
//! `validate`, `clients` and `password` are pure; `shared` is what outlives a request and need not outlive a process;
//! `accounts` and the balancer's client reach what does. `dims` and `chatter` are two ways to ask for the same.
//! Holds no session. Never keeps, logs or answers with a password.

#![forbid(unsafe_code)]

mod accounts;
mod args;
mod chatter;
mod clients;
mod dims;
mod ender;
mod hash_pool;
pub mod limits;
mod login;
mod mail;
mod metrics;
mod password;
pub mod provision;
mod register;
mod reset;
mod routes;
mod server;
mod shared;
mod status;
mod validate;
pub mod verify;

pub use args::{Args, Cli, Command, serving};
pub use clients::{BadNetwork, Network};
pub use mail::{MailArgs, SmtpTls};
pub use provision::{Provision, Provisioned, provision};
pub use server::{Bound, run};
pub use shared::{Limit, Rate, SharedArgs};
pub use status::{Dialect, Status};
pub use verify::{VerifyArgs, VerifyBound, run_verify};
