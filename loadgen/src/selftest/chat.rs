//! The chat behind the reference server, as plain as can be: users, rooms, conversations and all that was ever said.
//!
//! Written from the protocol, not from the node: what the two have in common is `wire`. Faults are done here, to events
//! on their way to a peer (`push`). Owns no socket.

use std::collections::{BTreeMap, HashMap};

use wire::token::TokenKey;
use wire::{
    Acked, ClientMessageId, CloseReason, Command, ConversationHead, ConversationId,
    ConversationsEnd, Event, Goodbye, Joined, Kind, Left, Message, MessageId, Pulled, Reject,
    Rejected, RoomId, Seq, Text, UserId, Welcome,
};

use super::fault::{Done, Fault, Script, Trigger};

/// The name that tokens for the reference server are bound to.
pub(super) const NAME: &str = "selftest";
/// Its one incarnation.
pub(super) const INCARNATION: u64 = 1;
/// How soon a refused message may be tried again.
const RETRY_AFTER_MS: u32 = 20;
/// How often clients send a heartbeat: often enough that a short run sees some.
const HEARTBEAT_INTERVAL_MS: u32 = 1_000;
/// Longer than any machine sleeps.
const HEARTBEAT_TIMEOUT_MS: u32 = 120_000;

/// A peer, by its place in the server's table.
pub(super) type PeerId = usize;

#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) from: UserId,
    pub(super) id: MessageId,
    pub(super) body: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// What was said, by `seq - 1`.
    pub(super) said: Vec<Said>,
    /// By user: whether it has heard anything of this conversation, so that it would notice a gap.
    pub(super) listening: HashMap<UserId, bool>,
    /// By user: pushes dropped since it last heard anything of this conversation.
    pub(super) dropped: HashMap<UserId, u64>,
}

/// A push that waits for the one behind it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) to: UserId,
    pub(super) conversation: ConversationId,
    pub(super) seq: usize,
}

/// What is to be done with a peer.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Bytes for peers, in order.
    pub(super) frames: Vec<(PeerId, Vec<u8>)>,
    /// Peers to be closed when everything is written.
    pub(super) close: Vec<PeerId>,
    /// Peers to be reset at once.
    pub(super) reset: Vec<PeerId>,
}

impl Outbox {
    pub(super) fn event(&mut self, peer: PeerId, correlation: u64, event: Event<'_>) {
        let mut frame = Vec::new();
        let is_written = Message::from(event).append_to(correlation, &mut frame);
        assert!(is_written, "what came in a frame goes out in a frame");
        self.frames.push((peer, frame));
    }
}

#[derive(Debug)]
pub(super) struct Chat {
    key: TokenKey,
    pub(super) trigger: Trigger,
    pub(super) sessions: HashMap<UserId, PeerId>,
    users: HashMap<PeerId, UserId>,
    pub(super) rooms: HashMap<RoomId, Vec<UserId>>,
    pub(super) conversations: BTreeMap<ConversationId, Conversation>,
    known: HashMap<(UserId, ClientMessageId), (ConversationId, usize)>,
    refused: HashMap<(UserId, ClientMessageId), ()>,
    pub(super) held: Option<Held>,
    next_id: u64,
    pub(super) done: Done,
}

impl Chat {
    pub(super) fn new(key: TokenKey, script: Script) -> Self {
        Self {
            key,
            trigger: Trigger::new(script),
            sessions: HashMap::new(),
            users: HashMap::new(),
            rooms: HashMap::new(),
            conversations: BTreeMap::new(),
            known: HashMap::new(),
            refused: HashMap::new(),
            held: None,
            next_id: 0,
            done: Done::default(),
        }
    }

    pub(super) fn done(&self) -> Done {
        let dropped = self.conversations.values().flat_map(|said| said.dropped.values());
        Done { unnoticeable: dropped.sum(), ..self.done }
    }

    pub(super) fn note_stall(&mut self, stalled: std::time::Duration) {
        self.done.stalled = stalled;
    }

    pub(super) fn on_closed(&mut self, peer: PeerId) {
        if let Some(user) = self.users.remove(&peer)
            && self.sessions.get(&user) == Some(&peer)
        {
            self.sessions.remove(&user);
            self.rooms.values_mut().for_each(|members| members.retain(|member| *member != user));
        }
    }

