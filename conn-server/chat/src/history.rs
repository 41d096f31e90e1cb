//! Reading back: messages after a cursor, and a user's conversations. From the store, or under durability `none` from
//! the shards' own memory.

use alloc::vec::Vec;

use wire::{
    ConversationHead, ConversationId, ConversationsEnd, ConversationsQuery, Event, Kind, Message,
    Pull, Pulled, Reject, Seq, ShardId, Text, UserId, limits::PAGE_ITEMS_MAX,
};

use crate::config::Durability;
use crate::conn::ConnKey;
use crate::effects::Effects;
use crate::frame_pool::charge_of;
use crate::limits::PAGE_BYTES_MAX;
use crate::mail::{COMMAND, ListPart, Mail, REPLY, Read, Refusal};
use crate::pending::{Pending, PendingParts};
use crate::shard::Shard;
use crate::store::{ConversationsPage, PullPage, StoreRequest, StoredMessage, Ticket};
use crate::time::Now;

/// Bytes of one conversation and its last `seq` in a part.
const HEAD_BYTES: usize = 24;

impl Shard {
    pub(crate) fn on_pull(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        pull: Pull,
        fx: &mut Effects,
    ) {
        let Pull { conversation, after, limit } = pull;
        let Some(conn) = self.conns.get(key) else { return };
        let user = conn.user;
        let is_member = match conversation.as_room() {
            Some(room) => self.rooms.is_member(conn, room),
            None => conversation.peer_of(conn.user).is_some(),
        };
        if !is_member {
            self.reject(now, key, correlation, Kind::Pull, Reject::NotMember, fx);
            return;
        }
        let limit = limit.clamp(1, PAGE_ITEMS_MAX);
        if self.config.durability == Durability::None {
            self.await_answer(key);
            let read = Read { origin: self.conn_ref(key), correlation, conversation, after, limit };
            let home = conversation.home(self.config.shards);
            if home == self.config.shard {
                self.on_read(now, read, fx);
            } else {
                self.outbox.post(home, &Mail::Read(read), &mut self.counters, fx);
            }
        } else if self.desk.takes_read() {
            self.await_answer(key);
            let pending = Pending::Page { key, correlation, conversation, after };
            let ticket = self.desk.open(now.mono, pending);
            let page = PullPage { ticket, conversation, user, after, limit };
            fx.store.requests.push(StoreRequest::Pull(page));
        } else {
            self.counters.store_credit_hits += 1;
            self.reject(now, key, correlation, Kind::Pull, Reject::Busy, fx);
        }
    }

