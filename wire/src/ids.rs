//! The numbers that name things, each its own type so that two of them cannot be swapped, and the home hash.

use rkyv::{Archive, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $archived:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize)]
        pub struct $name(pub u64);

        impl From<&$archived> for $name {
            fn from(archived: &$archived) -> Self {
                Self(archived.0.to_native())
            }
        }
    };
}

id! {
    /// A person's account. Zero is never an account.
    UserId, ArchivedUserId
}
id! {
    /// A room. Zero is never a room.
    RoomId, ArchivedRoomId
}
id! {
    /// A message, unique in its store and carrying no order.
    MessageId, ArchivedMessageId
}
id! {
    /// A message's number as its sender's client chose it; a retry repeats it. Unique per sender.
    ClientMessageId, ArchivedClientMessageId
}
id! {
    /// A message's place in its conversation: 1, 2, 3 … without gaps.
    Seq, ArchivedSeq
}
id! {
    /// How many times an account has logged in. A higher epoch replaces a lower one.
    Epoch, ArchivedEpoch
}

/// Rooms from this number on are groups: the store gives their numbers and knows their members. Below it a room is whatever
/// its visitors agree on. Half of what a signed number of 64 bits holds, so that databases can put them in order.
pub const GROUPS_FROM: u64 = 1 << 62;

impl RoomId {
    /// Whether this is a group, which only its members may enter.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0 >= GROUPS_FROM
    }
}

/// A shard's index within its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// A conversation: private between two users, or a room.
///
/// On the wire two numbers: `(lower user, higher user)` for a private one (equal for notes to oneself), `(room, 0)` for
/// a room. Since zero is never a user the two cannot be confused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize)]
pub struct ConversationId {
    /// The lower user id, or the room id.
    pub first: u64,
    /// The higher user id, or zero for a room.
    pub second: u64,
}

impl From<&ArchivedConversationId> for ConversationId {
    fn from(archived: &ArchivedConversationId) -> Self {
        Self { first: archived.first.to_native(), second: archived.second.to_native() }
    }
}

impl ConversationId {
    /// The private conversation of two users, whichever of them asks.
    #[must_use]
    pub const fn private(one: UserId, other: UserId) -> Self {
        if one.0 <= other.0 {
            Self { first: one.0, second: other.0 }
        } else {
            Self { first: other.0, second: one.0 }
        }
    }

    /// A room's conversation.
    #[must_use]
    pub const fn room(room: RoomId) -> Self {
        Self { first: room.0, second: 0 }
    }

    /// The room, if this is one.
    #[must_use]
    pub const fn as_room(self) -> Option<RoomId> {
        if self.second == 0 { Some(RoomId(self.first)) } else { None }
    }

    /// Whether the numbers name a conversation at all: non-zero, and a private pair in order.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.first != 0 && (self.second == 0 || self.first <= self.second)
    }

    /// The other party of a private conversation, if `user` is in it.
    #[must_use]
    pub const fn peer_of(self, user: UserId) -> Option<UserId> {
        if self.second == 0 {
            None
        } else if self.first == user.0 {
            Some(UserId(self.second))
        } else if self.second == user.0 {
            Some(UserId(self.first))
        } else {
            None
        }
    }

    /// The shard that serialises this conversation: a private one lives with its lower user.
    #[must_use]
    pub const fn home(self, shards: u16) -> ShardId {
        match self.as_room() {
            Some(room) => home_of_room(room, shards),
            None => home_of_user(UserId(self.first), shards),
        }
    }
}

/// Rooms are hashed with this added, so that room n and user n do not share a home by construction.
const ROOM_SALT: u64 = 0x524f_4f4d_5341_4c54;

/// The 64-bit finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Maps a hash to `0..shards` by its high half (Lemire's multiply-shift: no division, no modulo bias worth naming).
#[allow(
    clippy::cast_possible_truncation,
    reason = "the product's high half is below `shards`, a u16"
)]
const fn reduce(hash: u64, shards: u16) -> ShardId {
    ShardId((((hash >> 32) * shards as u64) >> 32) as u16)
}

/// The shard where a user lives: `high half of SplitMix64(user), times shards, divided by 2^32`.
#[must_use]
pub const fn home_of_user(user: UserId, shards: u16) -> ShardId {
    reduce(mix(user.0), shards)
}

/// The shard where a room lives: as for a user, of the room id plus `0x524f4f4d53414c54`.
#[must_use]
pub const fn home_of_room(room: RoomId, shards: u16) -> ShardId {
    reduce(mix(room.0.wrapping_add(ROOM_SALT)), shards)
}
