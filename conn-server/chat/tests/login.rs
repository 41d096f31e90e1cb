//! Logins, heartbeats and who wins (promises 8 and 10).

mod common;

use std::time::Duration;

use chat::Durability;
use common::world::{INCARNATION, NODE};
use common::{Seen, World};
use wire::token::Token;
use wire::{CloseReason, Command, Epoch, Reject, UserId, home_of_user};

/// A user whose home is a given shard of two.
fn user_at(shard: u16) -> u64 {
    (1..).find(|user| home_of_user(UserId(*user), 2).0 == shard).unwrap()
}

#[track_caller]
fn refused(world: &mut World, token: &[u8]) {
    let link = world.connect(0);
    world.peer(link).login(token);
    world.run();
    assert_eq!(world.peer(link).news(), [Seen::goodbye(CloseReason::BadToken)]);
    assert!(world.links[link].is_shut);
}

#[test]
fn a_token_opens_one_session_and_no_second() {
    let mut world = World::small();
    let token = world.token(7);
    let link = world.connect(0);
    world.peer(link).login(&token);
    world.run();
    assert_eq!(world.peer(link).news(), [Seen::Welcome { user: UserId(7), previous_close: 0 }]);
    refused(&mut world, &token);
    world.reset(link);
    refused(&mut world, &token);
    assert_eq!(world.shard(0).counters().logins_refused, 2);
}

#[test]
fn a_token_for_another_node_start_time_or_key_is_refused() {
    let mut world = World::small();
    let right = Token {
        user: UserId(7),
        epoch: Epoch(1),
        incarnation: INCARNATION,
        expires_ms: world.now.mono.as_ms() + 1000,
    };
    for (token, node) in [
        (right, "n2"),
        (Token { incarnation: 1, ..right }, NODE),
        (Token { expires_ms: 0, ..right }, NODE),
        (Token { user: UserId(0), ..right }, NODE),
    ] {
        let bytes = world.mint(&token, node);
        refused(&mut world, &bytes);
    }
    let mut forged = world.mint(&right, NODE);
    forged[3] ^= 1;
    refused(&mut world, &forged);
    refused(&mut world, b"short");
    let bytes = world.mint(&right, NODE);
    let link = world.connect(0);
    world.peer(link).login(&bytes);
    world.run();
    assert!(matches!(world.peer(link).news()[..], [Seen::Welcome { .. }]));
}

#[test]
fn the_newest_login_wins_on_whatever_shard_and_the_older_is_told() {
    for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for home in [0, 1] {
            let mut world = World::with(2, Durability::Commit);
            let (user, bob) = (user_at(home), user_at(1 - home));
            let old = world.login(user, first);
            let new = world.login(user, second);
            assert_eq!(world.peer(old).news(), [Seen::goodbye(CloseReason::Replaced)]);
            let other = world.login(bob, 0);
            world.peer(other).text(user, 1, "hello");
            world.run();
            assert_eq!(world.peer(new).texts(), [(1, "hello".into())]);
            assert_eq!(world.peer(old).news(), []);
        }
    }
}

#[test]
fn of_many_logins_at_once_exactly_the_highest_epoch_stays() {
    let mut world = World::with(2, Durability::Commit);
    let user = user_at(1);
    let tokens: Vec<_> = (0..20).map(|_| world.token(user)).collect();
    // The tokens arrive in a shuffled order, alternately on both shards.
    let links: Vec<usize> = (0..20)
        .map(|n| {
            let link = world.connect(n % 2);
            world.peer(link).login(&tokens[n * 7 % 20]);
            link
        })
        .collect();
    world.run();
    let open: Vec<usize> = links.into_iter().filter(|link| !world.links[*link].is_shut).collect();
    assert_eq!(open.len(), 1);
    let sessions: u64 = (0..2).map(|shard| world.shard(shard).gauges(world.now).sessions).sum();
    assert_eq!(sessions, 1);
}

#[test]
fn commands_sent_behind_the_login_are_served_after_it() {
    let mut world = World::with(2, Durability::Commit);
    let (alice, bob) = (user_at(0), user_at(1));
    let to = world.login(bob, 1);
    let link = world.connect(1);
    let token = world.token(alice);
    world.peer(link).login(&token);
    world.peer(link).text(bob, 1, "at once");
    world.peer(link).command(Command::Heartbeat);
    world.run();
    let news = world.peer(link).news();
    assert!(matches!(news[0], Seen::Welcome { .. }), "{news:?}");
    assert!(news.contains(&Seen::HeartbeatAck));
    assert_eq!(world.peer(to).texts(), [(1, "at once".into())]);
}

/// The home stands still for a while, and the client has more to say than any spill holds.
#[test]
fn whoever_says_much_behind_a_login_elsewhere_is_held_back_and_not_closed() {
    let mut world = World::with(2, Durability::Commit);
    world.chunk = 64 * 1024;
    let (alice, bob) = (user_at(0), user_at(1));
    let to = world.login(bob, 1);
    let link = world.connect(1);
    let token = world.token(alice);
    world.peer(link).login(&token);
    for id in 1..=100 {
        world.peer(link).text(bob, id, &"x".repeat(10_000));
    }
    world.stopped = vec![0];
    world.run();
    assert!(world.links[link].is_paused && !world.links[link].is_shut);
    assert!(world.peer(link).outgoing.len() > 900_000, "the rest waits in the socket");
    world.stopped.clear();
    world.run();
    assert_eq!(world.peer(to).texts().len(), 100);
    assert_eq!(world.shard(1).counters().spill_refused, 0);
    assert_eq!(world.shard(1).gauges(world.now).spill_bytes, 0);
}

