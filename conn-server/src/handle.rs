//! A node seen from other threads: what it says of itself, and what it can be told and asked while it runs.
//!
//! Everything here is a message to the shards, or an order that they look for; nothing waits for a shard but by a deadline.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use wire::{Epoch, ShardId, UserId};

use crate::clock::Clock;
use crate::driver::DriverReport;
use crate::mesh::{Mesh, Message, Order, PostError};
use crate::sizing::{Sizing, share};
use crate::stats::ShardSnapshot;

/// What a node says of itself; does not change.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// The common address.
    pub address: SocketAddr,
    /// Each shard's own port.
    pub shard_ports: Vec<u16>,
    /// Shards and their sizes.
    pub sizing: Sizing,
    /// The driver in use, how, and why.
    pub driver: DriverReport,
    /// This start.
    pub incarnation: u64,
}

/// Talks to a node's shards from any thread.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) clock: Clock,
    pub(crate) drain_timeout: Duration,
    pub(crate) info: Arc<NodeInfo>,
}

impl NodeHandle {
    /// The node's clock, on which tokens expire.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// What does not change.
    #[must_use]
    pub fn info(&self) -> &NodeInfo {
        &self.info
    }

    /// No new connections; every connection gets what is queued and a goodbye; then the shards end. Idempotent.
    pub fn drain(&self) {
        let deadline = self.clock.mono() + self.drain_timeout;
        self.mesh.give(Order::Drain { deadline });
    }

    /// Ends the shards at once.
    pub fn abort(&self) {
        self.mesh.give(Order::Abort);
    }

    /// Asks every shard for a snapshot without waiting; `reply` is called on the shards' threads, once per shard that
    /// still runs, and must not block. It is dropped for a shard whose inbox is full: that one is far from answering.
    pub fn request_snapshots(&self, reply: impl Fn(Box<ShardSnapshot>) + Clone + Send + 'static) {
        for shard in 0..self.mesh.shards() {
            let _ = self.mesh.post(ShardId(shard), Message::Snapshot(Box::new(reply.clone())));
        }
    }

    /// Gives every shard these limits from now on, its share of the connections among them: at most as many as the node
    /// was started for, since a shard's tables do not grow. Waits while an inbox is full: not for a shard's thread.
    pub fn set_limits(&self, limits: chat::Limits) {
        let sizing = self.info.sizing;
        let share = share(limits.connections_max, sizing.shards).min(sizing.connections_per_shard);
        let limits = chat::Limits { connections_max: share, ..limits };
        for shard in 0..self.mesh.shards() {
            // A shard that has ended needs no telling.
            let _ = self.mesh.post_waiting(ShardId(shard), Message::Limits(limits));
        }
    }

    /// Has the shards end sessions of lower epochs than these. `false` if a shard's inbox is full: ask again, it does no harm.
    #[must_use]
    pub fn end_sessions(&self, users: &[(UserId, Epoch)]) -> bool {
        (0..self.mesh.shards()).all(|shard| {
            let message = Message::EndSessions(users.to_vec());
            // A shard that has ended has no sessions.
            !matches!(self.mesh.post(ShardId(shard), message), Err(PostError::Full(_)))
        })
    }

    /// Has the shards accept.
    pub(crate) fn open(&self) {
        for shard in 0..self.mesh.shards() {
            // A shard that has ended needs no telling.
            let _ = self.mesh.post_waiting(ShardId(shard), Message::Open);
        }
    }

    /// The snapshots of all shards that answer in time, in order.
    #[must_use]
    pub fn snapshots(&self, timeout: Duration) -> Vec<ShardSnapshot> {
        let (sender, answers) = mpsc::channel();
        self.request_snapshots(move |snapshot| {
            // Nobody waits any more: the answer is late.
            let _ = sender.send(snapshot);
        });
        let deadline = self.clock.mono() + timeout;
        let mut snapshots = Vec::new();
        // Ends early when every shard has answered or dropped its question.
        while let Ok(snapshot) = answers.recv_timeout(deadline.since(self.clock.mono())) {
            snapshots.push(*snapshot);
        }
        snapshots.sort_by_key(|snapshot| snapshot.shard);
        snapshots
    }
}
