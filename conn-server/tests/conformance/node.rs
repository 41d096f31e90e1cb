//! A node under test: started on free ports of the loopback, watched through snapshots, and drained at the end.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use chat::Durability;
use conn_server::driver::{DriverKind, IoChoice};
use conn_server::mesh::StoreLane;
use conn_server::server::{Node, NodeError, NodeHandle, Outcome, ServerConfig};
use conn_server::sizing::ShardCount;
use conn_server::stats::{IoCounters, ShardSnapshot};
use wire::token::{TOKEN_BYTES, Token, TokenKey};
use wire::{Epoch, UserId};

use crate::peer::Peer;

/// How long anything may take before a test fails: long enough for a slow machine, and never waited for otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const KEY: [u8; 32] = [7; 32];
const NAME: &str = "conformance";

/// A running node.
pub(crate) struct TestNode {
    node: Option<Node>,
    handle: NodeHandle,
    store: Option<StoreLane>,
    key: TokenKey,
}

/// Settings of a node with one shard, kept in memory, that says no to nobody.
pub(crate) fn settings(driver: DriverKind) -> ServerConfig {
    let key = TokenKey::new(&KEY).expect("long enough");
    let mut config = ServerConfig::new(NAME, key);
    config.io = IoChoice::Only(driver);
    config.shards = ShardCount::Fixed(1);
    config.connections = 1000;
    config.durability = Durability::None;
    // No deadline fires unless a test is about it.
    config.login_timeout = Duration::from_secs(600);
    config.heartbeat_timeout = Duration::from_secs(600);
    config.flush_timeout = Duration::from_secs(600);
    config.linger_timeout = Duration::from_secs(600);
    config.drain_timeout = Duration::from_secs(600);
    config
}

impl TestNode {
    /// With one shard.
    #[track_caller]
    pub(crate) fn start(driver: DriverKind) -> Self {
        Self::with(&settings(driver))
    }

    #[track_caller]
    pub(crate) fn with(config: &ServerConfig) -> Self {
        let (node, store) = Node::start(config).expect("the node starts");
        let handle = node.handle();
        Self { node: Some(node), handle, store, key: config.token_key.clone() }
    }

    /// The store's end of the lane, for the test to play the store.
    #[track_caller]
    pub(crate) fn take_store(&mut self) -> StoreLane {
        self.store.take().expect("a node with a store")
    }

    pub(crate) fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.handle.info().address
    }

    /// The address of a shard's own port.
    pub(crate) fn shard_address(&self, shard: u16) -> SocketAddr {
        SocketAddr::new(self.address().ip(), self.handle.info().shard_ports[usize::from(shard)])
    }

    /// A token of a user's first login; later ones have higher epochs.
    pub(crate) fn token(&self, user: u64, epoch: u64) -> [u8; TOKEN_BYTES] {
        let token = Token {
            user: UserId(user),
            epoch: Epoch(epoch),
            incarnation: self.handle.info().incarnation,
            expires_ms: u64::MAX,
        };
        self.key.mint(&token, NAME)
    }

    /// A connection at the common port, not logged in.
    #[track_caller]
    pub(crate) fn connect(&self) -> Peer {
        Peer::new(TcpStream::connect(self.address()).expect("the node accepts"))
    }

    /// A connection with a session.
    #[track_caller]
    pub(crate) fn login(&self, user: u64) -> Peer {
        self.login_at(self.address(), user)
    }

    /// A connection at an address, not logged in.
    #[track_caller]
    pub(crate) fn peer_at(&self, address: SocketAddr) -> Peer {
        Peer::new(TcpStream::connect(address).expect("the node accepts"))
    }

    #[track_caller]
    pub(crate) fn login_at(&self, address: SocketAddr, user: u64) -> Peer {
        let mut peer = self.peer_at(address);
        peer.login(&self.token(user, 1));
        peer
    }

    #[track_caller]
    pub(crate) fn snapshots(&self) -> Vec<ShardSnapshot> {
        let snapshots = self.handle.snapshots(PATIENCE);
        assert_eq!(snapshots.len(), usize::from(self.handle.info().sizing.shards));
        snapshots
    }

    /// The sum of a counter over all shards.
    #[track_caller]
    pub(crate) fn chat(&self, counter: impl Fn(&chat::Counters) -> u64) -> u64 {
        self.snapshots().iter().map(|shard| counter(&shard.chat)).sum()
    }

    /// The sum of a driver's counter over all shards.
    #[track_caller]
    pub(crate) fn io(&self, counter: impl Fn(&IoCounters) -> u64) -> u64 {
        self.snapshots().iter().map(|shard| counter(&shard.io)).sum()
    }

    /// Connections that hold a descriptor.
    #[track_caller]
    pub(crate) fn open(&self) -> u64 {
        self.snapshots().iter().map(|shard| shard.open).sum()
    }

    /// Asks again and again until something is so, while not every shard can be asked.
    #[track_caller]
    pub(crate) fn until_that(&self, what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
            std::thread::yield_now();
        }
    }

    /// Asks the node again and again until something is so: each question is a round trip through the shards' loops.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "waited in vain until {what}: {:#?}",
                self.snapshots()
            );
            std::thread::yield_now();
        }
    }

    #[track_caller]
    pub(crate) fn until_open(&self, count: u64) {
        self.until(&format!("{count} connections are open"), |node| node.open() == count);
    }

    /// Drains the node, whose clients must all have gone or go by themselves, and checks that all went well.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.handle.drain();
        assert_eq!(self.join(), Outcome::Drained);
    }

    /// Waits for the node's end.
    #[track_caller]
    pub(crate) fn join(&mut self) -> Outcome {
        self.try_join().expect("no shard fails")
    }

    /// Waits for the node's end, whatever that is.
    #[track_caller]
    pub(crate) fn try_join(&mut self) -> Result<Outcome, NodeError> {
        // A lane that nobody serves would keep requests unanswered.
        self.store = None;
        self.node.take().expect("joined once").join()
    }
}

impl Drop for TestNode {
    /// A failed test must not leave threads behind that other tests measure themselves against.
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            self.handle.abort();
            let _ = node.join();
        }
    }
}
