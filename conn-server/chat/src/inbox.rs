//! What comes from other threads: mail of peer shards, and answers of the store.

use wire::{ConversationId, Kind, MessageId, Reject, RoomId, Seq, ShardId, Text};

use crate::effects::Effects;
use crate::mail::{Mail, Post, Refusal};
use crate::members::EnterAsker;
use crate::message::Offer;
use crate::pending::{Asker, Pending, PendingAppend};
use crate::shard::Shard;
use crate::store::{StoreFault, StoreOutcome, Stored};
use crate::time::Now;

impl Shard {
    /// One piece of mail, from a peer shard or from this one to itself.
    pub(crate) fn on_mail(&mut self, now: Now, from: ShardId, mail: Mail<'_>, fx: &mut Effects) {
        match mail {
            Mail::Claim { claim, correlation } => self.on_claim(now, claim, correlation, fx),
            Mail::Post(post) => {
                let asker = Asker {
                    origin: post.origin,
                    correlation: post.correlation,
                    kind: post.kind,
                    client_message_id: post.client_message_id,
                };
                let Post { conversation, from, body, .. } = post;
                self.accept(now, Offer { asker, conversation, from, body }, fx);
            }
            Mail::Enter { room, user, origin, correlation, is_new } => {
                let asker = EnterAsker { user, origin, correlation, is_new };
                self.on_enter(now, from, room, asker, fx);
            }
            Mail::Read(read) => self.on_read(now, read, fx),
            Mail::ListPart(part) => self.on_list_part(now, from, part, fx),
            Mail::Deliver { to, frame } => self.deliver_mailed(now, to, frame, fx),
            Mail::DeliverAt { conn, frame } => {
                self.deliver_copy(now, conn.parts().1, frame, fx);
            }
            Mail::DeliverRoom { room, origin, frame } => {
                if let Some(frame) = self.pool.copy(frame) {
                    self.deliver_room_here(now, room, origin, frame, fx);
                    self.pool.release(frame);
                }
            }
            Mail::Granted { conn, correlation, epoch, cut } => {
                let (_, key) = conn.parts();
                self.on_granted(now, key, correlation, (epoch, cut), fx);
                self.consume_granted(now, from, key, fx);
            }
            Mail::Denied { conn, correlation, is_full } => {
                let (_, key) = conn.parts();
                self.on_denied(now, key, correlation, is_full, fx);
                self.consume_granted(now, from, key, fx);
            }
            Mail::Close { conn, reason } => self.close(now, conn.parts().1, reason, fx),
            Mail::Release { user, conn, cut } => {
                self.directory.release(user, conn, cut, crate::shard::seconds(now.mono));
            }
            Mail::Desert { room } => self.rooms.remove_interest(room, from),
            Mail::Ack(ack) => self.on_ack(now, ack.origin.parts().1, ack, fx),
            Mail::Refuse(refusal) => {
                self.on_refusal(now, refusal.origin.parts().1, refusal, fx);
            }
            Mail::Reply { origin, is_last, frame } => {
                self.on_reply(now, origin.parts().1, is_last, frame, fx);
            }
            Mail::Entered { origin, correlation, room, head } => {
                self.on_entered(now, origin.parts().1, correlation, room, head, fx);
            }
            Mail::Part { ticket, is_complete, heads } => {
                self.on_part(now, ticket, is_complete, heads, fx);
            }
            Mail::Signal { to, origin, correlation, frame } => {
                self.on_signal_for(now, (to, frame), (origin, correlation), fx);
            }
            Mail::TellRoom { room, frame } => self.on_tell_room(now, room, frame, fx),
            Mail::TellBehind { to, frame } => self.tell_user(now, to, frame, fx),
            Mail::Tell { to, frame } => {
                self.on_tell(now, to, frame, fx);
            }
            Mail::Evict { room, user } => self.on_evict(now, room, user, fx),
            Mail::Told { conn, frame } => self.on_told(now, conn.parts().1, frame, fx),
            Mail::RoomTold { room, frame } => self.on_room_told(now, room, frame, fx),
            Mail::EvictAt { conn, room } => self.undo_join(now, conn.parts().1, room, fx),
        }
    }

    /// What a client sent behind its login waits in the spill, if the answer came from another shard; if it came from
    /// this one, the bytes are still being handled.
    fn consume_granted(
        &mut self,
        now: Now,
        from: ShardId,
        key: crate::conn::ConnKey,
        fx: &mut Effects,
    ) {
        if from != self.config.shard {
            self.resume(key, fx);
            self.consume_spill(now, key, fx);
        }
    }

