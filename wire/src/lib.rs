//! Bytes to types and back: Ringline's binary protocol.
//!
//! ```text
//!  0       1        2      3     4            8                16
//!  +-------+--------+------+-----+------------+----------------+--------------------+
//!  | magic | version| flags| kind| payload len| correlation id | payload (archive)  |
//!  |  0xC5 |    1   |   0  |  u8 |  u32 LE    |  u64 LE        | out-of-line | root |
//!  +-------+--------+------+-----+------------+----------------+--------------------+
//! ```
//!
//! Owns the layout of every frame and of the login token, and the hash that names a home shard. Never does I/O, never
//! allocates on the way in, and has no `unsafe`: the one place that trusts a peer's bytes is [`FrameView::parse`], which
//! checks them; holding a [`FrameView`] is the proof.
#![no_std]
#![forbid(unsafe_code)]
#![allow(unnameable_types, reason = "rkyv derives an archived twin beside each payload")]

extern crate alloc;

mod command;
mod encode;
mod error;
mod event;
mod frame;
mod header;
mod ids;
pub mod limits;
mod news;
mod payload;
mod service;
pub mod token;

pub use command::{
    Command, ConversationsQuery, JoinRoom, LeaveRoom, Login, Pull, SendRoom, SendText,
};
pub use error::{CloseReason, FrameError, Reject};
pub use event::{
    Acked, ConversationHead, ConversationsEnd, Event, Goodbye, Joined, Left, Pulled, Rejected,
    Text, Welcome,
};
pub use frame::{FrameView, Message, split_frame};
pub use header::{HEADER_BYTES, Header, Kind, MAGIC, VERSION};
pub use ids::{
    ClientMessageId, ConversationId, Epoch, GROUPS_FROM, MessageId, RoomId, Seq, ShardId, UserId,
    home_of_room, home_of_user,
};
pub use news::{
    Befriended, CallSignal, Done, Friend, FriendRequested, Group, InboxItem, Member, MemberChanged,
    News, NewsFrame, Profile, ReadUpTo, Revoked, Unfriended,
};
pub use service::{
    AddMember, ConfirmFriend, CreateGroup, DeclineFriend, FindUsers, FriendRequests, Friends,
    GetProfile, Inbox, MarkRead, Members, OpenPrivate, RemoveFriend, RemoveMember, RequestFriend,
    Revoke, Role, SendTexts, Service, ServiceFrame, SetProfile, SetRole, SignalCall, Texts,
};
