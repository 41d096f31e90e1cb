//! Silence before the load: everybody is there, nobody says anything, heartbeats go on. What that costs the generator is
//! counted here; what it costs the node, by whoever watches the phases.

use std::io;
use std::time::Duration;

use super::Engine;
use super::clock::ThreadCost;
use super::phases::nanos;
use crate::outcome::IdleCost;
use crate::plan::Phase;

impl Engine<'_> {
    /// Keeps everybody quiet for as long as the plan says. `false` if it was stopped from outside.
    pub(super) fn keep_quiet(&mut self) -> io::Result<bool> {
        let length = self.plan.options.idle;
        if length.is_zero() {
            return Ok(true);
        }
        self.enter_phase(Phase::Idle);
        let (start_ns, cost) = (self.clock.now_ns(), ThreadCost::now());
        let heartbeats = self.tally.heartbeats;
        self.run_until(start_ns + nanos(length))?;
        self.span.idle = Some(IdleCost {
            length: Duration::from_nanos(self.clock.now_ns() - start_ns),
            cpu: ThreadCost::now().since(cost).cpu,
            heartbeats: self.tally.heartbeats - heartbeats,
        });
        Ok(!self.is_stopped())
    }
}
