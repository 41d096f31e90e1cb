//! Retention: the oldest messages leave, a bounded number of them with each commit.
//!
//! Messages lie in the order of their arrival, and that is the order in which they go. Their index entries are scattered,
//! so they are gathered first, a piece at a time, and removed in the order of the index; then the piece's messages go from
//! the front of their table. Before a conversation loses its first entry its *floor* is raised to the last place that it
//! will lose: what is at the floor or below is invisible from that commit on, and a conversation that has lost everything
//! still knows its last `seq`. So each commit leaves a state that may be read, and that a crash may leave behind: nothing
//! that is gathered needs to be durable, it is gathered again.
//!
//! Whoever says again what was deleted has no answer to hold on to and no history to find it in: its client message id
//! went with the message, so it is a new message then.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::Retention;
use super::backlog::{Backlog, counter, set_counter};
use crate::limits;

/// What retention has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Messages that are gone.
    pub messages: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// Commits that did some of this work, whatever part of it.
    pub steps: u64,
}

impl Trimmed {
    /// Adds what another step did.
    pub(crate) const fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.steps += other.steps;
    }
}

/// An index entry: two numbers that are its key, and the row that it points at.
type Entry = (i64, i64, i64);

/// How much a step may do, and what it is to be measured by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) retention: Retention,
    /// The time, in milliseconds since 1970.
    pub(super) now_ms: u64,
    /// Rows to look at or to remove.
    pub(super) budget: usize,
    /// Messages that go together.
    pub(super) piece_messages: usize,
    /// Whether to go on with a piece that is not full, because nobody waits.
    pub(super) is_idle: bool,
}

/// The messages that are about to go.
#[derive(Debug, Default)]
pub(super) struct Trim {
    places: BTreeSet<Entry>,
    numbers: BTreeSet<Entry>,
    /// The last row of the piece.
    last: i64,
    count: usize,
    /// About how many bytes of the file it has.
    bytes: u64,
    /// Gathering is over: entries and messages go.
    is_closed: bool,
    /// The conversation whose floor was raised for this piece last.
    raised: Option<i64>,
}

impl Trim {
    /// Does a bounded part of the work, in the open transaction.
    pub(super) fn step(
        &mut self,
        sql: &Connection,
        backlog: &mut Backlog,
        step: &Step,
    ) -> rusqlite::Result<Trimmed> {
        if !step.retention.is_limited() {
            return Ok(Trimmed::default());
        }
        let gone = counter(sql, "trimmed")?;
        if !self.is_closed {
            self.gather(sql, gone, step)?;
        }
        if !self.is_closed {
            return Ok(Trimmed::default());
        }
        let mut left = step.budget;
        self.clear_places(sql, backlog, &mut left)?;
        self.clear_numbers(sql, backlog, &mut left)?;
        let mut trimmed = Trimmed { steps: 1, ..Trimmed::default() };
        if self.places.is_empty() && self.numbers.is_empty() {
            self.delete(sql, gone, left, &mut trimmed)?;
        }
        Ok(trimmed)
    }

    /// Whether there is a piece under way.
    pub(super) const fn is_working(&self) -> bool {
        self.count > 0
    }

