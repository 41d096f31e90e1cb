//! Messages: places, retries, order, history, and what a failing store does to them (promises 1 to 4).

#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks at")]

mod common;

use std::time::Duration;

use chat::Durability;
use common::store::Mood;
use common::{Seen, World, WorldConfig};
use wire::{Command, ConversationId, Reject, UserId, home_of_user};

const ALL: [Durability; 3] = [Durability::Commit, Durability::Relaxed, Durability::None];

/// Users with homes on shards 0, 1, 2 of three.
fn users() -> [u64; 3] {
    [0, 1, 2].map(|shard| (1..).find(|user| home_of_user(UserId(*user), 3).0 == shard).unwrap())
}

fn private(one: u64, other: u64) -> ConversationId {
    ConversationId::private(UserId(one), UserId(other))
}

fn acks(news: &[Seen]) -> Vec<(u64, u64)> {
    news.iter()
        .filter_map(|seen| match seen {
            Seen::Acked { seq, client_id, .. } => Some((*client_id, *seq)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_text_is_acknowledged_and_delivered_from_any_shard_to_any_shard() {
    for durability in ALL {
        for (from, to) in (0..9).map(|n| (n / 3, n % 3)) {
            let mut world = World::with(3, durability);
            let [alice, bob, _] = users();
            let (a, b) = (world.login(alice, from), world.login(bob, to));
            world.peer(a).text(bob, 41, "hello");
            world.peer(b).text(alice, 41, "and you");
            world.run();
            assert_eq!(acks(&world.peer(a).seen.clone()).len(), 1);
            assert_eq!(acks(&world.peer(b).seen.clone()).len(), 1);
            let (heard_a, heard_b) = (world.peer(a).texts(), world.peer(b).texts());
            assert_eq!([&heard_a[0].1[..], &heard_b[0].1], ["and you", "hello"]);
            assert_eq!(heard_a[0].0 + heard_b[0].0, 3, "the two places are 1 and 2");
        }
    }
}

#[test]
fn a_retry_gets_the_same_id_and_place_and_is_pushed_with_them() {
    for durability in ALL {
        let mut world = World::with(3, durability);
        let [alice, bob, _] = users();
        let (a, b) = (world.login(alice, 2), world.login(bob, 2));
        for (id, body) in [(1, "one"), (2, "two"), (1, "one")] {
            world.peer(a).text(bob, id, body);
            world.run();
        }
        let news = world.peer(a).news();
        assert_eq!(acks(&news), [(1, 1), (2, 2), (1, 1)]);
        assert_eq!(news[0], news[2], "also the message id is the same");
        let texts = world.peer(b).texts();
        assert_eq!(texts, [(1, "one".into()), (2, "two".into()), (1, "one".into())]);
    }
}

#[test]
fn a_retry_after_a_new_login_is_known() {
    for durability in ALL {
        let mut world = World::with(3, durability);
        let [alice, bob, _] = users();
        let a = world.login(alice, 0);
        for id in 1..=1024 {
            world.peer(a).text(bob, id, "text");
        }
        world.run();
        let first = acks(&world.peer(a).news());
        world.reset(a);
        let a = world.login(alice, 1);
        for id in 1..=1024 {
            world.peer(a).text(bob, id, "text");
        }
        world.run();
        assert_eq!(acks(&world.peer(a).news()), first);
    }
}

#[test]
fn a_client_message_id_used_for_another_text_is_a_conflict() {
    for durability in ALL {
        let mut world = World::with(3, durability);
        let [alice, bob, carol] = users();
        let a = world.login(alice, 0);
        world.peer(a).text(bob, 1, "one");
        world.run();
        world.peer(a).news();
        let conflict = Seen::Rejected { reject: Reject::Conflict, client_id: 1 };
        world.peer(a).text(bob, 1, "another");
        world.run();
        assert_eq!(world.peer(a).news(), std::slice::from_ref(&conflict));
        if durability == Durability::Commit {
            // Only the store knows all of a sender's conversations.
            world.peer(a).text(carol, 1, "one");
            world.run();
            assert_eq!(world.peer(a).news(), [conflict]);
        }
    }
}

#[test]
fn a_retry_of_what_was_taken_back_is_acknowledged_and_heard_by_nobody() {
    for durability in [Durability::Commit, Durability::Relaxed] {
        let mut world = World::with(3, durability);
        let [alice, bob, _] = users();
        let (a, b) = (world.login(alice, 0), world.login(bob, 1));
        world.peer(a).text(bob, 1, "oops");
        world.run();
        let acked = world.peer(a).news();
        assert_eq!(world.peer(b).texts().len(), 1);
        world.store.blank(private(alice, bob), wire::Seq(1));
        world.peer(a).text(bob, 1, "oops");
        world.run();
        assert_eq!(world.peer(a).news(), acked, "its place again");
        assert!(world.peer(b).texts().is_empty(), "{durability:?}");
        world.peer(a).text(bob, 2, "next");
        world.run();
        assert_eq!(world.peer(b).texts(), [(2, "next".to_owned())]);
    }
}

#[test]
fn both_sides_see_one_order() {
    for durability in ALL {
        let mut world = World::with(3, durability);
        let [alice, bob, _] = users();
        let (a, b) = (world.login(alice, 1), world.login(bob, 2));
        for n in 1..=50 {
            world.peer(a).text(bob, n, &format!("a{n}"));
            world.peer(b).text(alice, n, &format!("b{n}"));
            world.step();
        }
        world.run();
        let conversation = private(alice, bob);
        for link in [a, b] {
            let news = world.peer(link).news();
            let mut seqs: Vec<u64> = news
                .iter()
                .filter_map(|seen| match seen {
                    Seen::Acked { seq, .. } | Seen::Text { seq, .. } => Some(*seq),
                    _ => None,
                })
                .collect();
            seqs.sort_unstable();
            assert_eq!(seqs, (1..=100).collect::<Vec<u64>>(), "dense for everyone");
            let texts: Vec<u64> = news
                .iter()
                .filter_map(|seen| match seen {
                    Seen::Text { seq, conversation: of, .. } => {
                        assert_eq!(*of, conversation);
                        Some(*seq)
                    }
                    _ => None,
                })
                .collect();
            assert!(texts.is_sorted(), "pushed in the order of their places");
        }
    }
}

#[test]
fn an_offline_recipient_finds_conversations_and_messages_in_order() {
    for durability in ALL {
        let mut world = World::with(3, durability);
        let [alice, bob, carol] = users();
        let (a, c) = (world.login(alice, 0), world.login(carol, 1));
        for n in 1..=5 {
            world.peer(a).text(bob, n, &format!("a{n}"));
            world.peer(c).text(bob, n, &format!("c{n}"));
            world.run();
        }
        let b = world.login(bob, 2);
        world.peer(b).conversations(ConversationId::default(), 1);
        world.run();
        let mut found = [private(alice, bob), private(carol, bob)];
        found.sort();
        assert_eq!(
            world.peer(b).news(),
            [Seen::Head { conversation: found[0], head: 5 }, Seen::HeadsEnd { is_complete: false }]
        );
        world.peer(b).conversations(found[0], 10);
        world.run();
        assert_eq!(
            world.peer(b).news(),
            [Seen::Head { conversation: found[1], head: 5 }, Seen::HeadsEnd { is_complete: true }]
        );
        world.peer(b).pull(private(alice, bob), 1, 2);
        world.run();
        let news = world.peer(b).news();
        let conversation = private(alice, bob);
        assert_eq!(news[2], Seen::Pulled { conversation, next: 3, is_complete: false });
        world.peer(b).pull(private(alice, bob), 3, 100);
        world.run();
        assert_eq!(world.peer(b).texts(), [(4, "a4".into()), (5, "a5".into())]);
    }
}

#[test]
fn a_page_is_bounded_in_bytes_and_the_next_goes_on() {
    for durability in ALL {
        let mut world = World::with(1, durability);
        let (a, b) = (world.login(1, 0), world.login(2, 0));
        let body = "x".repeat(30_000);
        for n in 1..=20 {
            world.peer(a).text(2, n, &body);
        }
        world.run();
        world.peer(b).news();
        let (mut after, mut count) = (0, 0);
        loop {
            world.peer(b).pull(private(1, 2), after, 256);
            world.run();
            let news = world.peer(b).news();
            count += news.len() - 1;
            assert!(news.len() < 12);
            let Some(Seen::Pulled { next, is_complete, .. }) = news.last() else { panic!() };
            after = *next;
            if *is_complete {
                break;
            }
        }
        assert_eq!(count, 20);
    }
}

#[test]
fn only_members_read_a_conversation() {
    for durability in ALL {
        let mut world = World::with(1, durability);
        let c = world.login(3, 0);
        world.peer(c).pull(private(1, 2), 0, 10);
        world.peer(c).pull(ConversationId::room(wire::RoomId(5)), 0, 10);
        world.run();
        let rejected = Seen::Rejected { reject: Reject::NotMember, client_id: 0 };
        assert_eq!(world.peer(c).news(), [rejected.clone(), rejected]);
    }
}

#[test]
fn an_empty_or_too_long_text_is_refused_and_the_session_goes_on() {
    let mut world = World::small();
    let a = world.login(1, 0);
    world.peer(a).text(2, 1, "");
    world.peer(a).text(2, 2, "fine");
    world.run();
    let news = world.peer(a).news();
    assert!(matches!(news[0], Seen::Rejected { reject: Reject::BodySize, client_id: 1 }));
    assert_eq!(acks(&news), [(2, 1)]);
}

#[test]
fn in_commit_nobody_hears_of_a_message_before_the_store_has_it() {
    let mut world = World::small();
    let (a, b) = (world.login(1, 0), world.login(2, 0));
    world.store.mood = Mood::Stalled;
    world.peer(a).text(2, 1, "hello");
    world.run();
    assert_eq!((world.peer(a).news(), world.peer(b).news()), (vec![], vec![]));
    world.store.mood = Mood::Well;
    world.run();
    assert_eq!(acks(&world.peer(a).news()), [(1, 1)]);
    assert_eq!(world.peer(b).texts(), [(1, "hello".into())]);
}

#[test]
fn in_relaxed_a_message_is_delivered_at_once_and_acknowledged_after_the_commit() {
    let mut world = World::with(1, Durability::Relaxed);
    let (a, b) = (world.login(1, 0), world.login(2, 0));
    world.peer(a).text(2, 1, "first");
    world.run();
    world.store.mood = Mood::Stalled;
    world.peer(a).text(2, 2, "second");
    world.run();
    assert_eq!(world.peer(b).texts(), [(1, "first".into()), (2, "second".into())]);
    assert_eq!(acks(&world.peer(a).news()), [(1, 1)]);
    world.store.mood = Mood::Well;
    world.run();
    assert_eq!(acks(&world.peer(a).news()), [(2, 2)]);
}

#[test]
fn in_relaxed_places_go_on_after_a_restart() {
    let mut world = World::with(1, Durability::Relaxed);
    let a = world.login(1, 0);
    world.peer(a).text(2, 1, "before");
    world.run();
    let mut after = World::with(1, Durability::Relaxed);
    after.store = std::mem::take(&mut world.store);
    let a = after.login(1, 0);
    after.peer(a).text(2, 2, "after");
    after.peer(a).text(2, 3, "and on");
    after.run();
    assert_eq!(acks(&after.peer(a).news()), [(2, 2), (3, 3)]);
}

#[test]
fn a_full_store_makes_senders_busy_and_nothing_else_stops() {
    for durability in [Durability::Commit, Durability::Relaxed] {
        let mut world = World::with(1, durability);
        let (a, b) = (world.login(1, 0), world.login(2, 0));
        world.peer(a).text(2, 1, "kept");
        world.run();
        world.peer(a).news();
        world.store.mood = Mood::Full;
        world.peer(a).text(2, 2, "refused");
        world.peer(a).command(Command::Heartbeat);
        world.run();
        let news = world.peer(a).news();
        assert!(news.contains(&Seen::Rejected { reject: Reject::Busy, client_id: 2 }));
        assert!(news.contains(&Seen::HeartbeatAck));
        world.peer(b).news();
        world.peer(b).pull(private(1, 2), 0, 10);
        world.run();
        assert_eq!(world.peer(b).texts(), [(1, "kept".into())]);
        world.store.mood = Mood::Well;
        world.peer(a).text(2, 2, "refused");
        world.run();
        assert_eq!(acks(&world.peer(a).news()), [(2, 2)]);
        assert_eq!(world.shard(0).counters().store_faults, 1);
    }
}

#[test]
fn a_stalled_store_makes_new_sends_busy_and_answers_the_old_ones_later() {
    let mut world = World::small();
    let a = world.login(1, 0);
    world.store.mood = Mood::Stalled;
    world.peer(a).text(2, 1, "waits");
    world.run();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.shard(0).gauges(world.now).store_stalled, 1);
    world.peer(a).text(2, 2, "is refused");
    world.peer(a).command(Command::Heartbeat);
    world.run();
    let busy = Seen::Rejected { reject: Reject::Busy, client_id: 2 };
    assert_eq!(world.peer(a).news(), [busy, Seen::HeartbeatAck]);
    world.store.mood = Mood::Well;
    world.run();
    assert_eq!(acks(&world.peer(a).news()), [(1, 1)]);
    world.peer(a).text(2, 2, "is taken");
    world.run();
    assert_eq!(acks(&world.peer(a).news()), [(2, 2)]);
}

#[test]
fn a_sender_far_ahead_of_the_store_is_paused_and_loses_nothing() {
    let mut world = World::small();
    let a = world.login(1, 0);
    world.chunk = 4096;
    world.store.mood = Mood::Stalled;
    for id in 1..=3000 {
        world.peer(a).text(2, id, "text");
    }
    world.run();
    assert!(world.links[a].is_paused);
    assert_eq!(world.shard(0).gauges(world.now).store_outstanding, 1024);
    world.store.mood = Mood::Well;
    world.run();
    let news = world.peer(a).news();
    assert_eq!(acks(&news), (1..=3000).map(|n| (n, n)).collect::<Vec<_>>());
    assert!(!world.links[a].is_paused);
}

#[test]
fn a_shard_that_does_not_handle_its_mail_holds_the_senders_back() {
    let mut world = World::with(3, Durability::None);
    let [alice, bob, carol] = users();
    // Alice's texts to Bob go from shard 2 to their conversation's home, which stands still.
    let home = private(alice, bob).home(3);
    let (a, c) = (world.login(alice, 2), world.login(carol, 2));
    world.held_mail = vec![usize::from(home.0)];
    world.chunk = 16 * 1024;
    let body = "x".repeat(8000);
    for id in 1..=2000 {
        world.peer(a).text(bob, id, &body);
    }
    world.run();
    assert!(world.links[a].is_paused);
    assert!(world.shard(2).counters().mail_credit_hits > 0);
    assert!(world.shard(2).counters().mail_bytes < 6 << 20);
    world.peer(c).command(Command::Heartbeat);
    world.run();
    assert_eq!(world.peer(c).news(), [Seen::HeartbeatAck]);
    world.held_mail.clear();
    world.run();
    assert_eq!(acks(&world.peer(a).news()).len(), 2000);
}

#[test]
fn a_stream_torn_at_every_byte_says_the_same() {
    let mut world = World::with(1, Durability::None);
    let (a, b) = (world.login(1, 0), world.login(2, 0));
    world.chunk = 1;
    for id in 1..=20 {
        world.peer(a).text(2, id, "text");
    }
    world.run();
    assert_eq!(acks(&world.peer(a).news()).len(), 20);
    assert_eq!(world.peer(b).texts().len(), 20);
    assert_eq!(world.shard(0).gauges(world.now).spill_bytes, 0);
}

#[test]
fn the_history_of_none_is_bounded_and_says_what_it_dropped() {
    let config = WorldConfig {
        durability: Durability::None,
        // A text of 128 bytes takes 136: fifteen fit, and are overwritten as a whole.
        history_bytes_max: 2048,
        ..WorldConfig::default()
    };
    let mut world = World::new(config);
    let a = world.login(1, 0);
    for id in 1..=30 {
        world.peer(a).text(2, id, &"x".repeat(128));
    }
    world.run();
    let b = world.login(2, 0);
    world.peer(b).pull(private(1, 2), 0, 100);
    world.run();
    let texts = world.peer(b).texts();
    assert_eq!(
        texts.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        (16..=30).collect::<Vec<_>>()
    );
    assert_eq!(world.shard(0).counters().history_evicted, 15);
}

#[test]
fn notes_to_oneself_are_kept_and_pushed_to_nobody() {
    for durability in ALL {
        let mut world = World::with(1, durability);
        let a = world.login(1, 0);
        world.peer(a).text(1, 1, "note");
        world.run();
        assert_eq!(acks(&world.peer(a).news()), [(1, 1)]);
        world.peer(a).pull(private(1, 1), 0, 10);
        world.run();
        assert_eq!(world.peer(a).texts(), [(1, "note".into())]);
    }
}

#[test]
fn whoever_pulls_more_than_it_reads_is_held_back_and_not_closed() {
    for durability in ALL {
        let mut world = World::with(1, durability);
        let (a, b) = (world.login(1, 0), world.login(2, 0));
        for id in 1..=200 {
            world.peer(a).text(2, id, &"x".repeat(10_000));
            world.run();
        }
        world.links[b].window = 0;
        for _ in 0..100 {
            world.peer(b).pull(private(1, 2), 0, 256);
        }
        world.peer(b).command(Command::Heartbeat);
        world.run();
        assert!(world.links[b].is_paused);
        let queued = world.shard(0).gauges(world.now).queued_bytes;
        assert!(queued < 2 << 20, "{queued} bytes are queued");
        world.links[b].window = usize::MAX;
        world.run();
        let news = world.peer(b).news();
        let pages = news.iter().filter(|seen| matches!(seen, Seen::Pulled { .. })).count();
        assert_eq!(pages, 100);
        assert!(news.contains(&Seen::HeartbeatAck));
        assert_eq!(world.shard(0).counters().slow_closed, 0);
    }
}