    /// An answer of the store.
    pub fn handle_stored(&mut self, now: Now, outcome: &StoreOutcome, fx: &mut Effects) {
        let Some(pending) = self.desk.close(now.mono, outcome.ticket) else { return };
        match (pending, &outcome.result) {
            (Pending::Append(append), Ok(Stored::Appended { seq, message_id, unix_ms })) => {
                self.on_appended(now, append, (*seq, *message_id, *unix_ms), fx);
            }
            (Pending::Append(append), Ok(Stored::Revoked { seq, message_id })) => {
                self.counters.retries += u64::from(message_id.0 != append.message_id);
                if let Some(frame) = append.frame {
                    self.pool.release(frame);
                }
                self.ack(now, append.asker, append.conversation, (*seq, *message_id), fx);
            }
            (Pending::Append(append), result) => {
                self.counters.store_faults += 1;
                if let Some(frame) = append.frame {
                    self.pool.release(frame);
                }
                let reject = reject_of(result);
                let room = lost_room(append.conversation, reject);
                self.refuse_and_evict(now, append.asker, reject, room, fx);
            }
            (
                Pending::Page { key, correlation, conversation, after },
                Ok(Stored::Page { messages, is_complete }),
            ) => {
                let page = (messages.as_slice(), *is_complete);
                self.on_page(now, key, correlation, (conversation, after), page, fx);
            }
            (
                Pending::Enter { asker: EnterAsker { origin, correlation, .. }, room },
                Ok(Stored::Head(head)),
            ) => {
                // Under `relaxed` this shard may be ahead of the store.
                let known = self.known.head(ConversationId::room(room)).unwrap_or_default();
                let head = known.max(*head);
                let mail = Mail::Entered { origin, correlation, room, head };
                self.mail_conn(now, mail, origin, fx);
            }
            (Pending::Learn { conversation }, result) => {
                let head = match result {
                    Ok(Stored::Head(head)) => Ok(*head),
                    other => Err(reject_of(other)),
                };
                self.unpark(now, conversation, head, fx);
            }
            (
                Pending::Conversations { key, correlation, after },
                Ok(Stored::Conversations { heads, is_complete }),
            ) => self.on_heads(now, key, correlation, after, (heads, *is_complete), fx),
            (Pending::Serve { key, .. }, Ok(Stored::Served(served))) => {
                self.on_served(now, key, served, fx);
            }
            (pending, result) => self.on_read_fault(now, &pending, reject_of(result), fx),
        }
        self.resume_paused(now, fx);
    }

    fn on_appended(
        &mut self,
        now: Now,
        append: PendingAppend,
        (seq, message_id, unix_ms): (Seq, MessageId, u64),
        fx: &mut Effects,
    ) {
        let PendingAppend { asker, conversation, from, frame, .. } = append;
        self.ack(now, asker, conversation, (seq, message_id), fx);
        let Some(frame) = frame else { return };
        self.counters.retries += u64::from(message_id.0 != append.message_id);
        let is_placed = Text::set_place(self.pool.bytes_mut(frame), seq, message_id, unix_ms);
        assert!(is_placed, "an append's frame is a text");
        self.deliver(now, asker.origin, conversation, from, frame, fx);
    }

    fn on_read_fault(&mut self, now: Now, pending: &Pending, reject: Reject, fx: &mut Effects) {
        let is_fault = matches!(reject, Reject::Busy | Reject::Refused);
        self.counters.store_faults += u64::from(is_fault);
        let mut room = None;
        let (origin, correlation, kind) = match *pending {
            Pending::Page { key, correlation, conversation, .. } => {
                room = lost_room(conversation, reject);
                (self.conn_ref(key), correlation, Kind::Pull)
            }
            Pending::Conversations { key, correlation, .. } => {
                (self.conn_ref(key), correlation, Kind::Conversations)
            }
            Pending::Serve { key, correlation, kind } => (self.conn_ref(key), correlation, kind),
            Pending::Enter { asker, room: entered } => {
                room = asker
                    .is_new
                    .then_some(entered)
                    .or_else(|| lost_room(ConversationId::room(entered), reject));
                (asker.origin, asker.correlation, Kind::JoinRoom)
            }
            Pending::Append(_) | Pending::Learn { .. } | Pending::Parts(_) => return,
        };
        let client_message_id = wire::ClientMessageId(0);
        let refusal = Refusal { origin, correlation, kind, reject, client_message_id, room };
        self.mail_conn(now, Mail::Refuse(refusal), origin, fx);
    }
}

/// The room that a session must leave, because the store says that its user is not in it: whoever was put out of a group
/// over another node did not hear of it here.
fn lost_room(conversation: ConversationId, reject: Reject) -> Option<RoomId> {
    if reject == Reject::NotMember { conversation.as_room() } else { None }
}

/// What a sender is told of a fault; an answer of the wrong kind is the store's bug and never the sender's.
const fn reject_of(result: &Result<Stored, StoreFault>) -> Reject {
    match result {
        Err(StoreFault::Conflict) => Reject::Conflict,
        Err(StoreFault::Refused) | Ok(_) => Reject::Refused,
        Err(StoreFault::Busy) => Reject::Busy,
        Err(StoreFault::Rejected(reject)) => *reject,
    }
}
