//! Bytes that are no protocol: each is refused clearly and counted, the node goes on and does not grow.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wire::{
    ClientMessageId, CloseReason, Command, ConversationId, ConversationsQuery, Event, FrameView,
    JoinRoom, LeaveRoom, Login, Message, Pull, Reject, RoomId, SendRoom, SendText, Seq, UserId,
};

use crate::node::{Home, Node};
use crate::number;
use crate::wire_peer::{WirePeer, frame};

const MEMORY: &[&str] = &["--store", "memory"];

fn refused_at_once(node: &Node, bytes: &[u8], counter: &str) {
    let before = node.metrics()[counter];
    let mut peer = WirePeer::connect(node.chat).expect("the node accepts");
    // The node may have closed before the last byte: that is a refusal too.
    let _ = peer.write(bytes);
    assert_eq!(peer.goodbye(), Some(CloseReason::Violation), "{counter}");
    assert!(node.metrics()[counter] > before, "{counter} explains it");
}

#[test]
fn what_is_no_frame_is_refused_and_counted_by_kind() {
    let mut node = Node::start(&Home::new(), MEMORY);
    let counter = |kind: &str| format!("ringline_node_violations_{kind}_total");
    refused_at_once(&node, b"GET / HTTP/1.1\r\n\r\n", &counter("magic"));
    refused_at_once(&node, &[0xc5, 99], &counter("version"));
    refused_at_once(&node, &[0xc5, 1, 0x80], &counter("flags"));
    refused_at_once(&node, &[0xc5, 1, 0, 0x70], &counter("kind"));
    let oversized = [&[0xc5, 1, 0, 4][..], &u32::MAX.to_le_bytes(), &[0; 8]].concat();
    refused_at_once(&node, &oversized, &counter("oversized"));
    let payload = [&[0xc5, 1, 0, 4][..], &4_u32.to_le_bytes(), &[0xff; 12]].concat();
    refused_at_once(&node, &payload, &counter("payload"));
    assert!(node.is_running());
    assert_eq!(node.drain(), Some(0));
}

#[test]
fn a_flood_before_login_is_refused_at_its_first_command() {
    let node = Node::start(&Home::new(), MEMORY);
    let flood = frame(Command::Heartbeat, 7).repeat(100_000);
    let mut peer = WirePeer::connect(node.chat).expect("the node accepts");
    // The node may close long before all is written.
    let _ = peer.write(&flood);
    let first = peer.event(|event| match event {
        Some(Event::Rejected(rejected)) => Reject::from_code(rejected.reject),
        _ => None,
    });
    assert_eq!(first.expect("an answer"), Some(Reject::NotLoggedIn));
    let metrics = node.metrics();
    assert_eq!(metrics["ringline_node_commands_total"], 1.0);
    assert_eq!(metrics["ringline_node_heartbeats_total"], 0.0);
    assert_eq!(node.drain(), Some(0));
}

#[test]
fn half_a_frame_before_login_is_waited_for_no_longer_than_a_login() {
    let extra = [MEMORY, &["--login-timeout", "200ms"]].concat();
    let node = Node::start(&Home::new(), &extra);
    let token = node.token(1);
    let login = frame(Command::Login(Login { token: &token }), 1);
    let mut peers: Vec<WirePeer> = (0..50)
        .map(|n| {
            let mut peer = WirePeer::connect(node.chat).expect("the node accepts");
            peer.write(&login[..n % login.len()]).expect("the node takes bytes");
            peer
        })
        .collect();
    for peer in &mut peers {
        assert_eq!(peer.goodbye(), Some(CloseReason::LoginTimeout));
    }
    assert_eq!(node.metrics()["ringline_node_login_timeouts_total"], 50.0);
    assert_eq!(node.drain(), Some(0));
}

/// A frame of any kind, with a few of its bytes changed; but none that is a valid message to somebody new: to remember
/// that conversation is what the node is for.
fn mutated(random: &mut fastrand::Rng, body: &[u8]) -> Vec<u8> {
    loop {
        let bytes = mutate(random, body);
        let is_new = FrameView::parse(&bytes).is_ok_and(|view| match view.message() {
            Message::Command(Command::SendText(text)) => text.to.0 > 50,
            _ => false,
        });
        if !is_new {
            return bytes;
        }
    }
}

