//! Everything that waits for a time, heartbeats included: one heap. The engine holds fewer connections than a process has
//! descriptors, so a heap of all of them is shallow.
//!
//! Nothing is taken out early: whoever is rung asks whether it is still meant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What to do when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// Ask for leave to log in again.
    Ask { index: u32 },
    /// Send a heartbeat, if this is still the life that it was set in.
    Beat { index: u32, life: u32 },
    /// Let the client half pull what it misses.
    Repair { index: u32 },
    /// Say a refused message again.
    Retry { sender: u32, message: u32 },
}

#[derive(Debug, Default)]
pub(super) struct Alarms(BinaryHeap<Reverse<(u64, Alarm)>>);

impl Alarms {
    pub(super) fn set(&mut self, at_ns: u64, alarm: Alarm) {
        self.0.push(Reverse((at_ns, alarm)));
    }

    /// When the first one rings.
    pub(super) fn first_ns(&self) -> Option<u64> {
        Some(self.0.peek()?.0.0)
    }

    /// The first one, if its time has come.
    pub(super) fn ring(&mut self, now_ns: u64) -> Option<Alarm> {
        let is_due = self.first_ns()? <= now_ns;
        if is_due { self.0.pop().map(|Reverse((_, alarm))| alarm) } else { None }
    }
}