    /// One command of a peer. Returns how long to stall after it.
    pub(super) fn on_command(
        &mut self,
        peer: PeerId,
        correlation: u64,
        command: Command<'_>,
        now_ms: u64,
        out: &mut Outbox,
    ) -> Option<std::time::Duration> {
        if let Command::Login(login) = command {
            self.on_login(peer, correlation, login.token, now_ms, out);
            return None;
        }
        let Some(user) = self.users.get(&peer).copied() else {
            let reject = Reject::NotLoggedIn;
            self.reject(peer, correlation, command.kind(), reject, ClientMessageId(0), out);
            return None;
        };
        match command {
            Command::SendText(text) => {
                let to = (ConversationId::private(user, text.to), text.client_message_id);
                return self.on_message(peer, correlation, Kind::SendText, to, text.body, out);
            }
            Command::SendRoom(text) => {
                let to = (ConversationId::room(text.room), text.client_message_id);
                return self.on_message(peer, correlation, Kind::SendRoom, to, text.body, out);
            }
            Command::JoinRoom(join) => self.on_join(peer, correlation, user, join.room, out),
            Command::LeaveRoom(leave) => {
                self.rooms.entry(leave.room).or_default().retain(|member| *member != user);
                out.event(peer, correlation, Event::Left(Left { room: leave.room }));
            }
            Command::Pull(pull) => {
                let after = pull.after;
                self.on_pull(peer, correlation, (pull.conversation, after, pull.limit), out);
            }
            Command::Conversations(query) => {
                self.on_conversations(peer, correlation, user, query.after, query.limit, out);
            }
            Command::Heartbeat => out.event(peer, correlation, Event::HeartbeatAck),
            Command::Logout => {
                self.release(out);
                self.goodbye(peer, CloseReason::Logout, out);
            }
            // This server judges messages; nobody asks it for more.
            Command::Login(_)
            | Command::SendTexts(_)
            | Command::SignalCall(_)
            | Command::Service(_) => {}
        }
        None
    }

    fn goodbye(&mut self, peer: PeerId, reason: CloseReason, out: &mut Outbox) {
        let goodbye = Goodbye { reason: reason.code(), reconnect_after_ms: 0 };
        out.event(peer, 0, Event::Goodbye(goodbye));
        out.close.push(peer);
        self.on_closed(peer);
    }

    fn reject(
        &self,
        peer: PeerId,
        correlation: u64,
        kind: Kind,
        reject: Reject,
        client_message_id: ClientMessageId,
        out: &mut Outbox,
    ) {
        let retry_after_ms = if reject.is_retryable() { RETRY_AFTER_MS } else { 0 };
        let (reject, kind) = (reject.code(), kind as u8);
        let rejected = Rejected { reject, kind, retry_after_ms, client_message_id };
        out.event(peer, correlation, Event::Rejected(rejected));
    }

    fn on_login(
        &mut self,
        peer: PeerId,
        correlation: u64,
        token: &[u8],
        now_ms: u64,
        out: &mut Outbox,
    ) {
        let Ok(token) = self.key.verify(token, NAME, INCARNATION, now_ms) else {
            self.goodbye(peer, CloseReason::BadToken, out);
            return;
        };
        if let Some(older) = self.sessions.get(&token.user).copied() {
            self.goodbye(older, CloseReason::Replaced, out);
        }
        self.sessions.insert(token.user, peer);
        self.users.insert(peer, token.user);
        let welcome = Welcome {
            user: token.user,
            epoch: token.epoch,
            heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
            heartbeat_timeout_ms: HEARTBEAT_TIMEOUT_MS,
            body_bytes_max: wire::limits::BODY_BYTES_MAX as u32,
            home_port: 0,
            previous_close: 0,
        };
        out.event(peer, correlation, Event::Welcome(welcome));
    }

    fn on_join(
        &mut self,
        peer: PeerId,
        correlation: u64,
        user: UserId,
        room: RoomId,
        out: &mut Outbox,
    ) {
        let members = self.rooms.entry(room).or_default();
        if !members.contains(&user) {
            members.push(user);
        }
        let conversation = self.conversations.entry(ConversationId::room(room)).or_default();
        // The head that it is told is a place to miss things from.
        conversation.listening.insert(user, true);
        let head = Seq(conversation.said.len() as u64);
        out.event(peer, correlation, Event::Joined(Joined { room, head }));
    }

