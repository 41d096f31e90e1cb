//! Records into the open transaction: lock their conversations, find out what is known, give places, write.
//!
//! Must look for known client message ids only once the conversations are locked: of two nodes that get the same message
//! at one time, the second one then sees the first one's. Must lock conversations in the order of their rows, so that two
//! nodes wait in one line.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use mysql_async::{Row, Value};
use wire::{ConversationId, MessageId, Seq};

use super::fault::{Done, Fault};
use super::link::Session;
use super::statement::{Rows, lists, tuples};
use crate::limits;
use crate::messages::{Appended, Record, RecordFault, group_of, numbers};

type Outcome = Result<Appended, RecordFault>;

/// Sender and client message id.
type Number = (i64, i64);

/// A place: a conversation's row and a `seq`.
type Place = (i64, i64);

/// The rows of conversations: they never change, so they are remembered between batches. SipHash, because peers choose
/// room numbers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    rows: HashMap<ConversationId, i64>,
}

impl Memory {
    fn remember(&mut self, conversation: ConversationId, row: i64) {
        if self.rows.len() >= limits::HEADS_MAX && !self.rows.contains_key(&conversation) {
            self.rows.clear();
        }
        self.rows.insert(conversation, row);
    }
}

/// A conversation that this transaction has locked.
#[derive(Clone, Copy, Debug)]
struct Head {
    row: i64,
    seq: i64,
    /// Whether this transaction has made it.
    is_made: bool,
    /// Whether it stays even if nothing is said in it.
    is_wanted: bool,
    /// Whether `seq` is to be written.
    is_raised: bool,
}

/// What a client message id stands for, or what is at a place.
#[derive(Clone, Debug)]
struct Known<'r> {
    appended: Appended,
    conversation: i64,
    number: Number,
    body: Cow<'r, [u8]>,
}

impl Known<'_> {
    /// Whether it has this text, or had one that was taken back: no text is ever empty, so an emptied one is nobody else's.
    fn has_body(&self, body: &[u8]) -> bool {
        *self.body == *body || self.appended.is_revoked
    }
}

/// The messages within an open transaction.
#[derive(Debug)]
pub(super) struct Places<'a, 's> {
    pub(super) sql: &'a mut Session<'s>,
    memory: &'a mut Memory,
    heads: HashMap<ConversationId, Head>,
    /// Client message ids of messages from before this time are free again.
    expired_ms: u64,
}

/// One batch on its way.
struct Batch<'r> {
    /// Groups and users who say something in them without being members.
    strangers: HashSet<(i64, i64)>,
    known: HashMap<Number, Option<Known<'r>>>,
    /// What the batch itself has put somewhere.
    placed: HashMap<Place, Known<'r>>,
    messages: Vec<(Place, [Value; 7])>,
    retries: Vec<[Value; 5]>,
    /// Client message ids that are free again, and still there.
    freed: Vec<Number>,
}

impl<'a, 's> Places<'a, 's> {
    pub(super) fn new(sql: &'a mut Session<'s>, memory: &'a mut Memory, expired_ms: u64) -> Self {
        Self { sql, memory, heads: HashMap::new(), expired_ms }
    }

