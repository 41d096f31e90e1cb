//! A node in memory, as far as one client can see it: logs of conversations, and the events of a connection.

use std::collections::BTreeMap;

use client::{Broken, Follow, Notice, Session};
use wire::{
    Acked, ClientMessageId, Command, ConversationHead, ConversationId, ConversationsEnd, Done,
    Epoch, Event, FrameView, Goodbye, Joined, Message, MessageId, News, Pulled, Rejected, RoomId,
    Seq, Text, UserId, Welcome, limits, split_frame,
};

/// No next page.
const PAGE_END: ConversationId = ConversationId { first: 0, second: 0 };

pub(crate) const ALICE: UserId = UserId(1);
pub(crate) const BOB: UserId = UserId(2);
/// Texts to this user are refused.
pub(crate) const NOBODY: UserId = UserId(404);
pub(crate) const HEARTBEAT_MS: u32 = 1_000;

pub(crate) fn with_bob() -> ConversationId {
    ConversationId::private(ALICE, BOB)
}

/// The text that stands at a place of every log here.
pub(crate) fn words(seq: u64) -> String {
    format!("message {seq}")
}

/// What the node knows, and how it misbehaves.
#[derive(Default)]
pub(crate) struct Node {
    pub(crate) log: BTreeMap<ConversationId, Vec<UserId>>,
    /// The first `seq` that the logs still have, for nodes that forget; zero for those that do not.
    pub(crate) oldest: u64,
    /// Answer this many pulls with "busy".
    pub(crate) busy_pulls: u32,
    pub(crate) pulls: Vec<(Seq, u16)>,
}

/// Alice's session, the node that it talks to, and what Alice was told.
pub(crate) struct World {
    pub(crate) session: Session,
    pub(crate) now_ms: u64,
    pub(crate) node: Node,
    pub(crate) told: Vec<String>,
    /// Places of the texts delivered, in the order of delivery.
    pub(crate) delivered: Vec<u64>,
    to_node: Vec<u8>,
    next_client_message_id: u64,
}

impl World {
    pub(crate) fn new(follow: Follow) -> Self {
        let mut world = Self {
            session: Session::new(follow),
            now_ms: 5_000,
            node: Node::default(),
            told: Vec::new(),
            delivered: Vec::new(),
            to_node: Vec::new(),
            next_client_message_id: 0,
        };
        world.login();
        world
    }

    #[track_caller]
    pub(crate) fn login(&mut self) {
        self.session.login(self.now_ms, b"token", &mut self.to_node).unwrap();
        self.serve();
        assert!(self.session.is_open());
    }

    pub(crate) fn say(&mut self, from: UserId, conversation: ConversationId) -> Vec<u8> {
        self.node.say(from, conversation)
    }

    pub(crate) fn bob_says(&mut self) -> Vec<u8> {
        self.say(BOB, with_bob())
    }

    /// Bob says something, and Alice hears of it.
    pub(crate) fn bob_tells(&mut self) {
        let frame = self.bob_says();
        self.hear(&frame);
    }

    /// Alice says something to Bob, and gets the acknowledgement's frame.
    pub(crate) fn alice_sends(&mut self) -> Vec<u8> {
        self.next_client_message_id += 1;
        let client_message_id = ClientMessageId(self.next_client_message_id);
        let (now_ms, mut frame) = (self.now_ms, Vec::new());
        let sent = self.session.send_text(now_ms, BOB, client_message_id, b"hello", &mut frame);
        let correlation = sent.unwrap();
        self.node.accept(with_bob(), client_message_id, correlation)
    }

