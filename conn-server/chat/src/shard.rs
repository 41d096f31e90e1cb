//! The shard: one thread's connections, sessions and rooms, behind `handle_*` for what happened and `poll_*` for what
//! is to be done.

use wire::Command;

use crate::config::Config;
use crate::conn::ConnKey;
use crate::counters::{Counters, Gauges};
use crate::effects::Effects;
use crate::mail::MailBatch;
use crate::store::StoreOutcome;
use crate::time::{Instant, Now};
use crate::transmit::Transmit;

/// One shard. Touched by one thread only.
#[derive(Debug)]
pub struct Shard {
    config: Config,
    counters: Counters,
}

#[allow(unused_variables, clippy::needless_pass_by_ref_mut, reason = "being written")]
impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, counters: Counters::default() }
    }

    /// A connection was accepted. `None`: full or draining; close it at once, nothing else is owed.
    pub fn handle_accept(&mut self, now: Now, fx: &mut Effects) -> Option<ConnKey> {
        None
    }

    /// Bytes arrived. All are taken: what is not a whole frame yet, or may not be handled yet, is put aside.
    pub fn handle_receive(&mut self, now: Now, key: ConnKey, bytes: &mut [u8], fx: &mut Effects) {}

    /// A command, parsed: called by `handle_receive`, and by the codecs of the other dialects.
    pub fn handle_command(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        command: Command<'_>,
        fx: &mut Effects,
    ) {
    }

    /// The peer has finished sending (FIN). It may still read.
    pub fn handle_eof(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {}

    /// The connection broke (reset, or any other error of a receive or a send). An `abort` follows unless there was one.
    pub fn handle_reset(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {}

    /// A send completed with so many bytes; no send is in flight now. If more is queued, `flush` names the key again.
    pub fn handle_sent(&mut self, now: Now, key: ConnKey, bytes: usize, fx: &mut Effects) {}

    /// No operation is in flight any more and the socket is closed: the key is dead after this. Follows an `abort`.
    pub fn handle_closed(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {}

    /// Mail from a peer shard.
    pub fn handle_mail(&mut self, now: Now, mail: &MailBatch, fx: &mut Effects) {}

    /// An answer of the store.
    pub fn handle_stored(&mut self, now: Now, outcome: &StoreOutcome, fx: &mut Effects) {}

    /// `poll_timeout`'s instant has come. Calling it early does nothing.
    pub fn handle_timeout(&mut self, now: Now, fx: &mut Effects) {}

    /// The node shuts down: no new sessions; every connection gets what is queued, then a goodbye. Idempotent.
    pub fn handle_drain(&mut self, now: Now, fx: &mut Effects) {}

    /// Whether nothing is left to do after `handle_drain`: no connection, no outstanding request.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        true
    }

    /// What to send now on a connection that has no send in flight; `false` if there is nothing.
    pub fn poll_transmit<'a>(&'a self, key: ConnKey, out: &mut Transmit<'a>) -> bool {
        false
    }

    /// When to call `handle_timeout` next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Totals.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is so now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges::default()
    }
}