    /// Looks at the next messages in order of arrival, and closes the piece when it is full.
    fn gather(&mut self, sql: &Connection, gone: i64, step: &Step) -> rusqlite::Result<()> {
        let goal = bytes_goal(sql, step.retention)?;
        let expired_ms = step.retention.age_ms.map_or(0, |age| step.now_ms.saturating_sub(age));
        let purged = counter(sql, "retries_purged")?;
        let mut statement = sql.prepare_cached(
            "SELECT id, conversation, seq, sender, client_message_id, unix_ms, length(body)
             FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let most = step.budget.cast_signed() as i64;
        let mut rows = statement.query((self.last.max(gone), most))?;
        // Messages from the future tell nothing of their age: they go with what came after them. More of them in a row
        // than a step looks at stay until their time has come.
        let mut doubtful = Vec::new();
        let mut is_dry = true;
        while self.count < step.piece_messages
            && let Some(row) = rows.next()?
        {
            let id: i64 = row.get(0)?;
            let place = (row.get(1)?, row.get(2)?, id);
            let number = (id > purged).then_some((row.get(3)?, row.get(4)?, id));
            let unix_ms = row.get::<_, i64>(5)?.cast_unsigned();
            let bytes = row.get::<_, i64>(6)?.cast_unsigned() + limits::TRIMMED_ROW_BYTES;
            doubtful.push((place, number, bytes));
            if unix_ms < expired_ms || self.bytes < goal {
                doubtful.drain(..).for_each(|(place, number, bytes)| {
                    self.take(place, number, bytes);
                });
                is_dry = false;
            } else if unix_ms <= step.now_ms {
                break;
            }
        }
        let is_enough = goal > 0 && self.bytes >= goal;
        let is_full = self.count >= step.piece_messages || is_enough;
        self.is_closed = self.count > 0 && (is_full || step.is_idle && is_dry);
        Ok(())
    }

    fn take(&mut self, place: Entry, number: Option<Entry>, bytes: u64) {
        self.places.insert(place);
        self.numbers.extend(number);
        self.last = place.2;
        self.count += 1;
        self.bytes += bytes;
    }

    /// Removes places, lowest first, and raises the floor of each conversation before.
    fn clear_places(
        &mut self,
        sql: &Connection,
        backlog: &mut Backlog,
        left: &mut usize,
    ) -> rusqlite::Result<()> {
        let mut raise =
            sql.prepare_cached("UPDATE conversations SET floor = ?2 WHERE id = ?1 AND floor < ?2")?;
        let mut delete = sql.prepare_cached(
            "DELETE FROM places WHERE conversation = ?1 AND seq = ?2 AND message = ?3",
        )?;
        while *left > 0
            && let Some((conversation, seq, row)) = self.places.pop_first()
        {
            *left -= 1;
            if self.raised != Some(conversation) {
                let mut others = self.places.range(..=(conversation, i64::MAX, i64::MAX));
                let last = others.next_back().filter(|place| place.0 == conversation);
                raise.execute((conversation, last.map_or(seq, |place| place.1)))?;
                self.raised = Some(conversation);
            }
            delete.execute((conversation, seq, row))?;
            backlog.remove_place((conversation, seq), row);
        }
        Ok(())
    }

    /// Removes client message ids, unless they are another message's by now.
    fn clear_numbers(
        &mut self,
        sql: &Connection,
        backlog: &mut Backlog,
        left: &mut usize,
    ) -> rusqlite::Result<()> {
        let mut delete = sql.prepare_cached(
            "DELETE FROM retries WHERE sender = ?1 AND client_message_id = ?2 AND message = ?3",
        )?;
        while *left > 0
            && let Some((sender, number, row)) = self.numbers.pop_first()
        {
            *left -= 1;
            delete.execute((sender, number, row))?;
            backlog.remove_number((sender, number), row);
        }
        Ok(())
    }

    /// Removes messages from the front; a long one counts as the pages that it has.
    fn delete(
        &mut self,
        sql: &Connection,
        gone: i64,
        left: usize,
        trimmed: &mut Trimmed,
    ) -> rusqlite::Result<()> {
        let mut statement = sql.prepare_cached(
            "SELECT id, length(body) FROM messages WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
        )?;
        let mut rows = statement.query((gone, self.last, left.cast_signed() as i64))?;
        let (mut end, mut left, mut is_last) = (gone, left as u64, left > 0);
        while let Some(row) = rows.next()? {
            let bytes = row.get::<_, i64>(1)?.cast_unsigned();
            // One at least, however long it is.
            if left == 0 && trimmed.messages > 0 {
                is_last = false;
                break;
            }
            left = left.saturating_sub(1 + bytes / limits::PAGE_BYTES);
            end = row.get(0)?;
            is_last = end >= self.last || left > 0;
            trimmed.messages += 1;
            trimmed.bytes += bytes;
        }
        drop(rows);
        if end > gone {
            sql.prepare_cached("DELETE FROM messages WHERE id > ?1 AND id <= ?2")?
                .execute((gone, end))?;
            set_counter(sql, "trimmed", end)?;
        }
        if is_last {
            *self = Self::default();
        }
        Ok(())
    }
}

/// How many bytes a piece is to have because of the file's size: what is beyond the limit and a little more, so that
/// pieces are worth their while. Zero within the limit.
///
/// What counts are the pages in use: the disk is what runs out, the header of the file knows the figure, and nothing can
/// disagree with it. Pages that are free do not count, since what comes next is written there.
fn bytes_goal(sql: &Connection, retention: Retention) -> rusqlite::Result<u64> {
    let Some(limit) = retention.bytes else { return Ok(0) };
    let pragma = |text| -> rusqlite::Result<i64> {
        sql.prepare_cached(text)?.query_row([], |row| row.get(0))
    };
    let pages = pragma("PRAGMA page_count")? - pragma("PRAGMA freelist_count")?;
    let excess = (pages.cast_unsigned() * limits::PAGE_BYTES).saturating_sub(limit);
    Ok(if excess == 0 { 0 } else { excess + limit / limits::TRIMMED_AHEAD_PART })
}
