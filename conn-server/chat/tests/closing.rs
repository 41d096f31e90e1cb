//! The ends of connections: slow readers, deferred close, drain (promises 5, 6, 7 and 9).

mod common;

use std::time::Duration;

use chat::Durability;
use chat::limits::CONN_QUEUE_BYTES_MAX;
use common::store::Mood;
use common::{Seen, World};
use wire::{CloseReason, Command, ConversationId, MAGIC, UserId, VERSION};

fn count_texts(news: &[Seen]) -> usize {
    news.iter().filter(|seen| matches!(seen, Seen::Text { .. })).count()
}

/// The case that DIMS fails: of 5,000 acknowledged texts its reader got 2,092, and never the logout notice.
#[test]
fn five_thousand_texts_to_a_reader_that_does_not_read_all_arrive_before_its_goodbye() {
    for durability in [Durability::Commit, Durability::None] {
        let mut world = World::with(1, durability);
        let (a, b) = (world.login(1, 0), world.login(2, 0));
        world.links[b].window = 0;
        let body = "x".repeat(128);
        for id in 1..=5000 {
            world.peer(a).text(2, id, &body);
        }
        world.run();
        assert_eq!(world.peer(a).news().len(), 5000, "all are acknowledged");
        world.peer(b).command(Command::Logout);
        world.run();
        assert_eq!(world.peer(b).news(), []);
        world.links[b].window = usize::MAX;
        world.run();
        let news = world.peer(b).news();
        assert_eq!(count_texts(&news), 5000);
        assert_eq!(news.last(), Some(&Seen::goodbye(CloseReason::Logout)));
        assert!(world.links[b].is_shut && !world.links[b].is_closed);
        world.links[b].has_fin = true;
        world.run();
        assert!(world.links[b].is_closed);
        assert_eq!(world.shard(0).gauges(world.now).queued_bytes, 0);
    }
}

#[test]
fn a_reader_beyond_its_bound_is_closed_alone_finds_the_rest_and_is_told_why() {
    for durability in [Durability::Commit, Durability::Relaxed] {
        let mut world = World::with(1, durability);
        let (a, b, c) = (world.login(1, 0), world.login(2, 0), world.login(3, 0));
        world.links[b].window = 500;
        let body = "x".repeat(1000);
        for id in 1..=3000 {
            world.peer(a).text(2, id, &body);
        }
        world.peer(a).text(3, 9999, "hello");
        world.run();
        assert_eq!(world.peer(a).news().len(), 3001, "the sender does not notice");
        assert_eq!(count_texts(&world.peer(c).news()), 1);
        let gauges = world.shard(0).gauges(world.now);
        assert!(gauges.conn_queued_bytes_high <= u64::from(CONN_QUEUE_BYTES_MAX) + 65_536);
        world.links[b].window = usize::MAX;
        world.run();
        let news = world.peer(b).news();
        assert_eq!(news.last(), Some(&Seen::goodbye(CloseReason::Slow)));
        assert!(!world.peer(b).is_torn(), "the frame in flight was finished");
        let got = count_texts(&news) as u64;
        assert!(got < 3000);
        let b = world.connect(0);
        let token = world.token(2);
        world.peer(b).login(&token);
        let conversation = ConversationId::private(UserId(1), UserId(2));
        let mut after = got;
        world.run();
        let slow = CloseReason::Slow.code();
        let welcome = Seen::Welcome { user: UserId(2), previous_close: slow };
        assert_eq!(world.peer(b).news(), [welcome]);
        while after < 3000 {
            world.peer(b).pull(conversation, after, 256);
            world.run();
            for (seq, _) in world.peer(b).texts() {
                assert_eq!(seq, after + 1, "in order, each once");
                after = seq;
            }
        }
        assert_eq!(world.shard(0).counters().slow_closed, 1);
    }
}

#[test]
fn the_longest_queue_goes_when_the_shard_is_full_of_slow_readers() {
    let mut world = World::with(1, Durability::None);
    let sender = world.login(1, 0);
    let readers: Vec<usize> = (2..=302).map(|user| world.login(user, 0)).collect();
    for reader in &readers {
        world.links[*reader].window = 0;
    }
    // 300 readers with nearly 1 MiB each would be more than the shard's 256 MiB.
    let body = "x".repeat(15_000);
    let mut id = 0;
    for _ in 0..58 {
        for user in 2..=301 {
            id += 1;
            world.peer(sender).text(user, id, &body);
        }
        world.run();
    }
    assert_eq!(count_texts(&world.peer(sender).news()), 0);
    let counters = world.shard(0).counters();
    assert!(counters.queue_budget_hits > 0 && counters.slow_closed > 0);
    let gauges = world.shard(0).gauges(world.now);
    assert!(gauges.queued_bytes_high <= chat::limits::SHARD_QUEUE_BYTES_MAX + 65_536);
    assert!(world.links[*readers.last().unwrap()].key.is_some(), "who queues nothing stays");
    assert_eq!(counters.acked, id, "and all was acknowledged");
}

#[test]
fn a_logout_waits_for_the_answers_to_what_came_before_it() {
    let mut world = World::small();
    let a = world.login(1, 0);
    world.store.mood = Mood::Stalled;
    world.peer(a).text(2, 1, "last words");
    world.peer(a).command(Command::Logout);
    world.run();
    assert_eq!(world.peer(a).news(), []);
    world.store.mood = Mood::Well;
    world.run();
    let news = world.peer(a).news();
    assert!(matches!(news[0], Seen::Acked { .. }));
    assert_eq!(news[1..], [Seen::goodbye(CloseReason::Logout)]);
}

