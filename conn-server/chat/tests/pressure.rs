//! Pressure and odd orders: what a crowd, a stall or a half-closed socket must not do to anybody else.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks at")]

mod common;
use chat::Durability;
use common::store::Mood;
use common::{Seen, World};
use std::time::Duration;
use wire::token::Token;
use wire::{CloseReason, Command, ConversationId, Epoch, RoomId, UserId};

/// A shard whose queue budget a crowd has used up, pulling pages and reading nothing; and the one who filled the room.
fn crowd_at_the_budget() -> (World, usize) {
    let mut world = World::with(1, Durability::None);
    let writer = world.login(1, 0);
    world.peer(writer).join(5);
    world.run();
    for id in 1..=8 {
        world.peer(writer).say(5, id, &"x".repeat(32_000));
    }
    world.run();
    for user in 100..1300 {
        let link = world.login(user, 0);
        world.peer(link).join(5);
        world.run();
        world.links[link].window = 0;
        world.peer(link).pull(ConversationId::room(RoomId(5)), 0, 256);
        world.run();
        if world.shard(0).counters().queue_budget_hits > 0 {
            return (world, writer);
        }
    }
    panic!("the budget was never reached");
}

/// What is in flight to the crowd cannot be freed at once: that is no reason to close others.
#[test]
fn a_crowd_that_does_not_read_closes_nobody_who_does() {
    let (mut world, a) = crowd_at_the_budget();
    let readers: Vec<usize> = (0..10u64)
        .map(|n| {
            let l = world.login(5000 + n, 0);
            world.peer(l).join(7);
            world.run();
            l
        })
        .collect();
    world.peer(a).join(7);
    world.run();
    world.peer(a).say(7, 100, &"y".repeat(32_000));
    world.run();
    let shut = readers.iter().filter(|l| world.links[**l].is_shut).count();
    assert_eq!(shut, 0, "readers that read everything are closed as slow");
}

/// The same with queues that stand before a goodbye.
#[test]
fn queues_behind_a_goodbye_make_room_too() {
    let mut world = World::with(1, Durability::None);
    let a = world.login(1, 0);
    let b = world.login(2, 0);
    let mut links = vec![];
    for n in 0..150u64 {
        let link = world.login(100 + n, 0);
        world.peer(link).join(5);
        world.run();
        world.links[link].window = 0;
        links.push(link);
    }
    world.peer(a).join(5);
    // 1.6 MiB each: below both bounds (150 x 1.6 = 240 MiB)
    for id in 1..=6500 {
        world.peer(a).say(5, id, &"x".repeat(180));
        if id % 50 == 0 {
            world.run();
        }
    }
    for &link in &links {
        world.peer(link).command(Command::Logout);
    }
    world.run();
    for n in 0..16u64 {
        let link = world.login(1000 + n, 0);
        world.peer(link).join(5);
        world.run();
        world.links[link].window = 0;
    }
    for id in 10_001..=16_000 {
        world.peer(a).say(5, id, &"x".repeat(180));
        if id % 50 == 0 {
            world.run();
        }
    }
    world.peer(b).news();
    world.peer(a).text(2, 100_000, "hello");
    world.run();
    assert!(
        !world.links[b].is_shut && !world.links[a].is_shut,
        "a reads: {:?}",
        world.links[a].peer.seen.last()
    );
}

/// Four pages of 4,100-byte texts: charged twice their length, beyond the bound.
#[test]
fn whoever_pulls_is_never_closed_for_it() {
    for durability in [Durability::Commit, Durability::None] {
        let mut world = World::with(1, durability);
        let (a, b) = (world.login(1, 0), world.login(2, 0));
        for id in 1..=100 {
            world.peer(a).text(2, id, &"x".repeat(4030));
            world.run();
        }
        world.peer(b).news();
        if durability == Durability::None {
            world.links[b].window = 0;
        }
        for _ in 0..4 {
            world.peer(b).pull(ConversationId::private(UserId(1), UserId(2)), 0, 256);
        }
        world.run();
        assert_eq!(world.shard(0).counters().slow_closed, 0, "{durability:?}");
    }
}

