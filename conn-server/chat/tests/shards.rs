//! Shards among themselves: full inboxes, slow shards, and shards that stand still.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks at")]

mod common;

use chat::limits::{MAIL_CREDIT_BYTES, MAIL_RESERVE_BYTES};
use chat::{Durability, Hearer, Served};
use common::store::{done, news};
use common::{Seen, World};
use std::time::Duration;
use wire::{
    CloseReason, Command, ConversationId, Kind, Reject, Revoke, Revoked, RoomId, Seq, Service,
    SignalCall, UserId, home_of_room, home_of_user,
};

const ALL: [Durability; 3] = [Durability::None, Durability::Relaxed, Durability::Commit];
/// A body, so that not many texts are a credit.
const BODY: usize = 30_000;
/// Texts of that length that are more than a credit.
const FLOOD: u64 = MAIL_CREDIT_BYTES as u64 / BODY as u64 + 60;

/// The `n`th user who lives at a shard of three.
fn user(home: u16, n: usize) -> u64 {
    (1..).filter(|user| home_of_user(UserId(*user), 3).0 == home).nth(n).unwrap()
}

fn room(home: u16) -> u64 {
    (1..).find(|room| home_of_room(RoomId(*room), 3).0 == home).unwrap()
}

/// Two users say something to each other, and both hear it.
#[track_caller]
fn check_talk(world: &mut World, (a, a_link): (u64, usize), (b, b_link): (u64, usize), id: u64) {
    world.peer(a_link).news();
    world.peer(b_link).news();
    world.peer(a_link).text(b, id, "one");
    world.peer(b_link).text(a, id, "two");
    world.run();
    for link in [a_link, b_link] {
        let news = world.peer(link).news();
        assert!(
            matches!(
                news.as_slice(),
                [Seen::Acked { .. }, Seen::Text { .. }] | [Seen::Text { .. }, Seen::Acked { .. }]
            ),
            "{news:?}"
        );
    }
}

#[test]
fn what_was_taken_back_is_heard_behind_its_text_whatever_waits_where() {
    let mut world = World::with(3, Durability::Commit);
    // Their conversation lives with the lower number, away from where either of them is connected.
    let bob = user(2, 9);
    let alice = (1..bob).find(|user| home_of_user(UserId(*user), 3).0 == 1).unwrap();
    let conversation = ConversationId::private(UserId(alice), UserId(bob));
    assert_eq!(conversation.home(3).0, 1);
    let (a, b, other) = (world.login(alice, 0), world.login(bob, 2), world.login(user(0, 0), 0));
    // Bob's shard is slow, its inbox full: what is for it waits with whoever sends it.
    (world.held_mail, world.inbox_max) = (vec![2], 1);
    let sign = SignalCall { to: UserId(user(2, 5)), call: 1, signal: 1, body: b"" };
    world.peer(other).command(Command::SignalCall(sign));
    world.run();
    world.peer(a).text(bob, 1, "oops");
    world.run();
    assert!(matches!(world.peer(a).news()[..], [Seen::Acked { seq: 1, .. }]));
    let revoked = Revoked { conversation, seq: Seq(1), by: UserId(alice) };
    let tells = vec![(Hearer::Behind(conversation, UserId(bob)), news(0, revoked))];
    world.store.answers.push_back(Ok(Served { frames: done(3), tells, evicted: Vec::new() }));
    let payload = Box::leak(Box::default());
    let revoke = Service::Revoke(Revoke { conversation, seq: Seq(1) });
    world.peer(a).command(Command::Service(revoke.encode(payload).unwrap()));
    world.run();
    assert_eq!(world.peer(a).news(), [Seen::Done { correlation: 3 }]);
    world.held_mail.clear();
    world.run();
    let heard = world.peer(b).news();
    let in_order = matches!(heard[..], [Seen::Text { .. }, Seen::News(Kind::Revoked)]);
    assert!(in_order, "{heard:?}");
}

/// How many texts somebody has got, in order from the first place on.
#[track_caller]
fn count_in_order(world: &mut World, link: usize) -> u64 {
    let texts = world.peer(link).texts();
    let seqs: Vec<u64> = texts.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=texts.len() as u64).collect::<Vec<_>>());
    texts.len() as u64
}

fn acks(world: &mut World, link: usize) -> u64 {
    let news = world.peer(link).news();
    news.iter().filter(|seen| matches!(seen, Seen::Acked { .. })).count() as u64
}