    #[track_caller]
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        self.receive(bytes).unwrap();
    }

    pub(crate) fn hear_event(&mut self, event: Event<'_>) {
        self.hear(&event_frame(event, 0));
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let (told, delivered) = (&mut self.told, &mut self.delivered);
        let visit = |notice: Notice<'_>| note(notice, told, delivered);
        self.session.receive(self.now_ms, bytes, &mut self.to_node, visit)
    }

    /// Lets time pass, a timer at a time.
    pub(crate) fn pass(&mut self, span_ms: u64) {
        let end_ms = self.now_ms + span_ms;
        while let Some(due_ms) = self.session.poll_timeout().filter(|due_ms| *due_ms <= end_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            let (told, delivered) = (&mut self.told, &mut self.delivered);
            let visit = |notice: Notice<'_>| note(notice, told, delivered);
            self.session.handle_timeout(self.now_ms, &mut self.to_node, visit);
            self.serve();
        }
        self.now_ms = end_ms;
    }

    /// The commands that wait to be served, as frames, without serving them.
    pub(crate) fn take_commands(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.to_node)
    }

    pub(crate) fn command(&mut self, send: impl FnOnce(&mut Session, u64, &mut Vec<u8>)) {
        send(&mut self.session, self.now_ms, &mut self.to_node);
    }

    /// Answers every command, and the commands that the answers bring about.
    pub(crate) fn serve(&mut self) {
        while !self.to_node.is_empty() {
            let commands = self.take_commands();
            let answers = self.node.answer_all(&commands);
            self.hear(&answers);
        }
    }

    #[track_caller]
    pub(crate) fn check_delivered(&self, places: impl IntoIterator<Item = u64>) {
        assert_eq!(self.delivered, places.into_iter().collect::<Vec<_>>());
    }

    #[track_caller]
    pub(crate) fn check_told(&self, what: &str) {
        assert!(self.told.iter().any(|told| told == what), "{what:?} is not in {:?}", self.told);
    }
}

impl Node {
    /// Appends to a log without telling anybody, and returns the frame that would.
    pub(crate) fn say(&mut self, from: UserId, conversation: ConversationId) -> Vec<u8> {
        let log = self.log.entry(conversation).or_default();
        log.push(from);
        text_frame(conversation, log.len() as u64, from, 0)
    }

    /// Appends what Alice sent, and returns the acknowledgement's frame.
    fn accept(
        &mut self,
        conversation: ConversationId,
        client_message_id: ClientMessageId,
        correlation: u64,
    ) -> Vec<u8> {
        self.say(ALICE, conversation);
        let seq = self.log[&conversation].len() as u64;
        let (seq, message_id) = (Seq(seq), MessageId(seq));
        event_frame(
            Event::Acked(Acked { conversation, seq, message_id, client_message_id }),
            correlation,
        )
    }

    pub(crate) fn answer_all(&mut self, commands: &[u8]) -> Vec<u8> {
        let mut rest = commands;
        let mut out = Vec::new();
        while let Some((frame, behind)) = split_frame(rest).unwrap() {
            let view = FrameView::parse(frame).unwrap();
            let Message::Command(command) = view.message() else {
                panic!("a client sent an event")
            };
            self.answer(command, view.correlation(), &mut out);
            rest = behind;
        }
        assert!(rest.is_empty(), "a client sent half a frame");
        out
    }

    fn answer(&mut self, command: Command<'_>, correlation: u64, out: &mut Vec<u8>) {
        let mut say = |event: Event<'_>| out.extend(event_frame(event, correlation));
        match command {
            Command::Login(_) => say(Event::Welcome(welcome())),
            Command::Heartbeat => say(Event::HeartbeatAck),
            Command::Logout => say(Event::Goodbye(Goodbye { reason: 1, reconnect_after_ms: 0 })),
            Command::JoinRoom(join) => {
                let log = self.log.get(&ConversationId::room(join.room));
                let head = Seq(log.map_or(0, Vec::len) as u64);
                say(Event::Joined(Joined { room: join.room, head }));
            }
            Command::LeaveRoom(leave) => say(Event::Left(wire::Left { room: leave.room })),
            Command::Pull(_) if self.busy_pulls > 0 => {
                self.busy_pulls -= 1;
                say(Event::Rejected(Rejected {
                    reject: wire::Reject::Busy.code(),
                    kind: wire::Kind::Pull as u8,
                    retry_after_ms: 300,
                    client_message_id: ClientMessageId(0),
                }));
            }
            Command::Pull(pull) => {
                self.pulls.push((pull.after, pull.limit));
                let log = self.log.get(&pull.conversation).map_or(&[][..], |log| log.as_slice());
                let limit = pull.limit.clamp(1, limits::PAGE_ITEMS_MAX);
                let first = (pull.after.0 + 1).max(self.oldest.max(1));
                let last = (first - 1 + u64::from(limit)).min(log.len() as u64);
                for seq in first..=last {
                    out.extend(text_frame(
                        pull.conversation,
                        seq,
                        log[seq as usize - 1],
                        correlation,
                    ));
                }
                let next = Seq(last.max(pull.after.0));
                let is_complete = u8::from(next.0 >= log.len() as u64);
                let pulled = Pulled { conversation: pull.conversation, next, is_complete };
                out.extend(event_frame(Event::Pulled(pulled), correlation));
            }
            Command::Conversations(query) => {
                let heads = self.log.iter().filter(|(conversation, _)| {
                    conversation.as_room().is_none() && **conversation > query.after
                });
                for (conversation, log) in heads {
                    let head = Seq(log.len() as u64);
                    let head = ConversationHead { conversation: *conversation, head };
                    say(Event::ConversationHead(head));
                }
                let next = query.after;
                say(Event::ConversationsEnd(ConversationsEnd { next, is_complete: 1 }));
            }
            Command::SendText(send) if send.to == NOBODY => say(Event::Rejected(Rejected {
                reject: wire::Reject::Refused.code(),
                kind: wire::Kind::SendText as u8,
                retry_after_ms: 0,
                client_message_id: send.client_message_id,
            })),
            Command::SendText(send) => {
                let conversation = ConversationId::private(ALICE, send.to);
                out.extend(self.accept(conversation, send.client_message_id, correlation));
            }
            Command::SendRoom(send) => {
                let conversation = ConversationId::room(send.room);
                out.extend(self.accept(conversation, send.client_message_id, correlation));
            }
            Command::SendTexts(_) | Command::SignalCall(_) | Command::Service(_) => {
                let (done, mut payload) = (Done { next: PAGE_END, is_complete: 1 }, Vec::new());
                say(Event::News(News::Done(done).encode(&mut payload).expect("a short payload")));
            }
        }
    }
}

