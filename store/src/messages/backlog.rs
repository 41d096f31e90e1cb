//! What the indexes lag behind: the messages after the last one that was indexed, found in memory meanwhile.
//!
//! A message is written once, behind all others. Its place and its client message id go into their indexes later, with
//! many others, in the order of the index, so that neighbours share pages: written one by one, each would cost two pages
//! of log. Nothing here is needed to be durable: whatever is not in the indexes is read from the messages again.

use std::collections::{BTreeMap, btree_map};

use rusqlite::Connection;

use super::senders::Senders;
use crate::limits;

/// Two numbers of an index, as SQLite orders them: conversation and seq, or sender and client message id.
pub(super) type Key = (i64, i64);

/// Messages by their keys: the rows that both indexes are to point at.
#[derive(Debug, Default)]
struct Unindexed {
    places: BTreeMap<Key, i64>,
    numbers: BTreeMap<Key, i64>,
}

/// A full piece on its way into the indexes.
#[derive(Debug)]
struct Piece {
    /// What is left of it.
    left: Unindexed,
    /// Its last row.
    last: i64,
}

/// Client message ids that have expired, on their way out of their index.
#[derive(Debug, Default)]
struct Expired {
    left: BTreeMap<Key, i64>,
    /// The last row that was looked at.
    last: i64,
    is_full: bool,
}

/// What is not in the indexes yet, and what should not be in them any more.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    tail: Unindexed,
    piece: Option<Piece>,
    expired: Expired,
    /// The last row that is in the indexes, with all before it.
    indexed: i64,
}

