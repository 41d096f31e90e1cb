//! Entering and leaving rooms.

use wire::{
    ConversationId, Event, Joined, Kind, Left, Reject, RoomId, Seq, ShardId, UserId, home_of_room,
};

use crate::config::Durability;
use crate::conn::{ConnKey, ConnRef};
use crate::effects::Effects;
use crate::limits::SESSION_ROOMS_MAX;
use crate::mail::{Mail, Refusal};
use crate::pending::Pending;
use crate::room::Join;
use crate::shard::Shard;
use crate::store::{HeadOf, StoreRequest};
use crate::time::Now;

/// Whom to answer about a join.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnterAsker {
    pub(crate) user: UserId,
    pub(crate) origin: ConnRef,
    pub(crate) correlation: u64,
    /// The join made its sender a member: a refusal has to undo that.
    pub(crate) is_new: bool,
}

impl Shard {
    /// The membership comes first, then the room's last `seq` is asked for: so no later message can be missed. A group's
    /// counts for nothing until the store has granted it.
    pub(crate) fn on_join(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        room: RoomId,
        fx: &mut Effects,
    ) {
        self.end_round(now, fx);
        if room.is_group() && self.config.durability == Durability::None {
            // Without a store nobody is a member.
            self.reject(now, key, correlation, Kind::JoinRoom, Reject::NotMember, fx);
            return;
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        let is_new = !self.rooms.has(conn, room);
        let is_full = conn.rooms >= SESSION_ROOMS_MAX && is_new;
        if is_full || self.rooms.join(conn, key.index(), room) == Join::Full {
            self.counters.room_bound_hits += 1;
            self.reject(now, key, correlation, Kind::JoinRoom, Reject::TooManyRooms, fx);
            return;
        }
        conn.awaiting += 1;
        self.ask_to_enter(now, key, correlation, (room, is_new), fx);
    }

    fn ask_to_enter(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        (room, is_new): (RoomId, bool),
        fx: &mut Effects,
    ) {
        let Some(user) = self.conns.get(key).map(|conn| conn.user) else { return };
        let origin = self.conn_ref(key);
        let home = home_of_room(room, self.config.shards);
        if home == self.config.shard {
            self.on_enter(now, home, room, EnterAsker { user, origin, correlation, is_new }, fx);
        } else {
            let mail = Mail::Enter { room, user, origin, correlation, is_new };
            self.outbox.post(home, &mail, &mut self.counters, fx);
        }
    }

    /// At the room's home: a shard has a member.
    pub(crate) fn on_enter(
        &mut self,
        now: Now,
        shard: ShardId,
        room: RoomId,
        asker: EnterAsker,
        fx: &mut Effects,
    ) {
        let EnterAsker { user, origin, correlation, is_new } = asker;
        let refusal = |reject| Refusal {
            origin,
            correlation,
            kind: Kind::JoinRoom,
            reject,
            client_message_id: wire::ClientMessageId(0),
            room: is_new.then_some(room),
        };
        if shard != self.config.shard && !self.rooms.add_interest(room, shard) {
            self.counters.room_bound_hits += 1;
            self.mail_conn(now, Mail::Refuse(refusal(Reject::TooManyRooms)), origin, fx);
            return;
        }
        let conversation = ConversationId::room(room);
        let known = match self.config.durability {
            Durability::None => Some(self.known.head(conversation).unwrap_or_default()),
            // The store alone knows who may enter a group.
            Durability::Relaxed if !room.is_group() => self.known.head(conversation),
            Durability::Relaxed | Durability::Commit => None,
        };
        if let Some(head) = known {
            self.mail_conn(now, Mail::Entered { origin, correlation, room, head }, origin, fx);
        } else if self.desk.takes_read() {
            let pending = Pending::Enter { asker, room };
            let ticket = self.desk.open(now.mono, pending);
            let head = HeadOf { ticket, conversation, for_user: Some(user) };
            fx.store.requests.push(StoreRequest::Head(head));
        } else {
            self.counters.store_credit_hits += 1;
            self.mail_conn(now, Mail::Refuse(refusal(Reject::Busy)), origin, fx);
        }
    }

    pub(crate) fn on_entered(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        room: RoomId,
        head: Seq,
        fx: &mut Effects,
    ) {
        // What was said up to its head comes before it.
        self.end_round(now, fx);
        let Some(conn) = self.conns.get(key) else { return };
        match self.rooms.grant(conn, room) {
            // It has left, or was put out, while it was asked for.
            None => {
                self.reject(now, key, correlation, Kind::JoinRoom, Reject::NotMember, fx);
                self.answered(now, key, fx);
                return;
            }
            // A group's: what was said since the store looked must not be missed, so its head is asked for once more.
            Some(true) => {
                self.ask_to_enter(now, key, correlation, (room, true), fx);
                return;
            }
            Some(false) => {}
        }
        self.send(now, key, correlation, Event::Joined(Joined { room, head }), fx);
        self.answered(now, key, fx);
    }

    pub(crate) fn on_leave(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        room: RoomId,
        fx: &mut Effects,
    ) {
        self.end_round(now, fx);
        let Some(conn) = self.conns.get_mut(key) else { return };
        if !self.rooms.has(conn, room) {
            self.reject(now, key, correlation, Kind::LeaveRoom, Reject::NotMember, fx);
            return;
        }
        if let Some(deserted) = self.rooms.leave(conn, room) {
            self.desert(deserted, fx);
        }
        self.send(now, key, correlation, Event::Left(Left { room }), fx);
    }

    /// Undoes the membership of a join that was refused.
    pub(crate) fn undo_join(&mut self, now: Now, key: ConnKey, room: RoomId, fx: &mut Effects) {
        self.end_round(now, fx);
        let Some(conn) = self.conns.get_mut(key) else { return };
        if let Some(deserted) = self.rooms.leave(conn, room) {
            self.desert(deserted, fx);
        }
    }

    /// Ends all memberships of a connection.
    pub(crate) fn leave_all(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        self.end_round(now, fx);
        while let Some(conn) = self.conns.get_mut(key).filter(|conn| conn.rooms > 0) {
            if let Some(deserted) = self.rooms.leave_first(conn) {
                self.desert(deserted, fx);
            }
        }
    }

    /// No member is left on this shard: the room's home need not send here any more.
    fn desert(&mut self, room: RoomId, fx: &mut Effects) {
        let home = home_of_room(room, self.config.shards);
        if home != self.config.shard {
            self.outbox.post(home, &Mail::Desert { room }, &mut self.counters, fx);
        }
    }
}
