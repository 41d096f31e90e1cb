//! The reader: pages of messages and of conversations, on a connection of its own.
//!
//! Sees every commit that was finished before the call. Never waits for the writer, and never writes. What the index of
//! places lags behind it reads from the messages themselves, once, and remembers.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row};
use wire::{ConversationId, MessageId, Seq, UserId};

use super::backlog::{Key, counter, last_seq};
use super::ledger::ReadLedger;
use super::{ConversationPage, Message, Page, numbers};
use crate::database::{Link, Options};
use crate::error::Result;
use crate::limits;
use crate::services::{Ask, Served, list, may_enter};

/// Reads messages.
#[derive(Debug)]
pub struct Reader {
    link: Link,
    recent: Recent,
}

/// The places of messages that the index may not have yet.
#[derive(Debug, Default)]
pub(super) struct Recent {
    places: BTreeMap<Key, i64>,
    /// The last message whose place, and that of all before it, the index has.
    indexed: i64,
    /// Up to where messages that have gone were swept out.
    swept: i64,
    /// The last message that was looked at.
    last: i64,
}

/// A conversation as its row says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    row: i64,
    /// The last `seq` that it has lost to retention.
    floor: i64,
}

impl Recent {
    /// Catches up with the file, within a read transaction.
    fn refresh(&mut self, sql: &Connection) -> rusqlite::Result<()> {
        let indexed = counter(sql, "indexed")?;
        if indexed > self.indexed {
            self.places.retain(|_, row| *row > indexed);
            self.indexed = indexed;
            self.last = self.last.max(indexed);
        }
        let gone = counter(sql, "trimmed")?;
        if gone >= self.swept.max(indexed) + limits::RECENT_SWEEP {
            self.places.retain(|_, row| *row > gone);
            self.swept = gone;
        }
        let mut statement = sql.prepare_cached(
            "SELECT id, conversation, seq FROM messages WHERE id > ?1 ORDER BY id",
        )?;
        let mut rows = statement.query([self.last])?;
        while let Some(row) = rows.next()? {
            self.last = row.get(0)?;
            self.places.insert((row.get(1)?, row.get(2)?), self.last);
        }
        Ok(())
    }

    /// The first places of a conversation beyond a seq and its floor, with their rows: at most `limit`, in order.
    pub(super) fn beyond(
        &self,
        sql: &Connection,
        conversation: Kept,
        after: i64,
        limit: usize,
    ) -> rusqlite::Result<Vec<(i64, i64)>> {
        let Kept { row: conversation, floor } = conversation;
        let Some(from) = after.max(floor).checked_add(1) else { return Ok(Vec::new()) };
        let mut statement = sql.prepare_cached(
            "SELECT seq, message FROM places WHERE conversation = ?1 AND seq >= ?2
             ORDER BY seq LIMIT ?3",
        )?;
        let indexed = statement
            .query_map((conversation, from, limit.cast_signed() as i64), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let mut places = indexed.collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
        let recent = self.places.range((conversation, from)..=(conversation, i64::MAX));
        places.extend(recent.take(limit).map(|((_, seq), row)| (*seq, *row)));
        // While a piece goes into the index, what is there already is remembered here too.
        places.sort_unstable();
        places.dedup();
        places.truncate(limit);
        Ok(places)
    }
}

impl Reader {
    /// Opens a file that a [`Writer`](super::Writer) has made.
    ///
    /// # Errors
    /// `Busy` if there is no such file or the disk is in the way.
    pub fn open(options: &Options) -> Result<Self> {
        Ok(Self { link: Link::read(options)?, recent: Recent::default() })
    }

    /// Runs `work` on one state of the file.
    fn read<T>(
        &mut self,
        work: impl FnOnce(&Connection, &Recent) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let Self { link, recent } = self;
        let result = link.run(|connection| {
            let transaction = connection.transaction()?;
            recent.refresh(&transaction)?;
            let result = work(&transaction, recent)?;
            transaction.commit()?;
            Ok(result)
        });
        if result.is_err() {
            self.recent = Recent::default();
        }
        result
    }