    pub(crate) fn await_answer(&mut self, key: ConnKey) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.awaiting += 1;
            conn.reads += 1;
        }
    }

    /// One read less without an answer: the next may go on.
    pub(crate) fn answered_read(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.reads = conn.reads.saturating_sub(1);
            self.is_resuming |= conn.is_paused;
        }
        self.answered(now, key, fx);
    }

    /// A page from the store.
    pub(crate) fn on_page(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        (conversation, after): (ConversationId, Seq),
        (messages, is_complete): (&[StoredMessage], bool),
        fx: &mut Effects,
    ) {
        // No page overtakes what was said before it was read.
        self.end_round(now, fx);
        let (mut next, mut bytes, mut is_complete) = (after, 0, is_complete);
        for message in messages {
            let text = Text {
                conversation,
                seq: message.seq,
                message_id: message.message_id,
                from: message.from,
                unix_ms: message.unix_ms,
                body: &message.body,
            };
            let len = Message::Event(Event::Text(text)).encoded_len();
            bytes += charge_of(u32::try_from(len).unwrap_or(u32::MAX)) as usize;
            if bytes > PAGE_BYTES_MAX && next != after {
                is_complete = false;
                break;
            }
            next = message.seq;
            self.send(now, key, correlation, Event::Text(text), fx);
        }
        let pulled = Pulled { conversation, next, is_complete: is_complete.into() };
        self.send(now, key, correlation, Event::Pulled(pulled), fx);
        self.answered_read(now, key, fx);
    }

    /// Durability `none`, at the conversation's home: a page from memory.
    pub(crate) fn on_read(&mut self, now: Now, read: Read, fx: &mut Effects) {
        self.end_round(now, fx);
        let Read { origin, correlation, conversation, after, limit } = read;
        if self.outbox.is_full(origin.parts().0, REPLY) {
            // A small question causes a large answer: without room for it, it is asked again later.
            let (kind, reject, client_message_id) =
                (Kind::Pull, Reject::Busy, wire::ClientMessageId(0));
            let refusal =
                Refusal { origin, correlation, kind, reject, client_message_id, room: None };
            self.mail_conn(now, Mail::Refuse(refusal), origin, fx);
            return;
        }
        let (page, mut is_complete) =
            self.recent.page(self.known.last(conversation), after, usize::from(limit));
        let (mut next, mut bytes) = (after, 0);
        for number in page {
            let Some(text) = self.recent.text(number) else { continue };
            let seq = text.seq;
            let mut frame = Vec::new();
            if !Message::Event(Event::Text(text)).append_to(correlation, &mut frame) {
                continue;
            }
            bytes += charge_of(u32::try_from(frame.len()).unwrap_or(u32::MAX)) as usize;
            if bytes > PAGE_BYTES_MAX && next != after {
                is_complete = false;
                break;
            }
            next = seq;
            self.mail_conn(now, Mail::Reply { origin, is_last: false, frame: &frame }, origin, fx);
        }
        let pulled = Event::Pulled(Pulled { conversation, next, is_complete: is_complete.into() });
        let mut encoded = Vec::new();
        if Message::Event(pulled).append_to(correlation, &mut encoded) {
            self.mail_conn(now, Mail::Reply { origin, is_last: true, frame: &encoded }, origin, fx);
        }
    }

    pub(crate) fn on_reply(
        &mut self,
        now: Now,
        key: ConnKey,
        is_last: bool,
        bytes: &[u8],
        fx: &mut Effects,
    ) {
        self.end_round(now, fx);
        self.push_copy(now, key, bytes, fx);
        if is_last {
            self.answered_read(now, key, fx);
        }
    }

    pub(crate) fn on_conversations(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        query: ConversationsQuery,
        fx: &mut Effects,
    ) {
        let Some(user) = self.conns.get(key).map(|conn| conn.user) else { return };
        // Under `none` every shard has a part of them.
        let is_spread = self.config.durability == Durability::None;
        let is_full = |shard| self.outbox.is_full(ShardId(shard), COMMAND);
        let is_choked = is_spread && (0..self.config.shards).any(is_full);
        if is_choked || !self.desk.takes_read() {
            self.counters.store_credit_hits += u64::from(!is_choked);
            self.reject(now, key, correlation, Kind::Conversations, Reject::Busy, fx);
            return;
        }
        self.await_answer(key);
        let (after, limit) = (query.after, query.limit.clamp(1, PAGE_ITEMS_MAX));
        if self.config.durability != Durability::None {
            let pending = Pending::Conversations { key, correlation, after };
            let ticket = self.desk.open(now.mono, pending);
            let page = ConversationsPage { ticket, user, after, limit };
            fx.store.requests.push(StoreRequest::Conversations(page));
            return;
        }
        let parts = PendingParts {
            key,
            correlation,
            after,
            limit,
            missing: self.config.shards,
            heads: Vec::new(),
            is_complete: true,
        };
        let ticket = self.desk.open(now.mono, Pending::Parts(parts));
        let ticket = (ticket.index, ticket.generation);
        for shard in (0..self.config.shards).map(ShardId) {
            let part = ListPart { user, after, limit, ticket };
            if shard == self.config.shard {
                self.on_list_part(now, shard, part, fx);
            } else {
                self.outbox.post(shard, &Mail::ListPart(part), &mut self.counters, fx);
            }
        }
    }

    /// Durability `none`: this shard's part of a user's conversations.
    pub(crate) fn on_list_part(
        &mut self,
        now: Now,
        asker: ShardId,
        part: ListPart,
        fx: &mut Effects,
    ) {
        let ListPart { user, after, limit, ticket } = part;
        let (heads, is_complete) = self.list(user, after, limit);
        let mail = Mail::Part { ticket, is_complete, heads: &heads };
        if asker == self.config.shard {
            self.on_mail(now, asker, mail, fx);
        } else {
            self.outbox.post(asker, &mail, &mut self.counters, fx);
        }
    }

    fn list(&self, user: UserId, after: ConversationId, limit: u16) -> (Vec<u8>, bool) {
        let (heads, is_complete) = self.known.of_user(user, after, usize::from(limit));
        let mut bytes = Vec::with_capacity(heads.len() * HEAD_BYTES);
        for (conversation, seq) in heads {
            for number in [conversation.first, conversation.second, seq.0] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        (bytes, is_complete)
    }

    pub(crate) fn on_part(
        &mut self,
        now: Now,
        (index, generation): (u32, u32),
        is_complete: bool,
        heads: &[u8],
        fx: &mut Effects,
    ) {
        let ticket = Ticket { index, generation };
        let Some(parts) = self.desk.parts(ticket) else { return };
        parts.missing -= 1;
        parts.is_complete &= is_complete;
        parts.heads.extend(heads.as_chunks::<HEAD_BYTES>().0.iter().map(|head| {
            let [first, second, seq] = [0, 8, 16].map(|at| {
                let mut number = [0; 8];
                number.copy_from_slice(head.get(at..at + 8).unwrap_or(&[0; 8]));
                u64::from_le_bytes(number)
            });
            (ConversationId { first, second }, Seq(seq))
        }));
        if parts.missing > 0 {
            return;
        }
        let Some(Pending::Parts(mut parts)) = self.desk.close(now.mono, ticket) else { return };
        parts.heads.sort_unstable();
        let limit = usize::from(parts.limit);
        let is_complete = parts.is_complete && parts.heads.len() <= limit;
        parts.heads.truncate(limit);
        let PendingParts { key, correlation, after, heads, .. } = parts;
        self.on_heads(now, key, correlation, after, (&heads, is_complete), fx);
    }

    /// A page of conversations, whole.
    pub(crate) fn on_heads(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        after: ConversationId,
        (heads, is_complete): (&[(ConversationId, Seq)], bool),
        fx: &mut Effects,
    ) {
        for (conversation, head) in heads.iter().copied() {
            let event = Event::ConversationHead(ConversationHead { conversation, head });
            self.send(now, key, correlation, event, fx);
        }
        let next = heads.last().map_or(after, |(conversation, _)| *conversation);
        let end = ConversationsEnd { next, is_complete: is_complete.into() };
        self.send(now, key, correlation, Event::ConversationsEnd(end), fx);
        self.answered_read(now, key, fx);
    }
}
