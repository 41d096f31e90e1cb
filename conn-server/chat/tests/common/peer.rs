//! A client of the world: writes commands, reads events, remembers them in order.

use wire::{
    ClientMessageId, CloseReason, Command, ConversationId, ConversationsQuery, Event, FrameView,
    JoinRoom, Kind, LeaveRoom, Login, Message, MessageId, News, Pull, Reject, RoomId, SendRoom,
    SendText, Seq, UserId, split_frame,
};

/// An event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Welcome { user: UserId, previous_close: u8 },
    Acked { conversation: ConversationId, seq: u64, id: u64, client_id: u64 },
    Text { conversation: ConversationId, seq: u64, id: MessageId, from: UserId, body: Vec<u8> },
    Joined { room: RoomId, head: u64 },
    Left { room: RoomId },
    Pulled { conversation: ConversationId, next: u64, is_complete: bool },
    HeartbeatAck,
    Rejected { reject: Reject, client_id: u64 },
    Goodbye { reason: CloseReason, after_ms: u32 },
    Head { conversation: ConversationId, head: u64 },
    HeadsEnd { is_complete: bool },
    News(Kind),
    Done { correlation: u64 },
    Signal { from: UserId, body: Vec<u8> },
}

impl Seen {
    fn of(correlation: u64, event: Event<'_>) -> Self {
        match event {
            Event::News(news) => match news.read().expect("valid news") {
                News::Done(_) => Self::Done { correlation },
                News::CallSignal(e) => Self::Signal { from: e.from, body: e.body.to_vec() },
                other => Self::News(other.kind()),
            },
            Event::Welcome(e) => Self::Welcome { user: e.user, previous_close: e.previous_close },
            Event::Acked(e) => Self::Acked {
                conversation: e.conversation,
                seq: e.seq.0,
                id: e.message_id.0,
                client_id: e.client_message_id.0,
            },
            Event::Text(e) => Self::Text {
                conversation: e.conversation,
                seq: e.seq.0,
                id: e.message_id,
                from: e.from,
                body: e.body.to_vec(),
            },
            Event::Joined(e) => Self::Joined { room: e.room, head: e.head.0 },
            Event::Left(e) => Self::Left { room: e.room },
            Event::Pulled(e) => Self::Pulled {
                conversation: e.conversation,
                next: e.next.0,
                is_complete: e.is_complete == 1,
            },
            Event::HeartbeatAck => Self::HeartbeatAck,
            Event::Rejected(e) => Self::Rejected {
                reject: Reject::from_code(e.reject).expect("a known reject"),
                client_id: e.client_message_id.0,
            },
            Event::Goodbye(e) => Self::Goodbye {
                reason: CloseReason::from_code(e.reason).expect("a known reason"),
                after_ms: e.reconnect_after_ms,
            },
            Event::ConversationHead(e) => {
                Self::Head { conversation: e.conversation, head: e.head.0 }
            }
            Event::ConversationsEnd(e) => Self::HeadsEnd { is_complete: e.is_complete == 1 },
        }
    }

    pub fn goodbye(reason: CloseReason) -> Self {
        Self::Goodbye { reason, after_ms: 0 }
    }
}

/// A client's side of a link.
#[derive(Debug, Default)]
pub struct Peer {
    pub user: u64,
    /// Bytes written, not yet received by the node.
    pub outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// Everything read so far.
    pub seen: Vec<Seen>,
    /// How much of `seen` the test has looked at.
    looked: usize,
    correlation: u64,
}

impl Peer {
    pub fn command(&mut self, command: Command<'_>) {
        self.correlation += 1;
        assert!(Message::from(command).append_to(self.correlation, &mut self.outgoing));
    }

    pub fn login(&mut self, token: &[u8]) {
        self.command(Command::Login(Login { token }));
    }

    pub fn text(&mut self, to: u64, id: u64, body: &str) {
        let (to, client_message_id) = (UserId(to), ClientMessageId(id));
        self.command(Command::SendText(SendText { to, client_message_id, body: body.as_bytes() }));
    }

    pub fn say(&mut self, room: u64, id: u64, body: &str) {
        let (room, client_message_id) = (RoomId(room), ClientMessageId(id));
        self.command(Command::SendRoom(SendRoom {
            room,
            client_message_id,
            body: body.as_bytes(),
        }));
    }

    pub fn join(&mut self, room: u64) {
        self.command(Command::JoinRoom(JoinRoom { room: RoomId(room) }));
    }

    pub fn leave(&mut self, room: u64) {
        self.command(Command::LeaveRoom(LeaveRoom { room: RoomId(room) }));
    }

    pub fn pull(&mut self, conversation: ConversationId, after: u64, limit: u16) {
        self.command(Command::Pull(Pull { conversation, after: Seq(after), limit }));
    }

    pub fn conversations(&mut self, after: ConversationId, limit: u16) {
        self.command(Command::Conversations(ConversationsQuery { after, limit }));
    }

    pub fn read(&mut self, bytes: &[u8]) {
        self.incoming.extend_from_slice(bytes);
        let mut rest = self.incoming.as_slice();
        while let Some((frame, after)) = split_frame(rest).expect("the node sends whole frames") {
            let view = FrameView::parse(frame).expect("the node sends valid frames");
            let Message::Event(event) = view.message() else { panic!("a node sends events") };
            self.seen.push(Seen::of(view.correlation(), event));
            rest = after;
        }
        self.incoming = rest.to_vec();
    }

    /// What was read since the last look.
    #[track_caller]
    pub fn news(&mut self) -> Vec<Seen> {
        let news = self.seen[self.looked..].to_vec();
        self.looked = self.seen.len();
        news
    }

    /// The texts among what was read since the last look.
    pub fn texts(&mut self) -> Vec<(u64, String)> {
        self.news()
            .into_iter()
            .filter_map(|seen| match seen {
                Seen::Text { seq, body, .. } => Some((seq, String::from_utf8(body).unwrap())),
                _ => None,
            })
            .collect()
    }

    /// Whether a frame is cut off at the end of what was read.
    pub fn is_torn(&self) -> bool {
        !self.incoming.is_empty()
    }
}
