//! What every backend of messages offers, and where backends are.
//!
//! One set of tests holds for all of them. Calls block, so they belong on threads of their own.

use std::fmt::Debug;

use wire::{ConversationId, Seq, UserId};

use crate::database::Options;
use crate::error::Result;
use crate::messages::{
    Appended, ConversationPage, Page, Reader, Record, RecordFault, Worked, Writer,
};
use crate::mysql::{MysqlOptions, MysqlReader, MysqlWriter};
use crate::services::{Ask, Served};

/// Writes messages, and what people know of each other.
pub trait MessageWriter: Debug + Send {
    /// Appends all records in one transaction, in their order, and serves what is asked behind them. Gives one result for
    /// each record, and one for each question; when this returns, every `Ok` in it is on the disk.
    ///
    /// A record without a `seq` gets the next one of its conversation, or, if its client message id is known, the first
    /// place, id and time again. A record with a `seq` is written there whatever else is known, because it may have been
    /// shown there already: only the same message again changes nothing.
    ///
    /// # Errors
    /// Then nothing of it was acknowledged, and the same may be given again: what a broken commit has brought to the disk
    /// all the same is found as a retry. The writer opens its store again by itself.
    fn work(&mut self, records: &[Record<'_>], asks: &[Ask<'_>]) -> Result<Worked>;

    /// [`Self::work`] without questions.
    ///
    /// # Errors
    /// As [`Self::work`].
    fn append_batch(
        &mut self,
        records: &[Record<'_>],
    ) -> Result<Vec<std::result::Result<Appended, RecordFault>>> {
        self.work(records, &[]).map(|(appended, _)| appended)
    }

    /// Leases one block of message ids per shard, for this start of the node: gives the first id of each. No id of a
    /// block was or will be given to anybody else.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says; `Refused` after some million leases.
    fn lease_id_blocks(&mut self, shards: u16) -> Result<Vec<u64>>;

    /// Finds out whether the store takes writes: writes some bytes, removes them, and commits that.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says: what an append would have met.
    fn probe(&mut self) -> Result<()>;
}

/// Reads what was committed before each call. Never waits for a writer, and never writes.
pub trait MessageReader: Debug + Send {
    /// Messages with a `seq` beyond `after`, in order: at most `limit`, and at most about a MiB of text. A conversation
    /// that nobody knows is an empty one.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    fn pull(&mut self, conversation: ConversationId, after: Seq, limit: u16) -> Result<Page>;

    /// The last `seq` of a conversation; zero if it has none.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    fn head(&mut self, conversation: ConversationId) -> Result<Seq>;

    /// The last `seq` of a conversation for somebody who wishes to enter it: `None` if that is a group of others.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    fn head_for(&mut self, conversation: ConversationId, user: UserId) -> Result<Option<Seq>>;

    /// A user's private conversations beyond `after` (the zero pair for the first page), by `(first, second)`, at most
    /// `limit`.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    fn conversations(
        &mut self,
        user: UserId,
        after: ConversationId,
        limit: u16,
    ) -> Result<ConversationPage>;

    /// Serves a question that changes nothing.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    fn serve(&mut self, ask: &Ask<'_>) -> Result<Served>;
}

/// Where messages are.
#[derive(Clone, Debug)]
pub enum Backend {
    /// In a file.
    Sqlite(Options),
    /// In a database that speaks the MySQL protocol.
    Mysql(MysqlOptions),
}

impl From<&Options> for Backend {
    fn from(options: &Options) -> Self {
        Self::Sqlite(options.clone())
    }
}

impl From<&MysqlOptions> for Backend {
    fn from(options: &MysqlOptions) -> Self {
        Self::Mysql(options.clone())
    }
}

impl Backend {
    /// Its name, for people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Mysql(_) => "mysql",
        }
    }

    /// Opens it to write; makes and migrates it as needed.
    ///
    /// # Errors
    /// `Refused` for a store of another kind or of a newer version, `Busy` if it cannot be reached or used for now.
    pub fn writer(&self) -> Result<Box<dyn MessageWriter>> {
        Ok(match self {
            Self::Sqlite(options) => Box::new(Writer::open(options)?),
            Self::Mysql(options) => Box::new(MysqlWriter::open(options)?),
        })
    }

    /// Opens it to read, once a writer has made it.
    ///
    /// # Errors
    /// `Busy` if it cannot be reached or used for now.
    pub fn reader(&self) -> Result<Box<dyn MessageReader>> {
        Ok(match self {
            Self::Sqlite(options) => Box::new(Reader::open(options)?),
            Self::Mysql(options) => Box::new(MysqlReader::open(options)?),
        })
    }
}

impl MessageWriter for Writer {
    fn work(&mut self, records: &[Record<'_>], asks: &[Ask<'_>]) -> Result<Worked> {
        Self::work(self, records, asks)
    }

    fn lease_id_blocks(&mut self, shards: u16) -> Result<Vec<u64>> {
        Self::lease_id_blocks(self, shards)
    }

    fn probe(&mut self) -> Result<()> {
        Self::probe(self)
    }
}

impl MessageReader for Reader {
    fn pull(&mut self, conversation: ConversationId, after: Seq, limit: u16) -> Result<Page> {
        Self::pull(self, conversation, after, limit)
    }

    fn head(&mut self, conversation: ConversationId) -> Result<Seq> {
        Self::head(self, conversation)
    }

    fn head_for(&mut self, conversation: ConversationId, user: UserId) -> Result<Option<Seq>> {
        Self::head_for(self, conversation, user)
    }

    fn conversations(
        &mut self,
        user: UserId,
        after: ConversationId,
        limit: u16,
    ) -> Result<ConversationPage> {
        Self::conversations(self, user, after, limit)
    }

    fn serve(&mut self, ask: &Ask<'_>) -> Result<Served> {
        Self::serve(self, ask)
    }
}
