//! Node to client: what is so.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use crate::encode::Payload;
use crate::error::FrameError;
use crate::header::{Header, Kind};
use crate::ids::{ClientMessageId, ConversationId, Epoch, MessageId, RoomId, Seq, UserId};
use crate::news::NewsFrame;

/// Logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct Welcome {
    /// Whose session this is.
    pub user: UserId,
    /// The session's epoch: a session of a higher epoch replaces it.
    pub epoch: Epoch,
    /// How often the client should send a heartbeat if it has nothing else to say.
    pub heartbeat_interval_ms: u32,
    /// After this long without a byte from the client the session expires.
    pub heartbeat_timeout_ms: u32,
    /// The longest text that this node takes.
    pub body_bytes_max: u32,
    /// The port of this user's home shard: a client that connects there next time saves the node a hop.
    pub home_port: u16,
    /// Why the session before ended, if it was cut short: a [`crate::CloseReason`] code, or zero.
    pub previous_close: u8,
}

/// A message is accepted: under durability `commit`, it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct Acked {
    /// Where it went.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// As the client numbered it.
    pub client_message_id: ClientMessageId,
}

/// A message, pushed as it happens (correlation id zero) or in answer to a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct Text<'a> {
    /// Where it was said.
    pub conversation: ConversationId,
    /// Its place there. A client drops a `seq` that it has, and pulls when it sees a gap.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// Who said it.
    pub from: UserId,
    /// When the node took it, in milliseconds since 1970.
    pub unix_ms: u64,
    /// UTF-8.
    #[rkyv(with = InlineAsBox)]
    pub body: &'a [u8],
}

/// Entered a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct Joined {
    /// The room.
    pub room: RoomId,
    /// The last `seq` before entering: every later message is pushed.
    pub head: Seq,
}

/// Left a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct Left {
    /// The room.
    pub room: RoomId,
}

/// The end of a page of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct Pulled {
    /// The conversation.
    pub conversation: ConversationId,
    /// The cursor for the next page: the last `seq` of this one, or the cursor that was asked with.
    pub next: Seq,
    /// 1 if there was nothing after this page, else 0.
    pub is_complete: u8,
}

/// A command was refused and did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct Rejected {
    /// Why: a [`crate::Reject`] code.
    pub reject: u8,
    /// The kind of the refused command.
    pub kind: u8,
    /// When to try again, for a retryable reject; else zero.
    pub retry_after_ms: u32,
    /// The refused message, for a text; else zero.
    pub client_message_id: ClientMessageId,
}

/// The last frame of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct Goodbye {
    /// Why: a [`crate::CloseReason`] code.
    pub reason: u8,
    /// How long to wait before the next login: spreads a node's clients when it shuts down.
    pub reconnect_after_ms: u32,
}

/// One conversation of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct ConversationHead {
    /// The conversation.
    pub conversation: ConversationId,
    /// Its last `seq`.
    pub head: Seq,
}

/// The end of a page of conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct ConversationsEnd {
    /// The cursor for the next page.
    pub next: ConversationId,
    /// 1 if there was nothing after this page, else 0.
    pub is_complete: u8,
}

impl Text<'_> {
    /// Writes a message's place into its encoded frame: the node encodes it when it arrives and learns its place when the
    /// store has it. `false`, with the frame unchanged, if `frame` is not one of a text.
    #[must_use]
    pub fn set_place(frame: &mut [u8], seq: Seq, message_id: MessageId, unix_ms: u64) -> bool {
        use core::mem::{offset_of, size_of};

        let is_text = matches!(Header::parse(frame), Ok(Some(header))
            if header.kind == Kind::Text && header.frame_len() == frame.len());
        let Some(at) = frame.len().checked_sub(size_of::<ArchivedText<'_>>()) else { return false };
        let Some(root) = frame.get_mut(at..).filter(|_| is_text) else { return false };
        let fields = [
            (offset_of!(ArchivedText<'_>, seq), seq.0),
            (offset_of!(ArchivedText<'_>, message_id), message_id.0),
            (offset_of!(ArchivedText<'_>, unix_ms), unix_ms),
        ];
        for (offset, value) in fields {
            if let Some(place) = root.get_mut(offset..offset + 8) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        }
        true
    }
}

/// Any event, borrowed from the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is documented at its type or at its `Kind`")]
pub enum Event<'a> {
    Welcome(Welcome),
    Acked(Acked),
    Text(Text<'a>),
    Joined(Joined),
    Left(Left),
    Pulled(Pulled),
    HeartbeatAck,
    Rejected(Rejected),
    Goodbye(Goodbye),
    ConversationHead(ConversationHead),
    ConversationsEnd(ConversationsEnd),
    /// What concerns the services.
    News(NewsFrame<'a>),
}

impl Event<'_> {
    /// The kind of frame that carries it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Welcome(_) => Kind::Welcome,
            Self::Acked(_) => Kind::Acked,
            Self::Text(_) => Kind::Text,
            Self::Joined(_) => Kind::Joined,
            Self::Left(_) => Kind::Left,
            Self::Pulled(_) => Kind::Pulled,
            Self::HeartbeatAck => Kind::HeartbeatAck,
            Self::Rejected(_) => Kind::Rejected,
            Self::Goodbye(_) => Kind::Goodbye,
            Self::ConversationHead(_) => Kind::ConversationHead,
            Self::ConversationsEnd(_) => Kind::ConversationsEnd,
            Self::News(news) => news.kind(),
        }
    }
}

impl<'a> Payload<'a> for Text<'a> {
    type Root = ArchivedText<'a>;
    fn view(root: &'a Self::Root) -> Result<Self, FrameError> {
        Ok(Self {
            conversation: (&root.conversation).into(),
            seq: (&root.seq).into(),
            message_id: (&root.message_id).into(),
            from: (&root.from).into(),
            unix_ms: root.unix_ms.to_native(),
            body: root.body.get(),
        })
    }
    fn tail(&self) -> usize {
        self.body.len()
    }
}

/// Events without out-of-line bytes are read field by field.
macro_rules! plain {
    ($name:ident, $archived:ident { $($field:ident: $read:ident),+ }) => {
        impl<'a> Payload<'a> for $name {
            type Root = $archived;
            fn view(root: &'a Self::Root) -> Result<Self, FrameError> {
                Ok(Self { $($field: plain!(@$read root.$field)),+ })
            }
        }
    };
    (@id $place:expr) => { (&$place).into() };
    (@le $place:expr) => { $place.to_native() };
    (@u8 $place:expr) => { $place };
}

plain!(
    Welcome,
    ArchivedWelcome {
        user: id,
        epoch: id,
        heartbeat_interval_ms: le,
        heartbeat_timeout_ms: le,
        body_bytes_max: le,
        home_port: le,
        previous_close: u8
    }
);
plain!(Acked, ArchivedAcked { conversation: id, seq: id, message_id: id, client_message_id: id });
plain!(Joined, ArchivedJoined { room: id, head: id });
plain!(Left, ArchivedLeft { room: id });
plain!(Pulled, ArchivedPulled { conversation: id, next: id, is_complete: u8 });
plain!(
    Rejected,
    ArchivedRejected { reject: u8, kind: u8, retry_after_ms: le, client_message_id: id }
);
plain!(Goodbye, ArchivedGoodbye { reason: u8, reconnect_after_ms: le });
plain!(ConversationHead, ArchivedConversationHead { conversation: id, head: id });
plain!(ConversationsEnd, ArchivedConversationsEnd { next: id, is_complete: u8 });
