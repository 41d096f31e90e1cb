//! The reader: pages of messages and of conversations, on a connection of its own.
//!
//! Sees every commit that was finished before the call. Never waits for the writer, and never writes.

use rusqlite::{OptionalExtension, Row};
use wire::{ConversationId, MessageId, Seq, UserId};

use super::{ConversationPage, Message, Page, numbers};
use crate::database::{Link, Options};
use crate::error::Result;
use crate::limits;

/// Reads messages.
#[derive(Debug)]
pub struct Reader {
    link: Link,
}

impl Reader {
    /// Opens a file that a [`Writer`](super::Writer) has made.
    ///
    /// # Errors
    /// `Busy` if there is no such file or the disk is in the way.
    pub fn open(options: &Options) -> Result<Self> {
        Ok(Self { link: Link::read(options)? })
    }

    /// Messages with a `seq` beyond `after`, in order: at most `limit`, and at most about a MiB of text. A conversation
    /// that nobody knows is an empty one.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    pub fn pull(&mut self, conversation: ConversationId, after: Seq, limit: u16) -> Result<Page> {
        let (Some((first, second)), Ok(after)) = (numbers(conversation), i64::try_from(after.0))
        else {
            return Ok(Page { is_complete: true, ..Page::default() });
        };
        self.link.run(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT seq, message_id, sender, unix_ms, body FROM messages
                 WHERE conversation = (SELECT id FROM conversations WHERE first = ?1 AND second = ?2)
                   AND seq > ?3
                 ORDER BY seq",
            )?;
            let mut rows = statement.query((first, second, after))?;
            let mut page = Page { is_complete: true, ..Page::default() };
            let mut text_bytes = 0;
            while let Some(row) = rows.next()? {
                let is_full = page.messages.len() >= usize::from(limit)
                    || text_bytes >= limits::PAGE_TEXT_BYTES_MAX;
                if is_full {
                    page.is_complete = false;
                    break;
                }
                let message = message(row)?;
                text_bytes += message.body.len();
                page.messages.push(message);
            }
            Ok(page)
        })
    }

    /// The last `seq` of a conversation; zero if it has none.
    ///
    /// # Errors
    /// As [`Error`](crate::Error) says.
    pub fn head(&mut self, conversation: ConversationId) -> Result<Seq> {
        let Some(numbers) = numbers(conversation) else { return Ok(Seq(0)) };
        self.link.run(|sql| {
            let seq: Option<i64> = sql
                .prepare_cached(
                    "SELECT seq FROM messages
                     WHERE conversation = (SELECT id FROM conversations WHERE first = ?1 AND second = ?2)
                     ORDER BY seq DESC LIMIT 1",
                )?
                .query_row(numbers, |row| row.get(0))
                .optional()?;
            Ok(Seq(seq.unwrap_or(0).cast_unsigned()))
        })
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
        let wanted = usize::from(limit) + 1;
        let mut heads = Vec::new();
        if let Some(range) = as_second(user, after) {
            self.scan(LOWER_PEERS, user, range, wanted, &mut heads)?;
        }
        if let Some(range) = as_first(user, after) {
            self.scan(HIGHER_PEERS, user, range, wanted, &mut heads)?;
        }
        let is_complete = heads.len() < wanted;
        heads.truncate(usize::from(limit));
        Ok(ConversationPage { heads, is_complete })
    }

    fn scan(
        &mut self,
        query: &str,
        user: UserId,
        peers_from: i64,
        wanted: usize,
        heads: &mut Vec<(ConversationId, Seq)>,
    ) -> Result<()> {
        let missing = i64::try_from(wanted.saturating_sub(heads.len())).unwrap_or(i64::MAX);
        let Ok(user) = i64::try_from(user.0) else { return Ok(()) };
        self.link.run(|sql| {
            let mut statement = sql.prepare_cached(query)?;
            let mut rows = statement.query((user, peers_from, missing))?;
            while let Some(row) = rows.next()? {
                heads.push(head(row)?);
            }
            Ok(())
        })
    }
}

/// Conversations in which the user is the higher number: they come first in the order of `(first, second)`.
const LOWER_PEERS: &str = "
SELECT first, second, (SELECT max(seq) FROM messages WHERE conversation = c.id)
FROM conversations c
WHERE second = ?1 AND second <> 0 AND first >= ?2 AND first < ?1 ORDER BY first LIMIT ?3";

/// Conversations in which the user is the lower number, or both.
const HIGHER_PEERS: &str = "
SELECT first, second, (SELECT max(seq) FROM messages WHERE conversation = c.id)
FROM conversations c
WHERE first = ?1 AND second >= ?2 ORDER BY second LIMIT ?3";

/// The lowest peer of `(peer, user)` beyond the cursor.
fn as_second(user: UserId, after: ConversationId) -> Option<i64> {
    let from = if user.0 > after.second { after.first } else { after.first.checked_add(1)? };
    i64::try_from(from.max(1)).ok()
}

/// The lowest peer of `(user, peer)` beyond the cursor; a peer is never zero, which would be a room.
fn as_first(user: UserId, after: ConversationId) -> Option<i64> {
    let from = match user.0.cmp(&after.first) {
        std::cmp::Ordering::Greater => 1,
        std::cmp::Ordering::Equal => after.second.checked_add(1)?,
        std::cmp::Ordering::Less => return None,
    };
    i64::try_from(from).ok()
}

fn head(row: &Row<'_>) -> rusqlite::Result<(ConversationId, Seq)> {
    let conversation = ConversationId {
        first: row.get::<_, i64>(0)?.cast_unsigned(),
        second: row.get::<_, i64>(1)?.cast_unsigned(),
    };
    let seq: Option<i64> = row.get(2)?;
    Ok((conversation, Seq(seq.unwrap_or(0).cast_unsigned())))
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