    /// Writes records, in their order, unless they are known, in conflict or impossible.
    pub(super) fn append(&mut self, records: &[Record<'_>]) -> Done<Vec<Outcome>> {
        // A batch has locked them before, together with what its services need.
        self.lock(records.iter().map(|record| record.conversation))?;
        let mut batch = Batch {
            strangers: self.strangers(records)?,
            known: self.known(records)?,
            placed: HashMap::new(),
            messages: Vec::new(),
            retries: Vec::new(),
            freed: Vec::new(),
        };
        let outcomes = records
            .iter()
            .map(|record| self.record(record, &mut batch))
            .collect::<Done<Vec<Outcome>>>()?;
        self.write(batch)?;
        Ok(outcomes)
    }

    /// Makes a conversation unless it is there; gives its last `seq`.
    pub(super) fn open(&mut self, conversation: ConversationId) -> Done<i64> {
        self.lock(std::iter::once(conversation))?;
        let Some(head) = self.heads.get_mut(&conversation) else { return Ok(0) };
        head.is_wanted = true;
        Ok(head.seq)
    }

    /// The transaction's end: what it made for nothing is removed again. Gives the rows to remember once it is committed.
    pub(super) fn finish(mut self) -> Done<Vec<(ConversationId, i64)>> {
        let is_idle = |head: &Head| head.is_made && !head.is_wanted && head.seq == 0;
        let idle: Vec<i64> =
            self.heads.values().filter(|head| is_idle(head)).map(|head| head.row).collect();
        for row in idle {
            self.sql.execute("DELETE FROM conversations WHERE id = ?", vec![row.into()])?;
        }
        self.heads.retain(|_, head| !is_idle(head));
        Ok(self.heads.into_iter().map(|(conversation, head)| (conversation, head.row)).collect())
    }

    /// Locks conversations, and makes those that are not there.
    fn lock(&mut self, wanted: impl Iterator<Item = ConversationId>) -> Done<()> {
        self.lock_all(wanted, &[])
    }

    /// The same; and locks others that may be needed, if they are there: making them for what may be refused would be in
    /// everybody's way.
    pub(super) fn lock_all(
        &mut self,
        wanted: impl Iterator<Item = ConversationId>,
        others: &[ConversationId],
    ) -> Done<()> {
        let mut wanted: Vec<ConversationId> = wanted
            .chain(others.iter().copied())
            .filter(|wanted| numbers(*wanted).is_some() && !self.heads.contains_key(wanted))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut rows: HashMap<i64, ConversationId> = HashMap::new();
        let mut unknown = Vec::new();
        for conversation in wanted {
            match self.memory.rows.get(&conversation) {
                Some(row) => drop(rows.insert(*row, conversation)),
                None => unknown.push(conversation),
            }
        }
        rows.extend(self.find(&unknown)?);
        let found: HashSet<ConversationId> = rows.values().copied().collect();
        unknown.retain(|one| !found.contains(one) && !others.contains(one));
        self.make(&unknown)?;
        let mut ids: Vec<[i64; 1]> = rows.keys().map(|row| [*row]).collect();
        ids.sort_unstable();
        for (size, list) in lists(&ids) {
            let query = format!(
                "SELECT id, head FROM conversations WHERE id IN ({}) ORDER BY id FOR UPDATE",
                tuples(size, 1)
            );
            for row in self.sql.rows(&query, list)? {
                let (row, seq) = (int(&row, 0), int(&row, 1));
                let Some(conversation) = rows.remove(&row) else { continue };
                let head = Head { row, seq, is_made: false, is_wanted: true, is_raised: false };
                self.heads.insert(conversation, head);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        // What is remembered is not true any more: a backup was restored.
        self.memory.rows.clear();
        Err(Fault::Stale("conversations were removed by hand"))
    }

    /// The rows of conversations, of those that are there.
    fn find(&mut self, conversations: &[ConversationId]) -> Done<Vec<(i64, ConversationId)>> {
        let keys: Vec<[i64; 2]> =
            conversations.iter().filter_map(|one| numbers(*one)).map(<[i64; 2]>::from).collect();
        let mut found = Vec::new();
        for (size, list) in lists(&keys) {
            let query = format!(
                "SELECT id, first, second FROM conversations WHERE (first, second) IN ({})",
                tuples(size, 2)
            );
            found.extend(self.sql.rows(&query, list)?.iter().map(|row| {
                let (first, second) = (int(row, 1).cast_unsigned(), int(row, 2).cast_unsigned());
                (int(row, 0), ConversationId { first, second })
            }));
        }
        Ok(found)
    }

    /// Makes conversations; if somebody else has just made one of them, the whole transaction is tried again.
    fn make(&mut self, conversations: &[ConversationId]) -> Done<()> {
        if conversations.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(3);
        for (first, second) in conversations.iter().filter_map(|one| numbers(*one)) {
            rows.push([first.into(), second.into(), 0.into()]);
        }
        self.sql.insert("INSERT INTO conversations (first, second, head) VALUES", rows, "")?;
        for (row, conversation) in self.find(conversations)? {
            let head = Head { row, seq: 0, is_made: true, is_wanted: false, is_raised: false };
            self.heads.insert(conversation, head);
        }
        Ok(())
    }

    /// Those of the senders in groups who are no members there. Whoever is one stays one until this transaction ends: so
    /// nothing is said in a group by somebody whom another node has put out of it before.
    fn strangers(&mut self, records: &[Record<'_>]) -> Done<HashSet<(i64, i64)>> {
        let mut strangers: HashSet<(i64, i64)> = records.iter().filter_map(group_of).collect();
        let mut keys: Vec<[i64; 2]> = strangers.iter().map(|key| <[i64; 2]>::from(*key)).collect();
        // Each node locks them in this order.
        keys.sort_unstable();
        for (size, list) in lists(&keys) {
            let query = format!(
                "SELECT group_id, user_id FROM group_members WHERE (group_id, user_id) IN ({})
                 ORDER BY group_id, user_id LOCK IN SHARE MODE",
                tuples(size, 2)
            );
            for row in self.sql.rows(&query, list)? {
                strangers.remove(&(int(&row, 0), int(&row, 1)));
            }
        }
        Ok(strangers)
    }

    /// What the records' client message ids stand for; `None` for a message that somebody has removed by hand.
    fn known<'r>(&mut self, records: &[Record<'_>]) -> Done<HashMap<Number, Option<Known<'r>>>> {
        let mut keys: Vec<[i64; 2]> = records.iter().map(|record| number(record).into()).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut known = HashMap::new();
        for (size, list) in lists(&keys) {
            let query = format!(
                "SELECT r.sender, r.client_message_id, m.conversation, m.seq, m.message_id, m.unix_ms, m.body
                 FROM retries r LEFT JOIN messages m ON m.conversation = r.conversation AND m.seq = r.seq
                 WHERE (r.sender, r.client_message_id) IN ({})",
                tuples(size, 2)
            );
            for row in self.sql.rows(&query, list)? {
                let number = (int(&row, 0), int(&row, 1));
                let is_there = !matches!(row.as_ref(2), None | Some(Value::NULL));
                known.insert(number, is_there.then(|| of_row(&row, number)));
            }
        }
        Ok(known)
    }

    fn record<'r>(&mut self, record: &Record<'r>, batch: &mut Batch<'r>) -> Done<Outcome> {
        let Some(head) = self.heads.get(&record.conversation).copied() else {
            return Ok(Err(RecordFault::Refused));
        };
        match record.seq {
            None if group_of(record).is_some_and(|key| batch.strangers.contains(&key)) => {
                Ok(Err(RecordFault::NotMember))
            }
            None => Ok(self.next(record, head, batch)),
            Some(seq) => match i64::try_from(seq.0) {
                Ok(seq @ 1..) => self.placed(record, head, seq, batch),
                Ok(_) | Err(_) => Ok(Err(RecordFault::Refused)),
            },
        }
    }

