//! The reference server's sockets: one thread, `poll`, plain reads and writes. Shares no line with the node's drivers.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wire::token::TokenKey;
use wire::{FrameView, Message, split_frame};

use super::chat::{Chat, Outbox, PeerId};
use super::fault::{Done, Script};

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1_024;
/// How long the thread sleeps when nothing happens: how late it sees that it should end.
const IDLE_NS: i64 = 5_000_000;

/// A running reference server.
#[derive(Debug)]
pub struct ReferenceServer {
    address: SocketAddrV4,
    started: Instant,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Done>>,
}

impl ReferenceServer {
    /// Starts one on a free port of the loopback address.
    ///
    /// # Errors
    /// When no socket or no thread can be had.
    pub fn start(key: TokenKey, script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let SocketAddr::V4(address) = listener.local_addr()? else {
            return Err(io::Error::other("the loopback address is an IPv4 one"));
        };
        let (started, is_over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        let thread = std::thread::Builder::new().name("lg-reference".into()).spawn(move || {
            let chat = Chat::new(key, script);
            Server { listener, started, peers: Vec::new(), chat, out: Outbox::default() }.run(&over)
        })?;
        Ok(Self { address, started, is_over, thread })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// When its monotonic clock was zero.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Ends it and gives the account of what it did.
    ///
    /// # Errors
    /// What ended it before its time.
    pub fn finish(self) -> io::Result<Done> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the reference server panicked")))
    }
}

#[derive(Debug)]
struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
    unsent: Vec<u8>,
    is_closing: bool,
}

struct Server {
    listener: TcpListener,
    started: Instant,
    /// By peer id; a place is never used again.
    peers: Vec<Option<Peer>>,
    chat: Chat,
    out: Outbox,
}

impl Server {
    fn run(mut self, is_over: &AtomicBool) -> io::Result<Done> {
        let mut buffer = vec![0; READ_BYTES];
        while !is_over.load(Ordering::Relaxed) {
            let (can_accept, ready) = self.wait()?;
            if can_accept {
                self.accept()?;
            }
            if ready.is_empty() && !can_accept {
                // A pause: what still waits for a neighbour has none.
                self.chat.release(&mut self.out);
            }
            for peer in ready {
                self.read(peer, &mut buffer)?;
            }
            self.write_all()?;
        }
        Ok(self.chat.done())
    }

    /// Waits for something to happen: whether somebody connects, and who has sent something or takes something.
    fn wait(&self) -> io::Result<(bool, Vec<PeerId>)> {
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        let mut ids = Vec::new();
        for (id, peer) in self.peers.iter().enumerate() {
            if let Some(peer) = peer {
                let out = if peer.unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
                fds.push(PollFd::new(&peer.stream, PollFlags::IN | out));
                ids.push(id);
            }
        }
        match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: IDLE_NS })) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = fds[1..].iter().zip(&ids).filter(|(fd, _)| !fd.revents().is_empty());
        Ok((!fds[0].revents().is_empty(), ready.map(|(_, id)| *id).collect()))
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let (unread, unsent) = (Vec::new(), Vec::new());
                    self.peers.push(Some(Peer { stream, unread, unsent, is_closing: false }));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self, id: PeerId, buffer: &mut [u8]) -> io::Result<()> {
        let Some(peer) = self.peers[id].as_mut() else { return Ok(()) };
        match peer.stream.read(buffer) {
            Ok(0) => self.forget(id),
            Ok(len) => {
                peer.unread.extend_from_slice(&buffer[..len]);
                self.handle(id)?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.forget(id), // Reset: as gone as at its end of stream.
        }
        Ok(())
    }

    /// Handles every whole frame of a peer.
    fn handle(&mut self, id: PeerId) -> io::Result<()> {
        let Some(peer) = self.peers[id].as_mut() else { return Ok(()) };
        let unread = std::mem::take(&mut peer.unread);
        let mut rest = &unread[..];
        while let Ok(Some((frame, behind))) = split_frame(rest) {
            rest = behind;
            let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let Ok(view) = FrameView::parse(frame) else { return self.break_off(id) };
            let Message::Command(command) = view.message() else { return self.break_off(id) };
            let stall =
                self.chat.on_command(id, view.correlation(), command, now_ms, &mut self.out);
            if let Some(length) = stall {
                self.write_all()?;
                let start = Instant::now();
                std::thread::sleep(length);
                self.chat.note_stall(start.elapsed());
            }
            if self.out.reset.contains(&id) {
                return self.write_all();
            }
        }
        let rest = rest.to_vec();
        if let Some(peer) = self.peers[id].as_mut() {
            peer.unread = rest;
        }
        Ok(())
    }

    fn break_off(&mut self, id: PeerId) -> io::Result<()> {
        self.out.reset.push(id);
        self.write_all()
    }

    fn forget(&mut self, id: PeerId) {
        self.peers[id] = None;
        self.chat.on_closed(id);
    }

    /// Hands out what the chat said, as far as the peers take it.
    fn write_all(&mut self) -> io::Result<()> {
        for (id, frame) in self.out.frames.drain(..) {
            if let Some(Some(peer)) = self.peers.get_mut(id) {
                peer.unsent.extend_from_slice(&frame);
            }
        }
        for id in self.out.close.drain(..) {
            if let Some(Some(peer)) = self.peers.get_mut(id) {
                peer.is_closing = true;
            }
        }
        for id in std::mem::take(&mut self.out.reset) {
            if let Some(Some(peer)) = self.peers.get(id) {
                // Without lingering the close is a reset.
                rustix::net::sockopt::set_socket_linger(
                    &peer.stream,
                    Some(std::time::Duration::ZERO),
                )?;
            }
            self.forget(id);
        }
        for id in 0..self.peers.len() {
            let Some(peer) = self.peers[id].as_mut() else { continue };
            match write_some(peer) {
                Ok(()) => {
                    if peer.is_closing && peer.unsent.is_empty() {
                        // The peer closes in its turn; until then its end of stream is awaited.
                        peer.is_closing = false;
                        let _ = peer.stream.shutdown(std::net::Shutdown::Write);
                    }
                }
                Err(_) => self.forget(id), // Gone: its end is read like any other's.
            }
        }
        Ok(())
    }
}

fn write_some(peer: &mut Peer) -> io::Result<()> {
    while !peer.unsent.is_empty() {
        match peer.stream.write(&peer.unsent) {
            Ok(len) => drop(peer.unsent.drain(..len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
