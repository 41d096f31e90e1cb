//! A raw ring that receives, forwards and acknowledges: set up as the node's driver is, with none of its work.
//!
//! The wire: a login is `L` and a number below the most connections (5 bytes), answered by 16 bytes `R…`; a message is
//! `M` and a body of 128 bytes, its acknowledgement 16 bytes `A…`. Number 2i's partner is 2i + 1. Bytes are counted, not
//! understood: whoever breaks the wire is closed. This file owns the loop; [`traffic`] what a receive leads to.
//!
//! Invariant: a receive buffer that a send was made from goes back to the kernel with that send's completion.

mod args;
mod buffers;
mod held;
mod listener;
mod peers;
mod ring;
mod traffic;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

use anyhow::Context;
pub(crate) use args::{Args, Mode};
use buffers::Buffers;
use held::Held;
use peers::Peers;
use ring::{Completion, Op, Ring};

/// A floor that listens and does not serve yet.
#[derive(Debug)]
pub(crate) struct Floor {
    listener: TcpListener,
    address: SocketAddr,
    args: Args,
}

impl Floor {
    /// Pins the process and opens the listener.
    ///
    /// # Errors
    /// When the processor or the address cannot be had.
    pub(crate) fn open(args: &Args) -> anyhow::Result<Self> {
        if let Some(cpu) = args.cpu {
            args::pin(cpu)?;
        }
        args::check(args)?;
        let listener = listener::open(args.port)?;
        let address = listener.local_addr().context("the listener's address")?;
        Ok(Self { listener, address, args: args.clone() })
    }

    /// Where it listens.
    #[allow(dead_code, reason = "tests ask; the ready line tells others")]
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says on standard output, in one line of JSON, that it serves, and where.
    ///
    /// # Errors
    /// When nobody reads it.
    pub(crate) fn announce(self) -> anyhow::Result<Self> {
        let line = serde_json::json!({
            "ready": "floor",
            "mode": self.args.mode.word(),
            "chat": self.address.to_string(),
            "pid": std::process::id(),
            "io_flags": ring::FLAGS,
        });
        let mut out = std::io::stdout();
        writeln!(out, "{line}").and_then(|()| out.flush()).context("saying that it is ready")?;
        Ok(self)
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// When there is no ring, or the kernel refuses to go on.
    pub(crate) fn serve(self) -> anyhow::Result<()> {
        let mut uring = ring::build(&self.args).context("setting the ring up")?;
        let ring = Ring::new(&mut uring);
        let files = self.args.max.saturating_add(FILE_SLACK);
        ring.submitter().register_files_sparse(files).with_context(|| {
            format!("a table of {files} descriptors: raise the limit (ulimit -n) or lower --max")
        })?;
        let buffers = Buffers::new(ring.submitter(), self.args.buffers, self.args.buffer_bytes)?;
        let mut turn = Turn {
            ring,
            buffers,
            mode: self.args.mode,
            listener: self.listener.as_raw_fd(),
            peers: Peers::new(files, self.args.max),
            held: Held::default(),
            said: Vec::new(),
            speaker: Speaker::Nobody,
            starved: Vec::new(),
            is_accepting: false,
            is_full: false,
        };
        loop {
            turn.once().context("the kernel refuses to go on")?;
        }
    }
}

/// Places in the descriptor table for connections that are being closed while their successors come.
const FILE_SLACK: u32 = 64;

/// Who said what is to be fanned out this turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    Nobody,
    One(u32),
    Several,
}

/// All that the loop has.
struct Turn<'r> {
    ring: Ring<'r>,
    buffers: Buffers,
    mode: Mode,
    listener: i32,
    peers: Peers,
    /// Copies that sends are made from.
    held: Held,
    /// Fan-out: what was said this turn.
    said: Vec<u8>,
    speaker: Speaker,
    /// Slots whose receive ended for want of a buffer.
    starved: Vec<u32>,
    is_accepting: bool,
    /// Whether accepting waits for a free place.
    is_full: bool,
}

impl Turn<'_> {
    /// Submits, waits, and handles what has completed.
    fn once(&mut self) -> std::io::Result<()> {
        if !std::mem::replace(&mut self.is_accepting, true) {
            self.ring.accept(self.listener)?;
        }
        self.ring.enter()?;
        while let Some(completion) = self.ring.reap() {
            self.dispatch(completion)?;
        }
        self.fan_out()?;
        self.buffers.publish();
        while let Some(slot) = self.starved.pop() {
            self.ring.receive(slot)?;
        }
        Ok(())
    }

    fn dispatch(&mut self, completion: Completion) -> std::io::Result<()> {
        match completion.op {
            Op::Receive => self.on_receive(completion),
            // The answers are static: nothing is given back, and whoever is gone shows at the receive.
            Op::SendStatic => {
                completion.check_whole();
                Ok(())
            }
            Op::SendBuffer => {
                completion.check_whole();
                self.buffers.recycle(completion.buffer);
                Ok(())
            }
            Op::SendHeld => {
                completion.check_whole();
                self.held.release(completion.index);
                Ok(())
            }
            Op::Accept => self.on_accept(completion),
            Op::Close => {
                self.is_accepting &= !std::mem::take(&mut self.is_full);
                Ok(())
            }
            Op::Cancel => Ok(()),
        }
    }

    fn on_accept(&mut self, completion: Completion) -> std::io::Result<()> {
        // The next turn accepts again; where no place is left, the one after the next close.
        self.is_full = completion.result == -libc::ENFILE;
        self.is_accepting = completion.has_more || self.is_full;
        match u32::try_from(completion.result) {
            Ok(slot) => {
                self.peers.open(slot);
                self.ring.receive(slot)
            }
            Err(_) => Ok(()),
        }
    }
}
