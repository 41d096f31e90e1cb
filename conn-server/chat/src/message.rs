//! A message's way in: from its sender to its conversation's home, there into its place, and the answer back. The way out to
//! its recipients is in `delivery`.

use alloc::vec::Vec;

use wire::{
    Acked, ClientMessageId, ConversationId, Event, Kind, Message, MessageId, Reject, RoomId,
    SendRoom, SendText, Seq, Text, UserId, home_of_user,
};

use crate::config::Durability;
use crate::conn::ConnKey;
use crate::effects::Effects;
use crate::frame_pool::FrameId;
use crate::index::Place;
use crate::limits::CONN_AWAITING_LOW;
use crate::mail::{Ack, Mail, Post, Refusal};
use crate::pending::{Asker, Pending, PendingAppend};
use crate::recent::{Remembered, body_hash};
use crate::service::is_read;
use crate::shard::Shard;
use crate::store::{Append, HeadOf, StoreRequest};
use crate::time::Now;

/// A message that waits for its conversation's last `seq` (durability `relaxed`).
#[derive(Debug)]
pub(crate) struct Parked {
    asker: Asker,
    from: UserId,
    body: Vec<u8>,
}

/// A message at its conversation's home, before it has a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) asker: Asker,
    pub(crate) conversation: ConversationId,
    pub(crate) from: UserId,
    pub(crate) body: &'a [u8],
}

/// A text that has its place, encoded.
#[derive(Clone, Copy, Debug)]
struct Placed {
    frame: FrameId,
    /// The recipient, if it is connected here.
    neighbour: Option<ConnKey>,
    /// The frame is the recipient's queue's already.
    is_queued: bool,
}

/// The event that tells a text.
const fn text_message<'a>(
    now: Now,
    offer: &Offer<'a>,
    (seq, message_id): (Seq, MessageId),
) -> Message<'a> {
    let Offer { conversation, from, body, .. } = *offer;
    let text = Text { conversation, seq, message_id, from, unix_ms: now.unix_ms, body };
    Message::Event(Event::Text(text))
}

impl Shard {
    pub(crate) fn on_send_text(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        text: SendText<'_>,
        fx: &mut Effects,
    ) {
        let Some(from) = self.conns.get(key).map(|conn| conn.user) else { return };
        let conversation = ConversationId::private(from, text.to);
        let asker = self.asker(key, correlation, Kind::SendText, text.client_message_id);
        self.on_send(now, key, asker, conversation, text.body, fx);
    }

    /// One of several texts that came in one frame.
    pub(crate) fn send_one_text(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        (to, id, body): (UserId, ClientMessageId, &[u8]),
        fx: &mut Effects,
    ) {
        let Some(from) = self.conns.get(key).map(|conn| conn.user) else { return };
        let conversation = ConversationId::private(from, to);
        let asker = self.asker(key, correlation, Kind::SendTexts, id);
        self.on_send(now, key, asker, conversation, body, fx);
    }

    pub(crate) fn on_send_room(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        text: SendRoom<'_>,
        fx: &mut Effects,
    ) {
        let is_member =
            self.conns.get(key).is_some_and(|conn| self.rooms.is_member(conn, text.room));
        let asker = self.asker(key, correlation, Kind::SendRoom, text.client_message_id);
        if !is_member {
            let message = (asker.kind, asker.client_message_id);
            self.reject_message(now, key, correlation, message, Reject::NotMember, fx);
            return;
        }
        self.on_send(now, key, asker, ConversationId::room(text.room), text.body, fx);
    }

    const fn asker(
        &self,
        key: ConnKey,
        correlation: u64,
        kind: Kind,
        id: ClientMessageId,
    ) -> Asker {
        Asker { origin: self.conn_ref(key), correlation, kind, client_message_id: id }
    }