/// A paused connection whose peer sends heartbeats is expired.
#[test]
fn a_connection_that_the_node_paused_is_not_expired() {
    let mut world = World::small();
    let a = world.login(1, 0);
    world.chunk = 4096;
    world.store.mood = Mood::Stalled;
    for id in 1..=3000 {
        world.peer(a).text(2, id, "text");
    }
    world.run();
    assert!(world.links[a].is_paused);
    for _ in 0..5 {
        world.peer(a).command(Command::Heartbeat);
        world.pass(Duration::from_secs(7));
    }
    assert_eq!(
        world.shard(0).counters().expired,
        0,
        "it sent heartbeats; the node did not read them"
    );
}

/// Unauthenticated peers take the whole spill budget and sessions are closed for it.
#[test]
fn torn_frames_of_strangers_close_no_session() {
    let mut world = World::with(1, Durability::None);
    let a = world.login(1, 0);
    world.chunk = 64 * 1024;
    for _ in 0..1032 {
        let link = world.connect(0);
        let mut head = vec![0xC5, 1, 0, 1];
        head.extend_from_slice(&65_000u32.to_le_bytes());
        head.resize(65_000, 0);
        world.peer(link).outgoing = head;
        world.move_link(link);
    }
    for _ in 0..9 {
        let link = world.connect(0);
        let mut head = vec![0xC5, 1, 0, 1];
        head.extend_from_slice(&65_000u32.to_le_bytes());
        head.resize(3_000, 0);
        world.peer(link).outgoing = head;
        world.move_link(link);
    }
    world.peer(a).text(2, 1, &"x".repeat(9000));
    world.chunk = 6000;
    world.run();
    assert!(!world.links[a].is_shut, "a session's torn frame had no room");
}

/// An older token with a longer life is taken after a newer one's entry was purged.
#[test]
fn an_old_token_is_not_used_again() {
    let mut world = World::small();
    let mint = |world: &World, epoch, life| {
        let token = Token {
            user: UserId(1),
            epoch: Epoch(epoch),
            incarnation: common::world::INCARNATION,
            expires_ms: world.now.mono.as_ms() + life,
        };
        world.mint(&token, common::world::NODE)
    };
    let old = mint(&world, 1, 600_000);
    let new = mint(&world, 2, 10_000);
    let mut last = 0;
    for token in [old, new] {
        let l = world.connect(0);
        world.peer(l).login(&token);
        world.run();
        assert!(matches!(world.peer(l).news()[..], [Seen::Welcome { .. }]));
        last = l;
    }
    world.reset(last);
    world.pass(Duration::from_secs(20));
    let l = world.connect(0);
    world.peer(l).login(&old);
    world.run();
    assert_eq!(world.peer(l).news(), [Seen::goodbye(CloseReason::BadToken)]);
}

/// Relaxed: parked messages take no credit.
#[test]
fn parked_messages_are_bounded() {
    let mut world = World::with(1, Durability::Relaxed);
    world.store.mood = Mood::Stalled;
    for n in 0..4u64 {
        let l = world.login(10 + n, 0);
        for id in 1..=1000 {
            world.peer(l).text(500, id, &"x".repeat(32_000));
        }
        world.run();
    }
    world.pass(Duration::from_secs(3));
    let c = world.shard(0).counters();
    assert!(
        c.busy > 0,
        "{} MB parked, nothing refused, bound is 16 MiB",
        c.messages_in * 32_000 / 1_000_000
    );
}

