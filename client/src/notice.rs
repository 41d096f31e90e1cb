//! What a session tells its owner, borrowed from the bytes that it came in.

use wire::{
    Acked, CloseReason, ConversationHead, ConversationId, ConversationsEnd, FrameError, Joined,
    Kind, Left, NewsFrame, Pulled, Rejected, Seq, Text, Welcome,
};

/// One thing that happened. A `correlation` is the number that the sending function returned for the command that it
/// answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// The session is open.
    LoggedIn(Welcome),
    /// A text of this session is accepted.
    Acked {
        /// Of the `send_text` or `send_room`.
        correlation: u64,
        /// Its place and its ids.
        acked: Acked,
    },
    /// A message, in order and once, unless the session does not follow conversations: then as it comes.
    Text(Text<'a>),
    /// A message that a `pull` of the owner asked for: as the node sent it, whatever the session has seen.
    Page {
        /// Of the `pull`.
        correlation: u64,
        /// The message.
        text: Text<'a>,
    },
    /// The end of the page that a `pull` of the owner asked for.
    PageEnd {
        /// Of the `pull`.
        correlation: u64,
        /// The cursor for the next page, and whether there is one.
        pulled: Pulled,
    },
    /// In a room: messages after `head` are pushed.
    Joined {
        /// Of the `join`.
        correlation: u64,
        /// The room and its head.
        joined: Joined,
    },
    /// Out of a room; its cursor is forgotten.
    Left {
        /// Of the `leave`.
        correlation: u64,
        /// The room.
        left: Left,
    },
    /// A command did nothing.
    Rejected {
        /// Of that command.
        correlation: u64,
        /// Why, and when to try again.
        rejected: Rejected,
    },
    /// The answer to a heartbeat.
    HeartbeatAck {
        /// Of the heartbeat.
        correlation: u64,
    },
    /// One conversation of a page that `conversations` asked for.
    ConversationHead {
        /// Of the `conversations`.
        correlation: u64,
        /// The conversation and its last `seq`: if the session follows it and has less, it pulls the rest by itself.
        head: ConversationHead,
    },
    /// The end of that page.
    ConversationsEnd {
        /// Of the `conversations`.
        correlation: u64,
        /// The cursor for the next page, and whether there is one.
        end: ConversationsEnd,
    },
    /// An answer of a service, or (correlation zero) what others did that concerns the session's user.
    News {
        /// Of the `serve` or `signal_call`; zero for what was not asked for.
        correlation: u64,
        /// What.
        news: NewsFrame<'a>,
    },
    /// The node ends the connection: nothing comes after this.
    Goodbye {
        /// Why; `None` for a reason that this version does not know.
        reason: Option<CloseReason>,
        /// Its number on the wire.
        code: u8,
        /// How long to wait before the next login.
        reconnect_after_ms: u32,
    },
    /// A pushed message that the session has already: dropped.
    Duplicate {
        /// Where.
        conversation: ConversationId,
        /// Its place.
        seq: Seq,
    },
    /// Messages are missing: later ones are held back, the missing ones are pulled.
    GapOpened {
        /// Where.
        conversation: ConversationId,
        /// The first one missing.
        first: Seq,
    },
    /// Everything known of that conversation is delivered again.
    GapClosed {
        /// Where.
        conversation: ConversationId,
        /// The last one delivered.
        last: Seq,
    },
    /// The node does not have these messages, or does not give them: the session goes on behind them.
    GapLost {
        /// Where.
        conversation: ConversationId,
        /// The first one given up.
        first: Seq,
        /// The last one given up.
        last: Seq,
    },
}

/// Why a session cannot go on: what came is not what a node sends. Close the connection and log in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The bytes are not a frame.
    #[error(
        "the node sent bytes that are not a frame ({0}): close the connection and log in again"
    )]
    Frame(FrameError),
    /// A frame that only clients send.
    #[error("the node sent a command ({0:?}): this is not a node, check the address")]
    Command(Kind),
    /// Something behind the goodbye.
    #[error("the node sent a frame behind its goodbye: close the connection and log in again")]
    AfterGoodbye,
    /// A second welcome.
    #[error("the node sent a second welcome: close the connection and log in again")]
    SecondWelcome,
    /// A message in no conversation, or with `seq` zero.
    #[error(
        "the node sent a message without a place: close the connection and log in again, report it"
    )]
    Place,
}

/// Why a command was not sent; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The node has not said welcome on this connection.
    #[error("not logged in: call `login` and wait for the welcome")]
    NotLoggedIn,
    /// `login` was called on this connection before.
    #[error("logged in already: use one login per connection")]
    AlreadyLoggedIn,
    /// The connection is ending or broken.
    #[error("the session has ended: open a new connection and log in again")]
    Ended,
    /// A text or token longer than this many bytes.
    #[error("too long: at most {0} bytes")]
    TooLong(u32),
}