    fn on_send(
        &mut self,
        now: Now,
        key: ConnKey,
        asker: Asker,
        conversation: ConversationId,
        body: &[u8],
        fx: &mut Effects,
    ) {
        self.counters.messages_in += 1;
        if body.is_empty() || body.len() > self.config.body_bytes_max as usize {
            let message = (asker.kind, asker.client_message_id);
            self.reject_message(now, key, asker.correlation, message, Reject::BodySize, fx);
            return;
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.awaiting += 1;
        let from = conn.user;
        let home = conversation.home(self.config.shards);
        if home == self.config.shard {
            self.accept(now, Offer { asker, conversation, from, body }, fx);
            return;
        }
        let post = Post {
            conversation,
            from,
            client_message_id: asker.client_message_id,
            correlation: asker.correlation,
            kind: asker.kind,
            origin: asker.origin,
            body,
        };
        self.outbox.post(home, &Mail::Post(post), &mut self.counters, fx);
    }

    /// At the conversation's home. What comes from a connection here waited there for credit; what comes by mail cannot
    /// wait, or one shard that stands still would hold up what others have for each other.
    pub(crate) fn accept(&mut self, now: Now, offer: Offer<'_>, fx: &mut Effects) {
        if self.full_onward(offer.conversation, offer.from).is_some() {
            self.refuse(now, offer.asker, Reject::Busy, fx);
            return;
        }
        match self.config.durability {
            Durability::Commit => self.accept_commit(now, offer, fx),
            Durability::None | Durability::Relaxed => {
                if self.is_retry(now, offer, fx) {
                    return;
                }
                match self.known.find(offer.conversation) {
                    Some(place) => self.accept_placed(now, offer, place, fx),
                    None => self.accept_unknown(now, offer, fx),
                }
            }
        }
    }

    /// Durability `commit`: the store gives the place; nobody hears of the message before it is on disk.
    fn accept_commit(&mut self, now: Now, offer: Offer<'_>, fx: &mut Effects) {
        let Offer { asker, body, .. } = offer;
        if !self.store_takes(now, body.len()) {
            self.refuse(now, asker, Reject::Busy, fx);
            return;
        }
        let message_id = self.next_message_id();
        let Some(frame) = self.encode_text(now, offer, (Seq(0), message_id)) else {
            self.refuse(now, asker, Reject::BodySize, fx);
            return;
        };
        self.append(now, offer, (None, message_id, Some(frame)), fx);
    }

    /// The conversation's last `seq` is known here: the place is given here.
    fn accept_placed(&mut self, now: Now, offer: Offer<'_>, known: Place, fx: &mut Effects) {
        let Offer { asker, conversation, from, body } = offer;
        let is_stored = self.config.durability == Durability::Relaxed;
        if is_stored && !self.store_takes(now, body.len()) {
            self.refuse(now, asker, Reject::Busy, fx);
            return;
        }
        let number = self.recent.next_number();
        let Some((seq, before)) = self.known.advance(known, number) else { return };
        let place = (seq, self.next_message_id());
        let Some(placed) = self.encode_placed(now, offer, place) else { return };
        let remembered = Remembered {
            conversation,
            from,
            client_message_id: asker.client_message_id,
            seq,
            message_id: place.1,
            body_hash: body_hash(body),
        };
        self.recent.remember(remembered, before, (now.unix_ms, body), &mut self.counters);
        if is_stored {
            self.append(now, offer, (Some(seq), place.1, None), fx);
        } else {
            self.ack(now, asker, conversation, place, fx);
        }
        match placed.neighbour {
            Some(_) if placed.is_queued => self.counters.delivered += 1,
            Some(key) => self.deliver_at(now, key, placed.frame, fx),
            None => self.deliver(now, asker.origin, conversation, from, placed.frame, fx),
        }
    }

    /// Encodes a text that has its place: for a recipient who is connected here straight into its queue, if that has a
    /// pack with room.
    fn encode_placed(
        &mut self,
        now: Now,
        offer: Offer<'_>,
        place: (Seq, MessageId),
    ) -> Option<Placed> {
        let message = text_message(now, &offer, place);
        let neighbour = self.neighbour(offer.conversation, offer.from);
        if let Some(frame) = neighbour.and_then(|key| self.pack(key, 0, &message)) {
            return Some(Placed { frame, neighbour, is_queued: true });
        }
        let more = if neighbour.is_some() { self.behind } else { 0 };
        let frame = self.pool.encode_pack(&message, 0, more)?;
        Some(Placed { frame, neighbour, is_queued: false })
    }

    /// The other party of a private conversation, if its home and its connection are this shard's.
    fn neighbour(&self, conversation: ConversationId, from: UserId) -> Option<ConnKey> {
        let to = conversation.peer_of(from).filter(|to| *to != from)?;
        if home_of_user(to, self.config.shards) != self.config.shard {
            return None;
        }
        let (shard, key) = self.directory.find(to)?.parts();
        (shard == self.config.shard).then_some(key)
    }

    /// A conversation that this shard has not seen: new under `none`, asked for under `relaxed`.
    fn accept_unknown(&mut self, now: Now, offer: Offer<'_>, fx: &mut Effects) {
        let Offer { asker, conversation, from, body } = offer;
        if !self.known.has_room() {
            self.counters.conversation_bound_hits += 1;
            if self.config.durability == Durability::None || self.desk.appends() > 0 {
                self.refuse(now, asker, Reject::Busy, fx);
                return;
            }
            self.known.forget();
        }
        if self.config.durability == Durability::None {
            let known = self.known.learn(conversation, Seq(0), &mut self.counters);
            self.accept_placed(now, offer, known, fx);
            return;
        }
        if !self.store_takes(now, body.len()) || !self.desk.takes_read() {
            self.refuse(now, asker, Reject::Busy, fx);
            return;
        }
        let waiting = self.parked.entry(conversation).or_default();
        waiting.push(Parked { asker, from, body: body.to_vec() });
        self.desk.park(now.mono, u32::try_from(body.len()).unwrap_or(u32::MAX));
        // One question for all that wait; the connections' unanswered commands bound how many do.
        if waiting.len() == 1 {
            let ticket = self.desk.open(now.mono, Pending::Learn { conversation });
            let head = HeadOf { ticket, conversation, for_user: None };
            fx.store.requests.push(StoreRequest::Head(head));
        }
    }

    /// The conversation's last `seq` is known now, or the store could not say.
    pub(crate) fn unpark(
        &mut self,
        now: Now,
        conversation: ConversationId,
        head: Result<Seq, Reject>,
        fx: &mut Effects,
    ) {
        if let Ok(head) = head {
            self.known.learn(conversation, head, &mut self.counters);
        }
        for Parked { asker, from, body } in self.parked.remove(&conversation).unwrap_or_default() {
            self.desk.unpark(now.mono, u32::try_from(body.len()).unwrap_or(u32::MAX));
            match head {
                Ok(_) => self.accept(now, Offer { asker, conversation, from, body: &body }, fx),
                Err(reject) => self.refuse(now, asker, reject, fx),
            }
        }
    }

    /// A retry gets the first answer again, and is pushed again: receivers drop a `seq` that they have.
    fn is_retry(&mut self, now: Now, offer: Offer<'_>, fx: &mut Effects) -> bool {
        let Offer { asker, conversation, from, body } = offer;
        let Some(known) = self.recent.find(from, asker.client_message_id) else {
            return false;
        };
        self.counters.retries += 1;
        if known.conversation != conversation || known.body_hash != body_hash(body) {
            self.refuse(now, asker, Reject::Conflict, fx);
            return true;
        }
        let place = (known.seq, known.message_id);
        if self.config.durability == Durability::Relaxed {
            if !self.store_takes(now, body.len()) {
                self.refuse(now, asker, Reject::Busy, fx);
                return true;
            }
            // The first append may have failed; writing the same place again does no harm. Only the store knows whether the
            // message was taken back meanwhile, so it is not pushed again before its answer.
            let frame = self.encode_text(now, offer, place);
            self.append(now, offer, (Some(place.0), place.1, frame), fx);
            return true;
        }
        self.ack(now, asker, conversation, place, fx);
        if let Some(frame) = self.encode_text(now, offer, place) {
            self.deliver(now, asker.origin, conversation, from, frame, fx);
        }
        true
    }

    fn store_takes(&mut self, now: Now, bytes: usize) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let takes = self.desk.takes_append(bytes)
            && !self.desk.is_stalled(now.mono, self.config.store_stall);
        self.counters.store_credit_hits += u64::from(!takes);
        takes
    }