/// Ten users of shard 0 say so much to ten users of shard 2, which stands still, that they are out of credit there.
fn flooded(durability: Durability) -> (World, Vec<usize>, Vec<usize>) {
    let mut world = World::with(3, durability);
    world.chunk = 64 * 1024;
    let readers: Vec<usize> = (0..10).map(|n| world.login(user(2, n), 2)).collect();
    let writers: Vec<usize> = (0..10).map(|n| world.login(user(0, 10 + n), 0)).collect();
    world.stopped = vec![2];
    for (n, &link) in writers.iter().enumerate() {
        for id in 1..=FLOOD / 5 {
            world.peer(link).text(user(2, n), id, &"x".repeat(BODY));
        }
    }
    world.run();
    (world, writers, readers)
}

#[test]
fn a_shard_that_stands_still_holds_up_only_what_goes_to_it() {
    for durability in ALL {
        let (mut world, writers, _) = flooded(durability);
        assert!(writers.iter().any(|link| world.links[*link].is_paused), "{durability:?}");
        // Old and new users of the others are served, in their shard and between shards.
        let (a, b) = (user(0, 0), user(1, 0));
        let (a_link, b_link) = (world.login(a, 0), world.login(b, 1));
        check_talk(&mut world, (a, a_link), (b, b_link), 1);
        let (c, d) = (user(0, 1), user(1, 1));
        // These two are connected to the other's home.
        let (c_link, d_link) = (world.login(c, 1), world.login(d, 0));
        check_talk(&mut world, (c, c_link), (d, d_link), 1);
        let hall = room(1);
        for link in [a_link, b_link, c_link] {
            world.peer(link).join(hall);
        }
        world.run();
        world.peer(a_link).say(hall, 2, "to all");
        world.peer(a_link).pull(ConversationId::private(UserId(a), UserId(b)), 0, 10);
        world.run();
        for link in [b_link, c_link] {
            assert!(world.peer(link).texts().contains(&(1, "to all".to_owned())), "{durability:?}");
        }
        let pulled = Seen::Pulled {
            conversation: ConversationId::private(UserId(a), UserId(b)),
            next: 2,
            is_complete: true,
        };
        assert!(world.peer(a_link).news().contains(&pulled), "{durability:?}");
    }
}

#[test]
fn what_a_shard_missed_while_it_stood_still_is_there_when_it_goes_on() {
    for durability in ALL {
        let (mut world, writers, readers) = flooded(durability);
        let held: u64 = writers.iter().map(|link| acks(&mut world, *link)).sum();
        assert!(held < FLOOD * 2, "some of it waits with its senders");
        world.stopped.clear();
        world.run();
        let mut acked = held;
        let mut refused = 0;
        for &link in &writers {
            assert!(!world.links[link].is_paused && !world.links[link].is_shut);
            for seen in world.peer(link).news() {
                match seen {
                    Seen::Acked { .. } => acked += 1,
                    Seen::Rejected { reject: Reject::Busy, .. } => refused += 1,
                    other => panic!("neither acknowledged nor refused but {other:?}"),
                }
            }
        }
        let got: u64 = readers.iter().map(|link| count_in_order(&mut world, *link)).sum();
        assert_eq!(got, acked, "{durability:?}: what was acknowledged arrives");
        assert_eq!(acked + refused, FLOOD / 5 * 10, "{durability:?}: everything was answered");
    }
}

/// The bound of what a shard keeps for one that stands still, whatever its own users and third shards want.
#[test]
fn mail_for_a_shard_that_stands_still_is_bounded() {
    for durability in ALL {
        let (mut world, ..) = flooded(durability);
        // More users of both others, who write to it and through each other to it.
        for n in 0..20 {
            for home in [0, 1] {
                let link = world.login(user(home, 30 + n), usize::from(1 - home));
                for id in 1..=FLOOD / 10 {
                    world.peer(link).text(user(2, n), id, &"y".repeat(BODY));
                }
                world.run();
            }
        }
        // Each class has its credit, and under `commit` also what the store had when it ran out.
        let stored = if durability == Durability::Commit { 16 << 20 } else { 0 };
        let most = 2 * MAIL_CREDIT_BYTES as usize + stored + 200_000;
        for from in [0, 1] {
            let bytes = world.mail_between(from, 2);
            assert!(bytes <= most, "{durability:?}: {bytes} bytes from {from}");
        }
    }
}

#[test]
fn a_login_whose_home_stands_still_is_told_to_come_again() {
    let (mut world, ..) = flooded(Durability::Relaxed);
    // What goes to shard 2 as commands: conversations that live there.
    let talker = world.login(user(1, 7), 1);
    let to = (0..).map(|n| user(2, n)).find(|to| *to < user(1, 7)).unwrap();
    for id in 1..=FLOOD {
        world.peer(talker).text(to, id, &"z".repeat(BODY));
    }
    world.run();
    assert!(world.links[talker].is_paused);
    let late = world.connect(1);
    let token = world.token(user(2, 50));
    world.peer(late).login(&token);
    world.run();
    assert_eq!(world.peer(late).news(), [Seen::Rejected { reject: Reject::Busy, client_id: 0 }]);
    world.stopped.clear();
    world.run();
    // The same token: nobody has seen it before.
    world.peer(late).login(&token);
    world.run();
    assert!(matches!(world.peer(late).news()[..], [Seen::Welcome { .. }]));
}

