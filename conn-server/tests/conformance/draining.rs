//! The end of a node: orderly, at a deadline, or at once.

use std::time::Duration;

use conn_server::driver::DriverKind;
use conn_server::server::Outcome;
use wire::CloseReason;

use crate::node::{TestNode, settings};
use crate::peer::text;

pub(crate) fn queued_data_is_written_before_the_end(driver: DriverKind) {
    const TEXTS: u64 = 500;
    let mut config = settings(driver);
    config.sockets.send_buffer_bytes = Some(4096);
    let mut node = TestNode::with(&config);
    let mut alice = node.login(1);
    let mut bob = node.login(2);
    for id in 1..=TEXTS {
        alice.write(&text(2, id, &[b'q'; 2000]));
        alice.expect_acked();
    }
    node.handle().drain();
    for _ in 1..=TEXTS {
        assert_eq!(bob.expect_text().body, [b'q'; 2000]);
    }
    bob.expect_goodbye(CloseReason::Shutdown);
    alice.expect_goodbye(CloseReason::Shutdown);
    drop((alice, bob));
    assert_eq!(node.join(), Outcome::Drained);
}

pub(crate) fn a_drain_ends_at_its_deadline(driver: DriverKind) {
    let mut config = settings(driver);
    config.drain_timeout = Duration::from_secs(1);
    let mut node = TestNode::with(&config);
    // It takes its goodbye and never answers the FIN.
    let mut alice = node.login(1);
    node.handle().drain();
    alice.expect_goodbye(CloseReason::Shutdown);
    assert_eq!(node.join(), Outcome::Cut { connections: 1 });
}

pub(crate) fn an_abort_ends_at_once(driver: DriverKind) {
    let mut node = TestNode::start(driver);
    let mut alice = node.login(1);
    node.handle().drain();
    node.handle().abort();
    assert_eq!(node.join(), Outcome::Aborted);
    while !alice.has_ended() {}
}

pub(crate) fn a_draining_node_refuses_new_clients(driver: DriverKind) {
    let mut node = TestNode::start(driver);
    let mut alice = node.login(1);
    let address = node.address();
    node.handle().drain();
    alice.expect_goodbye(CloseReason::Shutdown);
    // A connect may still hit the backlog of a socket about to close; it is ended then, not left to hang.
    while let Ok(stream) = std::net::TcpStream::connect(address) {
        assert!(crate::peer::Peer::new(stream).has_ended());
    }
    drop(alice);
    assert_eq!(node.join(), Outcome::Drained);
}
