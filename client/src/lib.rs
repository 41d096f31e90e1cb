//! The client half of Ringline's protocol.
//!
//! [`Session`] is the protocol without I/O and without a clock: bytes and milliseconds in, bytes and notices out. It is
//! small enough to hold a million of them in one process. [`blocking::Client`] is a plain TCP client over it, for people
//! and for end-to-end tests.
//!
//! A session costs [`Session`]'s own bytes (128 at most, asserted) and nothing else until it needs more: one box of
//! bookkeeping when it follows conversations and has seen one, 24 bytes for each conversation, and the bytes of a torn frame
//! while it is torn.
#![forbid(unsafe_code)]

pub mod blocking;
mod book;
pub mod limits;
mod notice;
mod outbox;
mod receive;
mod repair;
mod session;
mod turn;

pub use book::Counters;
pub use notice::{Broken, Notice, SendError};
pub use outbox::Outbox;
pub use session::{Follow, Session};