    /// A record that gets the next place, once.
    fn next<'r>(&mut self, record: &Record<'r>, head: Head, batch: &mut Batch<'r>) -> Outcome {
        match batch.known.get(&number(record)) {
            // One record must not stop all others for ever because its message is gone.
            Some(None) => return Err(RecordFault::Refused),
            Some(Some(first)) if first.appended.unix_ms >= self.expired_ms => {
                let is_same = first.has_body(record.body) && first.conversation == head.row;
                return if is_same { Ok(first.appended) } else { Err(RecordFault::Conflict) };
            }
            Some(Some(_)) => batch.freed.push(number(record)),
            None => {}
        }
        Ok(self.put(record, head, head.seq + 1, true, batch))
    }

    /// A record whose place was given, and perhaps shown: it goes there even if its client message id is known.
    fn placed<'r>(
        &mut self,
        record: &Record<'r>,
        head: Head,
        seq: i64,
        batch: &mut Batch<'r>,
    ) -> Done<Outcome> {
        // Beyond the last place nothing can be.
        let there = match batch.placed.get(&(head.row, seq)) {
            Some(there) => Some(there.clone()),
            None if seq > head.seq => None,
            None => self.at((head.row, seq))?,
        };
        if let Some(there) = there {
            let is_same = there.number == number(record) && there.has_body(record.body);
            return Ok(if is_same { Ok(there.appended) } else { Err(RecordFault::Refused) });
        }
        let is_free = match batch.known.get(&number(record)) {
            Some(Some(first)) if first.appended.unix_ms >= self.expired_ms => false,
            Some(_) => {
                batch.freed.push(number(record));
                true
            }
            None => true,
        };
        Ok(Ok(self.put(record, head, seq, is_free, batch)))
    }

    /// Puts a message at a place that is free; `is_first`: its client message id stands for it from now on.
    fn put<'r>(
        &mut self,
        record: &Record<'r>,
        head: Head,
        seq: i64,
        is_first: bool,
        batch: &mut Batch<'r>,
    ) -> Appended {
        let place = (head.row, seq);
        let (sender, client_message_id) = number(record);
        let unix_ms = record.unix_ms.cast_signed();
        batch.messages.push((
            place,
            [
                head.row.into(),
                seq.into(),
                record.message_id.0.cast_signed().into(),
                sender.into(),
                client_message_id.into(),
                unix_ms.into(),
                Value::Bytes(record.body.to_vec()),
            ],
        ));
        let appended = Appended {
            seq: Seq(seq.cast_unsigned()),
            message_id: record.message_id,
            unix_ms: record.unix_ms,
            is_retry: false,
            is_revoked: false,
        };
        let known = Known {
            appended: Appended { is_retry: true, ..appended },
            conversation: head.row,
            number: number(record),
            body: Cow::Borrowed(record.body),
        };
        if is_first {
            batch.retries.push([
                sender.into(),
                client_message_id.into(),
                head.row.into(),
                seq.into(),
                unix_ms.into(),
            ]);
            batch.known.insert(number(record), Some(known.clone()));
        }
        if record.seq.is_some() {
            batch.placed.insert(place, known);
        }
        let head = Head { seq: head.seq.max(seq), is_raised: true, ..head };
        self.heads.insert(record.conversation, head);
        appended
    }

    /// What is at a place.
    fn at(&mut self, place: Place) -> Done<Option<Known<'static>>> {
        let row = self.sql.first(
            "SELECT sender, client_message_id, conversation, seq, message_id, unix_ms, body
             FROM messages WHERE conversation = ? AND seq = ?",
            vec![place.0.into(), place.1.into()],
        )?;
        Ok(row.map(|row| of_row(&row, (int(&row, 0), int(&row, 1)))))
    }

    /// Writes a batch: each table in the order of its key.
    fn write(&mut self, batch: Batch<'_>) -> Done<()> {
        let Batch { mut messages, mut retries, freed, .. } = batch;
        if messages.is_empty() {
            return Ok(());
        }
        for (sender, client_message_id) in freed {
            self.sql.execute(
                "DELETE FROM retries WHERE sender = ? AND client_message_id = ?",
                vec![sender.into(), client_message_id.into()],
            )?;
        }
        messages.sort_unstable_by_key(|(place, _)| *place);
        let mut rows = Rows::new(7);
        messages.into_iter().for_each(|(_, row)| rows.push(row));
        self.sql.insert(
            "INSERT INTO messages (conversation, seq, message_id, sender, client_message_id, unix_ms, body) VALUES",
            rows,
            "",
        )?;
        let mut raised: Vec<(i64, [Value; 4])> = Vec::new();
        for (conversation, head) in self.heads.iter_mut().filter(|(_, head)| head.is_raised) {
            head.is_raised = false;
            let Some((first, second)) = numbers(*conversation) else { continue };
            let row = [head.row.into(), first.into(), second.into(), head.seq.into()];
            raised.push((head.row, row));
        }
        raised.sort_unstable_by_key(|(row, _)| *row);
        let mut rows = Rows::new(4);
        raised.into_iter().for_each(|(_, row)| rows.push(row));
        // All of them are there: this is how one statement changes many rows, each in its way.
        self.sql.insert(
            "INSERT INTO conversations (id, first, second, head) VALUES",
            rows,
            "ON DUPLICATE KEY UPDATE head = VALUES(head)",
        )?;
        retries.sort_unstable_by_key(keys);
        let mut rows = Rows::new(5);
        retries.into_iter().for_each(|row| rows.push(row));
        self.sql.insert(
            "INSERT INTO retries (sender, client_message_id, conversation, seq, unix_ms) VALUES",
            rows,
            "",
        )
    }
}

