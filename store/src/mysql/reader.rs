//! The reader: pages of messages and of conversations, on a connection of its own.

use mysql_async::Row;
use wire::{ConversationId, MessageId, RoomId, Seq, UserId};

use super::fault::Done;
use super::ledger::{ReadLedger, conversations, head};
use super::link::{Begin, Link, Session};
use super::options::MysqlOptions;
use super::places::{bytes, int};
use crate::contract::{LinkStats, MessageReader};
use crate::error::Result;
use crate::limits;
use crate::messages::{ConversationPage, Message, Page, numbers};
use crate::services::{Ask, Served, list, may_enter};

/// Reads messages from a database that speaks the MySQL protocol.
#[derive(Debug)]
pub struct MysqlReader {
    link: Link,
}

impl MysqlReader {
    /// Connects, and brings the tables up to date.
    ///
    /// # Errors
    /// `Busy` if the server cannot be reached, `Refused` if it does not let us in or its tables are a newer version's.
    pub fn open(options: &MysqlOptions) -> Result<Self> {
        Ok(Self { link: Link::open(options)? })
    }
}

impl MessageReader for MysqlReader {
    fn pull(&mut self, conversation: ConversationId, after: Seq, limit: u16) -> Result<Page> {
        self.link.once(|sql| page_of(sql, conversation, after, limit))
    }

    fn pull_for(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        after: Seq,
        limit: u16,
    ) -> Result<Option<Page>> {
        if !conversation.as_room().is_some_and(RoomId::is_group) {
            return self.pull(conversation, after, limit).map(Some);
        }
        self.link.transact(Begin::Snapshot, |sql| {
            if !may_enter(&mut ReadLedger(sql), conversation, user)? {
                return Ok(None);
            }
            page_of(sql, conversation, after, limit).map(Some)
        })
    }

    fn head(&mut self, conversation: ConversationId) -> Result<Seq> {
        self.link.once(|sql| head(sql, conversation))
    }

    fn head_for(&mut self, conversation: ConversationId, user: UserId) -> Result<Option<Seq>> {
        self.link.transact(Begin::Snapshot, |sql| {
            let may_enter = may_enter(&mut ReadLedger(sql), conversation, user)?;
            if may_enter { head(sql, conversation).map(Some) } else { Ok(None) }
        })
    }

    fn conversations(
        &mut self,
        user: UserId,
        after: ConversationId,
        limit: u16,
    ) -> Result<ConversationPage> {
        // One more than asked for tells whether there is more.
        let wanted = i64::from(limit) + 1;
        let mut heads =
            self.link.transact(Begin::Snapshot, |sql| conversations(sql, user, after, wanted))?;
        let is_complete = heads.len() <= usize::from(limit);
        heads.truncate(usize::from(limit));
        Ok(ConversationPage { heads, is_complete })
    }

    fn serve(&mut self, ask: &Ask<'_>) -> Result<Served> {
        self.link.transact(Begin::Snapshot, |sql| list(&mut ReadLedger(sql), ask))
    }

    fn links(&self) -> LinkStats {
        self.link.stats()
    }
}

/// Messages of a conversation with a `seq` beyond one, at most `limit`.
fn page_of(
    sql: &mut Session<'_>,
    conversation: ConversationId,
    after: Seq,
    limit: u16,
) -> Done<Page> {
    let mut page = Page { is_complete: true, ..Page::default() };
    let (Some((first, second)), Ok(after)) = (numbers(conversation), i64::try_from(after.0)) else {
        return Ok(page);
    };
    // One more than asked for tells whether there is more.
    let wanted = i64::from(limit) + 1;
    let rows = sql.rows(
        "SELECT m.seq, m.message_id, m.sender, m.unix_ms, m.body
         FROM conversations c JOIN messages m ON m.conversation = c.id
         WHERE c.first = ? AND c.second = ? AND m.seq > ? ORDER BY m.seq LIMIT ?",
        vec![first.into(), second.into(), after.into(), wanted.into()],
    )?;
    let mut text_bytes = 0;
    for row in &rows {
        let is_full =
            page.messages.len() >= usize::from(limit) || text_bytes >= limits::PAGE_TEXT_BYTES_MAX;
        if is_full {
            page.is_complete = false;
            break;
        }
        let message = message(row);
        text_bytes += message.body.len();
        page.messages.push(message);
    }
    Ok(page)
}

fn message(row: &Row) -> Message {
    Message {
        seq: Seq(int(row, 0).cast_unsigned()),
        message_id: MessageId(int(row, 1).cast_unsigned()),
        from: UserId(int(row, 2).cast_unsigned()),
        unix_ms: int(row, 3).cast_unsigned(),
        body: bytes(row, 4).to_vec(),
    }
}