    fn on_message(
        &mut self,
        peer: PeerId,
        correlation: u64,
        kind: Kind,
        (conversation, id): (ConversationId, ClientMessageId),
        body: &[u8],
        out: &mut Outbox,
    ) -> Option<std::time::Duration> {
        let from = self.users.get(&peer).copied()?;
        if let Some((conversation, at)) = self.known.get(&(from, id)).copied() {
            self.acknowledge(peer, correlation, id, conversation, at, out);
            return None;
        }
        let is_retry = self.refused.contains_key(&(from, id));
        let strikes = self.trigger.fault().is_inbound() && !is_retry && self.trigger.strikes();
        self.done.struck += u64::from(strikes);
        if strikes && self.trigger.fault() == Fault::Refuse {
            self.refused.insert((from, id), ());
            self.reject(peer, correlation, kind, Reject::Busy, id, out);
            return None;
        }
        self.next_id += 1;
        let said = Said { from, id: MessageId(self.next_id), body: body.to_vec() };
        let place = self.conversations.entry(conversation).or_default();
        place.said.push(said);
        let at = place.said.len() - 1;
        self.known.insert((from, id), (conversation, at));
        self.done.messages += 1;
        if strikes && self.trigger.fault() == Fault::Cut {
            out.reset.push(peer);
        } else {
            self.acknowledge(peer, correlation, id, conversation, at, out);
        }
        for to in self.recipients(conversation, from) {
            self.push(to, conversation, at, out);
        }
        match self.trigger.fault() {
            Fault::Stall(length) if strikes => Some(length),
            Fault::None
            | Fault::Drop
            | Fault::Duplicate
            | Fault::Swap
            | Fault::Flip
            | Fault::Misroute
            | Fault::Refuse
            | Fault::Cut
            | Fault::Stall(_) => None,
        }
    }

    fn acknowledge(
        &mut self,
        peer: PeerId,
        correlation: u64,
        client_message_id: ClientMessageId,
        conversation: ConversationId,
        at: usize,
        out: &mut Outbox,
    ) {
        let Some(place) = self.conversations.get_mut(&conversation) else { return };
        let message_id = place.said[at].id;
        let sender = place.said[at].from;
        place.hears(sender);
        let seq = Seq(at as u64 + 1);
        let acked = Acked { conversation, seq, message_id, client_message_id };
        out.event(peer, correlation, Event::Acked(acked));
    }

    fn recipients(&self, conversation: ConversationId, from: UserId) -> Vec<UserId> {
        match conversation.as_room() {
            Some(room) => {
                let members = self.rooms.get(&room).into_iter().flatten();
                members.copied().filter(|member| *member != from).collect()
            }
            None => conversation.peer_of(from).into_iter().collect(),
        }
    }

    fn on_pull(
        &self,
        peer: PeerId,
        correlation: u64,
        (conversation, after, limit): (ConversationId, Seq, u16),
        out: &mut Outbox,
    ) {
        let none = Conversation::default();
        let all = &self.conversations.get(&conversation).unwrap_or(&none).said;
        let first = usize::try_from(after.0).unwrap_or(usize::MAX).min(all.len());
        let end =
            (first + usize::from(limit.clamp(1, wire::limits::PAGE_ITEMS_MAX))).min(all.len());
        for (at, said) in all.iter().enumerate().take(end).skip(first) {
            out.event(peer, correlation, Event::Text(text(conversation, at, said, &said.body)));
        }
        let next = if end > first { Seq(end as u64) } else { after };
        let pulled = Pulled { conversation, next, is_complete: u8::from(end == all.len()) };
        out.event(peer, correlation, Event::Pulled(pulled));
    }

    fn on_conversations(
        &self,
        peer: PeerId,
        correlation: u64,
        user: UserId,
        after: ConversationId,
        limit: u16,
        out: &mut Outbox,
    ) {
        let limit = usize::from(limit.clamp(1, wire::limits::PAGE_ITEMS_MAX));
        let of_user =
            self.conversations.iter().filter(|(id, _)| **id > after && id.peer_of(user).is_some());
        let page: Vec<_> = of_user.take(limit + 1).collect();
        for (id, all) in page.iter().take(limit) {
            let head = Seq(all.said.len() as u64);
            let head = ConversationHead { conversation: **id, head };
            out.event(peer, correlation, Event::ConversationHead(head));
        }
        let next = page.iter().take(limit).next_back().map_or(after, |(id, _)| **id);
        let end = ConversationsEnd { next, is_complete: u8::from(page.len() <= limit) };
        out.event(peer, correlation, Event::ConversationsEnd(end));
    }
}

impl Conversation {
    /// A user hears something that has a place here: it will notice what it missed before.
    pub(super) fn hears(&mut self, user: UserId) {
        self.listening.insert(user, true);
        self.dropped.remove(&user);
    }
}

pub(super) fn text<'a>(
    conversation: ConversationId,
    at: usize,
    said: &Said,
    body: &'a [u8],
) -> Text<'a> {
    Text {
        conversation,
        seq: Seq(at as u64 + 1),
        message_id: said.id,
        from: said.from,
        unix_ms: 0,
        body,
    }
}