/// None, two shards: reads cause replies far beyond the credit in one turn.
#[test]
fn replies_to_reads_are_bounded() {
    let mut world = World::with(2, Durability::None);
    let room = (1..).find(|r| wire::home_of_room(RoomId(*r), 2).0 == 1).unwrap();
    let a = world.login(1, 0);
    world.peer(a).join(room);
    world.run();
    for id in 1..=8 {
        world.peer(a).say(room, id, &"x".repeat(32_000));
    }
    world.run();
    let links: Vec<usize> = (0..400u64)
        .map(|n| {
            let l = world.login(100 + n, 0);
            world.peer(l).join(room);
            world.run();
            l
        })
        .collect();
    let before = world.shard(1).counters().mail_bytes;
    world.held_mail = vec![0];
    for &l in &links {
        for _ in 0..4 {
            world.peer(l).pull(ConversationId::room(RoomId(room)), 0, 256);
        }
    }
    world.run();
    let posted = world.shard(1).counters().mail_bytes - before;
    assert!(posted < 16 << 20, "{posted} bytes of replies are in one inbox");
}

/// Relaxed: a retry after 32,768 messages of others is a new message: pushed twice, acked with another place.
/// Refused join leaves a membership.
#[test]
fn a_refused_join_is_no_membership() {
    let mut world = World::with(1, Durability::Commit);
    let a = world.login(1, 0);
    world.store.mood = Mood::Stalled;
    // 1024 reads outstanding
    let links: Vec<usize> = (0..260u64).map(|n| world.login(100 + n, 0)).collect();
    for &l in &links {
        for _ in 0..4 {
            world.peer(l).conversations(ConversationId::default(), 1);
        }
    }
    world.run();
    world.peer(a).join(5);
    world.run();
    world.store.mood = Mood::Well;
    world.run();
    let b = world.login(2, 0);
    world.peer(b).join(5);
    world.run();
    world.peer(b).say(5, 1, "secret");
    world.run();
    assert_eq!(world.peer(a).texts(), [], "its join was refused");
}

/// A FIN right behind commands that wait for the login's answer from another shard.
#[test]
fn what_was_sent_before_fin_counts() {
    for remote in [false, true] {
        let mut world = World::with(2, Durability::None);
        let user = (1..).find(|u| wire::home_of_user(UserId(*u), 2).0 == 1).unwrap();
        let l = world.connect(usize::from(!remote));
        let token = world.token(user);
        world.peer(l).login(&token);
        world.peer(l).text(77, 1, "last words");
        world.links[l].has_fin = true;
        world.held_mail = vec![1];
        for _ in 0..3 {
            world.step();
        }
        world.held_mail.clear();
        world.run();
        let news = world.peer(l).news();
        assert!(matches!(news[0], Seen::Welcome { .. }), "remote {remote}: {news:?}");
        assert!(matches!(news[1], Seen::Acked { client_id: 1, .. }), "remote {remote}: {news:?}");
        assert_eq!(news[2..], [Seen::goodbye(CloseReason::PeerClosed)]);
    }
}

/// Whoever was cut is remembered for an hour, everybody else for the life of a token.
#[test]
fn a_cut_user_does_not_hold_up_the_purge() {
    let mut world = World::with(1, Durability::None);
    let (a, b) = (world.login(1, 0), world.login(2, 0));
    world.links[b].window = 0;
    for id in 1..=12_000 {
        world.peer(a).text(2, id, &"x".repeat(150));
        if id % 100 == 0 {
            world.run();
        }
        if world.shard(0).counters().slow_closed > 0 {
            break;
        }
    }
    assert_eq!(world.shard(0).counters().slow_closed, 1);
    world.pass(Duration::from_secs(60));
    let l = world.login(3, 0);
    world.reset(l);
    let left = world.shard(0).poll_timeout().unwrap().since(world.now.mono);
    assert!(left < Duration::from_secs(70), "{left:?}");
}

/// Looking for the longest queues costs a scan of the table.
#[test]
fn a_drain_at_the_budget_does_not_scan_for_every_goodbye() {
    let (mut world, _) = crowd_at_the_budget();
    for _ in 0..9000 {
        if world.try_connect(0).is_none() {
            break;
        }
    }
    let hits = world.shard(0).counters().queue_budget_hits;
    world.drain();
    let scans = world.shard(0).counters().queue_budget_hits - hits;
    assert!(scans <= 64, "{scans} scans of the table");
}
