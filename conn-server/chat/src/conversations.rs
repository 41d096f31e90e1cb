//! The conversations that a shard knows (durability `none` and `relaxed`): the last `seq` of each, its last remembered
//! message, and under `none` who is in which, for listing.

use alloc::collections::BTreeSet;
use core::cmp::Ordering;
use core::ops::Bound;

use wire::{ConversationId, Seq, UserId};

use crate::index::{Indexed, Keyed, Place};
use crate::limits::SHARD_CONVERSATIONS_MAX;

/// What the shard knows of a conversation.
#[derive(Clone, Copy, Debug)]
struct Head {
    id: ConversationId,
    seq: u64,
    /// Its last message, by its number in the shard's memory; zero if there is none.
    last: u64,
}

impl Keyed for Head {
    type Key = ConversationId;
    fn key(&self) -> ConversationId {
        self.id
    }
}

#[derive(Debug, Default)]
pub(crate) struct Conversations {
    heads: Indexed<Head>,
    /// User and peer of each private conversation, both ways round. A user's conversations in the order of their peers
    /// are in the order of their ids.
    peers: BTreeSet<(u64, u64)>,
    is_listed: bool,
}

impl Conversations {
    /// One that takes in so many before it grows, and lists them if `is_listed`.
    pub(crate) fn new(capacity: usize, is_listed: bool) -> Self {
        Self { heads: Indexed::with_capacity(capacity), peers: BTreeSet::new(), is_listed }
    }

    pub(crate) fn find(&self, id: ConversationId) -> Option<Place> {
        self.heads.find(id)
    }

    /// The last `seq` of a conversation, if it is known here.
    pub(crate) fn head(&self, id: ConversationId) -> Option<Seq> {
        self.heads.get(id).map(|head| Seq(head.seq))
    }

    /// The number of its last remembered message, or zero.
    pub(crate) fn last(&self, id: ConversationId) -> u64 {
        self.heads.get(id).map_or(0, |head| head.last)
    }

    /// Whether another conversation can be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.heads.len() < SHARD_CONVERSATIONS_MAX
    }

    /// Takes a conversation in, with its last `seq`.
    pub(crate) fn learn(&mut self, id: ConversationId, seq: Seq) -> Place {
        if let Some(place) = self.heads.find(id) {
            if let Some(head) = self.heads.at_mut(place) {
                (head.seq, head.last) = (seq.0, 0);
            }
            return place;
        }
        if self.is_listed && id.as_room().is_none() {
            self.peers.insert((id.first, id.second));
            self.peers.insert((id.second, id.first));
        }
        self.heads.insert(Head { id, seq: seq.0, last: 0 })
    }

    /// Forgets all of them: they are read from the store again when needed. Only while no append is on its way.
    pub(crate) fn forget(&mut self) {
        self.heads.clear();
    }

    /// Gives the next `seq` to the message of this number; with the number of the message before, or zero.
    pub(crate) fn advance(&mut self, place: Place, number: u64) -> Option<(Seq, u64)> {
        let head = self.heads.at_mut(place)?;
        head.seq += 1;
        Some((Seq(head.seq), core::mem::replace(&mut head.last, number)))
    }

    /// A user's private conversations after a cursor.
    pub(crate) fn of_user(
        &self,
        user: UserId,
        after: ConversationId,
    ) -> impl Iterator<Item = (ConversationId, Seq)> {
        // An id names the smaller user first: those of smaller peers lie before those of larger ones.
        let from = match after.first.cmp(&user.0) {
            Ordering::Less if after.second < user.0 => Bound::Included(after.first),
            Ordering::Less => Bound::Excluded(after.first),
            Ordering::Equal if after.second < user.0 => Bound::Included(user.0),
            Ordering::Equal => Bound::Excluded(after.second),
            Ordering::Greater => Bound::Excluded(u64::MAX),
        };
        let from = from.map(|peer| (user.0, peer));
        let to = Bound::Included((user.0, u64::MAX));
        self.peers.range((from, to)).map(|(user, peer)| {
            let id = ConversationId::private(UserId(*user), UserId(*peer));
            (id, self.head(id).unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_user_is_listed_in_the_order_of_ids_from_any_cursor() {
        let mut known = Conversations::new(0, true);
        let pairs = [(1, 5), (2, 5), (5, 5), (5, 6), (5, 9), (4, 6), (1, 2), (5, u64::MAX)];
        for (one, other) in pairs {
            known.learn(ConversationId::private(UserId(one), UserId(other)), Seq(one));
        }
        let mut expected: Vec<ConversationId> = known.heads_of(UserId(5));
        expected.sort();
        assert_eq!(expected.len(), 6);
        for first in [0, 1, 2, 3, 4, 5, 6, 9, u64::MAX] {
            for second in [0, 1, 4, 5, 6, 9, u64::MAX] {
                let after = ConversationId { first, second };
                let found: Vec<ConversationId> =
                    known.of_user(UserId(5), after).map(|(id, _)| id).collect();
                let wanted: Vec<ConversationId> =
                    expected.iter().copied().filter(|id| *id > after).collect();
                assert_eq!(found, wanted, "after {after:?}");
            }
        }
    }

    impl Conversations {
        /// All private conversations of a user, by looking at every one.
        fn heads_of(&self, user: UserId) -> Vec<ConversationId> {
            let all = self.peers.iter();
            let ids = all.map(|(one, other)| ConversationId::private(UserId(*one), UserId(*other)));
            let mut found: Vec<_> = ids.filter(|id| id.peer_of(user).is_some()).collect();
            found.sort();
            found.dedup();
            found
        }
    }
}
