//! Client to node: what a client wishes.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use crate::encode::Payload;
use crate::error::FrameError;
use crate::header::Kind;
use crate::ids::{ClientMessageId, ConversationId, RoomId, Seq, UserId};
use crate::limits::{BODY_BYTES_MAX, TOKEN_BYTES_MAX};
use crate::service::{SendTexts, ServiceFrame, SignalCall};

/// Log in. Must be the first command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct Login<'a> {
    /// As the balancer made it (see [`crate::token`]); opaque to clients.
    #[rkyv(with = InlineAsBox)]
    pub token: &'a [u8],
}

/// A text to one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct SendText<'a> {
    /// The recipient.
    pub to: UserId,
    /// Repeated by a retry; unique per sender.
    pub client_message_id: ClientMessageId,
    /// UTF-8.
    #[rkyv(with = InlineAsBox)]
    pub body: &'a [u8],
}

/// Enter a room: from the answer's `head` on, every message is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct JoinRoom {
    /// The room.
    pub room: RoomId,
}

/// Leave a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct LeaveRoom {
    /// The room.
    pub room: RoomId,
}

/// A text to a room that the session is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct SendRoom<'a> {
    /// The room.
    pub room: RoomId,
    /// Repeated by a retry; unique per sender.
    pub client_message_id: ClientMessageId,
    /// UTF-8.
    #[rkyv(with = InlineAsBox)]
    pub body: &'a [u8],
}

/// The messages of a conversation after a cursor, in order. Each arrives as a `Text` with this command's correlation
/// id, and a `Pulled` ends the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct Pull {
    /// One that the session's user is in.
    pub conversation: ConversationId,
    /// The last `seq` that the client has; zero for none.
    pub after: Seq,
    /// Messages wanted, 1 to [`crate::limits::PAGE_ITEMS_MAX`]; more is served as that.
    pub limit: u16,
}

/// The private conversations of the session's user, by page, in the order of their ids. Each arrives as a
/// `ConversationHead` with this command's correlation id, and a `ConversationsEnd` ends the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize)]
pub struct ConversationsQuery {
    /// The last conversation of the page before; the zero pair for the first page.
    pub after: ConversationId,
    /// Conversations wanted, 1 to [`crate::limits::PAGE_ITEMS_MAX`]; more is served as that.
    pub limit: u16,
}

/// Any command, borrowed from the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is documented at its type or at its `Kind`")]
pub enum Command<'a> {
    Login(Login<'a>),
    Logout,
    Heartbeat,
    SendText(SendText<'a>),
    JoinRoom(JoinRoom),
    LeaveRoom(LeaveRoom),
    SendRoom(SendRoom<'a>),
    Pull(Pull),
    Conversations(ConversationsQuery),
    SendTexts(SendTexts<'a>),
    SignalCall(SignalCall<'a>),
    /// What the store answers, beside the messages.
    Service(ServiceFrame<'a>),
}

impl Command<'_> {
    /// The kind of frame that carries it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Login(_) => Kind::Login,
            Self::Logout => Kind::Logout,
            Self::Heartbeat => Kind::Heartbeat,
            Self::SendText(_) => Kind::SendText,
            Self::JoinRoom(_) => Kind::JoinRoom,
            Self::LeaveRoom(_) => Kind::LeaveRoom,
            Self::SendRoom(_) => Kind::SendRoom,
            Self::Pull(_) => Kind::Pull,
            Self::Conversations(_) => Kind::Conversations,
            Self::SendTexts(_) => Kind::SendTexts,
            Self::SignalCall(_) => Kind::SignalCall,
            Self::Service(service) => service.kind(),
        }
    }
}

/// Text is checked here, where it enters, and nowhere else.
fn check_text(body: &[u8]) -> Result<(), FrameError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(FrameError::Oversized);
    }
    core::str::from_utf8(body).map(|_| ()).map_err(|_| FrameError::Text)
}

const fn check_id(id: u64) -> Result<(), FrameError> {
    if id == 0 { Err(FrameError::Id) } else { Ok(()) }
}

impl<'a> Payload<'a> for Login<'a> {
    type Root = ArchivedLogin<'a>;
    fn view(root: &'a Self::Root) -> Result<Self, FrameError> {
        let token = root.token.get();
        if token.len() > TOKEN_BYTES_MAX { Err(FrameError::Oversized) } else { Ok(Self { token }) }
    }
    fn tail(&self) -> usize {
        self.token.len()
    }
}

impl<'a> Payload<'a> for SendText<'a> {
    type Root = ArchivedSendText<'a>;
    fn view(root: &'a Self::Root) -> Result<Self, FrameError> {
        let body = root.body.get();
        check_text(body)?;
        check_id(root.to.0.to_native())?;
        Ok(Self {
            to: (&root.to).into(),
            client_message_id: (&root.client_message_id).into(),
            body,
        })
    }
    fn tail(&self) -> usize {
        self.body.len()
    }
}

impl<'a> Payload<'a> for SendRoom<'a> {
    type Root = ArchivedSendRoom<'a>;
    fn view(root: &'a Self::Root) -> Result<Self, FrameError> {
        let body = root.body.get();
        check_text(body)?;
        check_id(root.room.0.to_native())?;
        Ok(Self {
            room: (&root.room).into(),
            client_message_id: (&root.client_message_id).into(),
            body,
        })
    }
    fn tail(&self) -> usize {
        self.body.len()
    }
}

impl<'a> Payload<'a> for JoinRoom {
    type Root = ArchivedJoinRoom;
    fn view(root: &'a Self::Root) -> Result<Self, FrameError> {
        check_id(root.room.0.to_native())?;
        Ok(Self { room: (&root.room).into() })
    }
}

impl<'a> Payload<'a> for LeaveRoom {
    type Root = ArchivedLeaveRoom;
    fn view(root: &'a Self::Root) -> Result<Self, FrameError> {
        check_id(root.room.0.to_native())?;
        Ok(Self { room: (&root.room).into() })
    }
}

impl<'a> Payload<'a> for Pull {
    type Root = ArchivedPull;
    fn view(root: &'a Self::Root) -> Result<Self, FrameError> {
        let conversation = ConversationId::from(&root.conversation);
        if !conversation.is_valid() {
            return Err(FrameError::Id);
        }
        Ok(Self { conversation, after: (&root.after).into(), limit: root.limit.to_native() })
    }
}

impl<'a> Payload<'a> for ConversationsQuery {
    type Root = ArchivedConversationsQuery;
    fn view(root: &'a Self::Root) -> Result<Self, FrameError> {
        Ok(Self { after: (&root.after).into(), limit: root.limit.to_native() })
    }
}
