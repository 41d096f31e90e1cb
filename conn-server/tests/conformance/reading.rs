//! Bytes arrive however the network likes.

use conn_server::driver::DriverKind;
use wire::{CloseReason, Command, Login, MAGIC};

use crate::node::{TestNode, settings};
use crate::peer::{frame, text};

pub(crate) fn torn_reads_are_put_together(driver: DriverKind) {
    let node = TestNode::start(driver);
    let mut bob = node.login(2);
    let mut alice = node.connect();
    let token = node.token(1, 1);
    let mut stream = frame(Command::Login(Login { token: &token }), 1);
    stream.extend(text(2, 10, b"one byte at a time"));
    for byte in &stream {
        alice.write(std::slice::from_ref(byte));
    }
    alice.event(|_| ());
    assert_eq!(alice.expect_acked().client_message_id.0, 10);
    assert_eq!(bob.expect_text().body, b"one byte at a time");
    drop((alice, bob));
    node.stop();
}

pub(crate) fn merged_reads_are_taken_apart(driver: DriverKind) {
    const TEXTS: u64 = 500;
    let node = TestNode::start(driver);
    let mut bob = node.login(2);
    let mut alice = node.login(1);
    let stream: Vec<u8> =
        (1..=TEXTS).flat_map(|id| text(2, id, id.to_string().as_bytes())).collect();
    alice.write(&stream);
    for id in 1..=TEXTS {
        assert_eq!(alice.expect_acked().client_message_id.0, id);
        assert_eq!(bob.expect_text().body, id.to_string().as_bytes());
    }
    drop((alice, bob));
    node.stop();
}

pub(crate) fn a_frame_larger_than_any_buffer_arrives(driver: DriverKind) {
    let mut config = settings(driver);
    config.body_bytes_max = 32 * 1024;
    config.uring.buffer_bytes = 256;
    let node = TestNode::with(&config);
    let (mut alice, mut bob) = (node.login(1), node.login(2));
    let body: Vec<u8> = (0..32 * 1024).map(|at: u32| b'a' + (at % 26) as u8).collect();
    alice.write(&text(2, 1, &body));
    assert_eq!(alice.expect_acked().client_message_id.0, 1);
    assert_eq!(bob.expect_text().body, body);
    drop((alice, bob));
    node.stop();
}

/// Large texts and small ones in turn, several at a time: torn frames of all sizes, with whole ones before and behind.
pub(crate) fn who_says_much_and_little_in_turn_is_heard(driver: DriverKind) {
    const AT_ONCE: u64 = 4;
    let mut config = settings(driver);
    config.body_bytes_max = 32 * 1024;
    let node = TestNode::with(&config);
    let pairs = [(1, 2), (3, 4), (5, 6)];
    let mut peers = pairs.map(|(from, to)| (node.login(from), node.login(to), to));
    let mut id = 0;
    for len in [32 * 1024, 10, 20_000, 4096, 5, 4000].into_iter().cycle().take(60) {
        let first = id + 1;
        id += AT_ONCE;
        let body = |id: u64, to: u64| vec![b'a' + ((id + to) % 26) as u8; len];
        for (alice, _, to) in &mut peers {
            let stream: Vec<u8> =
                (first..=id).flat_map(|id| text(*to, id, &body(id, *to))).collect();
            alice.write(&stream);
        }
        for (alice, bob, to) in &mut peers {
            for id in first..=id {
                assert_eq!(alice.expect_acked().client_message_id.0, id);
                assert_eq!(bob.expect_text().body, body(id, *to));
            }
        }
    }
    drop(peers);
    node.stop();
}

pub(crate) fn garbage_is_refused_and_closed(driver: DriverKind) {
    let node = TestNode::start(driver);
    let mut whole = node.login(1);
    let mut bad = node.connect();
    bad.write(&[MAGIC, 99, 99, 99, 99, 99]);
    bad.expect_goodbye(CloseReason::Violation);
    drop(bad);
    node.until_open(1);
    assert_eq!(node.chat(|counters| counters.violations), 1);
    whole.check_alive(1, 1);
    drop(whole);
    node.stop();
}
