//! The first messages of every connection, before the load: what a session costs is measured on sessions that have lived.
//!
//! None of it counts as load; the ledger judges it like every other message.

use std::io;

use super::Engine;
use super::conn::State;
use super::limits::{PRIMING_MAX, SLEEP_NS_MAX};
use super::phases::nanos;
use crate::plan::Phase;

impl Engine<'_> {
    /// Lets every connection of a pair say its first messages, and waits until all of them have arrived. `false` if it
    /// was stopped from outside.
    pub(super) fn prime(&mut self) -> io::Result<bool> {
        let each = self.plan.options.prime;
        if each == 0 {
            return Ok(true);
        }
        self.enter_phase(Phase::Prime);
        let speakers = self.fleet.pairs() * 2;
        let wanted = u64::from(speakers) * u64::from(each);
        let stall_ns = nanos(self.plan.ramp_stall_max);
        let (mut next, mut best, mut best_ns) = (0, 0, self.clock.now_ns());
        while next < speakers || !self.is_drained() {
            let now_ns = self.clock.now_ns();
            let delivered = self.ledger.totals().delivered;
            if delivered > best {
                (best, best_ns) = (delivered, now_ns);
            }
            if self.is_stopped() {
                return Ok(false);
            }
            if now_ns.saturating_sub(best_ns) > stall_ns {
                break;
            }
            while next < speakers && self.flights.len() < PRIMING_MAX {
                // Whoever is gone is missing in the sum below.
                if self.conns[next as usize].state == State::Ready {
                    (0..each).for_each(|_| self.utter(next / 2, next, now_ns, now_ns));
                }
                next += 1;
            }
            self.turn(now_ns + SLEEP_NS_MAX)?;
        }
        let delivered = self.ledger.totals().delivered;
        if delivered != wanted || !self.is_drained() {
            return Err(io::Error::other(format!(
                "of the first {wanted} messages {delivered} arrived: look at the node's log, or use a smaller --prime"
            )));
        }
        Ok(true)
    }
}