    fn append(
        &mut self,
        now: Now,
        offer: Offer<'_>,
        (seq, message_id, frame): (Option<Seq>, MessageId, Option<FrameId>),
        fx: &mut Effects,
    ) {
        let Offer { asker, conversation, from, body } = offer;
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let pending =
            PendingAppend { asker, conversation, from, frame, message_id: message_id.0, bytes };
        let ticket = self.desk.open(now.mono, Pending::Append(pending));
        let start = u32::try_from(fx.store.bytes.len()).unwrap_or(u32::MAX);
        fx.store.bytes.extend_from_slice(body);
        fx.store.requests.push(StoreRequest::Append(Append {
            ticket,
            conversation,
            seq,
            message_id,
            from,
            client_message_id: asker.client_message_id,
            unix_ms: now.unix_ms,
            body: start..start + bytes,
        }));
    }

    pub(crate) const fn next_message_id(&mut self) -> MessageId {
        let id = self.config.message_id_base + self.messages_numbered;
        self.messages_numbered += 1;
        MessageId(id)
    }

    fn encode_text(
        &mut self,
        now: Now,
        offer: Offer<'_>,
        place: (Seq, MessageId),
    ) -> Option<FrameId> {
        self.pool.encode(&text_message(now, &offer, place), 0)
    }

