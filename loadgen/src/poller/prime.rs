//! The first messages of every connection, before the load: what a session costs is measured on sessions that have lived.
//! They are no load, but the ledger judges them like all others.

use std::io;

use super::Poller;
use super::clock::nanos;
use super::conn::Stage;
use super::limits::{PRIMING_MAX, SLEEP_NS_MAX};
use crate::plan::Phase;

impl Poller<'_> {
    /// Lets both of every pair say their first messages and waits until all have arrived. `false` if it was stopped.
    pub(super) fn prime(&mut self) -> io::Result<bool> {
        let each = self.plan.options.prime;
        if each == 0 {
            return Ok(true);
        }
        self.enter_phase(Phase::Prime);
        let speakers = self.fleet.pairs() * 2;
        let patience_ns = nanos(self.plan.ramp_stall_max);
        let (mut next, mut arrived, mut moved_ns) = (0, 0, self.clock.now_ns());
        while next < speakers || !self.has_settled() {
            let now_ns = self.clock.now_ns();
            if self.ledger.totals().delivered > arrived {
                (arrived, moved_ns) = (self.ledger.totals().delivered, now_ns);
            }
            if self.is_stopped() {
                return Ok(false);
            }
            if now_ns - moved_ns > patience_ns {
                break;
            }
            while next < speakers && self.unanswered.len() < PRIMING_MAX {
                // Whoever is gone is missing in the sum below.
                if self.conns[next as usize].stage == Stage::Ready {
                    (0..each).for_each(|_| self.say(next / 2, next, now_ns, now_ns));
                }
                next += 1;
            }
            self.turn(now_ns + SLEEP_NS_MAX)?;
        }
        let (all, arrived) =
            (u64::from(speakers) * u64::from(each), self.ledger.totals().delivered);
        if arrived == all && self.has_settled() {
            return Ok(true);
        }
        Err(io::Error::other(format!(
            "of the first {all} messages {arrived} arrived: look at the node's log, or use a smaller --prime"
        )))
    }
}