/// Replies and closes have room of their own: sessions end in order while commands have no credit.
#[test]
fn sessions_of_users_who_live_at_a_shard_without_credit_end_as_ever() {
    let mut world = World::with(3, Durability::Relaxed);
    let (stray, talker) = (user(2, 3), user(1, 7));
    let (stray_link, talker_link) = (world.login(stray, 1), world.login(talker, 1));
    world.stopped = vec![2];
    let to = (0..).map(|n| user(2, n)).find(|to| *to < talker).unwrap();
    for id in 1..=FLOOD {
        world.peer(talker_link).text(to, id, &"z".repeat(BODY));
    }
    world.run();
    assert!(world.links[talker_link].is_paused);
    world.peer(stray_link).command(Command::Logout);
    world.run();
    assert_eq!(world.peer(stray_link).news(), [Seen::goodbye(CloseReason::Logout)]);
    world.stopped.clear();
    world.run();
    // Its home has heard: nobody is there to be told of a newer login.
    let again = world.login(stray, 2);
    assert_eq!(world.shard(2).counters().replaced, 0);
    assert!(!world.links[again].is_shut);
}

/// Who is connected to a shard that stands still is a reader who is too slow, once the reserve is used up: found by cursor.
#[test]
fn strays_on_a_shard_that_stands_still_are_slow_readers() {
    let mut world = World::with(3, Durability::Commit);
    world.chunk = 64 * 1024;
    // Their conversation lives with the writer, whose shard does not know where the stray is.
    let (stray, writer, other) = (user(1, 5), user(0, 0), user(1, 1));
    assert!(writer < stray);
    let stray_link = world.login(stray, 2);
    let (writer_link, other_link) = (world.login(writer, 0), world.login(other, 1));
    world.stopped = vec![2];
    let texts = u64::from(MAIL_RESERVE_BYTES) / BODY as u64 + 100;
    for id in 1..=texts {
        world.peer(writer_link).text(stray, id, &"x".repeat(BODY));
        if id % 10 == 0 {
            world.run();
        }
    }
    world.run();
    let acked = acks(&mut world, writer_link);
    assert_eq!(acked, texts, "each is on disk");
    assert_eq!(world.shard(1).counters().slow_closed, 1, "once");
    let bytes: usize = (0..2).map(|from| world.mail_between(from, 2)).sum();
    assert!(bytes < MAIL_RESERVE_BYTES as usize + 100_000, "{bytes}");
    check_talk(&mut world, (writer, writer_link), (other, other_link), 9_999_999);
    world.stopped.clear();
    world.run();
    assert_eq!(world.peer(stray_link).seen.last(), Some(&Seen::goodbye(CloseReason::Slow)));
    let again = world.login(stray, 2);
    let conversation = ConversationId::private(UserId(writer), UserId(stray));
    let mut next = 0;
    while next < acked {
        world.peer(again).pull(conversation, next, 200);
        world.run();
        let seqs: Vec<u64> = world.peer(again).texts().iter().map(|(seq, _)| *seq).collect();
        assert!(!seqs.is_empty(), "nothing after {next} of {acked}");
        assert_eq!(seqs, (next + 1..=next + seqs.len() as u64).collect::<Vec<_>>());
        next += seqs.len() as u64;
    }
}

/// A message to a room is a message to every shard that has members: it waits for the slowest.
#[test]
fn a_room_with_members_at_a_shard_without_credit_waits_and_others_do_not() {
    let mut world = World::with(3, Durability::None);
    world.chunk = 64 * 1024;
    let (hall, den) =
        (room(0), (1..).filter(|r| home_of_room(RoomId(*r), 3).0 == 0).nth(1).unwrap());
    let (here, there, far) = (user(0, 0), user(1, 0), user(2, 0));
    let links = [world.login(here, 0), world.login(there, 1), world.login(far, 2)];
    for link in links {
        world.peer(link).join(hall);
    }
    for link in &links[..2] {
        world.peer(*link).join(den);
    }
    world.run();
    world.stopped = vec![2];
    for id in 1..=FLOOD {
        world.peer(links[0]).say(hall, id, &"x".repeat(BODY));
        world.run();
    }
    assert!(world.links[links[0]].is_paused, "its own shard is the room's home");
    // From another shard the room is busy, and the other room is not.
    world.peer(links[1]).news();
    world.peer(links[1]).say(hall, 1, "anybody?");
    world.peer(links[1]).say(den, 2, "here then");
    world.run();
    let news = world.peer(links[1]).news();
    assert!(
        matches!(
            news[..],
            [
                Seen::Rejected { reject: Reject::Busy, client_id: 1 },
                Seen::Acked { client_id: 2, .. }
            ]
        ),
        "{news:?}"
    );
    world.stopped.clear();
    world.run();
    assert!(!world.links[links[0]].is_paused);
    let heard = world.peer(links[2]).texts().len() as u64;
    let acked = world.peer(links[0]).seen.iter().filter(|seen| matches!(seen, Seen::Acked { .. }));
    assert_eq!((heard, acked.count() as u64), (FLOOD, FLOOD));
}