/// Remembers what a transaction has found, once it is committed.
pub(super) fn remember(memory: &mut Memory, rows: Vec<(ConversationId, i64)>) {
    for (conversation, row) in rows {
        memory.remember(conversation, row);
    }
}

const fn number(record: &Record<'_>) -> Number {
    (record.from.0.cast_signed(), record.client_message_id.0.cast_signed())
}

/// The first two values of a row, to sort by.
const fn keys(row: &[Value; 5]) -> (i64, i64) {
    (as_int(&row[0]), as_int(&row[1]))
}

const fn as_int(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::UInt(number) => number.cast_signed(),
        Value::NULL
        | Value::Bytes(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Date(..)
        | Value::Time(..) => 0,
    }
}

/// A number of a row; zero for NULL.
pub(super) fn int(row: &Row, column: usize) -> i64 {
    row.as_ref(column).map_or(0, as_int)
}

/// A text of a row; empty for NULL.
pub(super) fn bytes(row: &Row, column: usize) -> &[u8] {
    match row.as_ref(column) {
        Some(Value::Bytes(bytes)) => bytes,
        Some(
            Value::NULL
            | Value::Int(_)
            | Value::UInt(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Date(..)
            | Value::Time(..),
        )
        | None => &[],
    }
}

/// A message of a row whose columns from the third on are its conversation, seq, id, time and text.
fn of_row(row: &Row, number: Number) -> Known<'static> {
    Known {
        appended: Appended {
            seq: Seq(int(row, 3).cast_unsigned()),
            message_id: MessageId(int(row, 4).cast_unsigned()),
            unix_ms: int(row, 5).cast_unsigned(),
            is_retry: true,
            is_revoked: bytes(row, 6).is_empty(),
        },
        conversation: int(row, 2),
        number,
        body: Cow::Owned(bytes(row, 6).to_vec()),
    }
}
