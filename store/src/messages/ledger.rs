//! The services over SQLite: the writer's ledger, within its transaction, and the reader's.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{
    CachedStatement, Connection, OptionalExtension, Row, Rows, ToSql, params_from_iter,
};
use wire::{ConversationId, Seq, SetProfile, UserId, limits::UNREAD_MAX};

use super::append::Append;
use super::profiles::Profiles;
use super::reader::{Recent, conversations_of, head_of, row_of};
use super::{Appended, Record, RecordFault, numbers};
use crate::services::{Fields, Ledger, Lists, Locked, Profiled, Reads, Said, Value};

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Value::Int(number) => ValueRef::Integer(number),
            Value::Text(text) => ValueRef::Text(text),
        }))
    }
}

impl Fields for Row<'_> {
    fn int(&self, column: usize) -> i64 {
        self.get_ref(column).ok().and_then(|value| value.as_i64().ok()).unwrap_or_default()
    }
    fn text(&self, column: usize) -> &[u8] {
        self.get_ref(column).ok().and_then(|value| value.as_bytes().ok()).unwrap_or_default()
    }
}

fn statement<'a>(sql: &'a Connection, text: &str) -> rusqlite::Result<CachedStatement<'a>> {
    sql.prepare_cached(text)
}

fn rows(
    sql: &Connection,
    query: &str,
    arguments: &[Value<'_>],
    each: &mut dyn FnMut(&dyn Fields),
) -> rusqlite::Result<()> {
    let mut statement = statement(sql, query)?;
    let mut rows: Rows<'_> = statement.query(params_from_iter(arguments))?;
    while let Some(row) = rows.next()? {
        each(row);
    }
    Ok(())
}

/// A message by its row.
fn said(sql: &Connection, row: i64) -> rusqlite::Result<Option<Said>> {
    statement(sql, "SELECT sender, unix_ms, length(body) FROM messages WHERE id = ?1")?
        .query_row([row], |row| {
            Ok(Said {
                from: UserId(row.get::<_, i64>(0)?.cast_unsigned()),
                unix_ms: row.get::<_, i64>(1)?.cast_unsigned(),
                is_revoked: row.get::<_, i64>(2)? == 0,
            })
        })
        .optional()
}

/// The writer's: everything happens in its open transaction.
pub(super) struct WriteLedger<'a> {
    pub(super) sql: &'a Connection,
    pub(super) append: Append<'a>,
    pub(super) profiles: &'a mut Profiles,
}

impl WriteLedger<'_> {
    fn row_at(&mut self, conversation: ConversationId, seq: Seq) -> rusqlite::Result<Option<i64>> {
        let (Some(numbers), Ok(seq)) = (numbers(conversation), i64::try_from(seq.0)) else {
            return Ok(None);
        };
        match self.append.find(conversation, numbers)? {
            Some(head) if seq > self.append.floor(head.row)? => self.append.row_at((head.row, seq)),
            Some(_) | None => Ok(None),
        }
    }
}

impl Reads for WriteLedger<'_> {
    type Error = rusqlite::Error;

    fn rows(
        &mut self,
        query: &'static str,
        arguments: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Fields),
    ) -> rusqlite::Result<()> {
        rows(self.sql, query, arguments, each)
    }

    fn head(&mut self, conversation: ConversationId) -> rusqlite::Result<Seq> {
        let Some(numbers) = numbers(conversation) else { return Ok(Seq(0)) };
        let head = self.append.find(conversation, numbers)?;
        Ok(Seq(head.map_or(0, |head| head.seq.cast_unsigned())))
    }

    fn unread(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        after: Seq,
    ) -> rusqlite::Result<u16> {
        let Some(numbers) = numbers(conversation) else { return Ok(0) };
        let Some(head) = self.append.find(conversation, numbers)? else { return Ok(0) };
        // What is gone is not unread.
        let after = after.0.max(self.append.floor(head.row)?.cast_unsigned());
        let last = head.seq.cast_unsigned().min(after.saturating_add(UNREAD_MAX.into()));
        let mut unread = 0;
        for seq in after.saturating_add(1)..=last {
            let said = self.said(conversation, Seq(seq))?;
            unread += u16::from(said.is_some_and(|said| said.from != user));
        }
        Ok(unread)
    }
}

impl Ledger for WriteLedger<'_> {
    fn execute(&mut self, text: &'static str, arguments: &[Value<'_>]) -> rusqlite::Result<u64> {
        let changed = statement(self.sql, text)?.execute(params_from_iter(arguments))?;
        Ok(changed as u64)
    }

    fn insert(&mut self, text: &'static str, arguments: &[Value<'_>]) -> rusqlite::Result<i64> {
        statement(self.sql, text)?.insert(params_from_iter(arguments))
    }

    fn lock(&mut self, _: Locked) -> rusqlite::Result<()> {
        // Its transaction holds the file.
        Ok(())
    }

    fn set_profile(&mut self, user: i64, profile: &SetProfile<'_>) -> rusqlite::Result<Profiled> {
        Ok(self.profiles.set(user, profile))
    }

    fn open(&mut self, conversation: ConversationId) -> rusqlite::Result<Seq> {
        let Some(numbers) = numbers(conversation) else { return Ok(Seq(0)) };
        Ok(Seq(self.append.head(conversation, numbers)?.seq.cast_unsigned()))
    }

    fn append(&mut self, record: &Record<'_>) -> rusqlite::Result<Result<Appended, RecordFault>> {
        self.append.record(record)
    }

    fn said(&mut self, conversation: ConversationId, seq: Seq) -> rusqlite::Result<Option<Said>> {
        match self.row_at(conversation, seq)? {
            Some(row) => said(self.sql, row),
            None => Ok(None),
        }
    }

    fn blank(&mut self, conversation: ConversationId, seq: Seq) -> rusqlite::Result<()> {
        if let Some(row) = self.row_at(conversation, seq)? {
            statement(self.sql, "UPDATE messages SET body = x'' WHERE id = ?1")?.execute([row])?;
        }
        Ok(())
    }
}

/// The reader's: what was committed before its snapshot.
pub(super) struct ReadLedger<'a> {
    pub(super) sql: &'a Connection,
    pub(super) recent: &'a Recent,
}

impl Reads for ReadLedger<'_> {
    type Error = rusqlite::Error;

    fn rows(
        &mut self,
        query: &'static str,
        arguments: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Fields),
    ) -> rusqlite::Result<()> {
        rows(self.sql, query, arguments, each)
    }

    fn head(&mut self, conversation: ConversationId) -> rusqlite::Result<Seq> {
        head_of(self.sql, self.recent, conversation)
    }

    fn unread(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        after: Seq,
    ) -> rusqlite::Result<u16> {
        let Some(numbers) = numbers(conversation) else { return Ok(0) };
        let Some(conversation) = row_of(self.sql, numbers)? else { return Ok(0) };
        let mut unread = 0;
        let Ok(after) = i64::try_from(after.0) else { return Ok(0) };
        let places = self.recent.beyond(self.sql, conversation, after, usize::from(UNREAD_MAX))?;
        for (_, row) in places {
            let said = said(self.sql, row)?;
            unread += u16::from(said.is_some_and(|said| said.from != user));
        }
        Ok(unread)
    }
}

impl Lists for ReadLedger<'_> {
    fn conversations(
        &mut self,
        user: UserId,
        after: ConversationId,
        limit: i64,
    ) -> rusqlite::Result<Vec<(ConversationId, Seq)>> {
        conversations_of(self.sql, self.recent, user, after, limit)
    }
}