/// An inbox of one batch, and a shard that looks into it now and then.
#[test]
fn a_full_inbox_loses_nothing_and_keeps_the_order() {
    for durability in ALL {
        let mut world = World::with(3, durability);
        world.inbox_max = 1;
        let (a, b) = (user(0, 0), user(1, 0));
        let (a_link, b_link) = (world.login(a, 0), world.login(b, 2));
        for id in 1..=300 {
            world.held_mail = if id % 7 == 0 { vec![] } else { vec![1, 2] };
            world.peer(a_link).text(b, id, &id.to_string());
            world.peer(b_link).text(a, id, &id.to_string());
            world.step();
        }
        world.held_mail.clear();
        world.run();
        for link in [a_link, b_link] {
            let bodies: Vec<String> =
                world.peer(link).texts().into_iter().map(|(_, body)| body).collect();
            let sent: Vec<String> = (1..=300).map(|id| id.to_string()).collect();
            assert_eq!(bodies, sent, "{durability:?}");
        }
    }
}

/// What one sender says in a burst travels and is queued together, and is counted one by one.
#[test]
fn a_burst_between_shards_arrives_whole_and_in_order() {
    for durability in ALL {
        let mut world = World::with(3, durability);
        let (a, b) = (user(0, 0), user(1, 0));
        let (a_link, b_link) = (world.login(a, 0), world.login(b, 1));
        for id in 1..=200 {
            world.peer(a_link).text(b, id, &id.to_string());
            world.peer(b_link).text(a, id, &"long".repeat(usize::try_from(id).unwrap()));
        }
        world.run();
        assert_eq!(count_in_conversation(&mut world, b_link), 200, "{durability:?}");
        assert_eq!(count_in_conversation(&mut world, a_link), 200, "{durability:?}");
        let delivered: u64 = (0..3).map(|shard| world.shard(shard).counters().delivered).sum();
        assert_eq!(delivered, 400, "{durability:?}");
        let acked: u64 = (0..3).map(|shard| world.shard(shard).counters().acked).sum();
        assert_eq!(acked, 400, "{durability:?}");
    }
}

/// Texts of one side of a conversation, in order.
#[track_caller]
fn count_in_conversation(world: &mut World, link: usize) -> usize {
    let seqs: Vec<u64> = world.peer(link).texts().iter().map(|(seq, _)| *seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    seqs.len()
}

/// Credit comes back with other mail: a batch for credit alone is rare.
#[test]
fn credit_alone_is_hardly_ever_worth_a_batch() {
    let mut world = World::with(2, Durability::None);
    let at = |home: u16| (1..).find(|user| home_of_user(UserId(*user), 2).0 == home).unwrap();
    let (low, high) = (at(0).min(at(1)), at(0).max(at(1)));
    let home = usize::from(home_of_user(UserId(low), 2).0);
    let (link, to) = (world.login(low, home), world.login(high, 1 - home));
    let before = world.batches_posted(1 - home);
    for id in 1..=5_000 {
        world.peer(link).text(high, id, &"x".repeat(1_000));
        world.run();
    }
    assert_eq!(world.peer(to).texts().len(), 5_000);
    let alone = world.batches_posted(1 - home) - before;
    assert!(alone > 0 && alone < 20, "{alone} batches for 5 MB of deliveries");
}

/// The drain of the others does not need the one that stands still.
#[test]
fn the_others_finish_with_their_clients_while_one_stands_still() {
    let (mut world, writers, _) = flooded(Durability::None);
    let quiet = world.login(user(1, 0), 1);
    world.drain_shard(0);
    world.drain_shard(1);
    world.run();
    assert!(matches!(
        world.peer(quiet).news()[..],
        [Seen::Goodbye { reason: CloseReason::Shutdown, .. }]
    ));
    // Whoever waits for the still shard's answers is held until the deadline, and not longer.
    for link in &mut world.links {
        link.has_fin = true;
    }
    world.pass(Duration::from_secs(60));
    assert!(writers.iter().all(|link| world.links[*link].is_closed));
    assert!(world.shard(0).is_drained() && world.shard(1).is_drained());
}
