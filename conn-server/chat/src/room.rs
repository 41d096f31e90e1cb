//! Rooms as a shard sees them: its own members, and, at a room's home, the shards that have members.
//!
//! Invariant: a membership is in its room's `members` at `position`, and in its connection's list.

use alloc::vec::Vec;

use hashbrown::HashMap;
use wire::{RoomId, ShardId};

use crate::conn::{Conn, NONE};
use crate::limits::SHARD_ROOMS_MAX;

#[derive(Clone, Copy, Debug)]
struct Membership {
    room: u32,
    conn: u32,
    position: u32,
    /// Whether the connection may hear and speak: at once in an open room, in a group when the store has said so.
    is_granted: bool,
    /// The connection's next membership, or the next free one.
    next: u32,
}

#[derive(Debug, Default)]
struct Room {
    id: RoomId,
    /// Memberships of this shard's connections.
    members: Vec<u32>,
    /// At the room's home: the other shards with members.
    interested: Vec<ShardId>,
}

/// What a join did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// The first member on this shard.
    First,
    /// One more, or a member already.
    Member,
    /// No room for another room.
    Full,
}

#[derive(Debug)]
pub(crate) struct Rooms {
    index: HashMap<u64, u32>,
    rooms: Vec<Room>,
    free_rooms: Vec<u32>,
    memberships: Vec<Membership>,
    free: u32,
}

