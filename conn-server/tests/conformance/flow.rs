//! Readers, writers and stores of different speeds.

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;

use chat::{Durability, StoreOutcome, StoreRequest, Stored};
use conn_server::driver::DriverKind;
use conn_server::mesh::StoreLane;
use wire::{CloseReason, ConversationId, Event, Reject, Seq};

use crate::node::{TestNode, settings};
use crate::peer::text;

/// A body that says which it is, and fills a frame.
fn body(id: u64, len: usize) -> Vec<u8> {
    let mut body = format!("{id:08}").into_bytes();
    body.resize(len, b'.');
    body
}

pub(crate) fn short_writes_go_on_where_they_stopped(driver: DriverKind) {
    const TEXTS: u64 = 1000;
    let mut config = settings(driver);
    // So little room in the sockets that most of it waits in the node.
    config.sockets.send_buffer_bytes = Some(4096);
    let node = TestNode::with(&config);
    let mut alice = node.login(1);
    let mut bob = node.login(2);
    for id in 1..=TEXTS {
        alice.write(&text(2, id, &body(id, 1000)));
        assert_eq!(alice.expect_acked().client_message_id.0, id);
    }
    // All is acknowledged and nothing was read: now it has to come piece by piece.
    for id in 1..=TEXTS {
        assert_eq!(bob.expect_text().body, body(id, 1000));
    }
    drop((alice, bob));
    node.stop();
}

pub(crate) fn a_slow_reader_is_closed_and_nobody_else_notices(driver: DriverKind) {
    let mut config = settings(driver);
    config.sockets.send_buffer_bytes = Some(16 * 1024);
    let node = TestNode::with(&config);
    let mut slow = node.login(1);
    let (mut alice, mut bob) = (node.login(2), node.login(3));
    let mut sent = 0;
    while node.chat(|counters| counters.slow_closed) == 0 {
        for _ in 0..100 {
            sent += 1;
            alice.write(&text(1, sent, &body(sent, 4000)));
            assert_eq!(alice.expect_acked().client_message_id.0, sent);
        }
        // Two others talk meanwhile.
        bob.check_alive(3, sent);
    }
    // The slow one gets what was on its way, in order, then the reason.
    let mut got = 0;
    let reason = loop {
        let end = slow.event(|event| match event {
            Event::Text(text) => {
                got += 1;
                assert_eq!(text.body, body(got, 4000));
                None
            }
            Event::Goodbye(goodbye) => CloseReason::from_code(goodbye.reason),
            other => panic!("neither text nor goodbye but {other:?}"),
        });
        if let Some(reason) = end {
            break reason;
        }
    };
    assert_eq!(reason, CloseReason::Slow);
    assert!(got < sent, "something was dropped");
    slow.expect_end();
    alice.check_alive(2, sent + 1);
    bob.check_alive(3, sent + 1);
    drop((slow, alice, bob));
    node.stop();
}

/// Answers appends as a store would, each conversation from 1 on, once it is told to begin.
fn serve(lane: &StoreLane, begin: &mpsc::Receiver<()>) {
    let mut heads: HashMap<ConversationId, u64> = HashMap::new();
    let mut has_begun = false;
    while let Some(mail) = lane.recv() {
        if !has_begun {
            begin.recv().expect("the test begins");
            has_begun = true;
        }
        let outcomes = mail.batch.requests.iter().map(|request| {
            let StoreRequest::Append(append) = request else { panic!("only texts are sent") };
            let head = heads.entry(append.conversation).or_default();
            *head += 1;
            let appended = Stored::Appended {
                seq: Seq(*head),
                message_id: append.message_id,
                unix_ms: append.unix_ms,
            };
            StoreOutcome { ticket: append.ticket, result: Ok(appended) }
        });
        lane.answer(mail.shard, outcomes.collect(), mail.batch);
    }
}

pub(crate) fn a_paused_connection_goes_on_when_the_store_answers(driver: DriverKind) {
    const TEXTS: u64 = 3000;
    let mut config = settings(driver);
    config.durability = Durability::Commit;
    config.store_stall = std::time::Duration::from_secs(600);
    let mut node = TestNode::with(&config);
    let lane = node.take_store();
    let (begin, told) = mpsc::channel();
    let store = thread::spawn(move || serve(&lane, &told));
    let mut alice = node.login(1);
    let stream: Vec<u8> = (1..=TEXTS).flat_map(|id| text(2, id, &body(id, 100))).collect();
    let mut writer = alice.stream.try_clone().unwrap();
    let writing = thread::spawn(move || std::io::Write::write_all(&mut writer, &stream));
    node.until("the connection is paused", |node| node.chat(|counters| counters.paused) > 0);
    begin.send(()).unwrap();
    for id in 1..=TEXTS {
        let acked = alice.expect_acked();
        assert_eq!((acked.client_message_id.0, acked.seq), (id, Seq(id)));
    }
    writing.join().unwrap().unwrap();
    drop(alice);
    node.stop();
    store.join().unwrap();
}

pub(crate) fn a_dead_store_is_answered_for(driver: DriverKind) {
    let mut config = settings(driver);
    config.durability = Durability::Commit;
    let mut node = TestNode::with(&config);
    drop(node.take_store());
    let mut alice = node.login(1);
    alice.write(&text(1, 1, b"into the void"));
    let reject = alice.event(|event| match event {
        Event::Rejected(rejected) => rejected.reject,
        other => panic!("no rejection but {other:?}"),
    });
    assert_eq!(Reject::from_code(reject), Some(Reject::Busy));
    assert_eq!(node.io(|counters| counters.store_lost), 1);
    drop(alice);
    node.stop();
}
