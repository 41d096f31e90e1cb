//! One record into the open transaction: find out whether it is known, give it its place, write it.
//!
//! Owns the statements of the hot path. An error here means that the whole transaction goes.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row};
use wire::{MessageId, Seq};

use super::heads::Head;
use super::writer::Memory;
use super::{Appended, Record, RecordFault, numbers};

type Outcome = Result<Appended, RecordFault>;

/// The statements, prepared once per connection and borrowed for one batch.
pub(super) struct Append<'a> {
    memory: &'a mut Memory,
    find_conversation: CachedStatement<'a>,
    add_conversation: CachedStatement<'a>,
    add_message: CachedStatement<'a>,
    message_at: CachedStatement<'a>,
    add_retry: CachedStatement<'a>,
    message_of_retry: CachedStatement<'a>,
}

/// A message that was there before, as far as it must be compared.
struct Known {
    appended: Appended,
    conversation: i64,
    sender: i64,
    client_message_id: i64,
    is_same_body: bool,
}

impl<'a> Append<'a> {
    pub(super) fn new(sql: &'a Connection, memory: &'a mut Memory) -> rusqlite::Result<Self> {
        Ok(Self {
            memory,
            find_conversation: sql.prepare_cached(
                "SELECT id, coalesce((SELECT max(seq) FROM messages WHERE conversation = c.id), 0)
                 FROM conversations c WHERE first = ?1 AND second = ?2",
            )?,
            add_conversation: sql
                .prepare_cached("INSERT INTO conversations (first, second) VALUES (?1, ?2)")?,
            add_message: sql.prepare_cached(
                "INSERT INTO messages (id, conversation, seq, message_id, sender, client_message_id,
                                       unix_ms, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (conversation, seq) DO NOTHING",
            )?,
            message_at: sql.prepare_cached(
                "SELECT seq, message_id, unix_ms, conversation, sender, client_message_id, body = ?3
                 FROM messages WHERE conversation = ?1 AND seq = ?2",
            )?,
            add_retry: sql.prepare_cached(
                "INSERT INTO retries (sender, client_message_id, message) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO NOTHING",
            )?,
            message_of_retry: sql.prepare_cached(
                "SELECT seq, message_id, unix_ms, conversation, m.sender, m.client_message_id, body = ?3
                 FROM retries r JOIN messages m ON m.id = r.message
                 WHERE r.sender = ?1 AND r.client_message_id = ?2",
            )?,
        })
    }

    /// Writes one record, unless it is known, in conflict or impossible.
    pub(super) fn record(&mut self, record: &Record<'_>) -> rusqlite::Result<Outcome> {
        let Some(numbers) = numbers(record.conversation) else {
            return Ok(Err(RecordFault::Refused));
        };
        match record.seq {
            None => self.next(record, numbers),
            Some(seq) => match i64::try_from(seq.0) {
                Ok(seq @ 1..) => self.placed(record, numbers, seq),
                Ok(_) | Err(_) => Ok(Err(RecordFault::Refused)),
            },
        }
    }

    /// A record that gets the next place, once.
    fn next(&mut self, record: &Record<'_>, numbers: (i64, i64)) -> rusqlite::Result<Outcome> {
        if !self.remember_retry(record)? {
            return self.known(record, numbers);
        }
        let head = self.head(record, numbers)?;
        let seq = head.seq + 1;
        if !self.write(record, head.row, seq)? {
            return Err(damaged("the place after a conversation's last message is taken"));
        }
        self.memory.heads.set(record.conversation, Head { seq, ..head });
        Ok(Ok(fresh(record, seq)))
    }

