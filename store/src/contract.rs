//! What every backend of messages offers, and where backends are.
//!
//! One set of tests holds for all of them. Calls block, so they belong on threads of their own.

use std::fmt::{self, Debug, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use wire::{ConversationId, Seq, UserId};

use crate::accounts::{Accounts, AccountsService};
use crate::database::Options;
use crate::error::{Error, Result};
use crate::messages::{
    Appended, ConversationPage, Page, Reader, Record, RecordFault, Retention, Trimmed, Worked,
    Writer,
};
use crate::mysql::{MysqlOptions, MysqlReader, MysqlWriter};
use crate::services::{Ask, Served};

/// Writes messages, and what people know of each other.
pub trait MessageWriter: Debug + Send {
    /// Appends all records in one transaction, in their order, and serves what is asked behind them, in the same one if it
    /// is not very much. Gives one result for each record, and one for each question; when this returns, every `Ok` in it
    /// is on the disk, and each question was served whole or not at all.
    ///
    /// A record without a `seq` gets the next one of its conversation, or, if its client message id is known, the first
    /// place, id and time again, even if it was taken back since; in a group its sender must be a member, as of this transaction. A record with a `seq` is
    /// written there whatever else is known, because it may have been shown there already: only the same message again
    /// changes nothing.
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
    /// As [`Error`] says; `Refused` after some million leases.
    fn lease_id_blocks(&mut self, shards: u16) -> Result<Vec<u64>>;

    /// Finds out whether the store takes writes: writes some bytes, removes them, and commits that.
    ///
    /// # Errors
    /// As [`Error`] says: what an append would have met.
    fn probe(&mut self) -> Result<()>;

    /// Removes some of what retention does not keep, in a commit of its own: for when nobody writes. Gives whether there is
    /// more. A backend that keeps everything has nothing to do.
    ///
    /// # Errors
    /// As [`Error`] says.
    fn trim(&mut self, _now_ms: u64) -> Result<bool> {
        Ok(false)
    }

    /// What was removed so far.
    fn trimmed(&self) -> Trimmed {
        Trimmed::default()
    }

    /// How its connection has fared; a file has none.
    fn links(&self) -> LinkStats {
        LinkStats::default()
    }
}

/// How the connection to a database server has fared, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Connections that were made, the first one included.
    pub made: u64,
    /// Connections that broke, or were given up because the server did not answer in time.
    pub broken: u64,
    /// Attempts to make one that failed.
    pub refused: u64,
    /// Transactions that were tried again because of others: a deadlock, a lock that was held too long, a row that another one
    /// has just made.
    pub retried: u64,
}

/// Reads what was committed before each call. Never waits for a writer, and never writes.
pub trait MessageReader: Debug + Send {
    /// Messages with a `seq` beyond `after`, in order: at most `limit`, and at most about a MiB of text. A conversation
    /// that nobody knows is an empty one.
    ///
    /// # Errors
    /// As [`Error`] says.
    fn pull(&mut self, conversation: ConversationId, after: Seq, limit: u16) -> Result<Page>;

    /// The same for somebody who wishes to read it: `None` if that is a group of others.
    ///
    /// # Errors
    /// As [`Error`] says.
    fn pull_for(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        after: Seq,
        limit: u16,
    ) -> Result<Option<Page>>;

    /// The last `seq` of a conversation; zero if it has none.
    ///
    /// # Errors
    /// As [`Error`] says.
    fn head(&mut self, conversation: ConversationId) -> Result<Seq>;

    /// The last `seq` of a conversation for somebody who wishes to enter it: `None` if that is a group of others.
    ///
    /// # Errors
    /// As [`Error`] says.
    fn head_for(&mut self, conversation: ConversationId, user: UserId) -> Result<Option<Seq>>;

    /// A user's private conversations beyond `after` (the zero pair for the first page), by `(first, second)`, at most
    /// `limit`.
    ///
    /// # Errors
    /// As [`Error`] says.
    fn conversations(
        &mut self,
        user: UserId,
        after: ConversationId,
        limit: u16,
    ) -> Result<ConversationPage>;

