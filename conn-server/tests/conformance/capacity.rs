//! What only some drivers can do, at the edge of what they can.

use std::sync::Barrier;
use std::thread;

use conn_server::driver::DriverKind;
use conn_server::sizing::ShardCount;

use crate::node::{TestNode, settings};
use crate::peer::text;
use crate::ring_client::Crowd;

/// Many users send a burst each to a mate, all at once; everything must arrive, in order.
fn storm(node: &TestNode, pairs: u64, texts: u64, round: u64) {
    let start = Barrier::new(usize::try_from(pairs).unwrap());
    thread::scope(|scope| {
        for user in 1..=pairs {
            let start = &start;
            scope.spawn(move || {
                let mate = user + 1000;
                let (mut from, mut to) = (node.connect(), node.connect());
                from.login(&node.token(user, round));
                to.login(&node.token(mate, round));
                let first = round << 32;
                let said = |id: u64| format!("{user} says {id:0200} in round {round}");
                let burst: Vec<u8> = (first..first + texts)
                    .flat_map(|id| text(mate, id, said(id).as_bytes()))
                    .collect();
                start.wait();
                from.write(&burst);
                from.expect_all_acked(first, texts);
                for id in first..first + texts {
                    assert_eq!(to.expect_text().body, said(id).as_bytes());
                }
            });
        }
    });
    node.until_open(0);
}

pub(crate) fn a_storm_loses_nothing(driver: DriverKind) {
    let node = TestNode::start(driver);
    storm(&node, 64, 100, 1);
    node.stop();
}

pub(crate) fn buffers_run_out_and_come_back(driver: DriverKind) {
    let mut config = settings(driver);
    config.uring.buffers = 4;
    config.uring.buffer_bytes = 256;
    let node = TestNode::with(&config);
    let mut rounds = 0;
    // How a burst meets the pool is the scheduler's affair: repeat until it has run dry.
    while node.io(|counters| counters.enobufs) < 10 {
        rounds += 1;
        assert!(rounds < 1000, "four buffers never ran out");
        storm(&node, 32, 60, rounds);
    }
    assert!(node.io(|counters| counters.rearms) > 0);
    node.stop();
}

pub(crate) fn a_tiny_completion_queue_loses_nothing(driver: DriverKind) {
    let mut config = settings(driver);
    config.uring.submission_entries = 4;
    config.uring.completion_entries = 8;
    config.uring.buffers = 256;
    config.uring.buffer_bytes = 256;
    let node = TestNode::with(&config);
    storm(&node, 64, 100, 1);
    assert!(node.io(|counters| counters.submission_full) > 0, "four entries are soon full");
    node.stop();
}

pub(crate) fn thirty_thousand_connections_in_one_process(driver: DriverKind) {
    const CONNECTIONS: u32 = 30_000;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    assert!(limit.is_none_or(|limit| limit >= 16_384), "two tables of this size hold 30,000");
    let mut config = settings(driver);
    config.shards = ShardCount::Fixed(2);
    config.connections = CONNECTIONS;
    let mut node = TestNode::with(&config);
    let half = CONNECTIONS / 2;
    let mut crowds: Vec<_> = (0..2)
        .map(|shard| {
            let users = u64::from(half * u32::from(shard)) + 1;
            let tokens = (users..users + u64::from(half)).map(|user| node.token(user, 1));
            Crowd::login(node.shard_address(shard), tokens)
        })
        .collect();
    let sessions: u64 = node.snapshots().iter().map(|shard| shard.gauges.sessions).sum();
    assert_eq!(sessions, u64::from(CONNECTIONS));
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(descriptors < 2000, "connections take no descriptors of the process: {descriptors}");
    for crowd in &mut crowds {
        crowd.heartbeat();
    }
    assert_eq!(node.chat(|counters| counters.heartbeats), u64::from(CONNECTIONS));
    node.handle().drain();
    for crowd in crowds {
        crowd.leave();
    }
    assert_eq!(node.join(), conn_server::server::Outcome::Drained);
}