#[test]
fn a_peer_that_finished_sending_still_gets_its_answers() {
    let mut world = World::with(2, Durability::Commit);
    let a = world.login(1, 1);
    for id in 1..=100 {
        world.peer(a).text(2, id, "text");
    }
    world.links[a].has_fin = true;
    world.run();
    let news = world.peer(a).news();
    assert_eq!(news.len(), 101);
    assert_eq!(news[100], Seen::goodbye(CloseReason::PeerClosed));
    assert!(world.links[a].is_closed);
}

#[test]
fn a_peer_that_neither_reads_nor_leaves_is_cut_by_the_deadline() {
    let mut world = World::with(1, Durability::None);
    let (a, b) = (world.login(1, 0), world.login(2, 0));
    world.links[b].window = 0;
    world.peer(a).text(2, 1, "hello");
    world.peer(b).command(Command::Logout);
    world.run();
    world.pass(Duration::from_secs(31));
    assert!(world.links[b].is_closed);
    // One that got its FIN and sends none is cut sooner.
    world.peer(a).command(Command::Logout);
    world.run();
    assert!(world.links[a].is_shut && !world.links[a].is_closed);
    world.pass(Duration::from_secs(6));
    assert!(world.links[a].is_closed);
    assert_eq!(world.shard(0).counters().deadline_cuts, 2);
}

#[test]
fn a_drain_delivers_what_is_queued_and_spreads_the_reconnects() {
    let mut world = World::with(2, Durability::Commit);
    let links: Vec<usize> = (1..=50).map(|user| world.login(user, user as usize % 2)).collect();
    world.links[links[1]].window = 0;
    world.store.mood = Mood::Stalled;
    world.peer(links[0]).text(2, 1, "hello");
    world.run();
    world.drain();
    world.run();
    assert!(!world.shard(0).is_drained() || !world.shard(1).is_drained());
    world.store.mood = Mood::Well;
    world.links[links[1]].window = usize::MAX;
    world.run();
    let mut delays = Vec::new();
    for link in &links {
        world.links[*link].has_fin = true;
        let news = world.peer(*link).news();
        let Some(Seen::Goodbye { reason: CloseReason::Shutdown, after_ms }) = news.last() else {
            panic!("{news:?}")
        };
        delays.push(*after_ms);
    }
    assert!(matches!(world.peer(links[0]).seen[1], Seen::Acked { .. }), "acknowledged before it");
    world.run();
    assert!(world.shard(0).is_drained() && world.shard(1).is_drained());
    delays.sort_unstable();
    assert!(delays[0] < 2_000 && delays[49] > 8_000 && delays[49] <= 10_000, "{delays:?}");
    assert_eq!(world.try_connect(0), None);
}

#[test]
fn bytes_that_are_no_frames_end_the_connection_and_are_counted_by_kind() {
    let mut text = Vec::new();
    let command = Command::SendText(wire::SendText {
        to: UserId(2),
        client_message_id: wire::ClientMessageId(1),
        body: b"hello",
    });
    assert!(wire::Message::from(command).append_to(1, &mut text));
    let mut no_utf8 = text.clone();
    no_utf8[wire::HEADER_BYTES] = 0xff;
    let mut nobody = text.clone();
    let to = text.len() - 24;
    nobody[to] = 0;
    let mut event = Vec::new();
    assert!(wire::Message::from(wire::Event::HeartbeatAck).append_to(1, &mut event));
    let cases: [(Vec<u8>, fn(&chat::Counters) -> u64); 9] = [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), |c| c.violations_magic),
        (vec![MAGIC, VERSION + 1], |c| c.violations_version),
        (vec![MAGIC, VERSION, 1], |c| c.violations_flags),
        (vec![MAGIC, VERSION, 0, 0x7f], |c| c.violations_kind),
        (event, |c| c.violations_kind),
        ([&[MAGIC, VERSION, 0, 3][..], &[0xff; 12]].concat(), |c| c.violations_oversized),
        ([&[MAGIC, VERSION, 0, 3, 1][..], &[0; 12]].concat(), |c| c.violations_payload),
        (no_utf8, |c| c.violations_text),
        (nobody, |c| c.violations_id),
    ];
    let mut world = World::small();
    for (bytes, counter) in cases {
        let link = world.login(1, 0);
        let before = counter(world.shard(0).counters());
        world.peer(link).outgoing = bytes;
        world.run();
        assert_eq!(world.peer(link).news(), [Seen::goodbye(CloseReason::Violation)]);
        assert_eq!(counter(world.shard(0).counters()), before + 1);
        world.links[link].has_fin = true;
        world.run();
        assert!(world.links[link].is_closed);
    }
}

#[test]
fn a_reset_in_any_phase_frees_everything() {
    let mut world = World::with(2, Durability::Commit);
    let a = world.login(1, 0);
    let idle = world.connect(0);
    world.reset(idle);
    let sending = world.login(2, 1);
    world.peer(sending).text(1, 1, "hello");
    world.store.mood = Mood::Stalled;
    world.run();
    world.reset(sending);
    let closing = world.login(3, 0);
    world.peer(closing).command(Command::Logout);
    world.run();
    world.reset(closing);
    world.store.mood = Mood::Well;
    world.run();
    assert_eq!(world.peer(a).texts(), [(1, "hello".into())], "what was taken is delivered");
    world.reset(a);
    world.run();
    for shard in 0..2 {
        let gauges = world.shard(shard).gauges(world.now);
        assert_eq!((gauges.connections, gauges.sessions, gauges.queued_bytes), (0, 0, 0));
    }
}
