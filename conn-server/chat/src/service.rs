//! Services: what the store answers beside messages. The core knows who asks and whom to tell, and none of the rules.
//!
//! Also what needs no store: several texts in one frame, and signs about calls, which are handed on and forgotten.

use alloc::vec::Vec;

use wire::{
    CallSignal, ClientMessageId, Command, ConversationId, Done, Kind, Message, News, Reject,
    RoomId, SendTexts, ServiceFrame, SignalCall, Texts, UserId, home_of_room, home_of_user,
    split_frame,
};

use crate::config::Durability;
use crate::conn::{ConnKey, ConnRef};
use crate::effects::Effects;
use crate::limits::PACK_BYTES_MAX;
use crate::mail::{COMMAND, DELIVERY, Mail, Refusal};
use crate::pending::Pending;
use crate::shard::Shard;
use crate::store::{Hearer, Serve, Served, StoreRequest};
use crate::time::Now;

impl Shard {
    pub(crate) fn on_service(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        service: ServiceFrame<'_>,
        fx: &mut Effects,
    ) {
        self.counters.services += 1;
        let kind = service.kind();
        let Some(user) = self.conns.get(key).map(|conn| conn.user) else { return };
        if self.config.durability == Durability::None {
            self.reject(now, key, correlation, kind, Reject::Unavailable, fx);
            return;
        }
        let is_stalled = self.desk.is_stalled(now.mono, self.config.store_stall);
        let takes =
            if kind.is_change() { self.desk.takes_change() } else { self.desk.takes_read() };
        if !takes || (kind.is_change() && is_stalled) {
            self.counters.store_credit_hits += 1;
            self.reject(now, key, correlation, kind, Reject::Busy, fx);
            return;
        }
        // As it came: the store's threads parse it again, so that no service has a second form inside.
        let start = fx.store.bytes.len();
        let command = Message::Command(Command::Service(service));
        if !command.append_to(correlation, &mut fx.store.bytes) {
            self.reject(now, key, correlation, kind, Reject::BodySize, fx);
            return;
        }
        let end = fx.store.bytes.len();
        self.await_answer(key);
        let ticket = self.desk.open(now.mono, Pending::Serve { key, correlation, kind });
        // Under `relaxed` this shard, not the store, gives places: the store may not write messages of its own.
        let message_ids = (self.config.durability == Durability::Commit)
            .then(|| [self.next_message_id(), self.next_message_id()]);
        let range =
            u32::try_from(start).unwrap_or(u32::MAX)..u32::try_from(end).unwrap_or(u32::MAX);
        fx.store.requests.push(StoreRequest::Serve(Serve {
            ticket,
            user,
            unix_ms: now.unix_ms,
            message_ids,
            is_write: kind.is_change(),
            frame: range,
        }));
    }

    /// The store's answer: for whoever asked, and for whom it concerns.
    pub(crate) fn on_served(&mut self, now: Now, key: ConnKey, served: &Served, fx: &mut Effects) {
        // Nothing overtakes what was said before it.
        self.end_round(now, fx);
        for (hearer, frames) in &served.tells {
            match *hearer {
                Hearer::User(user) => self.tell_user(now, user, frames, fx),
                Hearer::Room(room) => self.tell_room(now, room, frames, fx),
                Hearer::Behind(conversation, user) => {
                    self.tell_behind(now, conversation, user, frames, fx);
                }
            }
        }
        for (room, user) in &served.evicted {
            self.evict(now, *room, *user, fx);
        }
        self.push_frames(now, key, &served.frames, fx);
        self.answered_read(now, key, fx);
    }

