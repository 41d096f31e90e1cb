//! What a shard is told at its start. Only what is in [`crate::Limits`] ever changes.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use wire::ShardId;
use wire::token::TokenKey;

/// When a message counts as accepted (architecture: promise 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Acknowledged and delivered after the store says that it is on disk.
    Commit,
    /// Delivered at once, acknowledged after the store says that it is on disk.
    Relaxed,
    /// Kept in the shard's memory only, in a bounded history.
    None,
}

/// Whether a connection begins with the header of a proxy (PROXY protocol, version 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeaders {
    /// It does not: such a header is garbage, since anybody could write one.
    Refused,
    /// It may: only whom the operator trusts can connect, with or without a proxy.
    Optional,
    /// It must: only proxies can connect.
    Required,
}

/// One shard's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which shard this is.
    pub shard: ShardId,
    /// How many there are.
    pub shards: u16,
    /// The node's name, which tokens are bound to.
    pub node: String,
    /// This start of the node, which tokens are bound to.
    pub incarnation: u64,
    /// Checks tokens.
    pub token_key: TokenKey,
    /// The port of each shard, for [`wire::Welcome::home_port`].
    pub shard_ports: Vec<u16>,
    /// When a message counts as accepted.
    pub durability: Durability,
    /// The first message id of this shard in this start; ids count up from it.
    pub message_id_base: u64,
    /// Whether a connection begins with the header of a proxy.
    pub proxy_headers: ProxyHeaders,
    /// Connections that this shard takes; more are shed.
    pub connections_max: u32,
    /// The longest text, at most [`wire::limits::BODY_BYTES_MAX`].
    pub body_bytes_max: u32,
    /// How often a client should send a heartbeat.
    pub heartbeat_interval: Duration,
    /// Silence after which a session expires.
    pub heartbeat_timeout: Duration,
    /// Heartbeats per second of the whole node: with more sessions than that allows, a login is told a longer interval and
    /// a longer timeout.
    pub heartbeats_per_s_max: u32,
    /// Time to log in after connecting.
    pub login_timeout: Duration,
    /// Time for a closing connection to take what was queued for it.
    pub flush_timeout: Duration,
    /// Time for the peer's FIN after ours.
    pub linger_timeout: Duration,
    /// At shutdown, clients are told to come back spread over this long.
    pub reconnect_window: Duration,
    /// An append without an answer for this long means that the store stalls: new ones are refused as busy.
    pub store_stall: Duration,
    /// Bytes of history under durability `none`; rounded down to a power of two.
    pub history_bytes_max: usize,
    /// For what is spread at random (reconnect delays): the same seed gives the same run.
    pub seed: u64,
}
