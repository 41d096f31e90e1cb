//! A node in this process, asked through snapshots, and held still while clients prepare a load.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use benches::heap::{self, Heap};
use chat::Durability;
use conn_server::driver::{DriverKind, IoChoice, uring};
use conn_server::server::{Node, NodeHandle, Outcome, Pinning, ServerConfig};
use conn_server::sizing::ShardCount;
use wire::token::{TOKEN_BYTES, Token, TokenKey};
use wire::{Epoch, UserId};

/// How long anything may take before a test fails; never waited for otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const NAME: &str = "bench";

/// Whether a driver can be had here; says so if not, past the test harness, since a skip has to be seen.
pub(crate) fn is_available(driver: DriverKind) -> bool {
    match uring::probe() {
        Err(why) if driver == DriverKind::Uring => {
            let _ = writeln!(std::io::stderr(), "SKIPPED on {driver}: {why}");
            false
        }
        Ok(_) | Err(_) => true,
    }
}

/// What one shard says of itself.
#[derive(Clone, Copy, Debug)]
struct Answer {
    heap: Heap,
    enters: u64,
}

/// Answers of shards, written without a heap: there is room for all of them.
type Answers = Arc<(Mutex<Vec<Answer>>, Condvar)>;

/// A running node.
pub(crate) struct TestNode {
    node: Node,
    handle: NodeHandle,
    key: TokenKey,
}

impl TestNode {
    /// Kept in memory, planned for so many connections.
    pub(crate) fn start(driver: DriverKind, shards: u16, connections: u32) -> Self {
        let key = TokenKey::new(&[7; 32]).expect("32 bytes are a key");
        let mut config = ServerConfig::new(NAME, key.clone());
        config.io = IoChoice::Only(driver);
        config.shards = ShardCount::Fixed(shards);
        config.connections = connections;
        config.durability = Durability::None;
        config.pinning = Pinning::Off;
        let long = Duration::from_secs(3600);
        (config.login_timeout, config.heartbeat_timeout, config.drain_timeout) = (long, long, long);
        let (node, _) = Node::start(&config).expect("the node starts");
        let handle = node.handle();
        Self { node, handle, key }
    }

    pub(crate) fn driver(&self) -> DriverKind {
        self.handle.info().driver.kind
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.handle.info().address).expect("the node accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// A token of a user's first login.
    pub(crate) fn token(&self, user: u64) -> [u8; TOKEN_BYTES] {
        let incarnation = self.handle.info().incarnation;
        let (user, epoch) = (UserId(user), Epoch(1));
        self.key.mint(&Token { user, epoch, incarnation, expires_ms: u64::MAX }, NAME)
    }

    fn shards(&self) -> usize {
        usize::from(self.handle.info().sizing.shards)
    }

    fn ask(&self) -> Vec<Answer> {
        let shards = self.shards();
        let answers: Answers =
            Arc::new((Mutex::new(Vec::with_capacity(shards)), Condvar::default()));
        let reply = {
            let answers = Arc::clone(&answers);
            move |snapshot: Box<conn_server::stats::ShardSnapshot>| {
                let answer = Answer { heap: heap::of_this_thread(), enters: snapshot.io.enters };
                answers.0.lock().expect("nobody fails").push(answer);
                answers.1.notify_one();
            }
        };
        self.handle.request_snapshots(reply);
        let (told, changed) = &*answers;
        let told = told.lock().expect("nobody fails");
        let waited = changed.wait_timeout_while(told, PATIENCE, |told| told.len() < shards);
        let (told, timeout) = waited.expect("nobody fails");
        assert!(!timeout.timed_out(), "every shard answers");
        told.clone()
    }

    /// Allocations of all shards since they started.
    pub(crate) fn allocations(&self) -> u64 {
        self.ask().iter().map(|answer| answer.heap.allocations).sum()
    }

    /// Bytes that the shards hold on the heap.
    pub(crate) fn live_bytes(&self) -> i64 {
        self.ask().iter().map(|answer| answer.heap.live_bytes).sum()
    }

    /// How often the shards entered the kernel.
    pub(crate) fn enters(&self) -> u64 {
        self.ask().iter().map(|answer| answer.enters).sum()
    }

    /// Keeps every shard from doing anything while `act` runs: what it sends is all there when they go on.
    pub(crate) fn while_held(&self, act: impl FnOnce()) {
        let state = Arc::new((Mutex::new((0, false)), Condvar::new()));
        let hold = {
            let state = Arc::clone(&state);
            move |_| {
                let (told, changed) = &*state;
                let mut told = told.lock().expect("nobody fails");
                told.0 += 1;
                changed.notify_all();
                let waited = changed.wait_timeout_while(told, PATIENCE, |(_, is_over)| !*is_over);
                assert!(!waited.expect("nobody fails").1.timed_out(), "shards are let go");
            }
        };
        self.handle.request_snapshots(hold);
        let (told, changed) = &*state;
        let guard = told.lock().expect("nobody fails");
        let all = |(held, _): &mut (usize, bool)| *held < self.shards();
        let waited = changed.wait_timeout_while(guard, PATIENCE, all).expect("nobody fails");
        assert!(!waited.1.timed_out(), "every shard stands still");
        drop(waited);
        act();
        told.lock().expect("nobody fails").1 = true;
        changed.notify_all();
    }

    /// Drains the node, whose clients have gone.
    pub(crate) fn stop(self) {
        self.handle.drain();
        assert_eq!(self.node.join().expect("no shard fails"), Outcome::Drained);
    }
}
