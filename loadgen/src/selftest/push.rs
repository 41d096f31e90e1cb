//! Pushes to recipients, and the faults that strike them there.

use wire::{ConversationId, Event, UserId};

use super::chat::{Chat, Held, Outbox, PeerId, text};
use super::fault::Fault;

impl Chat {
    /// Pushes a message to a recipient, unless a fault strikes.
    pub(super) fn push(
        &mut self,
        to: UserId,
        conversation: ConversationId,
        at: usize,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.sessions.get(&to).copied() else { return };
        let Some(place) = self.conversations.get_mut(&conversation) else { return };
        let (fault, from) = (self.trigger.fault(), place.said[at].from);
        let can_notice = place.listening.get(&to).copied().unwrap_or(false);
        let members = conversation.as_room().and_then(|room| self.rooms.get(&room));
        let is_outside = |user: &UserId| {
            *user != to && *user != from && members.is_none_or(|members| !members.contains(user))
        };
        let other = self.sessions.iter().find(|(user, _)| is_outside(user));
        let other = other.map(|(_, peer)| *peer);
        let could_strike = !fault.is_inbound()
            && self.held.is_none()
            // What nobody could notice would make the account inexact.
            && (fault != Fault::Drop || can_notice)
            && (fault != Fault::Misroute || other.is_some());
        let strikes = could_strike && self.trigger.strikes();
        match fault {
            Fault::Drop if strikes => {
                self.done.struck += 1;
                *place.dropped.entry(to).or_default() += 1;
            }
            Fault::Duplicate if strikes => {
                self.done.struck += 1;
                self.send(peer, conversation, at, None, out);
                self.send(peer, conversation, at, None, out);
            }
            Fault::Swap if strikes => self.held = Some(Held { to, conversation, seq: at }),
            Fault::Flip if strikes => {
                self.done.struck += 1;
                self.send(peer, conversation, at, Some(self.done.struck as usize * 7), out);
            }
            Fault::Misroute if strikes => {
                self.done.struck += 1;
                self.send(other.unwrap_or(peer), conversation, at, None, out);
            }
            Fault::None
            | Fault::Drop
            | Fault::Duplicate
            | Fault::Swap
            | Fault::Flip
            | Fault::Misroute
            | Fault::Refuse
            | Fault::Cut
            | Fault::Stall(_) => {
                place.hears(to);
                self.send(peer, conversation, at, None, out);
                self.release_behind(to, conversation, from, out);
            }
        }
    }

    /// Sends the held push, if this was its neighbour: now they are swapped.
    fn release_behind(
        &mut self,
        to: UserId,
        conversation: ConversationId,
        from: UserId,
        out: &mut Outbox,
    ) {
        let is_neighbour = self.held.as_ref().is_some_and(|held| {
            let of_held = &self.conversations[&held.conversation].said[held.seq].from;
            (held.to, held.conversation, *of_held) == (to, conversation, from)
        });
        if is_neighbour {
            self.done.struck += 1;
            self.release(out);
        }
    }

    /// Sends the held push, swapped or not: nothing is to be lost.
    pub(super) fn release(&mut self, out: &mut Outbox) {
        if let Some(held) = self.held.take()
            && let Some(peer) = self.sessions.get(&held.to).copied()
        {
            self.send(peer, held.conversation, held.seq, None, out);
        }
    }

    fn send(
        &self,
        peer: PeerId,
        conversation: ConversationId,
        at: usize,
        flip: Option<usize>,
        out: &mut Outbox,
    ) {
        let Some(said) = self.conversations.get(&conversation).and_then(|all| all.said.get(at))
        else {
            return;
        };
        let mut body = said.body.clone();
        if let Some(bit) = flip {
            let bit = bit % (body.len() * 8);
            body[bit / 8] ^= 1 << (bit % 8);
        }
        out.event(peer, 0, Event::Text(text(conversation, at, said, &body)));
    }
}