fn mutate(random: &mut fastrand::Rng, body: &[u8]) -> Vec<u8> {
    let id = ClientMessageId(random.u64(..));
    let (to, room) = (UserId(random.u64(1..50)), RoomId(random.u64(1..5)));
    let conversation = ConversationId { first: 1, second: random.u64(0..3) };
    let command = match random.u8(0..9) {
        0 => Command::Heartbeat,
        1 => Command::JoinRoom(JoinRoom { room }),
        2 => Command::LeaveRoom(LeaveRoom { room }),
        3 => Command::SendRoom(SendRoom { room, client_message_id: id, body }),
        4 => {
            Command::Pull(Pull { conversation, after: Seq(random.u64(..)), limit: random.u16(..) })
        }
        5 => Command::Conversations(ConversationsQuery { after: conversation, limit: 3 }),
        6 => Command::Login(Login { token: body }),
        _ => Command::SendText(SendText { to, client_message_id: id, body }),
    };
    let mut bytes = frame(command, random.u64(..));
    for _ in 0..random.usize(1..4) {
        // Most changes leave the header alone, so that most frames get as far as the payload's check and beyond.
        let start = if random.u8(0..8) == 0 { 0 } else { wire::HEADER_BYTES.min(bytes.len() - 1) };
        let at = random.usize(start..bytes.len());
        bytes[at] = random.u8(..);
    }
    bytes
}

/// One connection's worth: a login, mutated frames until the node closes or enough are said. Frames written.
fn abuse_once(address: SocketAddr, token: &[u8], random: &mut fastrand::Rng) -> u64 {
    let mut peer = WirePeer::login(address, token).expect("a good token opens a session");
    rustix::net::sockopt::set_socket_linger(&peer.stream, Some(Duration::ZERO)).expect("linger");
    let body: String = std::iter::repeat_with(|| random.alphanumeric()).take(64).collect();
    let count = random.u64(1..64);
    let burst: Vec<u8> = (0..count).flat_map(|_| mutated(random, body.as_bytes())).collect();
    let heartbeat = frame(Command::Heartbeat, u64::MAX);
    // The node may close before the last byte; what it says then is still to be read.
    let _ = peer.write(&burst).and_then(|()| peer.write(&heartbeat));
    let _ = peer.stream.shutdown(std::net::Shutdown::Write);
    let reason = peer.goodbye();
    let is_told = matches!(
        reason,
        Some(CloseReason::Violation | CloseReason::PeerClosed | CloseReason::Logout) | None
    );
    assert!(is_told, "{reason:?}");
    count
}

fn abuse(node: &Node, frames: u64, seed: u64) -> u64 {
    let said = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let said = &said;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed + thread);
                while said.load(Ordering::Relaxed) < frames {
                    let token = node.token(1 + thread);
                    said.fetch_add(abuse_once(node.chat, &token, &mut random), Ordering::Relaxed);
                }
            });
        }
    });
    said.into_inner()
}

#[test]
fn millions_of_mutated_frames_neither_stop_nor_grow_the_node() {
    let frames = number("MUTATED_FRAMES", 100_000);
    // In memory: a database would fill its page cache meanwhile.
    let mut node = Node::start(&Home::new(), MEMORY);
    // The first part fills what is bounded by design: buffers and pools.
    let warm = abuse(&node, frames.div_ceil(2).max(50_000), 1);
    let before = node.metrics()["ringline_node_rss_bytes"];
    let said = abuse(&node, frames, 1000);
    let metrics = node.metrics();
    let grown = metrics["ringline_node_rss_bytes"] - before;
    let kinds = ["magic", "version", "flags", "kind", "oversized", "payload", "text", "id"];
    let by_kind: Vec<(&str, f64)> = kinds
        .iter()
        .map(|kind| (*kind, metrics[&format!("ringline_node_violations_{kind}_total")]))
        .collect();
    println!(
        "{warm} + {said} frames written; {} commands, {} rejected, {} violations {by_kind:?}; \
         resident memory grew by {grown} bytes",
        metrics["ringline_node_commands_total"],
        metrics["ringline_node_rejected_total"],
        metrics["ringline_node_violations_total"],
    );
    let sum: f64 = by_kind.iter().map(|(_, count)| count).sum();
    assert_eq!(sum, metrics["ringline_node_violations_total"], "each violation has its kind");
    for (kind, count) in by_kind {
        assert!(count > 0.0, "the mutations reach {kind}");
    }
    assert!(node.is_running());
    // It still serves.
    let token = node.token(900);
    let mut peer = WirePeer::login(node.chat, &token).expect("a session opens");
    peer.write(&frame(Command::Heartbeat, 1)).expect("the node takes bytes");
    assert!(peer.event(|event| matches!(event, Some(Event::HeartbeatAck))).expect("an answer"));
    drop(peer);
    assert!(grown <= f64::from(1 << 20), "grew by {grown} bytes");
    assert_eq!(node.drain(), Some(0));
}
