//! A node that is full says so, and only as long as it is.

use conn_server::driver::DriverKind;
use conn_server::sizing::ShardCount;

use crate::node::{TestNode, settings};

pub(crate) fn a_full_shard_sheds_and_accepts_again(driver: DriverKind) {
    let mut config = settings(driver);
    config.connections = 4;
    let node = TestNode::with(&config);
    let mut peers: Vec<_> = (1..=4).map(|user| node.login(user)).collect();
    for _ in 0..20 {
        assert!(node.connect().has_ended(), "no room");
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
    assert!(node.connect().has_ended());
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