    /// Messages with a `seq` beyond `after`, in order: at most `limit`, and at most about a MiB of text. A conversation
    /// that nobody knows is an empty one.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    pub fn pull(&mut self, conversation: ConversationId, after: Seq, limit: u16) -> Result<Page> {
        self.read(|sql, recent| page_of(sql, recent, conversation, (after, limit)))
    }

    /// The same for somebody who wishes to read it: `None` if that is a group of others.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    pub fn pull_for(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        after: Seq,
        limit: u16,
    ) -> Result<Option<Page>> {
        self.read(|sql, recent| {
            let mut ledger = ReadLedger { sql, recent };
            if !may_enter(&mut ledger, conversation, user)? {
                return Ok(None);
            }
            page_of(sql, recent, conversation, (after, limit)).map(Some)
        })
    }

    /// The last `seq` of a conversation; zero if it has none.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    pub fn head(&mut self, conversation: ConversationId) -> Result<Seq> {
        self.read(|sql, recent| head_of(sql, recent, conversation))
    }

    /// The last `seq` of a conversation for somebody who wishes to enter it: `None` if that is a group of others.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    pub fn head_for(&mut self, conversation: ConversationId, user: UserId) -> Result<Option<Seq>> {
        self.read(|sql, recent| {
            let mut ledger = ReadLedger { sql, recent };
            let may_enter = may_enter(&mut ledger, conversation, user)?;
            if may_enter { head_of(sql, recent, conversation).map(Some) } else { Ok(None) }
        })
    }

    /// Serves a question that changes nothing.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    pub fn serve(&mut self, ask: &Ask<'_>) -> Result<Served> {
        self.read(|sql, recent| list(&mut ReadLedger { sql, recent }, ask))
    }

    /// A user's private conversations beyond `after` (the zero pair for the first page), by `(first, second)`, at most
    /// `limit`.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    pub fn conversations(
        &mut self,
        user: UserId,
        after: ConversationId,
        limit: u16,
    ) -> Result<ConversationPage> {
        // One more than asked for tells whether there is more.
        let wanted = i64::from(limit) + 1;
        let mut heads =
            self.read(|sql, recent| conversations_of(sql, recent, user, after, wanted))?;
        let is_complete = heads.len() <= usize::from(limit);
        heads.truncate(usize::from(limit));
        Ok(ConversationPage { heads, is_complete })
    }
}

/// Messages of a conversation with a `seq` beyond one, at most `limit`.
fn page_of(
    sql: &Connection,
    recent: &Recent,
    conversation: ConversationId,
    (after, limit): (Seq, u16),
) -> rusqlite::Result<Page> {
    let mut page = Page { is_complete: true, ..Page::default() };
    let (Some(numbers), Ok(after)) = (numbers(conversation), i64::try_from(after.0)) else {
        return Ok(page);
    };
    let Some(conversation) = row_of(sql, numbers)? else { return Ok(page) };
    // One more than asked for tells whether there is more.
    let limit = usize::from(limit);
    let places = recent.beyond(sql, conversation, after, limit + 1)?;
    let mut statement = sql.prepare_cached(
        "SELECT seq, message_id, sender, unix_ms, body FROM messages WHERE id = ?1",
    )?;
    let mut text_bytes = 0;
    for (_, row) in places {
        if page.messages.len() >= limit || text_bytes >= limits::PAGE_TEXT_BYTES_MAX {
            page.is_complete = false;
            break;
        }
        // Somebody has removed the message by hand, if it is not there.
        let Some(message) = statement.query_row([row], message).optional()? else {
            continue;
        };
        text_bytes += message.body.len();
        page.messages.push(message);
    }
    Ok(page)
}

/// The last `seq` of a conversation; zero if it has none.
pub(super) fn head_of(
    sql: &Connection,
    recent: &Recent,
    conversation: ConversationId,
) -> rusqlite::Result<Seq> {
    let Some(numbers) = numbers(conversation) else { return Ok(Seq(0)) };
    let Some(conversation) = row_of(sql, numbers)? else { return Ok(Seq(0)) };
    let Kept { row, floor } = conversation;
    let indexed: Option<i64> = sql
        .prepare_cached("SELECT max(seq) FROM places WHERE conversation = ?1")?
        .query_row([row], |row| row.get(0))?;
    let seq = indexed.unwrap_or(0).max(floor).max(last_seq(&recent.places, row));
    Ok(Seq(seq.cast_unsigned()))
}

