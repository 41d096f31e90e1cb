//! What a run is asked to do: everything that the engine needs, and nothing of the command line.

use std::net::{Ipv4Addr, SocketAddrV4};
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
    /// Local addresses to connect from, used in turn.
    pub sources: Vec<Ipv4Addr>,
    /// The processor to pin the engine to.
    pub cpu: Option<usize>,
    /// Log out at the end and wait for the goodbye, rather than just closing.
    pub logout: bool,
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
