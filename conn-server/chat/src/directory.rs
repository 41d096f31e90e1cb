//! Where the users live whose home is this shard: user to connection, and the highest epoch seen.
//!
//! Invariant: an epoch is accepted once. An entry outlives its session until the token that opened it has expired, so a
//! token cannot be used again.

use alloc::collections::VecDeque;

use wire::UserId;

use crate::conn::ConnRef;
use crate::index::{Indexed, Keyed};
use crate::limits::{CUT_REASON_KEPT_S, DIRECTORY_CLOSED_MAX};

/// What the home shard knows of a user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    user: u64,
    epoch: u64,
    session: Option<Occupant>,
    /// Seconds on the node's clock until which the entry must stay.
    keep_until_s: u32,
    /// Why the session before was cut, as a code; zero if it was not.
    cut: u8,
    /// It stands in the list of closed sessions, once however often its user comes and goes.
    is_listed: bool,
}

impl Keyed for Entry {
    type Key = u64;
    fn key(&self) -> u64 {
        self.user
    }
}

/// A connection reference that is never zero, so that an entry without a session costs nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Occupant(core::num::NonZeroU64);

impl Occupant {
    fn new(conn: ConnRef) -> Option<Self> {
        core::num::NonZeroU64::new(!conn.0).map(Self)
    }
    const fn conn(self) -> ConnRef {
        ConnRef(!self.0.get())
    }
}

/// What a login asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) user: UserId,
    pub(crate) epoch: u64,
    pub(crate) keep_until_s: u32,
    pub(crate) conn: ConnRef,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// The session is the user's; an older one is to be closed.
    Granted {
        /// The older session's connection.
        replaced: Option<ConnRef>,
        /// Why the session before was cut, or zero.
        cut: u8,
    },
    /// The epoch is not higher than the last.
    Stale,
    /// Too many entries wait for their tokens to expire.
    Full,
}

#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: Indexed<Entry>,
    /// Users whose session ended, by the time at which their entry may go, roughly in order.
    closed: VecDeque<(u64, u32)>,
    /// The same for those that were cut, who are remembered longer.
    cut: VecDeque<(u64, u32)>,
}

impl Directory {
    /// One that grows to so many users without moving any.
    pub(crate) fn with_capacity(users: usize) -> Self {
        Self { entries: Indexed::with_capacity(users), ..Self::default() }
    }

    pub(crate) fn claim(&mut self, claim: Claim) -> Claimed {
        if self.closed.len() + self.cut.len() >= DIRECTORY_CLOSED_MAX {
            return Claimed::Full;
        }
        let session = Occupant::new(claim.conn);
        let fresh = Entry {
            user: claim.user.0,
            epoch: claim.epoch,
            session,
            keep_until_s: claim.keep_until_s,
            cut: 0,
            is_listed: false,
        };
        let Some(entry) = self.entries.get_mut(claim.user.0) else {
            self.entries.insert(fresh);
            return Claimed::Granted { replaced: None, cut: 0 };
        };
        if claim.epoch <= entry.epoch {
            return Claimed::Stale;
        }
        // The older token may live longer: it must not find the entry gone.
        let keep_until_s = claim.keep_until_s.max(entry.keep_until_s);
        let fresh = Entry { is_listed: entry.is_listed, keep_until_s, ..fresh };
        let before = core::mem::replace(entry, fresh);
        Claimed::Granted { replaced: before.session.map(Occupant::conn), cut: before.cut }
    }

    /// The user's session is over, if it is still this connection's.
    pub(crate) fn release(&mut self, user: UserId, conn: ConnRef, cut: u8, now_s: u32) {
        let Some(entry) = self.entries.get_mut(user.0) else { return };
        if entry.session.map(Occupant::conn) != Some(conn) {
            return;
        }
        entry.session = None;
        entry.cut = cut;
        if cut != 0 {
            entry.keep_until_s = entry.keep_until_s.max(now_s + CUT_REASON_KEPT_S);
        }
        if !core::mem::replace(&mut entry.is_listed, true) {
            let list = if cut == 0 { &mut self.closed } else { &mut self.cut };
            list.push_back((user.0, entry.keep_until_s));
        }
    }

    /// The user's sessions of an epoch below this one are over, and so are the tokens for them. The connection of one that is
    /// there now. The entry stays until such a token must have expired.
    pub(crate) fn end_before(
        &mut self,
        user: UserId,
        epoch: u64,
        keep_until_s: u32,
    ) -> Option<ConnRef> {
        let Some(entry) = self.entries.get_mut(user.0) else {
            // Even where the list is full: who orders this is trusted, and an order that is lost would be a token that lives.
            let epoch = epoch.saturating_sub(1);
            let (session, cut, is_listed) = (None, 0, true);
            let entry = Entry { user: user.0, epoch, session, keep_until_s, cut, is_listed };
            self.entries.insert(entry);
            self.closed.push_back((user.0, keep_until_s));
            return None;
        };
        if entry.epoch >= epoch {
            return None;
        }
        entry.epoch = epoch - 1;
        entry.keep_until_s = entry.keep_until_s.max(keep_until_s);
        entry.session.map(Occupant::conn)
    }

    /// The user's connection.
    pub(crate) fn find(&self, user: UserId) -> Option<ConnRef> {
        self.entries.get(user.0)?.session.map(Occupant::conn)
    }

    /// Forgets entries whose time is over; a bounded number per call.
    pub(crate) fn purge(&mut self, now_s: u32) {
        let Self { entries, closed, cut } = self;
        for list in [closed, cut] {
            purge_list(entries, list, now_s);
        }
    }

    /// When `purge` has something to do.
    pub(crate) fn next_purge_s(&self) -> Option<u32> {
        let lists = [&self.closed, &self.cut];
        lists.into_iter().filter_map(VecDeque::front).map(|(_, until)| *until).min()
    }
}

fn purge_list(entries: &mut Indexed<Entry>, list: &mut VecDeque<(u64, u32)>, now_s: u32) {
    const PER_CALL: usize = 256;
    for _ in 0..PER_CALL {
        let Some((user, _)) = list.pop_front_if(|(_, until)| *until <= now_s) else { return };
        let Some(entry) = entries.get_mut(user) else { continue };
        if entry.session.is_some() {
            entry.is_listed = false;
        } else if entry.keep_until_s <= now_s {
            entries.remove(user);
        } else {
            list.push_back((user, entry.keep_until_s));
        }
    }
}
