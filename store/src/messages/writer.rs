//! The writer: one transaction per batch, one fsync per transaction.
//!
//! Owns the connection that writes and what it remembers between batches. Must never answer before the commit, and never
//! trust what it remembers after a transaction that failed or a commit of somebody else.

use rusqlite::{Connection, TransactionBehavior};
use wire::{Reject, Service};

use super::append::Append;
use super::backlog::Backlog;
use super::heads::Heads;
use super::ledger::WriteLedger;
use super::profiles::Profiles;
use super::senders::Senders;
use super::trim::{Step, Trim, Trimmed};
use super::{Appended, Record, RecordFault, Retention, ids, schema};
use crate::database::{Link, Options};
use crate::error::{Error, Result};
use crate::limits;
use crate::services::{Ask, Served, change};

/// What became of a batch: of each record, and of each question.
pub type Worked = (Vec<std::result::Result<Appended, RecordFault>>, Vec<Served>);

/// Appends messages. There should be one per file; a second one is safe, and slower.
#[derive(Debug)]
pub struct Writer {
    link: Link,
    profiles: Profiles,
    memory: Memory,
    /// Messages that are indexed together, and that go together.
    piece_messages: usize,
    retention: Retention,
    trimmed: Trimmed,
}

/// What is true of the file as of our last commit.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) heads: Heads,
    pub(super) senders: Senders,
    pub(super) backlog: Backlog,
    trim: Trim,
    /// The row of the next message.
    pub(super) next_row: i64,
    /// `PRAGMA data_version` of the connection when this was true; `None`: nothing is remembered.
    version: Option<i64>,
}

impl Writer {
    /// Opens the file; makes and migrates it as needed.
    ///
    /// # Errors
    /// `Refused` for a file of another kind or of a newer version, `Busy` if the disk or a lock is in the way.
    pub fn open(options: &Options) -> Result<Self> {
        let link = Link::write(options, schema::MESSAGES)?;
        let piece_messages = options.piece_messages.max(1);
        let profiles = Profiles::new(options);
        let (retention, trimmed) = (options.retention, Trimmed::default());
        let memory = Memory::default();
        Ok(Self { link, profiles, memory, piece_messages, retention, trimmed })
    }

    /// Appends all records in one transaction, in their order, and gives one result for each. When this returns, every
    /// `Ok` in it is on the disk.
    ///
    /// A record without a `seq` gets the next one of its conversation, or, if its client message id is known, the first
    /// place, id and time again. A record with a `seq` is written there whatever else is known, because it may have been
    /// shown there already: only the same message again changes nothing.
    ///
    /// # Errors
    /// Then nothing of the batch was acknowledged, and the same batch may be given again: what a broken commit has
    /// brought to the disk all the same is found as a retry. The writer opens its file again by itself.
    pub fn append_batch(
        &mut self,
        records: &[Record<'_>],
    ) -> Result<Vec<std::result::Result<Appended, RecordFault>>> {
        self.work(records, &[]).map(|(appended, _)| appended)
    }

    /// As [`Self::append_batch`], and serves what is asked, behind all records, in the same transaction. Gives one result
    /// for each record, and one for each question.
    ///
    /// # Errors
    /// As [`Self::append_batch`]; nothing that was asked has happened then either.
    pub fn work(&mut self, records: &[Record<'_>], asks: &[Ask<'_>]) -> Result<Worked> {
        let Self { link, profiles, memory, piece_messages, retention, .. } = self;
        let times = records.iter().map(|record| record.unix_ms);
        let Some(now) = times.chain(asks.iter().map(|ask| ask.unix_ms)).min() else {
            return Ok((Vec::new(), Vec::new()));
        };
        // By the batch's lowest time, so that one clock that runs ahead forgets nothing early.
        let expired_ms = now.saturating_sub(limits::RETRY_KEPT_MS);
        let mut is_begun = false;
        let result = link.run(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            is_begun = true;
            recall(&transaction, memory)?;
            let mut append = Append::new(&transaction, memory, expired_ms)?;
            let results =
                records.iter().map(|record| append.record(record)).collect::<rusqlite::Result<_>>();
            let results = results?;
            let mut ledger = WriteLedger { sql: &transaction, append, profiles };
            let served =
                asks.iter().map(|ask| change(&mut ledger, ask)).collect::<rusqlite::Result<_>>()?;
            drop(ledger);
            let Memory { backlog, senders, trim, next_row, .. } = &mut *memory;
            let count = records.len();
            backlog.work(&transaction, senders, count, *next_row - 1, *piece_messages)?;
            backlog.forget(&transaction, expired_ms, count, *piece_messages)?;
            let budget = (count * limits::TRIMMED_PER_RECORD).max(limits::TRIMMED_PER_COMMIT);
            let step = Step {
                retention: *retention,
                now_ms: now,
                budget,
                piece_messages: *piece_messages,
                is_idle: false,
            };
            let trimmed = trim.step(&transaction, backlog, &step)?;
            transaction.commit()?;
            Ok((results, served, trimmed))
        });
        if result.is_err() {
            self.profiles.roll_back();
            if is_begun {
                self.memory = Memory::default();
            }
        }
        let (results, mut served, trimmed): (_, Vec<Served>, _) = result?;
        if !self.profiles.commit() {
            for (ask, served) in asks.iter().zip(&mut served) {
                if is_profile(ask) && served.is_ok() {
                    *served = Err(Reject::Busy);
                }
            }
        }
        self.trimmed.add(trimmed);
        Ok((results, served))
    }