impl Backlog {
    /// Reads from the file what is not indexed.
    pub(super) fn load(sql: &Connection) -> rusqlite::Result<Self> {
        let (indexed, last) = (counter(sql, "indexed")?, counter(sql, "retries_purged")?);
        let expired = Expired { last, ..Expired::default() };
        let mut backlog = Self { indexed, expired, ..Self::default() };
        let mut times = BTreeMap::new();
        let mut statement = sql.prepare_cached(
            "SELECT id, conversation, seq, sender, client_message_id, unix_ms FROM messages
             WHERE id > ?1 ORDER BY id",
        )?;
        let mut rows = statement.query([indexed])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            backlog.add_place((row.get(1)?, row.get(2)?), id);
            let (number, time) =
                ((row.get(3)?, row.get(4)?), row.get::<_, i64>(5)?.cast_unsigned());
            // The first one keeps the number, unless it had expired when the next one came.
            let is_free = times
                .get(&number)
                .is_none_or(|first: &u64| first.saturating_add(limits::RETRY_KEPT_MS) < time);
            if is_free {
                times.insert(number, time);
                backlog.add_number(number, id);
            }
        }
        Ok(backlog)
    }

    /// The row at a place, if the index may not have it yet.
    pub(super) fn at_place(&self, place: Key) -> Option<i64> {
        self.both().find_map(|part| part.places.get(&place).copied())
    }

    /// The row of a client message id, if the index may not have it yet.
    pub(super) fn of_number(&self, number: Key) -> Option<i64> {
        self.both().find_map(|part| part.numbers.get(&number).copied())
    }

    /// The last seq of a conversation among what the index may not have yet; zero if there is none.
    pub(super) fn last_seq(&self, conversation: i64) -> i64 {
        let of_part = |part: &Unindexed| last_seq(&part.places, conversation);
        self.both().map(of_part).max().unwrap_or(0)
    }

    /// The newer part first: what is in it goes before what is in the other one.
    fn both(&self) -> impl Iterator<Item = &Unindexed> {
        std::iter::once(&self.tail).chain(self.piece.as_ref().map(|piece| &piece.left))
    }

    /// Notes the place of a message that was just written.
    pub(super) fn add_place(&mut self, place: Key, row: i64) {
        self.tail.places.insert(place, row);
    }

    /// Notes the client message id of a message that was just written.
    pub(super) fn add_number(&mut self, number: Key, row: i64) {
        self.tail.numbers.insert(number, row);
    }

    /// Forgets the place of a message that goes, so that it will not come into the index any more.
    pub(super) fn remove_place(&mut self, place: Key, row: i64) {
        if row > self.indexed {
            self.both_mut().for_each(|part| remove(&mut part.places, place, row));
        }
    }

    /// Forgets the client message id of a message that goes, unless it is another message's by now.
    pub(super) fn remove_number(&mut self, number: Key, row: i64) {
        if row > self.indexed {
            self.both_mut().for_each(|part| remove(&mut part.numbers, number, row));
        }
    }

    fn both_mut(&mut self) -> impl Iterator<Item = &mut Unindexed> {
        std::iter::once(&mut self.tail).chain(self.piece.as_mut().map(|piece| &mut piece.left))
    }

    /// Does some of the work, in proportion to the records that came: enough that a piece is done before the next one is
    /// full. `last_row` is the last message's.
    pub(super) fn work(
        &mut self,
        sql: &Connection,
        senders: &mut Senders,
        records: usize,
        last_row: i64,
        piece_messages: usize,
    ) -> rusqlite::Result<()> {
        if self.piece.is_none() && self.tail.places.len() >= piece_messages {
            self.piece = Some(Piece { left: std::mem::take(&mut self.tail), last: last_row });
        }
        let Some(piece) = &mut self.piece else { return Ok(()) };
        let most = records.saturating_mul(limits::INDEXED_PER_RECORD);
        let mut add = sql.prepare_cached(
            "INSERT INTO places (conversation, seq, message) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
        )?;
        for ((conversation, seq), row) in taken(&mut piece.left.places, most) {
            add.execute((conversation, seq, row))?;
        }
        // What is there is older: it had expired, or this very row was indexed before a crash.
        let mut add = sql.prepare_cached(
            "INSERT INTO retries (sender, client_message_id, message) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET message = excluded.message",
        )?;
        for ((sender, number), row) in taken(&mut piece.left.numbers, most) {
            add.execute((sender, number, row))?;
            senders.note_indexed(sender, number);
        }
        if piece.left.places.is_empty() && piece.left.numbers.is_empty() {
            self.indexed = piece.last;
            self.piece = None;
            set_counter(sql, "indexed", self.indexed)?;
        }
        Ok(())
    }

    /// Takes some client message ids out of the index whose messages are from before `expired_ms`: found in order of
    /// arrival, up to the first that is still to be kept, and removed in the order of the index.
    pub(super) fn forget(
        &mut self,
        sql: &Connection,
        expired_ms: u64,
        records: usize,
        piece_messages: usize,
    ) -> rusqlite::Result<()> {
        if !self.expired.is_full {
            self.expired.is_full = self.find_expired(sql, expired_ms, records, piece_messages)?;
        }
        if !self.expired.is_full {
            return Ok(());
        }
        let most = records.saturating_mul(limits::INDEXED_PER_RECORD);
        let mut delete = sql.prepare_cached(
            "DELETE FROM retries WHERE sender = ?1 AND client_message_id = ?2 AND message = ?3",
        )?;
        for ((sender, number), row) in taken(&mut self.expired.left, most) {
            delete.execute((sender, number, row))?;
        }
        if self.expired.left.is_empty() {
            self.expired.is_full = false;
            set_counter(sql, "retries_purged", self.expired.last)?;
        }
        Ok(())
    }

    /// Gathers what has expired; `true` when there is a piece of it.
    fn find_expired(
        &mut self,
        sql: &Connection,
        expired_ms: u64,
        records: usize,
        piece_messages: usize,
    ) -> rusqlite::Result<bool> {
        let room = piece_messages.saturating_sub(self.expired.left.len());
        let most = records.saturating_mul(limits::EXPIRED_PER_RECORD).min(room);
        let mut statement = sql.prepare_cached(
            "SELECT id, sender, client_message_id, unix_ms FROM messages WHERE id > ?1 AND id <= ?2
             ORDER BY id LIMIT ?3",
        )?;
        let mut rows =
            statement.query((self.expired.last, self.indexed, most.cast_signed() as i64))?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            if row.get::<_, i64>(3)?.cast_unsigned() >= expired_ms {
                break;
            }
            // A number that was used again is found by the row that it points at.
            self.expired.left.insert((row.get(1)?, row.get(2)?), id);
            self.expired.last = id;
        }
        Ok(self.expired.left.len() >= piece_messages)
    }
}

/// The last seq of a conversation in a map of places; zero if it has none there.
pub(super) fn last_seq(places: &BTreeMap<Key, i64>, conversation: i64) -> i64 {
    let of_conversation = (conversation, 0)..=(conversation, i64::MAX);
    places.range(of_conversation).next_back().map_or(0, |((_, seq), _)| *seq)
}

/// Removes an entry if it points at a row.
fn remove(map: &mut BTreeMap<Key, i64>, key: Key, row: i64) {
    if map.get(&key) == Some(&row) {
        map.remove(&key);
    }
}

/// Takes the first `most` entries out of a map, in order.
fn taken(map: &mut BTreeMap<Key, i64>, most: usize) -> impl Iterator<Item = (Key, i64)> {
    std::iter::from_fn(move || map.first_entry().map(btree_map::OccupiedEntry::remove_entry))
        .take(most)
}

pub(super) fn counter(sql: &Connection, name: &str) -> rusqlite::Result<i64> {
    sql.prepare_cached("SELECT value FROM counters WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
}

pub(super) fn set_counter(sql: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    sql.prepare_cached("UPDATE counters SET value = ?2 WHERE name = ?1")?
        .execute((name, value))
        .map(drop)
}
