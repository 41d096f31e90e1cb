//! The writer: one transaction per batch, in statements over many rows; more than one only if very much is asked in it.
//!
//! Must never answer before the commit. Remembers nothing between batches that another node could change.

use wire::Reject;

use super::fault::Done;
use super::ledger::WriteLedger;
use super::link::{Begin, Link, Session};
use super::locks::Locks;
use super::options::MysqlOptions;
use super::places::{Memory, Places, remember};
use super::trim::Trim;
use crate::contract::{LinkStats, MessageWriter};
use crate::error::{Error, Result};
use crate::limits;
use crate::messages::{Record, Trimmed, Worked, block_bases};
use crate::services::{Ask, change};

/// Appends messages to a database that speaks the MySQL protocol. Many may do so at one time, of any number of nodes.
#[derive(Debug)]
pub struct MysqlWriter {
    link: Link,
    memory: Memory,
    /// Records since expired client message ids, and messages that are not kept, were last removed.
    unswept: u64,
    age_ms: Option<u64>,
    trim: Trim,
}

impl MysqlWriter {
    /// Connects, and brings the tables up to date.
    ///
    /// # Errors
    /// `Busy` if the server cannot be reached, `Refused` if it does not let us in or its tables are a newer version's.
    pub fn open(options: &MysqlOptions) -> Result<Self> {
        let (link, memory, trim) = (Link::open(options)?, Memory::default(), Trim::default());
        Ok(Self { link, memory, unswept: 0, age_ms: options.age_ms(), trim })
    }

    /// One transaction.
    fn commit(
        &mut self,
        records: &[Record<'_>],
        asks: &[Ask<'_>],
        expired_ms: u64,
    ) -> Result<Worked> {
        let Self { link, memory, .. } = self;
        let (worked, rows) = link.transact(Begin::Write, |sql| {
            let locks = Locks::of(asks);
            let mut places = Places::new(sql, memory, expired_ms);
            let said = records.iter().map(|record| record.conversation);
            places.lock_all(said, locks.conversations())?;
            locks.take(places.sql)?;
            let appended = places.append(records)?;
            let mut ledger = WriteLedger { places, locks };
            let served =
                asks.iter().map(|ask| change(&mut ledger, ask)).collect::<Done<Vec<_>>>()?;
            Ok(((appended, served), ledger.places.finish()?))
        })?;
        remember(memory, rows);
        self.unswept += records.len() as u64;
        Ok(worked)
    }

    /// Removes some client message ids that have expired, every so many records, twice as many as came since: between two
    /// transactions, so that no lock of a batch waits for it.
    fn sweep(&mut self, expired_ms: u64) {
        if self.unswept < limits::MYSQL_SWEEP_RECORDS {
            return;
        }
        let most = (2 * self.unswept).min(limits::MYSQL_SWEEP_MAX);
        let Ok(expired_ms) = i64::try_from(expired_ms) else { return };
        let swept = self.link.once(|sql| {
            // A time beyond all clocks is kept as a number below zero.
            sql.execute(
                "DELETE FROM retries WHERE unix_ms >= 0 AND unix_ms < ? ORDER BY unix_ms LIMIT ?",
                vec![expired_ms.into(), most.into()],
            )
        });
        if swept.is_ok() {
            self.unswept = 0;
        }
        // While nobody pauses, this is when retention gets on.
        let now_ms = expired_ms.cast_unsigned().saturating_add(limits::RETRY_KEPT_MS);
        let _ = MessageWriter::trim(self, now_ms); // As below.
        // Otherwise the batch that follows meets the same, and says so.
    }
}

impl MessageWriter for MysqlWriter {
    fn work(&mut self, records: &[Record<'_>], asks: &[Ask<'_>]) -> Result<Worked> {
        let times = records.iter().map(|record| record.unix_ms);
        let Some(now) = times.chain(asks.iter().map(|ask| ask.unix_ms)).min() else {
            return Ok((Vec::new(), Vec::new()));
        };
        // By the batch's lowest time, so that one clock that runs ahead forgets nothing early.
        let expired_ms = now.saturating_sub(limits::RETRY_KEPT_MS);
        self.sweep(expired_ms);
        let (asks, more) = asks.split_at(asks.len().min(limits::MYSQL_CHANGES_MAX));
        let (appended, mut served) = self.commit(records, asks, expired_ms)?;
        let mut is_well = true;
        for asks in more.chunks(limits::MYSQL_CHANGES_MAX) {
            let worked = if is_well { self.commit(&[], asks, expired_ms).ok() } else { None };
            is_well = worked.is_some();
            match worked {
                Some((_, more)) => served.extend(more),
                // What came before is done, so this is told to those who asked it, and the next batch meets the same.
                None => served.extend(asks.iter().map(|_| Err(Reject::Busy))),
            }
        }
        Ok((appended, served))
    }

    fn lease_id_blocks(&mut self, shards: u16) -> Result<Vec<u64>> {
        let last = self.link.once(|sql| {
            sql.execute(
                "UPDATE counters SET value = LAST_INSERT_ID(value + ?) WHERE name = 'id_blocks'",
                vec![shards.into()],
            )?;
            Ok(sql.last_number())
        })?;
        block_bases(last, shards)
    }

    fn trim(&mut self, now_ms: u64) -> Result<bool> {
        match self.age_ms {
            Some(age_ms) => self.trim.step(&mut self.link, age_ms, now_ms),
            None => Ok(false),
        }
    }

    fn trimmed(&self) -> Trimmed {
        self.trim.trimmed()
    }

    fn probe(&mut self) -> Result<()> {
        self.link.transact(Begin::Write, probe)
    }

    fn links(&self) -> LinkStats {
        self.link.stats()
    }
}

/// Writes some bytes and removes them.
pub(super) fn probe(sql: &mut Session<'_>) -> Done<()> {
    let bytes = vec![0; limits::PROBE_BYTES as usize];
    sql.execute("INSERT INTO probe (bytes) VALUES (?)", vec![bytes.into()])?;
    let row = sql.last_number();
    let gone = sql.execute("DELETE FROM probe WHERE id = ?", vec![row.into()])?;
    if gone == 1 {
        Ok(())
    } else {
        Err(Error::busy("the database does not keep what is written").into())
    }
}
