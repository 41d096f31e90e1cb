//! What the services need of a backend: a few statements in portable SQL, and the messages.

use wire::{ConversationId, RoomId, Seq, SetProfile, UserId};

use crate::messages::{Appended, Record, RecordFault};

/// An argument of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Int(i64),
    /// UTF-8, checked where it entered.
    Text(&'a [u8]),
}

/// One row of an answer, by column.
pub(crate) trait Fields {
    /// A number; zero for NULL.
    fn int(&self, column: usize) -> i64;
    /// A text; empty for NULL.
    fn text(&self, column: usize) -> &[u8];
    /// A number that was never below zero.
    fn id(&self, column: usize) -> u64 {
        self.int(column).cast_unsigned()
    }
}

/// What is known of a message that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) from: UserId,
    pub(crate) unix_ms: u64,
    pub(crate) is_revoked: bool,
}

/// A backend within a transaction or a snapshot, as far as everything needs it.
///
/// Statements are written in what SQLite and MySQL have in common, with `?` for each argument in its order. They are
/// `'static`, so that a backend may keep them prepared.
pub(crate) trait Reads {
    /// What can go wrong.
    type Error;

    /// Goes through the rows of a query.
    fn rows(
        &mut self,
        query: &'static str,
        arguments: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Fields),
    ) -> Result<(), Self::Error>;

    /// A conversation's last `seq`; zero if it has none.
    fn head(&mut self, conversation: ConversationId) -> Result<Seq, Self::Error>;

    /// How many of the first [`wire::limits::UNREAD_MAX`] messages beyond `after` are not the user's own.
    fn unread(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        after: Seq,
    ) -> Result<u16, Self::Error>;
}

/// What only lists need.
pub(crate) trait Lists: Reads {
    /// The user's private conversations beyond `after`, at most `limit`, in the order of their numbers, with their heads.
    fn conversations(
        &mut self,
        user: UserId,
        after: ConversationId,
        limit: i64,
    ) -> Result<Vec<(ConversationId, Seq)>, Self::Error>;
}

/// What changes need: a transaction that writes.
pub(crate) trait Ledger: Reads {
    /// Changes rows; gives how many were there to be changed.
    fn execute(
        &mut self,
        statement: &'static str,
        arguments: &[Value<'_>],
    ) -> Result<u64, Self::Error>;

    /// Adds a row to a table that numbers its rows; gives the number.
    fn insert(
        &mut self,
        statement: &'static str,
        arguments: &[Value<'_>],
    ) -> Result<i64, Self::Error>;

    /// Holds off others who would do the same to a user's or a group's rows until the transaction ends; where a transaction
    /// is alone anyway, nothing.
    fn lock(&mut self, what: Locked) -> Result<(), Self::Error>;

    /// Writes a profile. Where profiles lie in a file of their own, whatever is in the way there is this one's alone.
    fn set_profile(&mut self, user: i64, profile: &SetProfile<'_>)
    -> Result<Profiled, Self::Error>;

    /// Makes a conversation unless it is there; gives its last `seq`.
    fn open(&mut self, conversation: ConversationId) -> Result<Seq, Self::Error>;

    /// Appends a message, as the writer does.
    fn append(&mut self, record: &Record<'_>)
    -> Result<Result<Appended, RecordFault>, Self::Error>;

    /// A message, as far as it must be known to take it back.
    fn said(&mut self, conversation: ConversationId, seq: Seq)
    -> Result<Option<Said>, Self::Error>;

    /// Empties a message's text.
    fn blank(&mut self, conversation: ConversationId, seq: Seq) -> Result<(), Self::Error>;
}

/// What became of a profile that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profiled {
    /// It is there when everything else of the batch is.
    Written,
    /// There is no such user.
    NoUser,
    /// Its file cannot be written for now.
    Busy,
}

/// What a service changes by several statements. Users before groups: that is the order in which they are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Locked {
    /// A user's friends, requests and groups.
    User(UserId),
    /// A group's members.
    Group(RoomId),
}
