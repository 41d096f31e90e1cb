//! What a run is asked to do: everything that the engine needs, and nothing of the command line.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use wire::UserId;

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Connection 2i and connection 2i+1 write to each other.
    Pairs,
    /// Rooms of `room_size`; every message goes to one room.
    Rooms {
        /// Members of each room.
        room_size: u32,
    },
    /// Nobody says anything; heartbeats only.
    Idle,
    /// Nobody says anything: connections come, log in, close and come again.
    Churn,
    /// Four of five messages as in `Pairs`, one in five to a room of 100.
    Mixed,
}

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Open loop: this many sends per second over all connections, at intended times that are a pure function of the
    /// seed and the index. Never slowed by answers.
    Open {
        /// Sends per second.
        rate_per_s: f64,
    },
    /// Closed loop: this many messages outstanding over all connections; the next goes when one is acknowledged (and
    /// delivered, where it has a recipient).
    Closed {
        /// Messages outstanding.
        window: u32,
    },
    /// No messages.
    None,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything drawn at random comes from it.
    pub seed: u64,
    /// Marks this run's messages.
    pub run_id: u64,
    /// Connections to hold.
    pub connections: u32,
    /// Connections to start per second.
    pub ramp_per_s: f64,
    /// Who talks to whom.
    pub preset: Preset,
    /// When.
    pub load: Load,
    /// Bytes of each message's body, at least [`crate::stamp::STAMP_BYTES`].
    pub body_bytes: usize,
    /// Load without measuring, after the ramp.
    pub warmup: Duration,
    /// The measured phase.
    pub duration: Duration,
    /// How long to wait for the last deliveries.
    pub drain_max: Duration,
    /// A ramp that gets no connection further for this long has failed.
    pub ramp_stall_max: Duration,
    /// Local addresses to connect from, used in turn. Empty: the kernel chooses.
    pub sources: Vec<Ipv4Addr>,
    /// The processor to pin the engine to.
    pub cpu: Option<usize>,
    /// Log out at the end and wait for the goodbye, rather than just closing.
    pub logout: bool,
    /// What is not as usual.
    pub options: EngineOptions,
}

/// What connections speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The node's.
    #[default]
    Chat,
    /// That of `floor`, the raw ring that nodes are measured against.
    Raw,
}

/// How an engine with rings waits for arriving bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Receive {
    /// A receive stands ready on every connection: the fewest system calls, 864 bytes of kernel memory each.
    #[default]
    Armed,
    /// Readiness is polled and bytes are fetched when there are some: a submission more for each arrival, 256 bytes.
    Polled,
}

impl Receive {
    /// Its name in reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Armed => "armed",
            Self::Polled => "polled",
        }
    }
}

/// What an engine does otherwise than in a usual run: all off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineOptions {
    /// A lost connection logs in again, pulls what it missed by cursor and sends again what was not acknowledged, under
    /// the same client message ids; the ledger goes on. For runs in which the node is killed.
    pub reconnect: bool,
    /// The ledger sees every push as it comes: the client half neither drops repeats nor repairs gaps. For judging an
    /// instrument or a node by itself; usually the ledger sees what an application would.
    pub raw: bool,
    /// One message outstanding per connection: a message that is due while one is, waits with its intended time. Shows
    /// what coordinated omission hides, in the difference between service and response.
    pub serial: bool,
    /// Of each pair only the first writes.
    pub one_way: bool,
    /// What connections speak.
    pub protocol: Protocol,
    /// The server acknowledges nothing: a message counts as acknowledged when it is delivered.
    pub no_acks: bool,
    /// Messages that a sender says at once, in one write; 0 means 1. They count one by one.
    pub burst: u32,
    /// A local process whose processor time is read at both ends of the measured phase.
    pub server_pid: Option<u32>,
    /// Before the load every connection sends so many messages to a partner and receives as many; in an idle run it also
    /// enters a room. For measuring what a session costs that has lived.
    pub prime: u32,
    /// How long everybody is silent, heartbeats apart, before the load: what holding the connections costs.
    pub idle: Duration,
    /// How arriving bytes are waited for.
    pub receive: Receive,
}

/// Leave to log in, for one of the plan's connections.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Which connection, `0..plan.connections`.
    pub index: u32,
    /// Its account.
    pub user: UserId,
    /// Where to connect.
    pub address: SocketAddrV4,
    /// What to log in with.
    pub token: Vec<u8>,
}

/// Where grants come from: the gateway, or the cluster key. Called on the engine's thread, so it must not block.
pub trait GrantSource {
    /// Asks for the grant of a connection, by its index.
    fn request(&mut self, index: u32);

    /// The next grant that is there, in any order; an error is a failed login with its reason.
    fn poll(&mut self) -> Option<Result<Grant, (u32, String)>>;
}

/// Where the engine is in its run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before the first connection.
    #[default]
    Start,
    /// Connecting and logging in.
    Ramp,
    /// Every connection sends and receives its first messages, before anything is measured.
    Prime,
    /// Nobody says anything, and what that costs is measured.
    Idle,
    /// Load without measuring.
    Warmup,
    /// The measured phase.
    Measured,
    /// Waiting for the last deliveries; every connection is still held.
    Drain,
    /// Logging out and closing.
    Close,
    /// Over.
    Done,
}

/// What the engine shows of itself while it runs, and the one thing that it can be asked: to stop. Shared with the
/// thread that draws progress and reads the server's figures at the phase changes. The whole of the engine's surface is
/// `engine::run(&Plan, &mut dyn GrantSource, &Watch) -> io::Result<Outcome>`; it enters each phase in its order, `Done` on
/// every way out.
#[derive(Debug, Default)]
pub struct Watch {
    /// Set from outside (Ctrl-C): the engine stops sending, drains what it can and returns with `interrupted`.
    pub stop: Arc<AtomicBool>,
    /// Connections logged in now.
    pub established: AtomicU32,
    /// Messages sent so far.
    pub sent: AtomicU64,
    /// Messages acknowledged so far.
    pub acked: AtomicU64,
    /// Deliveries so far.
    pub delivered: AtomicU64,
    phase: Mutex<Phase>,
    changed: Condvar,
}

impl Watch {
    /// Says that the engine is in `phase` now. Called by the engine at each change, which is a handful of times a run.
    pub fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.changed.notify_all();
    }

    /// The phase that the engine is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the phase is another than `seen`, for `timeout` at most, and gives the phase.
    pub fn wait(&self, seen: Phase, timeout: Duration) -> Phase {
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(phase, timeout, |now| *now == seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
