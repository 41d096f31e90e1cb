//! Clients of one thread that talk in rounds: all speak, then all hear what they must, and nothing else.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use wire::{
    ClientMessageId, Command, Event, FrameView, JoinRoom, Login, Message, RoomId, SendRoom,
    SendText, UserId, split_frame,
};

use crate::node::TestNode;

const BODY: [u8; 128] = [b'a'; 128];

/// What a round is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Talk {
    /// Each says so much to another one.
    Private { burst: usize },
    /// One says so much to the room that all are in.
    Room { room: u64, messages: usize },
    /// Each says that it is there.
    Heartbeats,
}

/// A client's end of a connection.
struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

/// Clients with a session each; their users are 1, 2, 3 …
pub(crate) struct Crowd {
    clients: Vec<Client>,
    said: u64,
    out: Vec<u8>,
}

impl Client {
    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the node takes bytes");
    }

    /// Waits for so many events that are expected; any other one is a failure.
    fn hear(&mut self, count: usize, is_expected: fn(&Event<'_>) -> bool) {
        let mut heard = 0;
        let mut chunk = [0; 16 * 1024];
        loop {
            let mut rest = self.received.as_slice();
            while heard < count
                && let Some((frame, after)) = split_frame(rest).expect("well-formed")
            {
                let view = FrameView::parse(frame).expect("the node sends valid frames");
                let Message::Event(event) = view.message() else { panic!("a node sends events") };
                assert!(is_expected(&event), "not expected now: {event:?}");
                heard += 1;
                rest = after;
            }
            let done = self.received.len() - rest.len();
            self.received.drain(..done);
            if heard == count {
                return;
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("the node closed a connection"),
                Ok(len) => self.received.extend_from_slice(&chunk[..len]),
                // A thread that probed for a ring is interrupted once more when the kernel lets go of it.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("the node answers: {error}"),
            }
        }
    }
}

impl Crowd {
    /// Connects and logs in.
    pub(crate) fn login(node: &TestNode, count: usize) -> Self {
        let clients = (0..count).map(|_| Client { stream: node.connect(), received: Vec::new() });
        let mut crowd = Self { clients: clients.collect(), said: 0, out: Vec::new() };
        for index in 0..count {
            let token = node.token(index as u64 + 1);
            crowd.say(index, Command::Login(Login { token: &token }));
        }
        crowd.all_hear(1, |event| matches!(event, Event::Welcome(_)));
        crowd
    }

    /// Everybody enters a room.
    pub(crate) fn join(&mut self, _: &TestNode, room: u64) {
        for index in 0..self.clients.len() {
            self.say(index, Command::JoinRoom(JoinRoom { room: RoomId(room) }));
        }
        self.all_hear(1, |event| matches!(event, Event::Joined(_)));
    }

    /// Everybody enters the room of their hundred, or of however many.
    pub(crate) fn join_rooms_of(&mut self, _: &TestNode, members: usize) {
        for index in 0..self.clients.len() {
            let room = RoomId((index / members) as u64 + 1);
            self.say(index, Command::JoinRoom(JoinRoom { room }));
        }
        self.all_hear(1, |event| matches!(event, Event::Joined(_)));
    }

    fn say(&mut self, index: usize, command: Command<'_>) {
        self.out.clear();
        let is_written = Message::from(command).append_to(1, &mut self.out);
        assert!(is_written, "a command fits a frame");
        self.clients[index].write(&self.out);
    }

    fn all_hear(&mut self, count: usize, is_expected: fn(&Event<'_>) -> bool) {
        for client in &mut self.clients {
            client.hear(count, is_expected);
        }
    }

    /// A round: everything is sent while the node stands still, then everything is heard. How many messages that was.
    pub(crate) fn round(&mut self, node: &TestNode, talk: Talk) -> usize {
        let is_message = |event: &Event<'_>| matches!(event, Event::Acked(_) | Event::Text(_));
        match talk {
            Talk::Private { burst } => {
                node.while_held(|| {
                    (0..self.clients.len()).for_each(|index| self.burst(index, burst));
                });
                self.all_hear(2 * burst, is_message);
                burst * self.clients.len()
            }
            Talk::Room { room, messages } => {
                node.while_held(|| {
                    for _ in 0..messages {
                        self.said += 1;
                        let (room, client_message_id) = (RoomId(room), ClientMessageId(self.said));
                        let said = SendRoom { room, client_message_id, body: &BODY };
                        self.say(0, Command::SendRoom(said));
                    }
                });
                // The speaker hears as many acknowledgements as everybody else hears texts.
                self.all_hear(messages, is_message);
                messages
            }
            Talk::Heartbeats => {
                node.while_held(|| {
                    (0..self.clients.len()).for_each(|index| self.say(index, Command::Heartbeat));
                });
                self.all_hear(1, |event| matches!(event, Event::HeartbeatAck));
                self.clients.len()
            }
        }
    }

    /// Many texts of one client to another, in one write.
    fn burst(&mut self, index: usize, burst: usize) {
        let count = self.clients.len();
        let to = UserId(((index + count / 2) % count) as u64 + 1);
        self.out.clear();
        for _ in 0..burst {
            self.said += 1;
            let client_message_id = ClientMessageId(self.said);
            let said = Command::SendText(SendText { to, client_message_id, body: &BODY });
            let is_written = Message::from(said).append_to(1, &mut self.out);
            assert!(is_written, "a text fits a frame");
        }
        let Self { clients, out, .. } = self;
        clients[index].write(out);
    }
}
