//! The sans-IO chat core: sessions, private texts, rooms, heartbeats, queues and closes of one shard.
//!
//! Inputs are `Shard::handle_*`, outputs the lanes of [`Effects`] and `Shard::poll_*`. The contract of a driver:
//!
//! 1. One `Now` per loop turn, never going back.
//! 2. Call `handle_accept` per new connection; then for each key in any order `handle_receive` (at most
//!    [`limits::RECEIVE_BYTES_MAX`] bytes each), `handle_eof` (once, no receive after it), `handle_sent`, `handle_reset`,
//!    until `handle_closed`, which comes last, exactly once, and only after the key stood in `abort`.
//! 3. After the turn's inputs call `finish_inputs`, then drain the lanes as [`Effects`] says. At most one send is in flight per connection:
//!    `flush` for a connection with one in flight is ignored, since `handle_sent` names it again.
//! 4. Deliver mail and store outcomes in the order in which they were posted, each exactly once.
//!
//! Owns no socket, thread or clock: none can be named here. Bytes from a peer never panic it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod close;
mod config;
mod conn;
mod conversations;
mod counters;
mod delivery;
mod directory;
mod effects;
mod frame_pool;
mod history;
mod hold;
mod inbox;
mod index;
pub mod limits;
mod mail;
mod members;
mod message;
mod outbox;
mod pace;
mod pending;
mod proxy;
mod queue;
mod receive;
mod recent;
mod record;
mod reload;
mod room;
mod round;
mod send_queue;
mod service;
mod session;
mod shard;
mod spill;
mod store;
mod time;
mod timers;
mod transmit;

pub use config::{Config, Durability, ProxyHeaders};
pub use conn::ConnKey;
pub use counters::{Counters, Figure, Gauges};
pub use effects::Effects;
pub use mail::MailBatch;
pub use proxy::{NoProxyHeader, ProxyHeader};
pub use reload::Limits;
pub use shard::Shard;
pub use store::{
    Append, ConversationsPage, HeadOf, Hearer, PullPage, Serve, Served, StoreBatch, StoreFault,
    StoreOutcome, StoreRequest, Stored, StoredMessage, Ticket,
};
pub use time::{Instant, Now};
pub use transmit::Transmit;
