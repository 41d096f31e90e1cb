//! Who is in a run: which connections share which streams (private conversations and rooms), by index alone.
//!
//! A pure function of the preset and the number of connections: nothing is stored per connection, and both ends of a
//! run (the load and the ledger) get the same answers. Streams are numbered: first the pairs, then the rooms.

use std::ops::Range;

use wire::RoomId;

use crate::plan::Preset;
use crate::schedule::mix;

/// Members of each room of a mixed fleet.
pub const MIXED_ROOM_SIZE: u32 = 100;

/// The layout of a run's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fleet {
    connections: u32,
    pairs: u32,
    rooms: u32,
    room_size: u32,
    is_one_way: bool,
}

impl Fleet {
    /// Lays out `connections`. Whoever is left over (the odd one of the pairs, a room of one) only listens.
    #[must_use]
    pub fn new(preset: Preset, connections: u32) -> Self {
        let (with_pairs, room_size) = match preset {
            Preset::Pairs => (true, 0),
            Preset::Rooms { room_size } => (false, room_size.max(2)),
            Preset::Idle | Preset::Churn => (false, 0),
            Preset::Mixed => (true, MIXED_ROOM_SIZE),
        };
        let pairs = if with_pairs { connections / 2 } else { 0 };
        let rooms = match room_size {
            0 => 0,
            size => connections / size + u32::from(connections % size >= 2),
        };
        Self { connections, pairs, rooms, room_size, is_one_way: false }
    }

    /// The same, but of each pair only the first writes, if `is_one_way`.
    #[must_use]
    pub const fn one_way(self, is_one_way: bool) -> Self {
        Self { is_one_way, ..self }
    }

    /// Whether of each pair only the first writes.
    #[must_use]
    pub const fn is_one_way(&self) -> bool {
        self.is_one_way
    }

    /// Connections.
    #[must_use]
    pub const fn connections(&self) -> u32 {
        self.connections
    }

    /// Private conversations.
    #[must_use]
    pub const fn pairs(&self) -> u32 {
        self.pairs
    }

    /// Rooms.
    #[must_use]
    pub const fn rooms(&self) -> u32 {
        self.rooms
    }

    /// Streams of either kind.
    #[must_use]
    pub const fn streams(&self) -> u32 {
        self.pairs + self.rooms
    }

    /// Whether anybody writes privately.
    #[must_use]
    pub const fn has_pairs(&self) -> bool {
        self.pairs > 0
    }

    /// Whether there are rooms.
    #[must_use]
    pub const fn has_rooms(&self) -> bool {
        self.rooms > 0
    }

    /// Whether a stream is a room.
    #[must_use]
    pub const fn is_room(&self, stream: u32) -> bool {
        stream >= self.pairs
    }

    /// The stream of a room, by the room's number.
    #[must_use]
    pub const fn room_stream(&self, room: u32) -> Option<u32> {
        if room < self.rooms { Some(self.pairs + room) } else { None }
    }

    /// The members of a stream: always neighbours. Empty for a stream that does not exist.
    #[must_use]
    pub fn members(&self, stream: u32) -> Range<u32> {
        if stream < self.pairs {
            stream * 2..stream * 2 + 2
        } else if stream < self.streams() {
            let first = (stream - self.pairs) * self.room_size;
            first..(first + self.room_size).min(self.connections)
        } else {
            0..0
        }
    }

    /// The stream of a connection's private conversation.
    #[must_use]
    pub const fn pair_stream_of(&self, index: u32) -> Option<u32> {
        if index / 2 < self.pairs { Some(index / 2) } else { None }
    }

    /// The one that a connection writes to privately.
    #[must_use]
    pub const fn partner_of(&self, index: u32) -> Option<u32> {
        if index / 2 < self.pairs { Some(index ^ 1) } else { None }
    }

    /// The stream of a connection's room.
    #[must_use]
    pub const fn room_stream_of(&self, index: u32) -> Option<u32> {
        match index.checked_div(self.room_size) {
            Some(room) => self.room_stream(room),
            None => None,
        }
    }

    /// The id of a room, by its stream: of this run only, so that two runs at one system do not meet. `None` if the
    /// stream is not a room.
    #[must_use]
    pub const fn room_id(&self, run_id: u64, stream: u32) -> Option<RoomId> {
        if stream < self.pairs || stream >= self.streams() {
            return None;
        }
        // The upper half names the run, the lower half the room, from 1: never zero.
        let run = mix(run_id) & 0x7fff_ffff_0000_0000;
        // Higher numbers are groups, which only their members may enter.
        Some(RoomId((run | (stream - self.pairs + 1) as u64) & (wire::GROUPS_FROM - 1)))
    }

    /// The stream of a room id of this run.
    #[must_use]
    pub fn stream_of_room(&self, run_id: u64, room: RoomId) -> Option<u32> {
        let number = u32::try_from(room.0 & 0xffff_ffff).ok()?.checked_sub(1)?;
        let stream = self.room_stream(number)?;
        if self.room_id(run_id, stream) == Some(room) { Some(stream) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_neighbours_and_the_odd_one_listens() {
        let fleet = Fleet::new(Preset::Pairs, 5);
        assert_eq!(fleet.streams(), 2);
        assert_eq!(fleet.partner_of(2), Some(3));
        assert_eq!(fleet.partner_of(3), Some(2));
        assert_eq!(fleet.partner_of(4), None);
        assert_eq!(fleet.room_stream_of(0), None);
    }

    #[test]
    fn the_last_room_may_be_smaller_but_never_lonely() {
        let fleet = Fleet::new(Preset::Rooms { room_size: 100 }, 250);
        assert_eq!((fleet.rooms(), fleet.members(2)), (3, 200..250));
        let fleet = Fleet::new(Preset::Rooms { room_size: 100 }, 201);
        assert_eq!((fleet.rooms(), fleet.room_stream_of(200)), (2, None));
    }

    #[test]
    fn an_idle_fleet_has_no_streams() {
        assert_eq!(Fleet::new(Preset::Idle, 1_000).streams(), 0);
    }

    proptest! {
        #[test]
        fn members_and_streams_agree(connections in 0u32..3_000, room_size in 2u32..150, mixed: bool, run: u64) {
            let preset = if mixed { Preset::Mixed } else { Preset::Rooms { room_size } };
            let fleet = Fleet::new(preset, connections);
            for stream in 0..fleet.streams() {
                for member in fleet.members(stream) {
                    let of = if fleet.is_room(stream) {
                        fleet.room_stream_of(member)
                    } else {
                        fleet.pair_stream_of(member)
                    };
                    prop_assert_eq!(of, Some(stream));
                }
                prop_assert!(fleet.members(stream).len() >= 2);
                if let Some(room) = fleet.room_id(run, stream) {
                    prop_assert_eq!(fleet.stream_of_room(run, room), Some(stream));
                    prop_assert!(room.0 != 0);
                }
            }
            prop_assert_eq!(fleet.members(fleet.streams()), 0..0);
        }
    }
}
