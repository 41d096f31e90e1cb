//! The fixed 16-byte header in front of every frame.

use crate::error::FrameError;
use crate::limits::PAYLOAD_BYTES_MAX;

/// First byte of every frame: never ASCII, so that the text dialects can be told apart by it.
pub const MAGIC: u8 = 0xC5;
/// The version of everything in this crate. Any change to bytes raises it.
pub const VERSION: u8 = 1;
/// Bytes of a header.
pub const HEADER_BYTES: usize = 16;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $code:literal,)+) => {
        /// What a frame is. Below 0x80 commands, from 0x80 events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $variant = $code,)+ }

        impl Kind {
            /// Every kind, in the order of the codes.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The kind of a number from the wire.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

kinds! {
    /// Client: log in with a token.
    Login = 0x01,
    /// Client: log out; everything queued is delivered first.
    Logout = 0x02,
    /// Client: still here.
    Heartbeat = 0x03,
    /// Client: a text to one user.
    SendText = 0x04,
    /// Client: enter a room.
    JoinRoom = 0x05,
    /// Client: leave a room.
    LeaveRoom = 0x06,
    /// Client: a text to a room.
    SendRoom = 0x07,
    /// Client: messages of a conversation after a cursor.
    Pull = 0x08,
    /// Client: the conversations of this user, by page.
    Conversations = 0x09,
    /// Client: several texts to one user.
    SendTexts = 0x0a,
    /// Client: a sign about a call.
    SignalCall = 0x0b,
    /// Client: what a session begins with: profile, first pages of requests and friends, groups.
    Me = 0x10,
    /// Client: a user's profile.
    GetProfile = 0x11,
    /// Client: write one's own profile.
    SetProfile = 0x12,
    /// Client: users by name, by page.
    FindUsers = 0x13,
    /// Client: one's friends, by page.
    Friends = 0x14,
    /// Client: friend requests that wait, by page.
    FriendRequests = 0x15,
    /// Client: ask somebody to be a friend.
    RequestFriend = 0x16,
    /// Client: accept a friend request.
    ConfirmFriend = 0x17,
    /// Client: refuse a friend request.
    DeclineFriend = 0x18,
    /// Client: end a friendship.
    RemoveFriend = 0x19,
    /// Client: the private conversation with somebody.
    OpenPrivate = 0x1a,
    /// Client: conversations with what is unread, by page.
    Inbox = 0x1b,
    /// Client: all up to a place is read.
    MarkRead = 0x1c,
    /// Client: take back a message.
    Revoke = 0x1d,
    /// Client: make a group.
    CreateGroup = 0x1e,
    /// Client: take somebody into a group.
    AddMember = 0x1f,
    /// Client: take somebody out of a group, or leave it.
    RemoveMember = 0x20,
    /// Client: give a member another role.
    SetRole = 0x21,
    /// Client: a group's members, by page.
    Members = 0x22,
    /// Node: logged in.
    Welcome = 0x81,
    /// Node: a message is accepted, with its id and place.
    Acked = 0x82,
    /// Node: a message.
    Text = 0x83,
    /// Node: entered a room.
    Joined = 0x84,
    /// Node: left a room.
    Left = 0x85,
    /// Node: the end of a page of messages.
    Pulled = 0x86,
    /// Node: the answer to a heartbeat.
    HeartbeatAck = 0x87,
    /// Node: a command was refused.
    Rejected = 0x88,
    /// Node: the last frame of a connection.
    Goodbye = 0x89,
    /// Node: one conversation of a page.
    ConversationHead = 0x8a,
    /// Node: the end of a page of conversations.
    ConversationsEnd = 0x8b,
    /// Node: the end of a service's answer.
    Done = 0x90,
    /// Node: who somebody is.
    Profile = 0x91,
    /// Node: a friend.
    Friend = 0x92,
    /// Node: somebody asks to be a friend.
    FriendRequested = 0x93,
    /// Node: two are friends now.
    Befriended = 0x94,
    /// Node: a friendship was ended.
    Unfriended = 0x95,
    /// Node: one conversation with what is unread.
    InboxItem = 0x96,
    /// Node: somebody has read up to a place.
    ReadUpTo = 0x97,
    /// Node: a message was taken back.
    Revoked = 0x98,
    /// Node: a group of the session's user.
    Group = 0x99,
    /// Node: one member of a group.
    Member = 0x9a,
    /// Node: a group's members have changed.
    MemberChanged = 0x9b,
    /// Node: a sign about a call.
    CallSignal = 0x9c,
}

impl Kind {
    /// Whether a client sends it.
    #[must_use]
    pub const fn is_command(self) -> bool {
        (self as u8) < 0x80
    }
}

impl Kind {
    /// Whether it is a service that changes something.
    #[must_use]
    pub const fn is_change(self) -> bool {
        matches!(
            self,
            Self::SetProfile
                | Self::RequestFriend
                | Self::ConfirmFriend
                | Self::DeclineFriend
                | Self::RemoveFriend
                | Self::OpenPrivate
                | Self::MarkRead
                | Self::Revoke
                | Self::CreateGroup
                | Self::AddMember
                | Self::RemoveMember
                | Self::SetRole
        )
    }
}

/// A checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// Bytes after the header, at most [`PAYLOAD_BYTES_MAX`].
    pub payload_len: u32,
    /// Chosen by the client for each command and repeated in the answers to it; zero in events that answer nothing.
    pub correlation: u64,
}

impl Header {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = MAGIC;
        bytes[1] = VERSION;
        bytes[3] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.correlation.to_le_bytes());
        bytes
    }

    /// Checks a header's bytes: `Ok(None)` while it is incomplete, an error as soon as a byte is wrong.
    ///
    /// # Errors
    /// The [`FrameError`] of the first wrong field.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Self::check_prefix(bytes).map(|()| None);
        };
        let [magic, version, flags, kind, l0, l1, l2, l3, correlation @ ..] = *header;
        if magic != MAGIC {
            return Err(FrameError::Magic);
        }
        if version != VERSION {
            return Err(FrameError::Version);
        }
        if flags != 0 {
            return Err(FrameError::Flags);
        }
        let kind = Kind::from_code(kind).ok_or(FrameError::Kind)?;
        let payload_len = u32::from_le_bytes([l0, l1, l2, l3]);
        if payload_len > PAYLOAD_BYTES_MAX as u32 {
            return Err(FrameError::Oversized);
        }
        Ok(Some(Self { kind, payload_len, correlation: u64::from_le_bytes(correlation) }))
    }

    /// Refuses garbage at its first wrong byte, without waiting for sixteen.
    fn check_prefix(bytes: &[u8]) -> Result<(), FrameError> {
        let checks: [(fn(u8) -> bool, FrameError); 4] = [
            (|byte| byte == MAGIC, FrameError::Magic),
            (|byte| byte == VERSION, FrameError::Version),
            (|byte| byte == 0, FrameError::Flags),
            (|byte| Kind::from_code(byte).is_some(), FrameError::Kind),
        ];
        for (byte, (is_right, error)) in bytes.iter().zip(checks) {
            if !is_right(*byte) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub const fn frame_len(&self) -> usize {
        HEADER_BYTES + self.payload_len as usize
    }
}