    /// Tells the sender that its message is accepted.
    pub(crate) fn ack(
        &mut self,
        now: Now,
        asker: Asker,
        conversation: ConversationId,
        (seq, message_id): (Seq, MessageId),
        fx: &mut Effects,
    ) {
        let Asker { origin, correlation, client_message_id, .. } = asker;
        let ack = Ack { origin, correlation, conversation, seq, message_id, client_message_id };
        let (shard, key) = origin.parts();
        if shard == self.config.shard {
            // The most frequent answer: not worth being mail first.
            self.on_ack(now, key, ack, fx);
            return;
        }
        self.mail_conn(now, Mail::Ack(ack), origin, fx);
    }

    /// Tells the sender that its message is refused.
    pub(crate) fn refuse(&mut self, now: Now, asker: Asker, reject: Reject, fx: &mut Effects) {
        self.refuse_and_evict(now, asker, reject, None, fx);
    }

    /// The same; its session leaves a room at that.
    pub(crate) fn refuse_and_evict(
        &mut self,
        now: Now,
        asker: Asker,
        reject: Reject,
        room: Option<RoomId>,
        fx: &mut Effects,
    ) {
        let Asker { origin, correlation, kind, client_message_id } = asker;
        let refusal = Refusal { origin, correlation, kind, reject, client_message_id, room };
        self.mail_conn(now, Mail::Refuse(refusal), origin, fx);
    }

    #[inline]
    pub(crate) fn on_ack(&mut self, now: Now, key: ConnKey, ack: Ack, fx: &mut Effects) {
        if !self.acknowledge_in_round(now, key, &ack, fx) {
            self.acknowledge(now, key, ack, fx);
        }
    }

    #[inline]
    pub(crate) fn acknowledge(&mut self, now: Now, key: ConnKey, ack: Ack, fx: &mut Effects) {
        self.counters.acked += 1;
        let Ack { conversation, seq, message_id, client_message_id, .. } = ack;
        let acked = Acked { conversation, seq, message_id, client_message_id };
        let message = Message::Event(Event::Acked(acked));
        self.send_message(now, key, ack.correlation, &message, fx);
        self.answered(now, key, fx);
    }

    pub(crate) fn on_refusal(
        &mut self,
        now: Now,
        key: ConnKey,
        refusal: Refusal,
        fx: &mut Effects,
    ) {
        if let Some(room) = refusal.room {
            self.undo_join(now, key, room, fx);
        }
        let message = (refusal.kind, refusal.client_message_id);
        self.reject_message(now, key, refusal.correlation, message, refusal.reject, fx);
        if is_read(refusal.kind) {
            self.answered_read(now, key, fx);
        } else {
            self.answered(now, key, fx);
        }
    }

    /// One command less without an answer.
    pub(crate) fn answered(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.awaiting = conn.awaiting.saturating_sub(1);
        self.is_resuming |= conn.is_paused && conn.awaiting < CONN_AWAITING_LOW;
        if conn.awaiting == 0 {
            self.advance_close(now, key, fx);
        }
    }
}