impl Rooms {
    /// For so many memberships before it grows.
    pub(crate) fn with_capacity(memberships: usize) -> Self {
        Self {
            index: HashMap::new(),
            rooms: Vec::new(),
            free_rooms: Vec::new(),
            memberships: Vec::with_capacity(memberships),
            free: NONE,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Finds or makes a room.
    fn room(&mut self, id: RoomId) -> Option<u32> {
        if let Some(room) = self.index.get(&id.0) {
            return Some(*room);
        }
        if self.index.len() >= SHARD_ROOMS_MAX {
            return None;
        }
        let fresh = Room { id, ..Room::default() };
        let room = match self.free_rooms.pop() {
            Some(room) => {
                *self.rooms.get_mut(room as usize)? = fresh;
                room
            }
            None => {
                self.rooms.push(fresh);
                u32::try_from(self.rooms.len() - 1).ok()?
            }
        };
        self.index.insert(id.0, room);
        Some(room)
    }

    fn find(&self, id: RoomId) -> Option<&Room> {
        self.rooms.get(*self.index.get(&id.0)? as usize)
    }

    /// Frees a room that nobody needs.
    fn tidy(&mut self, room: u32) {
        let Some(place) = self.rooms.get_mut(room as usize) else { return };
        if place.members.is_empty() && place.interested.is_empty() {
            self.index.remove(&place.id.0);
            *place = Room::default();
            self.free_rooms.push(room);
        }
    }

    /// Whether a connection may hear and speak in a room.
    pub(crate) fn is_member(&self, conn: &Conn, id: RoomId) -> bool {
        let membership = self.membership(conn, id).and_then(|at| self.memberships.get(at as usize));
        membership.is_some_and(|membership| membership.is_granted)
    }

    /// Whether a connection has a membership, granted or not.
    pub(crate) fn has(&self, conn: &Conn, id: RoomId) -> bool {
        self.membership(conn, id).is_some()
    }

    /// Grants a membership: whether that is new. `None` if there is none any more.
    pub(crate) fn grant(&mut self, conn: &Conn, id: RoomId) -> Option<bool> {
        let at = self.membership(conn, id)?;
        let membership = self.memberships.get_mut(at as usize)?;
        Some(!core::mem::replace(&mut membership.is_granted, true))
    }

    fn membership(&self, conn: &Conn, id: RoomId) -> Option<u32> {
        let room = *self.index.get(&id.0)?;
        let mut at = conn.membership;
        while let Some(membership) = self.memberships.get(at as usize) {
            if membership.room == room {
                return Some(at);
            }
            at = membership.next;
        }
        None
    }

    /// Makes a connection a member.
    pub(crate) fn join(&mut self, conn: &mut Conn, conn_index: u32, id: RoomId) -> Join {
        if self.has(conn, id) {
            return Join::Member;
        }
        let Some(room) = self.room(id) else { return Join::Full };
        let Some(place) = self.rooms.get_mut(room as usize) else { return Join::Full };
        let position = u32::try_from(place.members.len()).unwrap_or(NONE);
        let (is_granted, next) = (!id.is_group(), conn.membership);
        let membership = Membership { room, conn: conn_index, position, is_granted, next };
        let at = if self.free == NONE {
            self.memberships.push(membership);
            u32::try_from(self.memberships.len() - 1).unwrap_or(NONE)
        } else {
            let at = self.free;
            if let Some(slot) = self.memberships.get_mut(at as usize) {
                self.free = slot.next;
                *slot = membership;
            }
            at
        };
        place.members.push(at);
        conn.membership = at;
        conn.rooms += 1;
        if position == 0 { Join::First } else { Join::Member }
    }

    /// Ends one membership of a connection; the room, if its last member here has gone.
    pub(crate) fn leave(&mut self, conn: &mut Conn, id: RoomId) -> Option<RoomId> {
        let at = self.membership(conn, id)?;
        let next = self.memberships.get(at as usize)?.next;
        if conn.membership == at {
            conn.membership = next;
        } else {
            let mut before = conn.membership;
            while let Some(membership) = self.memberships.get_mut(before as usize) {
                if membership.next == at {
                    membership.next = next;
                    break;
                }
                before = membership.next;
            }
        }
        conn.rooms -= 1;
        self.unlink(at)
    }

    /// Ends the first membership of a connection; the room, if its last member here has gone. Call until the
    /// connection has none.
    pub(crate) fn leave_first(&mut self, conn: &mut Conn) -> Option<RoomId> {
        let at = conn.membership;
        conn.membership = self.memberships.get(at as usize)?.next;
        conn.rooms -= 1;
        self.unlink(at)
    }

    fn unlink(&mut self, at: u32) -> Option<RoomId> {
        let membership = *self.memberships.get(at as usize)?;
        let room = self.rooms.get_mut(membership.room as usize)?;
        room.members.swap_remove(membership.position as usize);
        if let Some(moved) = room.members.get(membership.position as usize) {
            self.memberships.get_mut(*moved as usize)?.position = membership.position;
        }
        if let Some(slot) = self.memberships.get_mut(at as usize) {
            slot.next = self.free;
        }
        self.free = at;
        let (id, is_last) = (room.id, room.members.is_empty());
        self.tidy(membership.room);
        is_last.then_some(id)
    }

    /// At the room's home: another shard has members. `false` if there is no room for another room.
    pub(crate) fn add_interest(&mut self, id: RoomId, shard: ShardId) -> bool {
        let Some(room) = self.room(id) else { return false };
        if let Some(room) = self.rooms.get_mut(room as usize)
            && !room.interested.contains(&shard)
        {
            room.interested.push(shard);
        }
        true
    }

    /// At the room's home: that shard has no members any more.
    pub(crate) fn remove_interest(&mut self, id: RoomId, shard: ShardId) {
        let Some(room) = self.index.get(&id.0).copied() else { return };
        if let Some(place) = self.rooms.get_mut(room as usize) {
            place.interested.retain(|other| *other != shard);
        }
        self.tidy(room);
    }

    /// Members of this shard, in a list that the caller takes and gives back.
    pub(crate) fn members_into(&self, id: RoomId, out: &mut Vec<u32>) {
        let members = self.find(id).map(|room| room.members.as_slice()).unwrap_or_default();
        out.extend(
            members
                .iter()
                .filter_map(|at| self.memberships.get(*at as usize))
                .filter(|membership| membership.is_granted)
                .map(|membership| membership.conn),
        );
    }

    /// At the room's home: the other shards with members.
    pub(crate) fn interested(&self, id: RoomId) -> &[ShardId] {
        self.find(id).map(|room| room.interested.as_slice()).unwrap_or_default()
    }
}
