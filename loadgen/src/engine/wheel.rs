//! A timer wheel for heartbeats: one link of four bytes per connection, any number of connections.
//!
//! A connection is in the wheel once at most. Nothing is ever taken out early: whoever is found when its slot comes
//! round is asked whether it is due, and goes in again.

use super::limits::{WHEEL_SLOTS, WHEEL_TICK_MS};

const NONE: u32 = u32::MAX;
/// Not in the wheel.
const OUT: u32 = u32::MAX - 1;

#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<u32>,
    next: Vec<u32>,
    /// The tick that was last turned to.
    tick: u64,
    len: usize,
}

impl Wheel {
    pub(super) fn new(connections: u32) -> Self {
        Self {
            slots: vec![NONE; WHEEL_SLOTS],
            next: vec![OUT; connections as usize],
            tick: 0,
            len: 0,
        }
    }

    /// Puts a connection in, to be found at `due_ms` or, if that is further than the wheel reaches, earlier. Does nothing
    /// if it is in already.
    pub(super) fn insert(&mut self, index: u32, due_ms: u64) {
        let next = &mut self.next[index as usize];
        if *next != OUT {
            return;
        }
        let reach = WHEEL_SLOTS as u64 - 1;
        let tick = due_ms.div_ceil(WHEEL_TICK_MS).clamp(self.tick + 1, self.tick + reach);
        let slot = &mut self.slots[tick as usize % WHEEL_SLOTS];
        *next = std::mem::replace(slot, index);
        self.len += 1;
    }

    /// When to turn next, in milliseconds; `None` if nobody is in.
    pub(super) const fn next_ms(&self) -> Option<u64> {
        if self.len == 0 { None } else { Some((self.tick + 1) * WHEEL_TICK_MS) }
    }

    /// Turns to now and moves whom it finds to `found`.
    pub(super) fn turn(&mut self, now_ms: u64, found: &mut Vec<u32>) {
        let now = now_ms / WHEEL_TICK_MS;
        // After a sleep longer than a round every slot has come by once.
        let first = (self.tick + 1).max((now + 1).saturating_sub(WHEEL_SLOTS as u64));
        for tick in first..=now {
            let mut at = std::mem::replace(&mut self.slots[tick as usize % WHEEL_SLOTS], NONE);
            while let Some(next) = self.next.get_mut(at as usize) {
                found.push(at);
                at = std::mem::replace(next, OUT);
                self.len -= 1;
            }
        }
        self.tick = self.tick.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn everybody_is_found_once_and_never_early(dues in proptest::collection::vec(0u64..60_000, 1..300), step in 1u64..9_000) {
            let mut wheel = Wheel::new(dues.len() as u32);
            for (index, due) in dues.iter().enumerate() {
                wheel.insert(index as u32, *due);
                wheel.insert(index as u32, 1); // is in already
            }
            let mut seen = vec![false; dues.len()];
            let mut now = 0;
            while wheel.next_ms().is_some() {
                now += step;
                let mut found = Vec::new();
                wheel.turn(now, &mut found);
                for index in found {
                    prop_assert!(!std::mem::replace(&mut seen[index as usize], true));
                    prop_assert!(dues[index as usize] <= now);
                    prop_assert!(now < dues[index as usize] + step + 2 * WHEEL_TICK_MS);
                }
            }
            prop_assert!(seen.iter().all(|seen| *seen));
        }
    }

    #[test]
    fn a_due_beyond_the_wheels_reach_is_found_early_and_may_go_in_again() {
        let mut wheel = Wheel::new(1);
        wheel.insert(0, 10_000_000);
        let mut found = Vec::new();
        wheel.turn(WHEEL_SLOTS as u64 * WHEEL_TICK_MS, &mut found);
        assert_eq!(found, [0]);
        wheel.insert(0, 10_000_000);
        assert!(wheel.next_ms().is_some());
    }
}
