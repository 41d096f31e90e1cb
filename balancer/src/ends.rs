//! Sessions that are to end wherever they are: what every node is told until it has said that it has done so.
//!
//! Pure: time is an argument. Bounded in number and in age. Never knows a node: `registry` keeps for each how far it is.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use wire::{Epoch, UserId};

use crate::limits::{ENDS_KEPT, ENDS_MAX, ENDS_PER_REPORT};

/// Every session of a user that is older than an epoch is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// Whose.
    pub user: UserId,
    /// Sessions of lower epochs end; one of this epoch or a higher one stays.
    pub below: Epoch,
}

/// What one node is told with one report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What to end.
    pub ends: Vec<SessionEnd>,
    /// The number to confirm once all of it is done.
    pub number: u64,
}

/// [`ENDS_MAX`] orders wait for nodes to confirm them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{ENDS_MAX} orders to end sessions wait for nodes to confirm them: try again")]
pub struct EndsFull;

/// The orders, by number; at most one for each user.
#[derive(Debug, Default)]
pub struct Ends {
    log: BTreeMap<u64, (SessionEnd, Instant)>,
    numbers: HashMap<UserId, u64>,
    last: u64,
    lapsed: u64,
}

impl Ends {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// Orders that were dropped for their age before every node had confirmed them.
    #[must_use]
    pub const fn lapsed(&self) -> u64 {
        self.lapsed
    }

    /// Adds an order and gives its number; one that an earlier order covers has that one's. `done_by_all`: every node has
    /// confirmed up to here.
    ///
    /// # Errors
    /// See [`EndsFull`].
    pub fn post(
        &mut self,
        now: Instant,
        end: SessionEnd,
        done_by_all: u64,
    ) -> Result<u64, EndsFull> {
        self.forget_old(now, done_by_all);
        if let Some(&number) = self.numbers.get(&end.user) {
            if self.log.get(&number).is_some_and(|(known, _)| known.below >= end.below) {
                return Ok(number);
            }
            self.log.remove(&number);
        } else if self.log.len() >= ENDS_MAX {
            // Orders that are done are kept only for the sake of late tokens and of nodes that come back: room for those
            // that are not done goes first.
            let open = self.log.split_off(&(done_by_all + 1));
            self.log = open;
            let log = &self.log;
            self.numbers.retain(|_, number| log.contains_key(number));
            if self.log.len() >= ENDS_MAX {
                return Err(EndsFull);
            }
        }
        self.last += 1;
        self.log.insert(self.last, (end, now));
        self.numbers.insert(end.user, self.last);
        Ok(self.last)
    }

    /// What a node that has confirmed up to `done` is told next.
    #[must_use]
    pub fn after(&self, done: u64) -> Told {
        let next = || self.log.range(done.saturating_add(1)..).take(ENDS_PER_REPORT);
        Told {
            ends: next().map(|(_, (end, _))| *end).collect(),
            number: next().last().map_or(done, |(number, _)| *number),
        }
    }

    /// Whether a session of this epoch would have to end at once.
    #[must_use]
    pub fn covers(&self, user: UserId, epoch: Epoch) -> bool {
        let end = self.numbers.get(&user).and_then(|number| self.log.get(number));
        end.is_some_and(|(end, _)| epoch < end.below)
    }

    /// Drops what is too old to matter.
    pub fn forget_old(&mut self, now: Instant, done_by_all: u64) {
        while let Some(first) = self.log.first_entry() {
            let (end, made) = *first.get();
            if now.saturating_duration_since(made) < ENDS_KEPT {
                return;
            }
            self.lapsed += u64::from(*first.key() > done_by_all);
            first.remove();
            self.numbers.remove(&end.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn end(user: u64, below: u64) -> SessionEnd {
        SessionEnd { user: UserId(user), below: Epoch(below) }
    }

    #[test]
    fn a_node_is_told_what_it_has_not_confirmed_in_order_and_in_pieces() {
        let (mut ends, now) = (Ends::default(), Instant::now());
        assert_eq!(ends.after(0), Told::default());
        let count = ENDS_PER_REPORT as u64 + 3;
        for user in 1..=count {
            assert_eq!(ends.post(now, end(user, 5), 0), Ok(user));
        }
        let first = ends.after(0);
        assert_eq!((first.ends.len(), first.number), (ENDS_PER_REPORT, ENDS_PER_REPORT as u64));
        assert_eq!(ends.after(0), first, "again, until it is confirmed");
        let second = ends.after(first.number);
        assert_eq!(second.ends, [end(count - 2, 5), end(count - 1, 5), end(count, 5)]);
        assert_eq!(ends.after(second.number), Told { ends: vec![], number: count });
    }

    #[test]
    fn a_later_order_for_a_user_replaces_the_earlier_one_and_an_older_one_adds_nothing() {
        let (mut ends, now) = (Ends::default(), Instant::now());
        assert_eq!(ends.post(now, end(1, 5), 0), Ok(1));
        assert_eq!(ends.post(now, end(1, 5), 0), Ok(1));
        assert_eq!(ends.post(now, end(1, 4), 0), Ok(1));
        assert_eq!(ends.post(now, end(1, 6), 0), Ok(2));
        assert_eq!(ends.after(0), Told { ends: vec![end(1, 6)], number: 2 });
        assert!(ends.covers(UserId(1), Epoch(5)) && !ends.covers(UserId(1), Epoch(6)));
        assert!(!ends.covers(UserId(2), Epoch(0)));
    }

    #[test]
    fn the_list_is_bounded_and_makes_room_from_what_is_done_first() {
        let (mut ends, now) = (Ends::default(), Instant::now());
        for user in 1..=ENDS_MAX as u64 {
            ends.post(now, end(user, 5), 0).unwrap();
        }
        assert_eq!(ends.post(now, end(u64::MAX, 5), 0), Err(EndsFull));
        assert!(ends.post(now, end(7, 6), 0).is_ok(), "in the place of its user's earlier one");
        assert!(ends.post(now, end(u64::MAX, 5), 10).is_ok());
        assert_eq!(ends.len(), ENDS_MAX - 9 + 1, "ten were done, of which one was replaced");
        assert!(!ends.covers(UserId(1), Epoch(0)) && ends.covers(UserId(7), Epoch(5)));
    }

    #[test]
    fn what_is_old_is_dropped_and_counted_if_it_was_not_done() {
        let (mut ends, now) = (Ends::default(), Instant::now());
        ends.post(now, end(1, 5), 0).unwrap();
        ends.post(now, end(2, 5), 0).unwrap();
        ends.forget_old(now + ENDS_KEPT - Duration::from_millis(1), 1);
        assert_eq!((ends.len(), ends.lapsed()), (2, 0));
        ends.forget_old(now + ENDS_KEPT, 1);
        assert_eq!((ends.len(), ends.lapsed()), (0, 1));
        assert!(ends.is_empty() && !ends.covers(UserId(1), Epoch(0)));
    }
}