#[test]
fn nothing_is_served_before_login() {
    let mut world = World::small();
    let link = world.connect(0);
    world.peer(link).text(2, 1, "hello");
    world.run();
    assert_eq!(
        world.peer(link).news(),
        [
            Seen::Rejected { reject: Reject::NotLoggedIn, client_id: 0 },
            Seen::goodbye(CloseReason::Violation)
        ]
    );
    assert_eq!(world.shard(0).counters().messages_in, 0);
}

#[test]
fn a_second_login_on_a_session_is_refused() {
    let mut world = World::small();
    let link = world.login(1, 0);
    let token = world.token(1);
    world.peer(link).login(&token);
    world.run();
    let rejected = Seen::Rejected { reject: Reject::AlreadyLoggedIn, client_id: 0 };
    assert_eq!(world.peer(link).news(), [rejected]);
}

#[test]
fn silence_ends_a_session_and_a_heartbeat_keeps_it() {
    let mut world = World::small();
    let (silent, beating) = (world.login(1, 0), world.login(2, 0));
    for _ in 0..4 {
        world.pass(Duration::from_secs(10));
        world.peer(beating).command(Command::Heartbeat);
        world.run();
    }
    assert_eq!(world.peer(silent).news(), [Seen::goodbye(CloseReason::Expired)]);
    assert_eq!(world.peer(beating).news(), vec![Seen::HeartbeatAck; 4]);
    assert_eq!(world.shard(0).counters().expired, 1);
}

#[test]
fn a_crowd_is_told_to_beat_less_often_and_is_given_more_time() {
    let config = common::WorldConfig { heartbeats_per_s_max: 1, ..Default::default() };
    let mut world = World::new(config);
    // Ten may beat every ten seconds; twenty are told twenty seconds, and sixty until they expire.
    let links: Vec<usize> = (1..=20).map(|user| world.login(user, 0)).collect();
    world.pass(Duration::from_secs(50));
    assert_eq!(world.shard(0).counters().expired, 0, "not even those who came first");
    world.pass(Duration::from_secs(15));
    assert_eq!(world.shard(0).counters().expired, 20);
    assert_eq!(world.peer(links[0]).news(), [Seen::goodbye(CloseReason::Expired)]);
}

#[test]
fn who_does_not_log_in_is_sent_away() {
    let mut world = World::small();
    let link = world.connect(0);
    world.pass(Duration::from_secs(6));
    assert_eq!(world.peer(link).news(), [Seen::goodbye(CloseReason::LoginTimeout)]);
}

#[test]
fn a_full_shard_sheds_and_takes_again_when_a_slot_is_free() {
    let config = common::WorldConfig { connections_max: 2, ..Default::default() };
    let mut world = World::new(config);
    let (first, _) = (world.connect(0), world.connect(0));
    let shed = world.connect(0);
    world.run();
    assert_eq!(world.peer(shed).news(), [Seen::goodbye(CloseReason::Full)]);
    assert!(world.links[shed].is_shut);
    // It lingers, and takes nobody's place.
    world.reset(first);
    let next = world.login(1, 0);
    assert!(!world.links[next].is_shut);
    world.links[shed].has_fin = true;
    world.run();
    assert!(world.links[shed].is_closed);
    let counters = world.shard(0).counters();
    assert_eq!((counters.shed, counters.accepted, counters.closed), (1, 3, 1));
}

#[test]
fn only_so_many_are_told_that_the_shard_is_full_at_a_time() {
    let config = common::WorldConfig { connections_max: 1, ..Default::default() };
    let mut world = World::new(config);
    world.connect(0);
    for _ in 0..chat::limits::SHED_MAX {
        let shed = world.connect(0);
        world.run();
        assert_eq!(world.peer(shed).news(), [Seen::goodbye(CloseReason::Full)]);
    }
    assert_eq!(world.try_connect(0), None, "without a word");
    // Whoever does not go by itself goes at the deadline.
    world.pass(Duration::from_secs(6));
    world.connect(0);
    assert_eq!(world.shard(0).counters().shed, u64::from(chat::limits::SHED_MAX) + 2);
}

#[test]
fn a_closed_session_frees_its_directory_entry_only_after_its_token() {
    let mut world = World::small();
    let token = world.token(1);
    let link = world.connect(0);
    world.peer(link).login(&token);
    world.run();
    world.reset(link);
    world.pass(Duration::from_secs(59));
    refused(&mut world, &token);
    world.pass(Duration::from_secs(10));
    let again = world.login(1, 0);
    assert!(world.links[again].key.is_some());
}

#[test]
fn sessions_and_tokens_from_before_a_reset_are_over() {
    for shards in [1, 2, 3] {
        for at in 0..usize::from(shards) {
            let mut world = World::with(shards, Durability::Commit);
            let other = world.login(2, 0);
            let link = world.login(1, at);
            let unused = world.token(1);
            world.end_sessions(1, u64::MAX);
            world.run();
            let goodbye = Seen::goodbye(CloseReason::Revoked);
            assert_eq!(world.peer(link).news(), [goodbye]);
            let late = world.connect(0);
            world.peer(late).login(&unused);
            world.run();
            assert_eq!(world.peer(late).news(), [Seen::goodbye(CloseReason::BadToken)]);
            world.peer(other).text(1, 1, "still here");
            world.run();
            assert_eq!(world.peer(other).news().len(), 1, "nobody else notices");
        }
    }
}

#[test]
fn a_session_that_began_after_the_reset_stays() {
    let mut world = World::small();
    world.end_sessions(1, 1);
    let link = world.login(1, 0);
    world.end_sessions(1, 1);
    world.run();
    world.peer(link).text(2, 1, "hi");
    world.run();
    assert_eq!(world.peer(link).news().len(), 1);
}
