//! Several shards are one node.

use std::thread;

use conn_server::driver::DriverKind;
use conn_server::sizing::ShardCount;
use wire::{Event, Seq};

use crate::node::{TestNode, settings};
use crate::peer::text;

pub(crate) fn texts_cross_shards_in_order(driver: DriverKind) {
    const USERS: u64 = 9;
    const TEXTS: u64 = 100;
    let mut config = settings(driver);
    config.shards = ShardCount::Fixed(3);
    let node = TestNode::with(&config);
    // Each user lands on some shard, whatever its home: correctness must not depend on it.
    let peers: Vec<_> = (1..=USERS)
        .map(|user| node.login_at(node.shard_address((user % 3) as u16), user))
        .collect();
    thread::scope(|scope| {
        for (user, mut peer) in (1..).zip(peers) {
            scope.spawn(move || {
                // Everybody writes to everybody, and hears everybody in order.
                for id in 1..=TEXTS {
                    for to in (1..=USERS).filter(|&to| to != user) {
                        peer.write(&text(to, id << 16 | to, id.to_string().as_bytes()));
                    }
                }
                let (mut acked, mut heard) = (0, vec![0; USERS as usize + 1]);
                let mut seqs = vec![Seq(0); USERS as usize + 1];
                let others = USERS - 1;
                while acked < TEXTS * others || heard.iter().sum::<u64>() < TEXTS * others {
                    peer.event(|event| match event {
                        Event::Acked(_) => acked += 1,
                        Event::Text(text) => {
                            let from = text.from.0 as usize;
                            heard[from] += 1;
                            assert_eq!(text.body, heard[from].to_string().as_bytes(), "in order");
                            assert!(text.seq > seqs[from], "places go up");
                            seqs[from] = text.seq;
                        }
                        other => panic!("neither text nor acknowledgement but {other:?}"),
                    });
                }
            });
        }
    });
    assert!(node.io(|counters| counters.mail_posts) > 0);
    assert_eq!(node.chat(|counters| counters.acked), TEXTS * USERS * (USERS - 1));
    node.stop();
}

pub(crate) fn the_common_port_is_shared(driver: DriverKind) {
    const PEERS: u64 = 200;
    let mut config = settings(driver);
    config.shards = ShardCount::Fixed(2);
    let node = TestNode::with(&config);
    let peers: Vec<_> = (1..=PEERS).map(|user| node.login(user)).collect();
    let open: Vec<_> = node.snapshots().iter().map(|shard| shard.open).collect();
    assert_eq!(open.iter().sum::<u64>(), PEERS);
    assert!(open.iter().all(|&open| open >= PEERS / 10), "each shard has some: {open:?}");
    drop(peers);
    node.until_open(0);
    node.stop();
}
