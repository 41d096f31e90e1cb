//! The sans-IO chat core: sessions, private texts, rooms, heartbeats, queues and closes of one shard.
//!
//! Inputs are `Shard::handle_*`, outputs the lanes of [`Effects`] and `Shard::poll_*`. The contract of a driver:
//!
//! 1. One `Now` per loop turn, never going back.
//! 2. Call `handle_accept` per new connection; then for each key in any order `handle_receive`, `handle_eof` (once, no
//!    receive after it), `handle_sent`, `handle_reset`, until `handle_closed`, which comes last, exactly once, and only
//!    after the key stood in `abort`.
//! 3. After the turn's inputs drain the lanes as [`Effects`] says. At most one send is in flight per connection:
//!    `flush` for a connection with one in flight is ignored, since `handle_sent` names it again.
//! 4. Deliver mail and store outcomes in the order in which they were posted, each exactly once.
//!
//! Owns no socket, thread or clock: none can be named here. Bytes from a peer never panic it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod conn;
mod counters;
mod effects;
pub mod limits;
mod mail;
mod shard;
mod store;
mod time;
mod transmit;

pub use config::{Config, Durability};
pub use conn::ConnKey;
pub use counters::{Counters, Gauges};
pub use effects::Effects;
pub use mail::MailBatch;
pub use shard::Shard;
pub use store::{
    Append, ConversationsPage, HeadOf, PullPage, StoreBatch, StoreFault, StoreOutcome,
    StoreRequest, Stored, StoredMessage, Ticket,
};
pub use time::{Instant, Now};
pub use transmit::Transmit;
