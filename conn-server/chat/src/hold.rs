//! Back-pressure at the edge: which commands must wait, what they wait for, and when their connections go on.
//!
//! A connection waits as a whole, so that its commands keep their order; its driver stops receiving, and TCP holds the
//! peer back.

use wire::{Command, ConversationId, ShardId, UserId, home_of_room, home_of_user};

use crate::config::Durability;
use crate::conn::{Conn, ConnKey};
use crate::effects::Effects;
use crate::limits::{CONN_AWAITING_LOW, CONN_AWAITING_MAX, CONN_READS_MAX, PAGE_BYTES_MAX};
use crate::mail::{COMMAND, DELIVERY, REPLY};
use crate::shard::Shard;
use crate::time::Now;
use crate::timers::tick_of;

/// What a paused connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Answers to its commands, or its own reading.
    Answers,
    /// A peer shard's credit for one class of mail.
    Credit(ShardId, usize),
}

impl Shard {
    /// Whether a command has to wait: one whose mail has no credit, any for the answers to those before it, and a read
    /// until the pages before it are read.
    pub(crate) fn must_wait(&self, key: ConnKey, command: &Command<'_>) -> Option<Hold> {
        let conn = self.conns.get(key)?;
        let is_waiting = match command {
            // A login is told to come again, since its home is known only from its token; leaving is a reply's size.
            Command::Heartbeat | Command::Logout | Command::Login(_) | Command::LeaveRoom(_) => {
                return None;
            }
            Command::SendText(_)
            | Command::SendTexts(_)
            | Command::SendRoom(_)
            | Command::JoinRoom(_) => conn.awaiting >= CONN_AWAITING_MAX,
            Command::Pull(_)
            | Command::Conversations(_)
            | Command::SignalCall(_)
            | Command::Service(_) => {
                conn.awaiting >= CONN_AWAITING_MAX
                    || conn.reads >= CONN_READS_MAX
                    || conn.queue.bytes as usize > PAGE_BYTES_MAX
            }
        };
        if is_waiting {
            return Some(Hold::Answers);
        }
        if self.outbox.is_choked() { self.full_on_the_way(conn, command) } else { None }
    }

    /// The first shard on a command's way that has no credit left, as far as the way can be seen from here.
    fn full_on_the_way(&self, conn: &Conn, command: &Command<'_>) -> Option<Hold> {
        let (home, onward) = match command {
            Command::SendText(text) => {
                let conversation = ConversationId::private(conn.user, text.to);
                (conversation.home(self.config.shards), Some(conversation))
            }
            Command::SendTexts(texts) => {
                let conversation = ConversationId::private(conn.user, texts.to);
                (conversation.home(self.config.shards), Some(conversation))
            }
            Command::SignalCall(signal) => (home_of_user(signal.to, self.config.shards), None),
            Command::SendRoom(text) => {
                let home = home_of_room(text.room, self.config.shards);
                (home, Some(ConversationId::room(text.room)))
            }
            Command::JoinRoom(join) => (home_of_room(join.room, self.config.shards), None),
            Command::Pull(pull) if self.config.durability == Durability::None => {
                (pull.conversation.home(self.config.shards), None)
            }
            // The store serves them, or they are told to come again.
            Command::Pull(_)
            | Command::Conversations(_)
            | Command::Service(_)
            | Command::Heartbeat
            | Command::Logout
            | Command::Login(_)
            | Command::LeaveRoom(_) => return None,
        };
        if home != self.config.shard {
            return self.outbox.is_full(home, COMMAND).then_some(Hold::Credit(home, COMMAND));
        }
        self.full_onward(onward?, conn.user)
    }

    /// At a conversation's home: where a message of it cannot be sent on to for want of credit.
    pub(crate) fn full_onward(&self, conversation: ConversationId, from: UserId) -> Option<Hold> {
        if !self.outbox.is_choked() {
            return None;
        }
        let is_full =
            |shard, class| self.outbox.is_full(shard, class).then_some(Hold::Credit(shard, class));
        if let Some(room) = conversation.as_room() {
            return self.rooms.interested(room).iter().find_map(|shard| is_full(*shard, REPLY));
        }
        let to = conversation.peer_of(from)?;
        let home = home_of_user(to, self.config.shards);
        if home != self.config.shard {
            return is_full(home, DELIVERY);
        }
        is_full(self.directory.find(to)?.parts().0, REPLY)
    }

    /// Has a connection wait; its command stays in the spill.
    pub(crate) fn pause(&mut self, key: ConnKey, hold: Hold, fx: &mut Effects) {
        self.paused.push((key, hold));
        self.stop_receiving(key, fx);
    }

    /// Tells the driver to receive no more. Whoever calls this sees to it that `resume` is called.
    pub(crate) fn stop_receiving(&mut self, key: ConnKey, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(key).filter(|conn| !conn.is_paused) else { return };
        conn.is_paused = true;
        self.counters.paused += 1;
        // The driver drains `pause` before `resume`: one that was to be resumed in this turn just stays as it was.
        match fx.resume.iter().position(|other| *other == key) {
            Some(at) => drop(fx.resume.swap_remove(at)),
            None => fx.pause.push(key),
        }
    }

    /// Lets paused connections go on, if what they wait for has come.
    pub(crate) fn resume_paused(&mut self, now: Now, fx: &mut Effects) {
        if !core::mem::take(&mut self.is_resuming) {
            return;
        }
        for (key, hold) in core::mem::take(&mut self.paused) {
            let Some(conn) = self.conns.get_mut(key).filter(|conn| conn.is_paused) else {
                continue;
            };
            let must_stay = match hold {
                Hold::Answers => conn.awaiting >= CONN_AWAITING_LOW,
                Hold::Credit(peer, class) => self.outbox.is_full(peer, class),
            };
            if must_stay {
                self.paused.push((key, hold));
                continue;
            }
            conn.heard = tick_of(now.mono);
            self.resume(key, fx);
            self.consume_spill(now, key, fx);
        }
    }

    /// Tells the driver to receive again.
    pub(crate) fn resume(&mut self, key: ConnKey, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if !core::mem::take(&mut conn.is_paused) {
            return;
        }
        match fx.pause.iter().position(|other| *other == key) {
            Some(at) => drop(fx.pause.swap_remove(at)),
            None => fx.resume.push(key),
        }
    }
}
