//! Which node a login goes to, and the places promised to logins that are still on their way.
//!
//! Owns the arithmetic only. Never reads a clock and never knows about leases or addresses: `registry` does.

use std::collections::VecDeque;
use std::time::Instant;

use crate::limits::RESERVATION_STEP;

/// Places handed out at one node that are neither taken up nor expired.
///
/// A load report says how many sessions the node has opened since it started; each settles the oldest reservation. So
/// a burst between two reports counts at once, and nothing counts twice once the logins have arrived.
#[derive(Debug, Default)]
pub struct Reservations {
    /// When so many of them expire, in order of time.
    steps: VecDeque<(Instant, u64)>,
    count: u64,
}

impl Reservations {
    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Promises one place until `expires`. Calls come in order of time.
    pub fn add(&mut self, expires: Instant) {
        self.count += 1;
        match self.steps.back_mut() {
            // Joining the step's entry moves its end a little: by less than a step, which nobody can notice.
            Some((until, count)) if expires < *until + RESERVATION_STEP => *count += 1,
            Some(_) | None => self.steps.push_back((expires, 1)),
        }
    }

    /// So many logins have arrived: the oldest promises are kept.
    pub fn settle(&mut self, mut logins: u64) {
        while logins > 0 {
            let Some((_, count)) = self.steps.front_mut() else { return };
            let kept = logins.min(*count);
            *count -= kept;
            self.count -= kept;
            logins -= kept;
            if *count == 0 {
                self.steps.pop_front();
            }
        }
    }

    /// Forgets the promises whose time is over.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(until, count)) = self.steps.front() {
            if until > now {
                return;
            }
            self.count -= count;
            self.steps.pop_front();
        }
    }
}

/// How full a node is: its sessions and the places promised, of its capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Sessions as last reported, and reservations.
    pub taken: u64,
    /// Sessions that it can hold; never zero.
    pub capacity: u64,
}

impl Fill {
    /// Whether nothing more fits.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.taken >= self.capacity
    }

    /// Whether this node is filled to a smaller part than the other. Exact: no rounding decides.
    #[must_use]
    pub const fn is_below(self, other: Self) -> bool {
        (self.taken as u128) * (other.capacity as u128)
            < (other.taken as u128) * (self.capacity as u128)
    }
}

/// The least filled node with room. Of equals the first wins; the reservation that follows makes the next one differ.
pub fn least_filled<K>(nodes: impl Iterator<Item = (K, Fill)>) -> Option<K> {
    nodes
        .filter(|(_, fill)| !fill.is_full())
        .reduce(|best, next| if next.1.is_below(best.1) { next } else { best })
        .map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fill(taken: u64, capacity: u64) -> Fill {
        Fill { taken, capacity }
    }

    #[test]
    fn a_half_full_big_node_is_chosen_before_a_fuller_small_one() {
        let nodes = [("small", fill(60, 100)), ("big", fill(5_000, 10_000)), ("full", fill(3, 3))];
        assert_eq!(least_filled(nodes.into_iter()), Some("big"));
    }

    #[test]
    fn when_all_are_full_none_is_chosen() {
        assert_eq!(least_filled([("a", fill(3, 3)), ("b", fill(9, 7))].into_iter()), None);
    }

    #[test]
    fn a_burst_between_two_reports_spreads_by_capacity() {
        let expires = Instant::now() + Duration::from_secs(30);
        let mut held = [Reservations::default(), Reservations::default(), Reservations::default()];
        let capacity = [1_000, 1_000, 2_000];
        for _ in 0..2_000 {
            let fills =
                held.iter().zip(capacity).map(|(held, capacity)| fill(held.count(), capacity));
            let chosen = least_filled(fills.enumerate()).expect("half of the capacity is free");
            held[chosen].add(expires);
        }
        assert_eq!(held.each_ref().map(Reservations::count), [500, 500, 1_000]);
    }

    #[test]
    fn logins_that_arrived_settle_the_oldest_promises() {
        let start = Instant::now();
        let mut held = Reservations::default();
        for second in 0..10 {
            held.add(start + Duration::from_secs(second));
        }
        held.settle(4);
        assert_eq!(held.count(), 6);
        held.expire(start + Duration::from_secs(3));
        assert_eq!(held.count(), 6, "the four that were kept were the four oldest");
        held.expire(start + Duration::from_secs(6));
        assert_eq!(held.count(), 3);
        held.settle(100);
        assert_eq!(held.count(), 0, "logins with tokens of another make settle nothing");
    }

    #[test]
    fn a_flood_keeps_a_bounded_number_of_entries() {
        let start = Instant::now();
        let mut held = Reservations::default();
        for login in 0..100_000_u64 {
            held.add(start + Duration::from_micros(login * 10));
        }
        assert_eq!(held.count(), 100_000);
        assert!(held.steps.len() <= 11, "one second in steps of 100 ms: {}", held.steps.len());
    }
}
