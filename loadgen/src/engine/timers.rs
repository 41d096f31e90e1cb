//! What is to be done at a time, other than heartbeats: few at a time, so a heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// Ask for a new grant for this connection.
    Dial { index: u32 },
    /// Send a refused message again.
    Retry { sender: u32, message: u32 },
    /// Let this connection's client half pull what it misses.
    Repair { index: u32 },
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u64, Alarm)>>,
}

impl Timers {
    pub(super) fn set(&mut self, due_ns: u64, alarm: Alarm) {
        self.heap.push(Reverse((due_ns, alarm)));
    }

    pub(super) fn next_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((due_ns, _))| *due_ns)
    }

    /// The next alarm that is due.
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<Alarm> {
        if self.next_ns()? > now_ns {
            return None;
        }
        self.heap.pop().map(|Reverse((_, alarm))| alarm)
    }
}
