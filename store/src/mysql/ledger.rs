//! The services over the database: the writer's ledger, within its transaction, and the reader's.

use mysql_async::{Row, Value as Argument};
use wire::{ConversationId, Seq, SetProfile, UserId, limits::UNREAD_MAX};

use super::fault::{Done, Fault};
use super::link::Session;
use super::locks::Locks;
use super::places::{Places, bytes, int};
use crate::messages::{Appended, Record, RecordFault, as_first, as_second, numbers};
use crate::services::{Fields, Ledger, Lists, Locked, Profiled, Reads, Said, Value};

impl From<Value<'_>> for Argument {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Int(number) => Self::Int(number),
            Value::Text(text) => Self::Bytes(text.to_vec()),
        }
    }
}

impl Fields for Row {
    fn int(&self, column: usize) -> i64 {
        int(self, column)
    }
    fn text(&self, column: usize) -> &[u8] {
        bytes(self, column)
    }
}

fn arguments(values: &[Value<'_>]) -> Vec<Argument> {
    values.iter().map(|value| Argument::from(*value)).collect()
}

fn rows(
    sql: &mut Session<'_>,
    query: &str,
    values: &[Value<'_>],
    each: &mut dyn FnMut(&dyn Fields),
) -> Done<()> {
    sql.rows(query, arguments(values))?.iter().for_each(|row| each(row));
    Ok(())
}

/// The last `seq` of a conversation; zero if it has none.
pub(super) fn head(sql: &mut Session<'_>, conversation: ConversationId) -> Done<Seq> {
    let Some((first, second)) = numbers(conversation) else { return Ok(Seq(0)) };
    let row = sql.first(
        "SELECT head FROM conversations WHERE first = ? AND second = ?",
        vec![first.into(), second.into()],
    )?;
    Ok(Seq(row.map_or(0, |row| int(&row, 0).cast_unsigned())))
}

fn unread(
    sql: &mut Session<'_>,
    conversation: ConversationId,
    user: UserId,
    after: Seq,
) -> Done<u16> {
    let (Some((first, second)), Ok(after)) = (numbers(conversation), i64::try_from(after.0)) else {
        return Ok(0);
    };
    let said = sql.rows(
        "SELECT m.sender FROM conversations c JOIN messages m ON m.conversation = c.id
         WHERE c.first = ? AND c.second = ? AND m.seq > ? ORDER BY m.seq LIMIT ?",
        vec![first.into(), second.into(), after.into(), UNREAD_MAX.into()],
    )?;
    let others = said.iter().filter(|row| int(row, 0).cast_unsigned() != user.0).count();
    Ok(u16::try_from(others).unwrap_or(UNREAD_MAX))
}

/// Conversations in which the user is the higher number: they come first in the order of `(first, second)`.
const LOWER_PEERS: &str = "
SELECT first, second, head FROM conversations
WHERE second = ? AND first >= ? AND first < ? ORDER BY first LIMIT ?";

/// Conversations in which the user is the lower number, or both.
const HIGHER_PEERS: &str = "
SELECT first, second, head FROM conversations
WHERE first = ? AND second >= ? ORDER BY second LIMIT ?";

/// A user's private conversations beyond `after`, in the order of their numbers, at most `limit`.
pub(super) fn conversations(
    sql: &mut Session<'_>,
    user: UserId,
    after: ConversationId,
    limit: i64,
) -> Done<Vec<(ConversationId, Seq)>> {
    let mut heads = Vec::new();
    let Some(number) = i64::try_from(user.0).ok().filter(|number| *number > 0) else {
        return Ok(heads);
    };
    let head = |row: &Row| {
        let (first, second) = (int(row, 0).cast_unsigned(), int(row, 1).cast_unsigned());
        (ConversationId { first, second }, Seq(int(row, 2).cast_unsigned()))
    };
    if let Some(from) = as_second(user, after) {
        let values = vec![number.into(), from.into(), number.into(), limit.into()];
        heads.extend(sql.rows(LOWER_PEERS, values)?.iter().map(head));
    }
    let missing = limit - heads.len().cast_signed() as i64;
    if let Some(from) = as_first(user, after).filter(|_| missing > 0) {
        let values = vec![number.into(), from.into(), missing.into()];
        heads.extend(sql.rows(HIGHER_PEERS, values)?.iter().map(head));
    }
    Ok(heads)
}

/// The writer's: everything happens in its open transaction.
pub(super) struct WriteLedger<'a, 's> {
    pub(super) places: Places<'a, 's>,
    /// What this transaction has locked.
    pub(super) locks: Locks,
}

impl Reads for WriteLedger<'_, '_> {
    type Error = Fault;

    fn rows(
        &mut self,
        query: &'static str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Fields),
    ) -> Done<()> {
        rows(self.places.sql, query, values, each)
    }

    fn head(&mut self, conversation: ConversationId) -> Done<Seq> {
        head(self.places.sql, conversation)
    }

    fn unread(&mut self, conversation: ConversationId, user: UserId, after: Seq) -> Done<u16> {
        unread(self.places.sql, conversation, user, after)
    }
}

impl Ledger for WriteLedger<'_, '_> {
    fn execute(&mut self, statement: &'static str, values: &[Value<'_>]) -> Done<u64> {
        self.places.sql.execute(statement, arguments(values))
    }

    fn insert(&mut self, statement: &'static str, values: &[Value<'_>]) -> Done<i64> {
        self.places.sql.execute(statement, arguments(values))?;
        Ok(self.places.sql.last_number().cast_signed())
    }

    fn lock(&mut self, what: Locked) -> Done<()> {
        if self.locks.note(what) {
            return Ok(());
        }
        let (query, number) = match what {
            Locked::User(user) => {
                ("SELECT user_id FROM accounts WHERE user_id = ? FOR UPDATE", Some(user.0))
            }
            Locked::Group(group) => (
                "SELECT id FROM chat_groups WHERE id = ? FOR UPDATE",
                group.0.checked_sub(wire::GROUPS_FROM),
            ),
        };
        // A number that no row can have has nothing to be locked: what follows finds nobody.
        if let Some(Ok(number)) = number.map(i64::try_from) {
            self.places.sql.first(query, vec![number.into()])?;
        }
        Ok(())
    }

    fn set_profile(&mut self, user: i64, profile: &SetProfile<'_>) -> Done<Profiled> {
        let SetProfile { sex, nickname, description, avatar } = *profile;
        let found = self.places.sql.execute(
            "UPDATE profiles SET nickname = ?, description = ?, avatar = ?, sex = ? WHERE user_id = ?",
            vec![nickname.into(), description.into(), avatar.into(), sex.into(), user.into()],
        )?;
        Ok(if found > 0 { Profiled::Written } else { Profiled::NoUser })
    }

    fn open(&mut self, conversation: ConversationId) -> Done<Seq> {
        Ok(Seq(self.places.open(conversation)?.cast_unsigned()))
    }

    fn append(&mut self, record: &Record<'_>) -> Done<Result<Appended, RecordFault>> {
        let mut outcomes = self.places.append(std::slice::from_ref(record))?;
        outcomes.pop().ok_or(Fault::Stale("a record without an outcome"))
    }

    fn said(&mut self, conversation: ConversationId, seq: Seq) -> Done<Option<Said>> {
        let (Some((first, second)), Ok(seq)) = (numbers(conversation), i64::try_from(seq.0)) else {
            return Ok(None);
        };
        let row = self.places.sql.first(
            "SELECT m.sender, m.unix_ms, LENGTH(m.body)
             FROM conversations c JOIN messages m ON m.conversation = c.id
             WHERE c.first = ? AND c.second = ? AND m.seq = ?",
            vec![first.into(), second.into(), seq.into()],
        )?;
        Ok(row.map(|row| Said {
            from: UserId(int(&row, 0).cast_unsigned()),
            unix_ms: int(&row, 1).cast_unsigned(),
            is_revoked: int(&row, 2) == 0,
        }))
    }

    fn blank(&mut self, conversation: ConversationId, seq: Seq) -> Done<()> {
        let (Some((first, second)), Ok(seq)) = (numbers(conversation), i64::try_from(seq.0)) else {
            return Ok(());
        };
        self.places.sql.execute(
            "UPDATE conversations c JOIN messages m ON m.conversation = c.id SET m.body = ''
             WHERE c.first = ? AND c.second = ? AND m.seq = ?",
            vec![first.into(), second.into(), seq.into()],
        )?;
        Ok(())
    }
}

/// The reader's: everything as it was at one moment.
pub(super) struct ReadLedger<'a, 's>(pub(super) &'a mut Session<'s>);

impl Reads for ReadLedger<'_, '_> {
    type Error = Fault;

    fn rows(
        &mut self,
        query: &'static str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Fields),
    ) -> Done<()> {
        rows(self.0, query, values, each)
    }

    fn head(&mut self, conversation: ConversationId) -> Done<Seq> {
        head(self.0, conversation)
    }

    fn unread(&mut self, conversation: ConversationId, user: UserId, after: Seq) -> Done<u16> {
        unread(self.0, conversation, user, after)
    }
}

impl Lists for ReadLedger<'_, '_> {
    fn conversations(
        &mut self,
        user: UserId,
        after: ConversationId,
        limit: i64,
    ) -> Done<Vec<(ConversationId, Seq)>> {
        conversations(self.0, user, after, limit)
    }
}