/// A user's private conversations beyond `after`, in the order of their numbers, at most `limit`.
pub(super) fn conversations_of(
    sql: &Connection,
    recent: &Recent,
    user: UserId,
    after: ConversationId,
    limit: i64,
) -> rusqlite::Result<Vec<(ConversationId, Seq)>> {
    let mut heads = Vec::new();
    let ranges = [(LOWER_PEERS, as_second(user, after)), (HIGHER_PEERS, as_first(user, after))];
    let Ok(user) = i64::try_from(user.0) else { return Ok(heads) };
    for (query, peers_from) in ranges {
        let Some(peers_from) = peers_from else { continue };
        let missing = limit - heads.len().cast_signed() as i64;
        let mut statement = sql.prepare_cached(query)?;
        let mut rows = statement.query((user, peers_from, missing))?;
        while let Some(row) = rows.next()? {
            heads.push(head(row, recent)?);
        }
    }
    Ok(heads)
}

/// Conversations in which the user is the higher number: they come first in the order of `(first, second)`.
const LOWER_PEERS: &str = "
SELECT first, second, max(floor, coalesce((SELECT max(seq) FROM places WHERE conversation = c.id), 0)), id
FROM conversations c
WHERE second = ?1 AND second <> 0 AND first >= ?2 AND first < ?1 ORDER BY first LIMIT ?3";

/// Conversations in which the user is the lower number, or both.
const HIGHER_PEERS: &str = "
SELECT first, second, max(floor, coalesce((SELECT max(seq) FROM places WHERE conversation = c.id), 0)), id
FROM conversations c
WHERE first = ?1 AND second >= ?2 ORDER BY second LIMIT ?3";

/// The lowest peer of `(peer, user)` beyond the cursor.
pub(crate) fn as_second(user: UserId, after: ConversationId) -> Option<i64> {
    let from = if user.0 > after.second { after.first } else { after.first.checked_add(1)? };
    i64::try_from(from.max(1)).ok()
}

/// The lowest peer of `(user, peer)` beyond the cursor; a peer is never zero, which would be a room.
pub(crate) fn as_first(user: UserId, after: ConversationId) -> Option<i64> {
    let from = match user.0.cmp(&after.first) {
        std::cmp::Ordering::Greater => 1,
        std::cmp::Ordering::Equal => after.second.checked_add(1)?,
        std::cmp::Ordering::Less => return None,
    };
    i64::try_from(from).ok()
}

/// A conversation's row.
pub(super) fn row_of(sql: &Connection, numbers: (i64, i64)) -> rusqlite::Result<Option<Kept>> {
    sql.prepare_cached("SELECT id, floor FROM conversations WHERE first = ?1 AND second = ?2")?
        .query_row(numbers, |row| Ok(Kept { row: row.get(0)?, floor: row.get(1)? }))
        .optional()
}

fn head(row: &Row<'_>, recent: &Recent) -> rusqlite::Result<(ConversationId, Seq)> {
    let conversation = ConversationId {
        first: row.get::<_, i64>(0)?.cast_unsigned(),
        second: row.get::<_, i64>(1)?.cast_unsigned(),
    };
    let indexed: i64 = row.get(2)?;
    let seq = indexed.max(last_seq(&recent.places, row.get(3)?));
    Ok((conversation, Seq(seq.cast_unsigned())))
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        seq: Seq(row.get::<_, i64>(0)?.cast_unsigned()),
        message_id: MessageId(row.get::<_, i64>(1)?.cast_unsigned()),
        from: UserId(row.get::<_, i64>(2)?.cast_unsigned()),
        unix_ms: row.get::<_, i64>(3)?.cast_unsigned(),
        body: row.get(4)?,
    })
}
