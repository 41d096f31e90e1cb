//! A store with some people in it, and short words for asking it.

use store::{
    Accounts, Answer, Ask, Audience, MessageReader, MessageWriter, NewAccount, Record, Served,
};
use wire::{
    ClientMessageId, ConversationId, Event, FrameView, Group, Message, MessageId, News, Reject,
    RoomId, Seq, Service, Text, UserId, split_frame,
};

use crate::ground::{Ground, Kind};

/// For how long a message may be taken back here.
pub const REVOKE_WINDOW_MS: u64 = 120_000;

pub struct Shop {
    pub accounts: Accounts,
    pub writer: Box<dyn MessageWriter>,
    pub reader: Box<dyn MessageReader>,
    pub now_ms: u64,
    pub ground: Ground,
    numbered: u64,
}

impl Shop {
    pub fn new(on: Kind) -> Self {
        let ground = Ground::new(on);
        let accounts = ground.accounts();
        let backend = ground.backend_with_accounts();
        let writer = backend.writer().expect("a writer");
        let reader = backend.reader().expect("a reader");
        Self { accounts, writer, reader, now_ms: 1_800_000_000_000, ground, numbered: 0 }
    }

    /// A shop with people of these names.
    pub fn with<const N: usize>(on: Kind, names: [&str; N]) -> (Self, [UserId; N]) {
        let mut shop = Self::new(on);
        let users = names.map(|name| shop.register(name));
        (shop, users)
    }

    pub fn register(&mut self, name: &str) -> UserId {
        let account = NewAccount {
            username: name.to_owned(),
            email: format!("{name}@example.org"),
            phc: "$none".to_owned(),
            created_unix_ms: self.now_ms,
        };
        self.accounts.register(&account).expect("registered").expect("a free name")
    }

    pub fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    pub fn ask(&mut self, user: UserId, service: Service<'_>) -> Served {
        let message_ids = Some([MessageId(1000 + self.number()), MessageId(1000 + self.number())]);
        let ask = Ask {
            user,
            unix_ms: self.now_ms,
            correlation: 7,
            message_ids,
            revoke_window_ms: REVOKE_WINDOW_MS,
            service,
        };
        if service.is_write() {
            self.writer.work(&[], &[ask]).expect("served").1.remove(0)
        } else {
            self.reader.serve(&ask).expect("served")
        }
    }

    /// Asks what is granted.
    #[track_caller]
    pub fn granted(&mut self, user: UserId, service: Service<'_>) -> Answer {
        self.ask(user, service).unwrap_or_else(|reject| panic!("{service:?}: {reject}"))
    }

    /// Asks what is refused, and why.
    #[track_caller]
    pub fn refused(&mut self, user: UserId, service: Service<'_>) -> Reject {
        self.ask(user, service).expect_err("refused")
    }

    /// Says something, as the node does for a text.
    pub fn say(&mut self, from: UserId, conversation: ConversationId, body: &str) -> Seq {
        let number = self.number();
        let record = Record {
            conversation,
            seq: None,
            message_id: MessageId(number),
            from,
            client_message_id: ClientMessageId(number),
            unix_ms: self.now_ms,
            body: body.as_bytes(),
        };
        self.writer.append_batch(&[record]).expect("written").remove(0).expect("a place").seq
    }

    /// What a conversation says, by place.
    pub fn texts(&mut self, conversation: ConversationId) -> Vec<(u64, UserId, String)> {
        let page = self.reader.pull(conversation, Seq(0), 100).expect("a page");
        let text = |body: Vec<u8>| String::from_utf8(body).expect("a text");
        page.messages.into_iter().map(|m| (m.seq.0, m.from, text(m.body))).collect()
    }

    pub fn befriend(&mut self, one: UserId, other: UserId) {
        let (alias, note) = (&b""[..], &b""[..]);
        self.granted(one, Service::RequestFriend(wire::RequestFriend { to: other, alias, note }));
        self.granted(other, Service::ConfirmFriend(wire::ConfirmFriend { from: one, alias }));
    }

    pub fn group(&mut self, creator: UserId, name: &str) -> RoomId {
        let create = wire::CreateGroup { name: name.as_bytes() };
        let answer = self.granted(creator, Service::CreateGroup(create));
        let group = events(&answer.frames).find_map(|event| match event {
            Heard::News(News::Group(Group { group, .. })) => Some(group),
            _ => None,
        });
        group.expect("a group")
    }

    /// Everything that is stored, as text: two of these are equal if nothing changed.
    pub fn dump(&self) -> String {
        self.ground.dump()
    }
}

/// What a service says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    News(News<'a>),
    Text(Text<'a>),
}

impl Heard<'_> {
    pub fn kind(&self) -> wire::Kind {
        match self {
            Self::News(news) => news.kind(),
            Self::Text(_) => wire::Kind::Text,
        }
    }
}

/// The events of encoded frames, each with its correlation id checked to be the one that is due.
pub fn events(frames: &[u8]) -> impl Iterator<Item = Heard<'_>> {
    let mut rest = frames;
    std::iter::from_fn(move || {
        let (frame, after) = split_frame(rest).expect("whole frames")?;
        rest = after;
        match FrameView::parse(frame).expect("valid frames").message() {
            Message::Event(Event::News(news)) => {
                Some(Heard::News(news.read().expect("valid news")))
            }
            Message::Event(Event::Text(text)) => Some(Heard::Text(text)),
            Message::Event(event) => panic!("{event:?}"),
            Message::Command(command) => panic!("{command:?}"),
        }
    })
}

/// What was told to one user.
pub fn told(answer: &Answer, user: UserId) -> Vec<Heard<'_>> {
    let mine = answer.tells.iter().filter(move |tell| match tell.to {
        Audience::User(to) | Audience::Behind(_, to) => to == user,
        Audience::Room(_) => false,
    });
    mine.flat_map(|tell| events(&tell.frames)).collect()
}

/// What was told to whoever has entered a room.
pub fn told_room(answer: &Answer, room: RoomId) -> Vec<Heard<'_>> {
    let its = answer.tells.iter().filter(move |tell| tell.to == Audience::Room(room));
    its.flat_map(|tell| events(&tell.frames)).collect()
}

/// The end of an answer.
pub fn end(answer: &Answer) -> wire::Done {
    match events(&answer.frames).last() {
        Some(Heard::News(News::Done(done))) => done,
        other => panic!("an answer ends with its end, not {other:?}"),
    }
}
