//! One record into the open transaction: find out whether it is known, give it its place, write it.
//!
//! Owns the statements of the hot path. An error here means that the whole transaction goes.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row};
use wire::{ConversationId, MessageId, Seq};

use super::backlog::Key;
use super::heads::Head;
use super::senders::Senders;
use super::writer::Memory;
use super::{Appended, Record, RecordFault, group_of, numbers};

type Outcome = Result<Appended, RecordFault>;

/// The statements, prepared once per connection and borrowed for one batch.
pub(super) struct Append<'a> {
    memory: &'a mut Memory,
    /// Client message ids of messages from before this time are free again.
    expired_ms: u64,
    find_conversation: CachedStatement<'a>,
    add_conversation: CachedStatement<'a>,
    add_message: CachedStatement<'a>,
    message: CachedStatement<'a>,
    place: CachedStatement<'a>,
    retry: CachedStatement<'a>,
    highest_number: CachedStatement<'a>,
    floor: CachedStatement<'a>,
    sql: &'a Connection,
}

/// A message that was there before, as far as it must be compared.
struct Known {
    appended: Appended,
    conversation: i64,
    sender: i64,
    client_message_id: i64,
    is_same_body: bool,
}

impl Known {
    /// Whether it is, or was until it was taken back, what is said now: no text is ever empty, so an emptied one is nobody
    /// else's.
    const fn has_its_body(&self) -> bool {
        self.is_same_body || self.appended.is_revoked
    }
}

