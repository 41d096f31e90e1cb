//! A blocking client made of nothing but `wire` and a socket: it does exactly what a script says, and no more.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::net::sockopt;
use wire::{
    Acked, ClientMessageId, CloseReason, Command, Event, FrameView, Goodbye, Login, Message,
    SendText, Seq, Text, UserId, Welcome, split_frame,
};

use crate::node::PATIENCE;

/// A client's end of a connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

/// A received text, out of its buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) from: UserId,
    pub(crate) seq: Seq,
    pub(crate) body: Vec<u8>,
}

/// The bytes of a command.
pub(crate) fn frame(command: Command<'_>, correlation: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(Message::Command(command).append_to(correlation, &mut bytes));
    bytes
}

/// The bytes of a login.
pub(crate) fn login(token: &[u8]) -> Vec<u8> {
    frame(Command::Login(Login { token }), 0)
}

/// The bytes of a text.
pub(crate) fn text(to: u64, id: u64, body: &[u8]) -> Vec<u8> {
    let (to, client_message_id) = (UserId(to), ClientMessageId(id));
    frame(Command::SendText(SendText { to, client_message_id, body }), id)
}

impl Peer {
    #[track_caller]
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the node takes bytes");
    }

    #[track_caller]
    pub(crate) fn command(&mut self, command: Command<'_>) {
        self.write(&frame(command, 0));
    }

    #[track_caller]
    pub(crate) fn login(&mut self, token: &[u8]) -> Welcome {
        self.write(&login(token));
        self.event(|event| match event {
            Event::Welcome(welcome) => welcome,
            other => panic!("no welcome but {other:?}"),
        })
    }

    /// Waits for the next event.
    #[track_caller]
    pub(crate) fn event<R>(&mut self, take: impl FnOnce(Event<'_>) -> R) -> R {
        self.maybe_event(|event| take(event.expect("the node goes on"))).expect("readable")
    }

    /// Waits for the next event, or `None` at the end of the stream.
    pub(crate) fn maybe_event<R>(
        &mut self,
        take: impl FnOnce(Option<Event<'_>>) -> R,
    ) -> io::Result<R> {
        loop {
            if let Some((frame, rest)) = split_frame(&self.received).expect("well-formed") {
                let Message::Event(event) = FrameView::parse(frame).expect("valid").message()
                else {
                    panic!("a node says events");
                };
                let taken = take(Some(event));
                let rest = rest.len();
                self.received.drain(..self.received.len() - rest);
                return Ok(taken);
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) if self.received.is_empty() => return Ok(take(None)),
                Ok(0) => panic!("the stream ends within a frame"),
                Ok(len) => self.received.extend_from_slice(&buffer[..len]),
                // A thread that had a ring is interrupted once more when the kernel lets go of it.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect_acked(&mut self) -> Acked {
        self.event(|event| match event {
            Event::Acked(acked) => acked,
            other => panic!("no acknowledgement but {other:?}"),
        })
    }

    #[track_caller]
    pub(crate) fn expect_text(&mut self) -> Said {
        self.event(|event| match event {
            Event::Text(text) => said(&text),
            other => panic!("no text but {other:?}"),
        })
    }

    /// The goodbye with its reason, and then the end of the stream.
    #[track_caller]
    pub(crate) fn expect_goodbye(&mut self, reason: CloseReason) {
        assert_eq!(self.expect_goodbye_only(), reason);
        self.expect_end();
    }

    /// The goodbye, and its reason.
    #[track_caller]
    pub(crate) fn expect_goodbye_only(&mut self) -> CloseReason {
        let Goodbye { reason, .. } = self.event(|event| match event {
            Event::Goodbye(goodbye) => goodbye,
            other => panic!("no goodbye but {other:?}"),
        });
        CloseReason::from_code(reason).expect("a known reason")
    }

    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let end = self.maybe_event(|event| assert!(event.is_none(), "no end but {event:?}"));
        end.expect("an orderly end");
    }

    /// Whether the node has ended the connection, in whatever way.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.maybe_event(|event| event.is_none()).unwrap_or(true)
    }

    /// Sends a note to itself and waits for the acknowledgement: the connection works.
    #[track_caller]
    pub(crate) fn check_alive(&mut self, user: u64, id: u64) {
        self.write(&text(user, id, b"still here"));
        assert_eq!(self.expect_acked().client_message_id.0, id);
    }

    /// Expects so many acknowledgements, of ids from `first` on, in order.
    #[track_caller]
    pub(crate) fn expect_all_acked(&mut self, first: u64, count: u64) {
        for id in first..first + count {
            assert_eq!(self.expect_acked().client_message_id.0, id);
        }
    }

    /// Finishes sending; goes on reading.
    #[track_caller]
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("FIN");
    }

    /// Goes away with a reset.
    #[track_caller]
    pub(crate) fn reset(self) {
        sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("linger");
    }
}

pub(crate) fn said(text: &Text<'_>) -> Said {
    Said { from: text.from, seq: text.seq, body: text.body.to_vec() }
}