fn note(notice: Notice<'_>, told: &mut Vec<String>, delivered: &mut Vec<u64>) {
    let line = match notice {
        Notice::Text(text) => {
            assert_eq!(text.body, words(text.seq.0).as_bytes(), "a text changed on its way");
            delivered.push(text.seq.0);
            return;
        }
        Notice::LoggedIn(welcome) => format!("logged in {}", welcome.user.0),
        Notice::Acked { acked, .. } => format!("acked {}", acked.seq.0),
        Notice::Page { text, .. } => format!("page {}", text.seq.0),
        Notice::PageEnd { pulled, .. } => format!("page end {}", pulled.next.0),
        Notice::Joined { joined, .. } => format!("joined {}", joined.room.0),
        Notice::Left { left, .. } => format!("left {}", left.room.0),
        Notice::Rejected { rejected, .. } => format!("rejected {}", rejected.reject),
        Notice::HeartbeatAck { .. } => "heartbeat".to_owned(),
        Notice::ConversationHead { head, .. } => format!("head {}", head.head.0),
        Notice::ConversationsEnd { end, .. } => format!("heads end {}", end.is_complete),
        Notice::News { correlation, news } => format!("news {:?} to {correlation}", news.kind()),
        Notice::Goodbye { reason, .. } => {
            format!("goodbye {}", reason.map_or("unknown", wire::CloseReason::label))
        }
        Notice::Duplicate { seq, .. } => format!("duplicate {}", seq.0),
        Notice::GapOpened { first, .. } => format!("gap from {}", first.0),
        Notice::GapClosed { last, .. } => format!("closed at {}", last.0),
        Notice::GapLost { first, last, .. } => format!("lost {} to {}", first.0, last.0),
    };
    told.push(line);
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        user: ALICE,
        epoch: Epoch(1),
        heartbeat_interval_ms: HEARTBEAT_MS,
        heartbeat_timeout_ms: 3 * HEARTBEAT_MS,
        body_bytes_max: 4_096,
        home_port: 4_002,
        previous_close: 0,
    }
}

pub(crate) fn text_frame(
    conversation: ConversationId,
    seq: u64,
    from: UserId,
    correlation: u64,
) -> Vec<u8> {
    let body = words(seq);
    let text = Text {
        conversation,
        seq: Seq(seq),
        message_id: MessageId(seq),
        from,
        unix_ms: 7,
        body: body.as_bytes(),
    };
    event_frame(Event::Text(text), correlation)
}

pub(crate) fn event_frame(event: Event<'_>, correlation: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(Message::from(event).append_to(correlation, &mut bytes));
    bytes
}

pub(crate) const fn room(id: u64) -> ConversationId {
    ConversationId::room(RoomId(id))
}
