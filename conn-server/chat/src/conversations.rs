//! The conversations that a shard knows (durability `none` and `relaxed`): the last `seq` of each, its last remembered
//! message, and under `none` who is in which, for listing.

use alloc::vec::Vec;
use core::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use wire::{ConversationId, Seq, UserId};

use crate::conn::NONE;
use crate::counters::Counters;
use crate::index::{Indexed, Keyed, Place};
use crate::limits::{SHARD_CONVERSATIONS_MAX, USER_LISTED_MAX};

/// What the shard knows of a conversation.
#[derive(Clone, Copy, Debug)]
struct Head {
    id: ConversationId,
    seq: u64,
    /// Its last message, by its number in the shard's memory; zero if there is none.
    last: u64,
    /// For each of the two users, the next of their conversations: the last learned comes first.
    next: [Link; 2],
    /// For each of the two users, how many of theirs come behind this one.
    behind: [u16; 2],
}

/// A conversation as one of its two users' own: the place of its head, and in the lowest bit which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link(u32);

impl Link {
    const END: Self = Self(NONE);

    const fn new(place: Place, side: usize) -> Self {
        Self(place.0 << 1 | side as u32)
    }
    const fn place(self) -> Place {
        Place(self.0 >> 1)
    }
    const fn side(self) -> usize {
        (self.0 & 1) as usize
    }
}

impl Keyed for Head {
    type Key = ConversationId;
    fn key(&self) -> ConversationId {
        self.id
    }
}

impl Head {
    const fn user(&self, side: usize) -> u64 {
        if side == 0 { self.id.first } else { self.id.second }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Conversations {
    heads: Indexed<Head>,
    /// For each user with private conversations the first link of their list.
    lists: HashTable<Link>,
    hasher: DefaultHashBuilder,
    is_listed: bool,
}

impl Conversations {
    /// One that takes in so many before it grows, and lists them if `is_listed`.
    pub(crate) fn new(capacity: usize, is_listed: bool) -> Self {
        let lists = HashTable::with_capacity(if is_listed { capacity * 2 } else { 0 });
        let hasher = DefaultHashBuilder::default();
        Self { heads: Indexed::with_capacity(capacity), lists, hasher, is_listed }
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
    pub(crate) fn learn(&mut self, id: ConversationId, seq: Seq, counters: &mut Counters) -> Place {
        if let Some(place) = self.heads.find(id) {
            if let Some(head) = self.heads.at_mut(place) {
                (head.seq, head.last) = (seq.0, 0);
            }
            return place;
        }
        let head = Head { id, seq: seq.0, last: 0, next: [Link::END; 2], behind: [0; 2] };
        let place = self.heads.insert(head);
        if self.is_listed && id.as_room().is_none() {
            self.list(Link::new(place, 0), id.first, counters);
            if id.second != id.first {
                self.list(Link::new(place, 1), id.second, counters);
            }
        }
        place
    }

    /// Puts a conversation in front of a user's list, unless that is full.
    fn list(&mut self, link: Link, user: u64, counters: &mut Counters) {
        let Self { heads, lists, hasher, .. } = self;
        let hash = hasher.hash_one(user);
        let Some(first) = lists.find_mut(hash, |first| user_of(heads, *first) == user) else {
            lists.insert_unique(hash, link, |first| hasher.hash_one(user_of(heads, *first)));
            return;
        };
        let behind = heads.at(first.place()).map_or(0, |head| head.behind[first.side()]);
        if behind >= USER_LISTED_MAX {
            counters.conversations_unlisted += 1;
            return;
        }
        if let Some(head) = heads.at_mut(link.place()) {
            head.behind[link.side()] = behind + 1;
            head.next[link.side()] = core::mem::replace(first, link);
        }
    }

    /// Forgets all of them: they are read from the store again when needed. Only while no append is on its way.
    pub(crate) fn forget(&mut self) {
        self.heads.clear();
        self.lists.clear();
    }

    /// Gives the next `seq` to the message of this number; with the number of the message before, or zero.
    pub(crate) fn advance(&mut self, place: Place, number: u64) -> Option<(Seq, u64)> {
        let head = self.heads.at_mut(place)?;
        head.seq += 1;
        Some((Seq(head.seq), core::mem::replace(&mut head.last, number)))
    }

    /// A user's private conversations after a cursor, in the order of their ids, at most `limit`, and whether there was
    /// no more.
    pub(crate) fn of_user(
        &self,
        user: UserId,
        after: ConversationId,
        limit: usize,
    ) -> (Vec<(ConversationId, Seq)>, bool) {
        let is_it = |first: &Link| user_of(&self.heads, *first) == user.0;
        let mut next = self.lists.find(self.hasher.hash_one(user.0), is_it).copied();
        let mut found = Vec::new();
        while let Some(link) = next
            && let Some(head) = self.heads.at(link.place())
        {
            if head.id > after {
                found.push((head.id, Seq(head.seq)));
            }
            next = Some(head.next[link.side()]).filter(|next| *next != Link::END);
        }
        let is_complete = found.len() <= limit;
        if !is_complete {
            found.select_nth_unstable(limit);
            found.truncate(limit);
        }
        found.sort_unstable();
        (found, is_complete)
    }
}

/// Whose conversation a link is.
fn user_of(heads: &Indexed<Head>, link: Link) -> u64 {
    heads.at(link.place()).map_or(0, |head| head.user(link.side()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(pairs: &[(u64, u64)]) -> Vec<ConversationId> {
        pairs
            .iter()
            .map(|(one, other)| ConversationId::private(UserId(*one), UserId(*other)))
            .collect()
    }

    #[test]
    fn a_user_is_listed_in_the_order_of_ids_from_any_cursor() {
        let (mut known, mut counters) = (Conversations::new(0, true), Counters::default());
        let mut of_five = ids(&[(5, 9), (1, 5), (5, 5), (2, 5), (5, 6), (5, u64::MAX)]);
        for id in of_five.iter().copied().chain(ids(&[(4, 6), (1, 2)])) {
            known.learn(id, Seq(id.first), &mut counters);
            known.learn(id, Seq(id.first), &mut counters);
        }
        of_five.sort_unstable();
        for first in [0, 1, 2, 3, 4, 5, 6, 9, u64::MAX] {
            for second in [0, 1, 4, 5, 6, 9, u64::MAX] {
                let after = ConversationId { first, second };
                let wanted: Vec<_> = of_five.iter().filter(|id| **id > after).copied().collect();
                for limit in 0..8 {
                    let (found, is_complete) = known.of_user(UserId(5), after, limit);
                    let found: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
                    assert_eq!(found, wanted[..wanted.len().min(limit)], "after {after:?}");
                    assert_eq!(is_complete, wanted.len() <= limit);
                }
            }
        }
    }

    #[test]
    fn a_list_is_bounded_and_the_rest_is_counted() {
        let (mut known, mut counters) = (Conversations::new(0, true), Counters::default());
        let everyone = u64::from(USER_LISTED_MAX) + 10;
        for peer in 1..=everyone {
            let id = ConversationId::private(UserId(1_000_000), UserId(peer));
            known.learn(id, Seq(0), &mut counters);
            assert_eq!(known.head(id), Some(Seq(0)));
        }
        let (all, _) = known.of_user(UserId(1_000_000), ConversationId::default(), usize::MAX);
        assert_eq!(all.len() as u64 + counters.conversations_unlisted, everyone);
        assert_eq!(counters.conversations_unlisted, 9);
    }
}
