//! A node that is full says so, and only as long as it is.

use conn_server::driver::DriverKind;
use conn_server::sizing::ShardCount;
use wire::CloseReason;

use crate::node::{TestNode, settings};

pub(crate) fn a_full_shard_sheds_and_accepts_again(driver: DriverKind) {
    let mut config = settings(driver);
    config.connections = 4;
    let node = TestNode::with(&config);
    let mut peers: Vec<_> = (1..=4).map(|user| node.login(user)).collect();
    for _ in 0..20 {
        node.connect().expect_goodbye(CloseReason::Full);
    }
    assert_eq!(node.chat(|counters| counters.shed), 20);
    drop(peers.pop());
    node.until_open(3);
    let mut fifth = node.login(5);
    fifth.check_alive(5, 1);
    for (user, peer) in (1..).zip(&mut peers) {
        peer.check_alive(user, 1);
    }
    drop((fifth, peers));
    node.stop();
}

pub(crate) fn a_full_shard_leaves_the_common_port_to_the_others(driver: DriverKind) {
    let mut config = settings(driver);
    config.shards = ShardCount::Fixed(2);
    config.connections = 20;
    let node = TestNode::with(&config);
    let each = u64::from(node.handle().info().sizing.connections_per_shard);
    // Fills the first shard through its own port, then everybody else comes to the common one.
    let mut own: Vec<_> =
        (1..=each).map(|user| node.login_at(node.shard_address(0), user)).collect();
    let mut common: Vec<_> = (each + 1..=2 * each).map(|user| node.login(user)).collect();
    for (user, peer) in (1..).zip(own.iter_mut().chain(&mut common)) {
        peer.check_alive(user, 1);
    }
    assert_eq!(node.open(), 2 * each);
    // Now both are full, and whoever comes gets an answer instead of silence.
    node.connect().expect_goodbye(CloseReason::Full);
    drop(own);
    node.until_open(each);
    // The full shard, last at the common port until now, has heard of the room by the first of these round trips, and
    // has left by the second.
    node.snapshots();
    node.snapshots();
    let mut late = node.login(3 * each);
    late.check_alive(3 * each, 1);
    drop((late, common));
    node.stop();
}

/// Those who do not go by themselves keep few places, and none that a client could have.
pub(crate) fn who_is_told_that_the_node_is_full_takes_nobodys_place(driver: DriverKind) {
    const MOST: usize = chat::limits::SHED_MAX as usize;
    let mut config = settings(driver);
    config.connections = 2;
    let node = TestNode::with(&config);
    let (mut first, second) = (node.login(1), node.login(2));
    let mut told = Vec::new();
    for _ in 0..MOST {
        let mut peer = node.connect();
        assert_eq!(peer.expect_goodbye_only(), CloseReason::Full);
        told.push(peer);
    }
    // Beyond them, the end comes without a word.
    assert!(node.connect().has_ended());
    assert_eq!(node.chat(|counters| counters.shed), MOST as u64 + 1);
    drop(second);
    node.until_open(1 + MOST as u64);
    let mut third = node.login(3);
    third.check_alive(3, 1);
    first.check_alive(1, 1);
    drop((first, third, told));
    node.until_open(0);
    node.stop();
}
