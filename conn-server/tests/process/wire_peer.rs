//! A connection that says exactly what it is told and reads events.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use wire::{CloseReason, Command, Event, FrameView, Login, Message, split_frame};

use crate::node::PATIENCE;

pub struct WirePeer {
    pub stream: TcpStream,
    received: Vec<u8>,
    used: usize,
}

pub fn frame(command: Command<'_>, correlation: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(Message::Command(command).append_to(correlation, &mut bytes), "it fits");
    bytes
}

impl WirePeer {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new(), used: 0 })
    }

    pub fn login(address: SocketAddr, token: &[u8]) -> io::Result<Self> {
        let mut peer = Self::connect(address)?;
        peer.write(&frame(Command::Login(Login { token }), 1))?;
        let is_welcome = peer.event(|event| matches!(event, Some(Event::Welcome(_))))?;
        if is_welcome { Ok(peer) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next event, or `None` at the end of the stream.
    pub fn event<R>(&mut self, mut take: impl FnMut(Option<Event<'_>>) -> R) -> io::Result<R> {
        loop {
            let rest = self.received.get(self.used..).unwrap_or_default();
            if let Some((bytes, _)) = split_frame(rest).expect("the node sends frames") {
                let view = FrameView::parse(bytes).expect("the node sends valid frames");
                let Message::Event(event) = view.message() else { panic!("a node sends events") };
                let result = take(Some(event));
                self.used += bytes.len();
                return Ok(result);
            }
            self.received.drain(..self.used);
            self.used = 0;
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(take(None)),
                Ok(len) => self.received.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads to the end; the reason of the goodbye, if there was one.
    pub fn goodbye(&mut self) -> Option<CloseReason> {
        let mut reason = None;
        while let Ok(true) = self.event(|event| {
            if let Some(Event::Goodbye(goodbye)) = event {
                reason = CloseReason::from_code(goodbye.reason);
            }
            event.is_some()
        }) {}
        reason
    }
}