    /// Removes some of what retention does not keep, in a commit of its own: for when nobody writes. Gives whether there
    /// is more to do at once.
    ///
    /// # Errors
    /// As [`Error`] says; then nothing has gone.
    pub fn trim(&mut self, now_ms: u64) -> Result<bool> {
        let Self { link, memory, piece_messages, retention, .. } = self;
        if !retention.is_limited() {
            return Ok(false);
        }
        let step = Step {
            retention: *retention,
            now_ms,
            budget: limits::TRIMMED_PER_IDLE_STEP,
            piece_messages: *piece_messages,
            is_idle: true,
        };
        let mut is_begun = false;
        let result = link.run(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            is_begun = true;
            recall(&transaction, memory)?;
            let trimmed = memory.trim.step(&transaction, &mut memory.backlog, &step)?;
            transaction.commit()?;
            Ok(trimmed)
        });
        if result.is_err() && is_begun {
            self.memory = Memory::default();
        }
        let trimmed = result?;
        self.trimmed.add(trimmed);
        // After the end of a piece the next one is looked for.
        Ok(trimmed.steps > 0 || self.memory.trim.is_working())
    }

    /// What retention has removed since the file was opened.
    #[must_use]
    pub const fn trimmed(&self) -> Trimmed {
        self.trimmed
    }

    /// Changes what is kept.
    pub const fn set_retention(&mut self, retention: Retention) {
        self.retention = retention;
    }

    /// Leases one block of message ids per shard, for this start of the node: gives the first id of each. No id of a
    /// block was or will be given to anybody else.
    ///
    /// # Errors
    /// As [`Error`] says; `Refused` after some million leases.
    pub fn lease_id_blocks(&mut self, shards: u16) -> Result<Vec<u64>> {
        let (last, start) = self.link.run(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let last: i64 = transaction.query_row(
                "UPDATE counters SET value = value + ?1 WHERE name = 'id_blocks' RETURNING value",
                [shards],
                |row| row.get(0),
            )?;
            let start: i64 = transaction.query_row(
                "SELECT value FROM counters WHERE name = 'id_start'",
                [],
                |row| row.get(0),
            )?;
            transaction.commit()?;
            Ok((last.cast_unsigned(), start.cast_unsigned()))
        })?;
        let first = last - u64::from(shards) + 1;
        // A restored file has gone on in the upper half.
        let is_in_range = last < ids::DRAWN_FROM || first > ids::DRAWN_FROM;
        if !is_in_range || last >= limits::ID_BLOCKS_MAX {
            return Err(Error::refused("message ids are used up: begin a new data directory"));
        }
        Ok((first..=last).map(|block| (block << limits::ID_BLOCK_BITS) + start).collect())
    }

    /// Finds out whether the disk takes writes: writes some bytes, removes them, and commits that.
    ///
    /// # Errors
    /// As [`Error`] says: what an append would have met.
    pub fn probe(&mut self) -> Result<()> {
        self.link.probe()
    }

    /// Changes the byte limit of the file.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn set_bytes_max(&mut self, bytes_max: Option<u64>) -> Result<()> {
        self.link.set_bytes_max(bytes_max)
    }
}

const fn is_profile(ask: &Ask<'_>) -> bool {
    matches!(ask.service, Service::SetProfile(_))
}

/// Makes sure that what is remembered is what the file says.
fn recall(sql: &Connection, memory: &mut Memory) -> rusqlite::Result<()> {
    let version: i64 =
        sql.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
    if memory.version != Some(version) {
        *memory = Memory::default();
        memory.backlog = Backlog::load(sql)?;
        // Never a row that was used before, even if its message has gone since.
        memory.next_row = sql.query_row(
            "SELECT max((SELECT coalesce(max(id), 0) FROM messages), value) + 1 FROM counters
             WHERE name = 'trimmed'",
            [],
            |row| row.get(0),
        )?;
        memory.version = Some(version);
    }
    Ok(())
}
