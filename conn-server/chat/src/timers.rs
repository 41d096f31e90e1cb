//! A hashed timer wheel (Varghese and Lauck, 1987) whose links live in the connections: one timer each, no allocation.
//!
//! Invariant: a connection is in the list of the slot `deadline % SLOTS`, or of the furthest slot if its deadline lies
//! beyond the horizon, and in no other.

use crate::conn::{ConnTable, NONE};
use crate::time::Instant;

/// Nanoseconds of a tick. A heartbeat or a deadline may be late by this much.
pub(crate) const TICK_NS: u64 = 50_000_000;

/// Slots of the wheel: a power of two; 102 seconds ahead without a second look.
const SLOTS: u32 = 2048;
const WORDS: usize = (SLOTS / 64) as usize;

/// A point in time as a tick, rounded down.
pub(crate) fn tick_of(at: Instant) -> u32 {
    u32::try_from(at.0 / TICK_NS).unwrap_or(u32::MAX)
}

/// Ticks of a span, rounded up.
pub(crate) fn ticks_in(span: core::time::Duration) -> u32 {
    u32::try_from(span.as_nanos().div_ceil(u128::from(TICK_NS))).unwrap_or(u32::MAX)
}

/// A connection's place in the wheel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    previous: u32,
    next: u32,
    deadline: u32,
    slot: u32,
}

impl Link {
    pub(crate) const IDLE: Self = Self { previous: NONE, next: NONE, deadline: 0, slot: NONE };
}

/// The wheel.
#[derive(Debug)]
pub(crate) struct Timers {
    heads: [u32; SLOTS as usize],
    occupied: [u64; WORDS],
    /// The first tick that has not been looked at.
    next_tick: u32,
    armed: u32,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { heads: [NONE; SLOTS as usize], occupied: [0; WORDS], next_tick: 0, armed: 0 }
    }

    /// Sets a connection's only timer, in place of an earlier one.
    pub(crate) fn arm(&mut self, conns: &mut ConnTable, index: u32, deadline: u32) {
        self.disarm(conns, index);
        // One slot less than there are, so that a timer put back while its slot is emptied lands in another one.
        let horizon = self.next_tick + SLOTS - 2;
        let slot = deadline.clamp(self.next_tick, horizon) % SLOTS;
        let Some(head) = self.heads.get_mut(slot as usize) else { return };
        let next = core::mem::replace(head, index);
        if let Some(conn) = conns.slot(index) {
            conn.timer = Link { previous: NONE, next, deadline, slot };
        }
        if let Some(conn) = conns.slot(next) {
            conn.timer.previous = index;
        }
        if let Some(word) = self.occupied.get_mut(slot as usize / 64) {
            *word |= 1 << (slot % 64);
        }
        self.armed += 1;
    }

    /// Takes a connection's timer away, if it has one.
    pub(crate) fn disarm(&mut self, conns: &mut ConnTable, index: u32) {
        let Some(conn) = conns.slot(index) else { return };
        let Link { previous, next, slot, .. } = core::mem::replace(&mut conn.timer, Link::IDLE);
        if slot == NONE {
            return;
        }
        self.armed -= 1;
        if let Some(after) = conns.slot(next) {
            after.timer.previous = previous;
        }
        if let Some(before) = conns.slot(previous) {
            before.timer.next = next;
            return;
        }
        if let Some(head) = self.heads.get_mut(slot as usize) {
            *head = next;
        }
        if next == NONE
            && let Some(word) = self.occupied.get_mut(slot as usize / 64)
        {
            *word &= !(1 << (slot % 64));
        }
    }

    /// The next connection whose deadline has come, its timer taken away; `None` when all ticks up to `now` are done.
    pub(crate) fn expire(&mut self, conns: &mut ConnTable, now: u32) -> Option<u32> {
        while self.next_tick <= now {
            if self.armed == 0 {
                self.next_tick = now + 1;
                return None;
            }
            let head = self.heads.get((self.next_tick % SLOTS) as usize).copied().unwrap_or(NONE);
            if head == NONE {
                self.next_tick += 1;
                continue;
            }
            let deadline = conns.slot(head).map_or(0, |conn| conn.timer.deadline);
            self.disarm(conns, head);
            if deadline <= self.next_tick {
                return Some(head);
            }
            // It lay beyond the horizon: put it where it is due by now, never into the slot being emptied.
            self.next_tick += 1;
            self.arm(conns, head, deadline);
            self.next_tick -= 1;
        }
        None
    }

    /// When `expire` has something to do at the earliest.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.armed == 0 {
            return None;
        }
        let start = self.next_tick % SLOTS;
        (0..=WORDS as u32).find_map(|step| {
            let word_index = (start / 64 + step) as usize % WORDS;
            let mut word = self.occupied.get(word_index).copied().unwrap_or(0);
            if step == 0 {
                word &= u64::MAX << (start % 64);
            }
            if word == 0 {
                return None;
            }
            let slot = word_index as u32 * 64 + word.trailing_zeros();
            let ahead = (slot + SLOTS - start) % SLOTS;
            Some(Instant(u64::from(self.next_tick + ahead) * TICK_NS))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const NOBODY: [u32; 0] = [];

    fn fired(timers: &mut Timers, conns: &mut ConnTable, now: u32) -> Vec<u32> {
        core::iter::from_fn(|| timers.expire(conns, now)).collect()
    }

    #[test]
    fn each_fires_once_at_its_tick_and_not_before_even_beyond_the_horizon() {
        let (mut timers, mut conns) = (Timers::new(), ConnTable::default());
        let keys: Vec<u32> = (0..4).map(|_| conns.insert().unwrap().index()).collect();
        for (index, deadline) in keys.iter().zip([3, 3, 2500, 9000]) {
            timers.arm(&mut conns, *index, deadline);
        }
        timers.disarm(&mut conns, keys[1]);
        assert_eq!(timers.next(), Some(Instant(3 * TICK_NS)));
        assert_eq!(fired(&mut timers, &mut conns, 2), NOBODY);
        assert_eq!(fired(&mut timers, &mut conns, 3), [keys[0]]);
        assert_eq!(fired(&mut timers, &mut conns, 2499), NOBODY);
        assert_eq!(fired(&mut timers, &mut conns, 2500), [keys[2]]);
        assert_eq!(fired(&mut timers, &mut conns, 8999), NOBODY);
        assert_eq!(fired(&mut timers, &mut conns, 100_000), [keys[3]]);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_deadline_in_the_past_fires_at_the_next_tick() {
        let (mut timers, mut conns) = (Timers::new(), ConnTable::default());
        let index = conns.insert().unwrap().index();
        assert_eq!(fired(&mut timers, &mut conns, 50), NOBODY);
        timers.arm(&mut conns, index, 10);
        assert_eq!(fired(&mut timers, &mut conns, 51), [index]);
    }
}