    /// A record whose place was given, and perhaps shown: it goes there even if its client message id is known.
    fn placed(
        &mut self,
        record: &Record<'_>,
        numbers: (i64, i64),
        seq: i64,
    ) -> rusqlite::Result<Outcome> {
        let head = self.head(record, numbers)?;
        if self.write(record, head.row, seq)? {
            self.memory.heads.set(record.conversation, Head { seq: head.seq.max(seq), ..head });
            // The row that `write` has just used.
            let row = self.memory.next_row - 1;
            self.add_retry.execute((
                record.from.0.cast_signed(),
                record.client_message_id.0.cast_signed(),
                row,
            ))?;
            return Ok(Ok(fresh(record, seq)));
        }
        let there = self.message_at.query_row((head.row, seq, record.body), known)?;
        let is_same = there.sender == record.from.0.cast_signed()
            && there.client_message_id == record.client_message_id.0.cast_signed()
            && there.is_same_body;
        Ok(if is_same { Ok(there.appended) } else { Err(RecordFault::Refused) })
    }

    /// Notes the client message id for the row to come; `false` if it is known already.
    fn remember_retry(&mut self, record: &Record<'_>) -> rusqlite::Result<bool> {
        let added = self.add_retry.execute((
            record.from.0.cast_signed(),
            record.client_message_id.0.cast_signed(),
            self.memory.next_row,
        ))?;
        Ok(added == 1)
    }

    /// The answer to a record whose client message id is known.
    fn known(&mut self, record: &Record<'_>, numbers: (i64, i64)) -> rusqlite::Result<Outcome> {
        let key =
            (record.from.0.cast_signed(), record.client_message_id.0.cast_signed(), record.body);
        let Some(first) = self.message_of_retry.query_row(key, known).optional()? else {
            // Somebody has removed the message by hand: one record must not stop all others for ever.
            return Ok(Err(RecordFault::Refused));
        };
        let conversation = self.find(record, numbers)?;
        let is_same =
            first.is_same_body && conversation.is_some_and(|head| head.row == first.conversation);
        Ok(if is_same { Ok(first.appended) } else { Err(RecordFault::Conflict) })
    }

    /// The conversation's head; the conversation is made if it is new.
    fn head(&mut self, record: &Record<'_>, numbers: (i64, i64)) -> rusqlite::Result<Head> {
        if let Some(head) = self.find(record, numbers)? {
            return Ok(head);
        }
        let head = Head { row: self.add_conversation.insert(numbers)?, seq: 0 };
        self.memory.heads.set(record.conversation, head);
        Ok(head)
    }

    fn find(&mut self, record: &Record<'_>, numbers: (i64, i64)) -> rusqlite::Result<Option<Head>> {
        if let Some(head) = self.memory.heads.get(record.conversation) {
            return Ok(Some(head));
        }
        let head = self
            .find_conversation
            .query_row(numbers, |row| Ok(Head { row: row.get(0)?, seq: row.get(1)? }))
            .optional()?;
        if let Some(head) = head {
            self.memory.heads.set(record.conversation, head);
        }
        Ok(head)
    }

    /// Writes the message; `false` if its place is taken.
    fn write(
        &mut self,
        record: &Record<'_>,
        conversation: i64,
        seq: i64,
    ) -> rusqlite::Result<bool> {
        let added = self.add_message.execute((
            self.memory.next_row,
            conversation,
            seq,
            record.message_id.0.cast_signed(),
            record.from.0.cast_signed(),
            record.client_message_id.0.cast_signed(),
            record.unix_ms.cast_signed(),
            record.body,
        ))?;
        if added == 1 {
            self.memory.next_row += 1;
        }
        Ok(added == 1)
    }
}

fn damaged(text: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(text.to_owned()))
}

fn fresh(record: &Record<'_>, seq: i64) -> Appended {
    Appended {
        seq: Seq(seq.cast_unsigned()),
        message_id: record.message_id,
        unix_ms: record.unix_ms,
        is_retry: false,
    }
}

fn known(row: &Row<'_>) -> rusqlite::Result<Known> {
    Ok(Known {
        appended: Appended {
            seq: Seq(row.get::<_, i64>(0)?.cast_unsigned()),
            message_id: MessageId(row.get::<_, i64>(1)?.cast_unsigned()),
            unix_ms: row.get::<_, i64>(2)?.cast_unsigned(),
            is_retry: true,
        },
        conversation: row.get(3)?,
        sender: row.get(4)?,
        client_message_id: row.get(5)?,
        is_same_body: row.get(6)?,
    })
}
