//! Connections end in every way there is, and leave nothing behind.

use std::thread;
use std::time::Duration;

use conn_server::driver::DriverKind;
use wire::{CloseReason, Command, Login};

use crate::node::{TestNode, settings};
use crate::peer::{frame, text};

pub(crate) fn resets_in_every_phase_free_the_slot(driver: DriverKind) {
    let mut config = settings(driver);
    config.sockets.send_buffer_bytes = Some(4096);
    let node = TestNode::with(&config);
    let mut witness = node.login(1000);
    // Before a byte.
    node.connect().reset();
    node.until_open(1);
    // Within the first frame.
    let mut torn = node.connect();
    torn.write(&frame(Command::Login(Login { token: &node.token(1, 1) }), 0)[..20]);
    node.until("the torn frame is put aside", |node| node.chat(|chat| chat.spills) > 0);
    torn.reset();
    node.until_open(1);
    // Idle; logins are told apart by epochs, so each one needs its own user's next.
    for epoch in 2..5 {
        let mut peer = node.connect();
        peer.login(&node.token(1, epoch));
        peer.reset();
        node.until_open(1);
    }
    let mut peer = node.connect();
    peer.login(&node.token(1, 5));
    // With a send stuck in the socket and more behind it.
    for id in 0..500 {
        witness.write(&text(1, id + 1, &[b'x'; 2000]));
        witness.expect_acked();
    }
    peer.reset();
    node.until_open(1);
    // After the node's goodbye, before its FIN is answered.
    let mut peer = node.connect();
    peer.login(&node.token(1, 6));
    peer.command(Command::Logout);
    peer.expect_goodbye(CloseReason::Logout);
    peer.reset();
    node.until_open(1);
    witness.check_alive(1000, 9999);
    drop(witness);
    node.stop();
}

pub(crate) fn answers_arrive_after_a_half_close(driver: DriverKind) {
    const TEXTS: u64 = 200;
    let node = TestNode::start(driver);
    let mut alice = node.login(1);
    let stream: Vec<u8> = (1..=TEXTS).flat_map(|id| text(2, id, b"and then silence")).collect();
    alice.write(&stream);
    alice.finish();
    for id in 1..=TEXTS {
        assert_eq!(alice.expect_acked().client_message_id.0, id);
    }
    alice.expect_goodbye(CloseReason::PeerClosed);
    drop(alice);
    node.until_open(0);
    node.stop();
}

pub(crate) fn logout_and_reset_race(driver: DriverKind) {
    let node = TestNode::start(driver);
    let mut witness = node.login(1);
    for user in 2..102 {
        let mut peer = node.login(user);
        let mut last = text(1, 1, b"bye");
        last.extend(frame(Command::Logout, 2));
        peer.write(&last);
        match user % 3 {
            0 => peer.reset(),
            1 => drop(peer),
            _ => {
                peer.finish();
                peer.reset();
            }
        }
    }
    node.until_open(1);
    // Whether a reset overtook its text is the network's affair; what was taken, was told.
    let told = node.chat(|counters| counters.delivered);
    for _ in 0..told {
        assert_eq!(witness.expect_text().body, b"bye");
    }
    witness.check_alive(1, 1);
    drop(witness);
    node.stop();
}

pub(crate) fn an_idle_connection_expires(driver: DriverKind) {
    let mut config = settings(driver);
    config.heartbeat_timeout = Duration::from_millis(300);
    config.heartbeat_interval = Duration::from_millis(100);
    let node = TestNode::with(&config);
    let mut silent = node.login(1);
    silent.expect_goodbye(CloseReason::Expired);
    drop(silent);
    node.until_open(0);
    assert!(node.snapshots()[0].lateness.count() > 0, "the wait had a deadline");
    node.stop();
}

/// A stream of texts that only this user and round can have sent.
struct Stream {
    random: u64,
}

impl Stream {
    fn new(user: u64, round: u64) -> Self {
        Self { random: user << 32 | round << 8 | 1 }
    }

    fn next(&mut self) -> Vec<u8> {
        let mut step = || {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.random
        };
        let len = 1 + step() % 1500;
        (0..len).map(|_| b'a' + (step() % 26) as u8).collect()
    }
}

pub(crate) fn slots_are_reused_without_mixing_streams(driver: DriverKind) {
    const ROUNDS: u64 = 6;
    const PAIRS: u64 = 16;
    const TEXTS: u64 = 40;
    let mut config = settings(driver);
    // Fewer buffers than connections, so that they change hands all the time.
    config.uring.buffers = 16;
    config.uring.buffer_bytes = 512;
    let node = TestNode::with(&config);
    for round in 1..=ROUNDS {
        thread::scope(|scope| {
            for user in 1..=PAIRS {
                let node = &node;
                scope.spawn(move || talk(node, user, round, TEXTS));
            }
        });
    }
    node.until_open(0);
    assert_eq!(node.chat(|counters| counters.logins), ROUNDS * PAIRS * 2);
    node.stop();
}

/// A user sends a stream to its mate, who checks every byte; every second pair leaves with a reset while more is on its
/// way.
fn talk(node: &TestNode, user: u64, round: u64, texts: u64) {
    let mate = user + 1000;
    let (mut from, mut to) = (node.connect(), node.connect());
    from.login(&node.token(user, round));
    to.login(&node.token(mate, round));
    let leaves_early = (user + round).is_multiple_of(2);
    let first = round << 32;
    let mut stream = Stream::new(user, round);
    let bytes: Vec<u8> = (0..texts).flat_map(|id| text(mate, first + id, &stream.next())).collect();
    let mut writer = from.stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut writer, &bytes).unwrap());
        let mut expected = Stream::new(user, round);
        for _ in 0..if leaves_early { texts / 2 } else { texts } {
            let said = to.expect_text();
            assert_eq!(said.from.0, user);
            assert_eq!(said.body, expected.next(), "user {user}, round {round}");
        }
        if !leaves_early {
            from.expect_all_acked(first, texts);
        }
    });
    if leaves_early {
        from.reset();
        to.reset();
    }
}
