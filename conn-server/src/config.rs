//! A node's settings, every one with its default.

use std::net::SocketAddr;
use std::time::Duration;

use chat::{Durability, ProxyHeaders};
use wire::token::TokenKey;

use crate::clock::unix_ms;
use crate::driver::IoChoice;
use crate::driver::uring::UringConfig;
use crate::limits::HEARTBEATS_PER_S_MAX;
use crate::listener::SocketOptions;
use crate::sizing::ShardCount;

/// Where shard threads run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// Shard `i` on the `i`-th core that the process may use, round and round.
    #[default]
    Auto,
    /// Shard `i` on the `i`-th core of this list, round and round.
    Cores(Vec<usize>),
    /// Wherever the scheduler likes.
    Off,
}

/// A node's settings.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The node's name, which tokens are bound to.
    pub name: String,
    /// This start of the node, which tokens are bound to.
    pub incarnation: u64,
    /// Checks tokens.
    pub token_key: TokenKey,
    /// The common address; shard `i` listens on the port `1 + i` after it. Port 0: choose.
    pub listen: SocketAddr,
    /// Whether connections begin with the header of a proxy.
    pub proxy_headers: ProxyHeaders,
    /// Options of the listening sockets.
    pub sockets: SocketOptions,
    /// The driver.
    pub io: IoChoice,
    /// Sizes of each shard's ring.
    pub uring: UringConfig,
    /// How many shards.
    pub shards: ShardCount,
    /// Where they run.
    pub pinning: Pinning,
    /// Connections that the node is to hold.
    pub connections: u32,
    /// When a message counts as accepted.
    pub durability: Durability,
    /// The first message id of each shard, as the store leased them; empty without a store.
    pub message_id_bases: Vec<u64>,
    /// The longest text.
    pub body_bytes_max: u32,
    /// How often a client should send a heartbeat.
    pub heartbeat_interval: Duration,
    /// Silence after which a session expires.
    pub heartbeat_timeout: Duration,
    /// Heartbeats per second that the node wants at most: more sessions are told longer intervals.
    pub heartbeats_per_s_max: u32,
    /// Time to log in after connecting.
    pub login_timeout: Duration,
    /// Time for a closing connection to take what was queued for it.
    pub flush_timeout: Duration,
    /// Time for the peer's FIN after ours.
    pub linger_timeout: Duration,
    /// At shutdown, clients are told to come back spread over this long.
    pub reconnect_window: Duration,
    /// An append without an answer for this long means that the store stalls.
    pub store_stall: Duration,
    /// Bytes of history of each shard under durability `none`.
    pub history_bytes_max: usize,
    /// Time for a drain, after which the node ends with whatever is left.
    pub drain_timeout: Duration,
    /// For what is spread at random.
    pub seed: u64,
}

impl ServerConfig {
    /// The defaults for a node of this name, with this key, on any port of 127.0.0.1.
    #[must_use]
    pub fn new(name: &str, token_key: TokenKey) -> Self {
        Self {
            name: name.to_owned(),
            incarnation: unix_ms(),
            token_key,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            proxy_headers: ProxyHeaders::Refused,
            sockets: SocketOptions::default(),
            io: IoChoice::Auto,
            uring: UringConfig::default(),
            shards: ShardCount::Auto,
            pinning: Pinning::Auto,
            connections: 10_000,
            durability: Durability::Commit,
            message_id_bases: Vec::new(),
            body_bytes_max: 4096,
            heartbeat_interval: Duration::from_secs(30),
            heartbeat_timeout: Duration::from_secs(90),
            heartbeats_per_s_max: HEARTBEATS_PER_S_MAX,
            login_timeout: Duration::from_secs(10),
            flush_timeout: Duration::from_secs(10),
            linger_timeout: Duration::from_secs(5),
            reconnect_window: Duration::from_secs(30),
            store_stall: Duration::from_secs(2),
            // Some ten thousand texts, and within the 8 MiB that a shard may take at its start.
            history_bytes_max: 2 * 1024 * 1024,
            drain_timeout: Duration::from_secs(30),
            seed: unix_ms(),
        }
    }
}