    /// Serves a question that changes nothing.
    ///
    /// # Errors
    /// As [`Error`] says.
    fn serve(&mut self, ask: &Ask<'_>) -> Result<Served>;

    /// How its connection has fared; a file has none.
    fn links(&self) -> LinkStats {
        LinkStats::default()
    }
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

    /// Sets what is kept. `false` if this backend cannot keep to it: a database server's size is not ours to know, so there
    /// only ages count.
    pub const fn set_retention(&mut self, retention: Retention) -> bool {
        match self {
            Self::Sqlite(options) => {
                options.retention = retention;
                true
            }
            Self::Mysql(options) => {
                options.set_age_ms(retention.age_ms);
                retention.bytes.is_none()
            }
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

    fn trim(&mut self, now_ms: u64) -> Result<bool> {
        Self::trim(self, now_ms)
    }

    fn trimmed(&self) -> Trimmed {
        Self::trimmed(self)
    }
}

impl MessageReader for Reader {
    fn pull(&mut self, conversation: ConversationId, after: Seq, limit: u16) -> Result<Page> {
        Self::pull(self, conversation, after, limit)
    }

    fn pull_for(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        after: Seq,
        limit: u16,
    ) -> Result<Option<Page>> {
        Self::pull_for(self, conversation, user, after, limit)
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

/// What an operator says of where things are kept: `sqlite`, `memory` or the URL of a database.
///
/// Reading it never fails, because whatever reports a word that cannot be read repeats it, and there may be a password in
/// it. [`Self::place`] says what is wrong instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// In files of a directory.
    Sqlite,
    /// In memory.
    Memory,
    /// In a database that speaks the MySQL protocol; or why its URL is none.
    Mysql(Result<MysqlOptions>),
}

impl FromStr for StoreChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(match text {
            "sqlite" => Self::Sqlite,
            "memory" => Self::Memory,
            url => Self::Mysql(MysqlOptions::from_url(url)),
        })
    }
}

impl StoreChoice {
    /// Where that is, with the directory that was named beside it.
    ///
    /// # Errors
    /// `Refused` if it is nowhere: a URL that is none, files without a directory, memory.
    pub fn place(&self, data: Option<&Path>) -> Result<Place> {
        match (self, data) {
            (Self::Mysql(Ok(options)), _) => Ok(Place::Mysql(options.clone())),
            (Self::Mysql(Err(error)), _) => {
                Err(Error::refused(format!("--store: say sqlite, memory or a URL: {error}")))
            }
            (Self::Sqlite, Some(data)) => Ok(Place::Directory(data.to_owned())),
            (Self::Sqlite, None) => {
                Err(Error::refused("--store sqlite needs --data DIR; --store memory needs none"))
            }
            (Self::Memory, _) => {
                Err(Error::refused("--store memory keeps nothing: say --store sqlite"))
            }
        }
    }
}

/// Where accounts and messages are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In files of a directory. In memory where the directory is: it is as quick as that, and lasts as long.
    Directory(PathBuf),
    /// In one database that speaks the MySQL protocol.
    Mysql(MysqlOptions),
}

impl From<PathBuf> for Place {
    fn from(directory: PathBuf) -> Self {
        Self::Directory(directory)
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => Display::fmt(&directory.display(), f),
            Self::Mysql(options) => Display::fmt(options, f),
        }
    }
}

impl Place {
    /// Refuses a database server on another machine that is not reached inside TLS, unless `insecure` was said.
    ///
    /// # Errors
    /// `Refused`, with what to write instead.
    pub fn check_exposure(&self, insecure: bool) -> Result<()> {
        match self {
            Self::Mysql(options) if options.is_exposed() && !insecure => {
                Err(Error::refused(format!(
                    "{options} is on another machine, and what is said to it is not encrypted: put ?require_ssl=true behind \
                 the URL, or ?ca=FILE with the certificate of its own authority, or say --insecure"
                )))
            }
            Self::Mysql(_) | Self::Directory(_) => Ok(()),
        }
    }

    /// The messages, with the accounts at hand.
    #[must_use]
    pub fn messages(&self) -> Backend {
        match self {
            Self::Directory(directory) => {
                Backend::Sqlite(Options::messages_with_accounts(directory))
            }
            Self::Mysql(options) => Backend::Mysql(options.clone()),
        }
    }

    /// Opens the accounts, for the caller's thread.
    ///
    /// # Errors
    /// As [`Accounts::open`] and [`Accounts::open_mysql`].
    pub fn accounts(&self) -> Result<Accounts> {
        match self {
            Self::Directory(directory) => Accounts::open(&Options::accounts(directory)),
            Self::Mysql(options) => Accounts::open_mysql(options),
        }
    }

    /// Opens the accounts behind a queue.
    ///
    /// # Errors
    /// As [`AccountsService::start`] and [`AccountsService::start_mysql`].
    pub fn accounts_service(&self) -> Result<AccountsService> {
        match self {
            Self::Directory(directory) => AccountsService::start(&Options::accounts(directory)),
            Self::Mysql(options) => AccountsService::start_mysql(options),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_word_or_a_url_and_says_what_is_wrong_without_a_password() {
        let place = |text: &str, data: Option<&str>| {
            let choice: StoreChoice = text.parse().expect("it never fails");
            assert!(!format!("{choice:?}").contains("s3cret"));
            choice.place(data.map(Path::new))
        };
        assert_eq!(place("sqlite", Some("d")), Ok(Place::Directory("d".into())));
        assert!(place("sqlite", None).expect_err("no directory").to_string().contains("--data"));
        assert!(place("memory", None).is_err());
        let found = place("mysql://chat:s3cret@db/ringline", None).expect("a place");
        assert_eq!(found.to_string(), "mysql://chat@db:3306/ringline");
        assert_eq!(found.messages().name(), "mysql");
        for wrong in ["sqllite", "mysq://chat:s3cret@db/ringline", "mysql://chat:s3cret@db"] {
            let words = place(wrong, None).expect_err("wrong").to_string();
            assert!(words.contains("mysql://USER:") && !words.contains("s3cret"), "{words}");
        }
    }
}