impl<'a> Append<'a> {
    pub(super) fn new(
        sql: &'a Connection,
        memory: &'a mut Memory,
        expired_ms: u64,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            memory,
            expired_ms,
            find_conversation: sql.prepare_cached(
                "SELECT id, max(floor, coalesce((SELECT max(seq) FROM places WHERE conversation = c.id), 0))
                 FROM conversations c WHERE first = ?1 AND second = ?2",
            )?,
            add_conversation: sql
                .prepare_cached("INSERT INTO conversations (first, second) VALUES (?1, ?2)")?,
            add_message: sql.prepare_cached(
                "INSERT INTO messages (id, conversation, seq, message_id, sender, client_message_id,
                                       unix_ms, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            message: sql.prepare_cached(
                "SELECT seq, message_id, unix_ms, conversation, sender, client_message_id, body = ?2,
                        length(body) = 0
                 FROM messages WHERE id = ?1",
            )?,
            place: sql.prepare_cached(
                "SELECT message FROM places WHERE conversation = ?1 AND seq = ?2",
            )?,
            retry: sql.prepare_cached(
                "SELECT message FROM retries WHERE sender = ?1 AND client_message_id = ?2",
            )?,
            highest_number: Senders::ask(sql)?,
            floor: sql.prepare_cached("SELECT floor FROM conversations WHERE id = ?1")?,
            sql,
        })
    }

    /// Writes one record, unless it is known, in conflict or impossible.
    pub(super) fn record(&mut self, record: &Record<'_>) -> rusqlite::Result<Outcome> {
        let Some(numbers) = numbers(record.conversation) else {
            return Ok(Err(RecordFault::Refused));
        };
        match record.seq {
            None if !self.may_say(record)? => Ok(Err(RecordFault::NotMember)),
            None => self.next(record, numbers),
            Some(seq) => match i64::try_from(seq.0) {
                Ok(seq @ 1..) => self.placed(record, numbers, seq),
                Ok(_) | Err(_) => Ok(Err(RecordFault::Refused)),
            },
        }
    }

    /// Whether its sender may say it: in a group, a member as of this transaction. Whoever was put out may not have heard of
    /// it yet. What has its place was shown, so it is written whoever said it.
    fn may_say(&self, record: &Record<'_>) -> rusqlite::Result<bool> {
        let Some((group, user)) = group_of(record) else { return Ok(true) };
        let mut member = self
            .sql
            .prepare_cached("SELECT 1 FROM group_members WHERE group_id = ?1 AND user_id = ?2")?;
        member.exists((group, user))
    }

    /// A record that gets the next place, once.
    fn next(&mut self, record: &Record<'_>, numbers: (i64, i64)) -> rusqlite::Result<Outcome> {
        let number = number(record);
        if let Some(row) = self.row_of(number)? {
            let first = self.message.query_row((row, record.body), known).optional()?;
            let Some(first) = first else {
                // Somebody has removed the message by hand: one record must not stop all others for ever.
                return Ok(Err(RecordFault::Refused));
            };
            if first.appended.unix_ms >= self.expired_ms {
                return self.again(record, numbers, &first);
            }
        }
        let head = self.head(record.conversation, numbers)?;
        self.write(record, head, head.seq + 1)?;
        self.memory.backlog.add_number(number, self.last_row());
        Ok(Ok(fresh(record, head.seq + 1)))
    }

    /// A record whose place was given, and perhaps shown: it goes there even if its client message id is known.
    fn placed(
        &mut self,
        record: &Record<'_>,
        numbers: (i64, i64),
        seq: i64,
    ) -> rusqlite::Result<Outcome> {
        let head = self.head(record.conversation, numbers)?;
        // Beyond the last place nothing can be.
        let is_below = seq <= head.seq;
        if is_below && seq <= self.floor(head.row)? {
            // Nobody would see it, and retention would take it next: it was there, and has gone.
            return Ok(Ok(Appended { is_retry: true, ..fresh(record, seq) }));
        }
        let there = if is_below { self.row_at((head.row, seq))? } else { None };
        if let Some(row) = there {
            let there = self.message.query_row((row, record.body), known)?;
            let is_same =
                (there.sender, there.client_message_id) == number(record) && there.has_its_body();
            return Ok(if is_same { Ok(there.appended) } else { Err(RecordFault::Refused) });
        }
        let number = number(record);
        let is_known = match self.row_of(number)? {
            Some(row) => {
                let first = self.message.query_row((row, record.body), known).optional()?;
                first.is_some_and(|first| first.appended.unix_ms >= self.expired_ms)
            }
            None => false,
        };
        self.write(record, head, seq)?;
        if !is_known {
            self.memory.backlog.add_number(number, self.last_row());
        }
        Ok(Ok(fresh(record, seq)))
    }

    /// The answer to a record whose client message id was used within the time that it is kept.
    fn again(
        &mut self,
        record: &Record<'_>,
        numbers: (i64, i64),
        first: &Known,
    ) -> rusqlite::Result<Outcome> {
        let conversation = self.find(record.conversation, numbers)?;
        let is_same =
            first.has_its_body() && conversation.is_some_and(|head| head.row == first.conversation);
        Ok(if is_same { Ok(first.appended) } else { Err(RecordFault::Conflict) })
    }

    /// The row that a client message id stands for, expired or not.
    fn row_of(&mut self, number: Key) -> rusqlite::Result<Option<i64>> {
        let Memory { backlog, senders, .. } = &mut *self.memory;
        if let Some(row) = backlog.of_number(number) {
            return Ok(Some(row));
        }
        if !senders.may_have(&mut self.highest_number, number.0, number.1)? {
            return Ok(None);
        }
        self.retry.query_row(number, |row| row.get(0)).optional()
    }

    /// The last place that a conversation has lost.
    pub(super) fn floor(&mut self, conversation: i64) -> rusqlite::Result<i64> {
        self.floor.query_row([conversation], |row| row.get(0))
    }

    /// The row at a place.
    pub(super) fn row_at(&mut self, place: Key) -> rusqlite::Result<Option<i64>> {
        match self.memory.backlog.at_place(place) {
            Some(row) => Ok(Some(row)),
            None => self.place.query_row(place, |row| row.get(0)).optional(),
        }
    }

    /// The conversation's head; the conversation is made if it is new.
    pub(super) fn head(
        &mut self,
        conversation: ConversationId,
        numbers: (i64, i64),
    ) -> rusqlite::Result<Head> {
        if let Some(head) = self.find(conversation, numbers)? {
            return Ok(head);
        }
        let head = Head { row: self.add_conversation.insert(numbers)?, seq: 0 };
        self.memory.heads.set(conversation, head);
        Ok(head)
    }

    /// The conversation's head, if there is such a conversation.
    pub(super) fn find(
        &mut self,
        conversation: ConversationId,
        numbers: (i64, i64),
    ) -> rusqlite::Result<Option<Head>> {
        if let Some(head) = self.memory.heads.get(conversation) {
            return Ok(Some(head));
        }
        let indexed = self
            .find_conversation
            .query_row(numbers, |row| Ok(Head { row: row.get(0)?, seq: row.get(1)? }))
            .optional()?;
        let head = indexed.map(|Head { row, seq }| {
            let seq = seq.max(self.memory.backlog.last_seq(row));
            Head { row, seq }
        });
        if let Some(head) = head {
            self.memory.heads.set(conversation, head);
        }
        Ok(head)
    }

    /// Writes the message at a place that is free.
    fn write(&mut self, record: &Record<'_>, head: Head, seq: i64) -> rusqlite::Result<()> {
        let row = self.memory.next_row;
        self.add_message.execute((
            row,
            head.row,
            seq,
            record.message_id.0.cast_signed(),
            record.from.0.cast_signed(),
            record.client_message_id.0.cast_signed(),
            record.unix_ms.cast_signed(),
            record.body,
        ))?;
        self.memory.next_row += 1;
        self.memory.backlog.add_place((head.row, seq), row);
        self.memory.heads.set(record.conversation, Head { seq: head.seq.max(seq), ..head });
        Ok(())
    }

    /// The row that [`Self::write`] has just written.
    const fn last_row(&self) -> i64 {
        self.memory.next_row - 1
    }
}

const fn number(record: &Record<'_>) -> Key {
    (record.from.0.cast_signed(), record.client_message_id.0.cast_signed())
}

fn fresh(record: &Record<'_>, seq: i64) -> Appended {
    Appended {
        seq: Seq(seq.cast_unsigned()),
        message_id: record.message_id,
        unix_ms: record.unix_ms,
        is_retry: false,
        is_revoked: false,
    }
}

fn known(row: &Row<'_>) -> rusqlite::Result<Known> {
    Ok(Known {
        appended: Appended {
            seq: Seq(row.get::<_, i64>(0)?.cast_unsigned()),
            message_id: MessageId(row.get::<_, i64>(1)?.cast_unsigned()),
            unix_ms: row.get::<_, i64>(2)?.cast_unsigned(),
            is_retry: true,
            is_revoked: row.get(7)?,
        },
        conversation: row.get(3)?,
        sender: row.get(4)?,
        client_message_id: row.get(5)?,
        is_same_body: row.get(6)?,
    })
}
