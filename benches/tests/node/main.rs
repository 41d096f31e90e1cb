//! A whole node in this process, its shards' heap watched and its system calls counted, while clients talk through
//! sockets: what is gated here does not depend on how fast the machine is.

mod clients;
mod node;

use benches::heap::Counting;
use conn_server::driver::DriverKind;

use self::clients::{Crowd, Talk};
use self::node::TestNode;

#[global_allocator]
static HEAP: Counting = Counting;

/// Messages after which a shard has forgotten its first ones.
const WARM_UP: usize = chat::limits::RECENT_MAX + 8192;

/// How often load may still find a pool too small: how much mail two shards have under way for each other is the
/// scheduler's affair, and what it takes to hold the most is kept.
const ATTEMPTS: usize = 8;

/// Warms the node up, then asserts that so many rounds of a talk take nothing from the heap of any shard. What a message, or
/// one in a thousand, would take shows in every attempt; what grows to its size and stays does not.
fn check_steady(node: &TestNode, crowd: &mut Crowd, talk: Talk, rounds: usize) {
    let mut all_taken = Vec::new();
    for _ in 0..ATTEMPTS {
        let (taken, messages) = taken_by(node, crowd, talk, rounds);
        if taken == 0 {
            return;
        }
        all_taken.push((taken, messages));
    }
    panic!(
        "{talk:?} on {:?}: (allocations, messages) on the shards' threads, attempt by attempt: {all_taken:?}: take the \
         memory from a pool, or keep a buffer's capacity",
        node.driver()
    );
}

/// Allocations on the shards' threads in so many rounds, and the messages of those.
fn taken_by(node: &TestNode, crowd: &mut Crowd, talk: Talk, rounds: usize) -> (u64, usize) {
    for _ in 0..4 {
        crowd.round(node, talk);
    }
    // What a question costs by itself, since a snapshot is on the heap; each round asks one, to hold the shards.
    let asked = node.allocations();
    let question = node.allocations() - asked;
    let before = node.allocations();
    let mut messages = 0;
    for _ in 0..rounds {
        messages += crowd.round(node, talk);
    }
    (node.allocations() - before - question * (rounds as u64 + 1), messages)
}

fn steady_traffic_allocates_nothing(driver: DriverKind, shards: u16) {
    if !node::is_available(driver) {
        return;
    }
    let node = TestNode::start(driver, shards, 1000);
    let mut crowd = Crowd::login(&node, 64);
    crowd.join(&node, 5);
    // Between shards less at once: a batch of mail above `SPARE_BATCH_BYTES_MAX` is given back, as it should be.
    let at_once = if shards == 1 { 16 } else { 4 };
    let burst = Talk::Private { burst: at_once };
    for _ in 0..(WARM_UP * usize::from(shards)).div_ceil(64 * at_once) {
        crowd.round(&node, burst);
    }
    check_steady(&node, &mut crowd, burst, 8);
    check_steady(&node, &mut crowd, Talk::Private { burst: 1 }, 32);
    check_steady(&node, &mut crowd, Talk::Room { room: 5, messages: 4 }, 32);
    check_steady(&node, &mut crowd, Talk::Heartbeats, 32);
    drop(crowd);
    node.stop();
}

#[test]
fn steady_traffic_allocates_nothing_on_uring() {
    steady_traffic_allocates_nothing(DriverKind::Uring, 1);
}

#[test]
fn steady_traffic_allocates_nothing_on_epoll() {
    steady_traffic_allocates_nothing(DriverKind::Epoll, 1);
}

#[test]
fn steady_traffic_between_two_shards_allocates_nothing() {
    steady_traffic_allocates_nothing(DriverKind::Uring, 2);
}

/// 256 messages wait, one of each connection: what the ring needs for all of them is a handful of system calls. No more
/// than a tenth of one per message is promised.
#[test]
fn a_loaded_ring_enters_the_kernel_seldom() {
    const CONNECTIONS: usize = 256;
    const ROUNDS: usize = 50;
    if !node::is_available(DriverKind::Uring) {
        return;
    }
    let node = TestNode::start(DriverKind::Uring, 1, 1000);
    let mut crowd = Crowd::login(&node, CONNECTIONS);
    let talk = Talk::Private { burst: 1 };
    crowd.round(&node, talk);
    let before = node.enters();
    for _ in 0..ROUNDS {
        crowd.round(&node, talk);
    }
    let enters = node.enters() - before;
    let messages = (CONNECTIONS * ROUNDS) as u64;
    println!("{enters} enters for {messages} messages");
    assert!(
        enters * 10 <= messages,
        "{enters} enters for {messages} messages that were waiting: submissions of a turn no longer go in one call"
    );
    drop(crowd);
    node.stop();
}

/// What a session costs on the heap of its shard: the difference between nodes of two sizes, so that what a node takes
/// once is not in it. The node's driver, its tables and what messages and rooms leave behind are.
#[test]
fn a_session_that_has_lived_is_small() {
    const BYTES_MAX: i64 = 256;
    if !node::is_available(DriverKind::Uring) {
        return;
    }
    let live = |sessions: u32| {
        let node = TestNode::start(DriverKind::Uring, 1, sessions);
        let mut crowd = Crowd::login(&node, sessions as usize);
        crowd.join_rooms_of(&node, 100);
        for _ in 0..16 {
            crowd.round(&node, Talk::Private { burst: 1 });
        }
        let bytes = node.live_bytes();
        drop(crowd);
        node.stop();
        bytes
    };
    let (few, many) = (1000, 4000);
    let each = (live(many) - live(few)) / i64::from(many - few);
    println!("{each} bytes of heap per session");
    assert!(
        each <= BYTES_MAX,
        "{each} bytes of heap per session, {BYTES_MAX} at most: see chat::limits::IDLE_SESSION_BYTES and the driver's slots"
    );
}