    /// Queues copies of whole frames, as many to a buffer as fit.
    pub(crate) fn push_frames(&mut self, now: Now, key: ConnKey, frames: &[u8], fx: &mut Effects) {
        let mut rest = frames;
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(run_len(rest));
            if !self.push_copy(now, key, run, fx) {
                return;
            }
            rest = behind;
        }
    }

    /// Tells a user something, if online.
    pub(crate) fn tell_user(&mut self, now: Now, to: UserId, frame: &[u8], fx: &mut Effects) {
        let home = home_of_user(to, self.config.shards);
        if home == self.config.shard {
            self.on_tell(now, to, frame, fx);
        } else if self.outbox.is_full(home, DELIVERY) {
            // A shard that stands still: news are hints, and what they are about is in the store.
            self.counters.dropped_frames += 1;
        } else {
            self.outbox.post(home, &Mail::Tell { to, frame }, &mut self.counters, fx);
        }
    }

    /// Tells a user something about what was said in a conversation: over its home, where its texts come from. Between two
    /// shards nothing overtakes, and the store's answer about a text is handled there before mail that was caused by a later
    /// one; so whatever was said before is heard before.
    fn tell_behind(
        &mut self,
        now: Now,
        conversation: ConversationId,
        to: UserId,
        frame: &[u8],
        fx: &mut Effects,
    ) {
        let home = conversation.home(self.config.shards);
        if home == self.config.shard {
            self.tell_user(now, to, frame, fx);
        } else if self.outbox.is_full(home, COMMAND) {
            self.counters.dropped_frames += 1;
        } else {
            let mail = Mail::TellBehind { to, frame };
            self.outbox.post(home, &mail, &mut self.counters, fx);
        }
    }

    /// At the user's home; whether there is a session.
    pub(crate) fn on_tell(&mut self, now: Now, to: UserId, frame: &[u8], fx: &mut Effects) -> bool {
        let Some(conn) = self.directory.find(to) else { return false };
        self.counters.told += 1;
        let (shard, key) = conn.parts();
        if shard == self.config.shard {
            self.on_told(now, key, frame, fx);
        } else if !self.is_cut_off(now, to, conn, fx) {
            let mail = Mail::Told { conn, frame };
            self.outbox.post(shard, &mail, &mut self.counters, fx);
        }
        true
    }

    pub(crate) fn on_told(&mut self, now: Now, key: ConnKey, frame: &[u8], fx: &mut Effects) {
        self.end_round(now, fx);
        self.push_frames(now, key, frame, fx);
    }

    /// Tells whoever has entered a room.
    fn tell_room(&mut self, now: Now, room: RoomId, frame: &[u8], fx: &mut Effects) {
        let home = home_of_room(room, self.config.shards);
        if home == self.config.shard {
            self.on_tell_room(now, room, frame, fx);
        } else if self.outbox.is_full(home, COMMAND) {
            self.counters.dropped_frames += 1;
        } else {
            self.outbox.post(home, &Mail::TellRoom { room, frame }, &mut self.counters, fx);
        }
    }

    /// At the room's home.
    pub(crate) fn on_tell_room(&mut self, now: Now, room: RoomId, frame: &[u8], fx: &mut Effects) {
        self.on_room_told(now, room, frame, fx);
        for shard in self.rooms.interested(room) {
            if self.outbox.is_reserve_used(*shard) {
                self.counters.dropped_frames += 1;
                continue;
            }
            let mail = Mail::RoomTold { room, frame };
            self.outbox.post(*shard, &mail, &mut self.counters, fx);
        }
    }

    /// On every shard where somebody has entered it.
    pub(crate) fn on_room_told(&mut self, now: Now, room: RoomId, frame: &[u8], fx: &mut Effects) {
        self.end_round(now, fx);
        let mut members = Vec::new();
        self.rooms.members_into(room, &mut members);
        self.counters.told += members.len() as u64;
        for index in members {
            if let Some(key) = self.conns.key_at(index) {
                self.push_frames(now, key, frame, fx);
            }
        }
    }

    /// A user's session must leave a room, wherever it is.
    fn evict(&mut self, now: Now, room: RoomId, user: UserId, fx: &mut Effects) {
        let home = home_of_user(user, self.config.shards);
        if home == self.config.shard {
            self.on_evict(now, room, user, fx);
        } else {
            self.outbox.post(home, &Mail::Evict { room, user }, &mut self.counters, fx);
        }
    }

    /// At the user's home.
    pub(crate) fn on_evict(&mut self, now: Now, room: RoomId, user: UserId, fx: &mut Effects) {
        if let Some(conn) = self.directory.find(user) {
            self.mail_conn(now, Mail::EvictAt { conn, room }, conn, fx);
        }
    }

    pub(crate) fn on_send_texts(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        texts: SendTexts<'_>,
        fx: &mut Effects,
    ) {
        // A frame's parts were checked with it.
        for (id, body) in Texts::new(texts.texts).flatten() {
            self.send_one_text(now, key, correlation, (texts.to, id, body), fx);
        }
    }

    pub(crate) fn on_signal(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        signal: SignalCall<'_>,
        fx: &mut Effects,
    ) {
        let Some(from) = self.conns.get(key).map(|conn| conn.user) else { return };
        self.await_answer(key);
        let SignalCall { to, call, signal, body } = signal;
        let mut frame = Vec::new();
        let said = News::CallSignal(CallSignal { from, call, signal, body });
        let fits = said.append_to(0, &mut frame);
        debug_assert!(fits, "what came in a frame fits one");
        let origin = self.conn_ref(key);
        let home = home_of_user(to, self.config.shards);
        let mail = Mail::Signal { to, origin, correlation, frame: &frame };
        if home == self.config.shard {
            self.on_mail(now, home, mail, fx);
        } else {
            self.outbox.post(home, &mail, &mut self.counters, fx);
        }
    }

    /// At the home of whom a sign is for.
    pub(crate) fn on_signal_for(
        &mut self,
        now: Now,
        (to, frame): (UserId, &[u8]),
        (origin, correlation): (ConnRef, u64),
        fx: &mut Effects,
    ) {
        if self.on_tell(now, to, frame, fx) {
            let done = Done { next: ConversationId::default(), is_complete: 1 };
            let mut frame = Vec::new();
            let fits = News::Done(done).append_to(correlation, &mut frame);
            debug_assert!(fits, "a short frame");
            self.mail_conn(now, Mail::Reply { origin, is_last: true, frame: &frame }, origin, fx);
            return;
        }
        let refusal = Refusal {
            origin,
            correlation,
            kind: Kind::SignalCall,
            reject: Reject::Offline,
            client_message_id: ClientMessageId(0),
            room: None,
        };
        self.mail_conn(now, Mail::Refuse(refusal), origin, fx);
    }
}

/// Bytes of the first frames that fit a pack together; of one, if that is longer.
fn run_len(frames: &[u8]) -> usize {
    let mut len = 0;
    while let Some(rest) = frames.get(len..)
        && let Ok(Some((frame, _))) = split_frame(rest)
        && (len == 0 || len + frame.len() <= PACK_BYTES_MAX)
    {
        len += frame.len();
    }
    // What the store encoded is whole frames: nothing is left over.
    if len == 0 { frames.len() } else { len }
}

/// Whether a command is answered by what counts as a read.
pub(crate) const fn is_read(kind: Kind) -> bool {
    let code = kind as u8;
    matches!(kind, Kind::Pull | Kind::Conversations | Kind::SignalCall)
        || (code >= Kind::Me as u8 && code <= Kind::Members as u8)
}
