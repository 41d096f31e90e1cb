//! Services as the core sees them: handed to the store with the session's user, answered, and told to whom they concern, on
//! whatever shard that is.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks at")]

mod common;

use chat::{Durability, Hearer, Served};
use common::store::{Mood, done, news};
use common::{Seen, World, WorldConfig};
use wire::{
    ClientMessageId, Command, ConversationId, Kind, MarkRead, MemberChanged, OpenPrivate, ReadUpTo,
    Reject, RoomId, SendTexts, Seq, Service, SignalCall, Texts, UserId,
};

const OPEN: Service<'_> = Service::OpenPrivate(OpenPrivate { with: UserId(2) });
const GROUP: RoomId = RoomId(wire::GROUPS_FROM + 1);

/// A service as a command, with a payload that lives as long as the test.
fn service(service: Service<'_>) -> Command<'static> {
    let payload = Box::leak(Box::default());
    Command::Service(service.encode(payload).expect("it fits a frame"))
}

fn news_for(user: u64) -> Vec<u8> {
    let conversation = ConversationId::private(UserId(1), UserId(user));
    news(0, ReadUpTo { conversation, user: UserId(1), seq: Seq(3) })
}

fn changed() -> Vec<u8> {
    let (user, by) = (UserId(3), UserId(1));
    let change = MemberChanged { group: GROUP, user, by, role: 0, is_member: 0, name: b"friends" };
    news(0, change)
}

#[test]
fn the_store_is_asked_for_the_sessions_user() {
    for durability in [Durability::Commit, Durability::Relaxed] {
        let mut world = World::with(2, durability);
        for (user, shard) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
            let link = world.login(user, shard);
            world.peer(link).command(service(OPEN));
            world.run();
            assert_eq!(world.peer(link).news(), [Seen::Done { correlation: 2 }]);
            let (serve, kind) = world.store.asked.pop().expect("asked");
            assert_eq!((serve.user, kind), (UserId(user), Kind::OpenPrivate));
            assert_eq!(serve.message_ids.is_some(), durability == Durability::Commit);
        }
    }
}

#[test]
fn without_a_store_there_are_no_services() {
    let mut world = World::with(2, Durability::None);
    let link = world.login(1, 0);
    world.peer(link).command(service(OPEN));
    world.peer(link).join(GROUP.0);
    world.run();
    let reject = |reject| Seen::Rejected { reject, client_id: 0 };
    assert_eq!(world.peer(link).news(), [reject(Reject::Unavailable), reject(Reject::NotMember)]);
}

#[test]
fn nothing_is_served_before_login() {
    for asked in [Service::Me, OPEN] {
        let mut world = World::small();
        let link = world.connect(0);
        world.peer(link).command(service(asked));
        world.run();
        let news = world.peer(link).news();
        assert!(matches!(news[0], Seen::Rejected { reject: Reject::NotLoggedIn, .. }), "{news:?}");
        assert!(world.store.asked.is_empty());
    }
}

#[test]
fn a_rule_of_the_store_is_told_as_it_is() {
    let mut world = World::small();
    let link = world.login(1, 0);
    world.store.answers.push_back(Err(Reject::TooLate));
    world.peer(link).command(service(OPEN));
    world.peer(link).command(service(OPEN));
    world.run();
    let rejected = Seen::Rejected { reject: Reject::TooLate, client_id: 0 };
    assert_eq!(world.peer(link).news(), [rejected, Seen::Done { correlation: 3 }]);
    assert_eq!(world.shard(0).counters().store_faults, 0, "the store is well");
}

#[test]
fn news_reach_their_user_wherever_the_session_is() {
    for shards in [1, 2, 3] {
        for at in 0..usize::from(shards) {
            let mut world = World::with(shards, Durability::Commit);
            let asker = world.login(1, 0);
            let hearer = world.login(2, at);
            let served = Served {
                frames: done(2),
                tells: vec![
                    (Hearer::User(UserId(2)), news_for(2)),
                    (Hearer::User(UserId(77)), news_for(77)),
                ],
                evicted: Vec::new(),
            };
            world.store.answers.push_back(Ok(served));
            world.peer(asker).command(service(OPEN));
            world.run();
            assert_eq!(world.peer(hearer).news(), [Seen::News(Kind::ReadUpTo)]);
            assert_eq!(world.peer(asker).news(), [Seen::Done { correlation: 2 }]);
            let told: u64 =
                (0..usize::from(shards)).map(|shard| world.shard(shard).counters().told).sum();
            assert_eq!(told, 1, "who is not there is not counted");
        }
    }
}

#[test]
fn whoever_is_put_out_of_a_group_hears_it_and_nothing_after() {
    for shards in [1, 2, 3] {
        let mut world = World::with(shards, Durability::Commit);
        let links: Vec<usize> = (1..=4)
            .map(|user| {
                let link = world.login(user, usize::try_from(user).unwrap() % world.shards());
                world.peer(link).join(GROUP.0);
                world.run();
                world.peer(link).news();
                link
            })
            .collect();
        let served = Served {
            frames: done(3),
            // As the services do: the room's news and the eviction take different ways, so whom it is about hears it directly.
            tells: vec![(Hearer::Room(GROUP), changed()), (Hearer::User(UserId(3)), changed())],
            evicted: vec![(GROUP, UserId(3))],
        };
        world.store.answers.push_back(Ok(served));
        world.peer(links[0]).command(service(OPEN));
        world.run();
        for (link, user) in links.iter().zip(1..) {
            let news = world.peer(*link).news();
            let heard = news.contains(&Seen::News(Kind::MemberChanged));
            assert!(heard, "user {user} of {shards} shards: {news:?}");
        }
        world.peer(links[1]).say(GROUP.0, 1, "without him");
        world.run();
        assert!(world.peer(links[2]).texts().is_empty(), "he is out");
        assert_eq!(world.peer(links[3]).texts().len(), 1);
        world.peer(links[2]).say(GROUP.0, 1, "let me in");
        world.run();
        let news = world.peer(links[2]).news();
        assert!(matches!(news[..], [Seen::Rejected { reject: Reject::NotMember, .. }]), "{news:?}");
    }
}

#[test]
fn whoever_was_put_out_over_another_node_is_out_here_with_the_next_word_or_look() {
    for shards in [1, 2, 3] {
        for is_pull in [false, true] {
            let mut world = World::with(shards, Durability::Commit);
            let links = [1, 2].map(|user| {
                let link = world.login(user, usize::try_from(user).unwrap() % world.shards());
                world.peer(link).join(GROUP.0);
                world.run();
                world.peer(link).news();
                link
            });
            world.store.strangers = vec![UserId(2)];
            if is_pull {
                world.peer(links[1]).pull(ConversationId::room(GROUP), 0, 10);
            } else {
                world.peer(links[1]).say(GROUP.0, 1, "still here");
            }
            world.run();
            let news = world.peer(links[1]).news();
            let is_refused = matches!(news[..], [Seen::Rejected { reject: Reject::NotMember, .. }]);
            assert!(is_refused, "{news:?}");
            assert!(world.peer(links[0]).texts().is_empty(), "nobody hears it");
            world.peer(links[0]).say(GROUP.0, 1, "without him");
            world.run();
            assert!(world.peer(links[1]).texts().is_empty(), "the session is out of the room");
            let faults: u64 =
                (0..world.shards()).map(|shard| world.shard(shard).counters().store_faults).sum();
            assert!(is_pull || faults == 1, "{faults}");
            // Taken in again, it enters again.
            world.store.strangers.clear();
            world.peer(links[1]).join(GROUP.0);
            world.run();
            assert_eq!(world.peer(links[1]).news().len(), 1);
            world.peer(links[0]).say(GROUP.0, 2, "welcome back");
            world.run();
            assert_eq!(world.peer(links[1]).texts().len(), 1);
        }
    }
}

#[test]
fn a_stranger_does_not_enter_a_group() {
    for durability in [Durability::Commit, Durability::Relaxed] {
        let mut world = World::with(2, durability);
        let member = world.login(1, 0);
        world.peer(member).join(GROUP.0);
        world.run();
        world.peer(member).say(GROUP.0, 1, "hi");
        world.run();
        world.peer(member).news();
        for shard in [0, 1] {
            let eve = world.login(5, shard);
            world.store.strangers = vec![UserId(5)];
            world.peer(eve).join(GROUP.0);
            world.run();
            let news = world.peer(eve).news();
            let is_refused = matches!(news[..], [Seen::Rejected { reject: Reject::NotMember, .. }]);
            assert!(is_refused, "{news:?}");
            world.peer(member).say(GROUP.0, 2 + shard as u64, "between us");
            world.run();
            assert!(world.peer(eve).texts().is_empty());
        }
        let late = world.login(6, 1);
        world.peer(late).join(GROUP.0);
        world.run();
        assert_eq!(world.peer(late).news(), [Seen::Joined { room: GROUP, head: 3 }]);
    }
}

#[test]
fn a_stranger_who_does_not_wait_for_the_answer_hears_and_says_nothing() {
    for durability in [Durability::Commit, Durability::Relaxed] {
        for at in [0, 1] {
            let mut world = World::with(2, durability);
            let member = world.login(1, 0);
            world.peer(member).join(GROUP.0);
            world.run();
            world.peer(member).say(GROUP.0, 1, "between us");
            world.run();
            world.peer(member).news();
            let eve = world.login(5, at);
            world.store.strangers = vec![UserId(5)];
            world.peer(eve).join(GROUP.0);
            world.peer(eve).pull(ConversationId::room(GROUP), 0, 256);
            world.peer(eve).say(GROUP.0, 1, "hi");
            world.step();
            world.peer(member).say(GROUP.0, 2, "still between us");
            world.run();
            let news = world.peer(eve).news();
            let refused = |seen: &Seen| matches!(seen, Seen::Rejected { .. });
            assert_eq!(news.iter().filter(|seen| refused(seen)).count(), 3, "{news:?}");
            assert_eq!(news.len(), 3, "{news:?}");
            assert!(world.peer(member).texts().is_empty());
        }
    }
}

#[test]
fn who_asks_much_waits_and_loses_nothing() {
    let mut world = World::small();
    let link = world.login(1, 0);
    world.store.mood = Mood::Stalled;
    for _ in 0..100 {
        world.peer(link).command(service(Service::Me));
    }
    world.run();
    assert!(world.links[link].is_paused, "four are enough at a time");
    world.store.mood = Mood::Well;
    world.run();
    let expected: Vec<Seen> = (2..102).map(|correlation| Seen::Done { correlation }).collect();
    assert_eq!(world.peer(link).news(), expected);
}

#[test]
fn changes_are_refused_while_the_disk_stalls() {
    let mut world = World::small();
    let link = world.login(1, 0);
    world.store.mood = Mood::Stalled;
    world.peer(link).text(2, 1, "waits for the disk");
    world.run();
    world.pass(std::time::Duration::from_secs(2));
    let conversation = ConversationId::private(UserId(1), UserId(2));
    let mark = Service::MarkRead(MarkRead { conversation, seq: Seq(1) });
    world.peer(link).command(service(mark));
    world.run();
    let busy = Seen::Rejected { reject: Reject::Busy, client_id: 0 };
    assert_eq!(world.peer(link).news(), [busy]);
    world.peer(link).command(service(Service::Me));
    world.run();
    assert!(world.peer(link).news().is_empty(), "a question waits: the reader may be well");
}

#[test]
fn a_long_answer_is_whole() {
    let mut world = World::small();
    let link = world.login(1, 0);
    let mut frames = Vec::new();
    for _ in 0..5_000 {
        frames.extend(news_for(2));
    }
    frames.extend(done(2));
    world.store.answers.push_back(Ok(Served { frames, ..Served::default() }));
    world.peer(link).command(service(Service::Me));
    world.run();
    let news = world.peer(link).news();
    assert_eq!(news.len(), 5_001);
    assert_eq!(news.last(), Some(&Seen::Done { correlation: 2 }));
}

#[test]
fn an_answer_for_who_has_gone_is_dropped_and_others_hear() {
    let mut world = World::small();
    let (asker, hearer) = (world.login(1, 0), world.login(2, 0));
    let tells = vec![(Hearer::User(UserId(2)), news_for(2))];
    world.store.answers.push_back(Ok(Served { frames: done(2), tells, evicted: Vec::new() }));
    world.store.mood = Mood::Stalled;
    world.peer(asker).command(service(OPEN));
    world.run();
    world.reset(asker);
    world.store.mood = Mood::Well;
    world.run();
    assert_eq!(world.peer(hearer).news(), [Seen::News(Kind::ReadUpTo)]);
}

#[test]
fn several_texts_in_one_frame_are_messages_each() {
    for durability in [Durability::Commit, Durability::Relaxed, Durability::None] {
        let mut world = World::with(2, durability);
        let (one, other) = (world.login(1, 0), world.login(2, 1));
        let mut texts = Vec::new();
        for (id, body) in [(11, "a"), (12, "b"), (13, ""), (14, "d")] {
            Texts::push(&mut texts, ClientMessageId(id), body.as_bytes());
        }
        let to = UserId(2);
        world.peer(one).command(Command::SendTexts(SendTexts { to, texts: &texts }));
        world.run();
        let expected = [(1, "a".to_owned()), (2, "b".to_owned()), (3, "d".to_owned())];
        assert_eq!(world.peer(other).texts(), expected);
        let mut answers: Vec<(u64, bool)> = world
            .peer(one)
            .news()
            .iter()
            .map(|seen| match seen {
                Seen::Acked { client_id, .. } => (*client_id, true),
                Seen::Rejected { reject: Reject::BodySize, client_id } => (*client_id, false),
                other => panic!("{other:?}"),
            })
            .collect();
        answers.sort_unstable();
        assert_eq!(answers, [(11, true), (12, true), (13, false), (14, true)]);
    }
}

fn signal(to: u64) -> Command<'static> {
    Command::SignalCall(SignalCall { to: UserId(to), call: 5, signal: 1, body: b"v=0" })
}

#[test]
fn signs_about_a_call_are_handed_on_or_refused() {
    for durability in [Durability::Commit, Durability::None] {
        for shards in [1, 2, 3] {
            let config = WorldConfig { shards, durability, ..WorldConfig::default() };
            let mut world = World::new(config);
            let caller = world.login(1, 0);
            let called = world.login(2, usize::from(shards) - 1);
            for _ in 0..10 {
                world.peer(caller).command(signal(2));
                world.peer(caller).command(signal(3));
            }
            world.run();
            let heard = world.peer(called).news();
            let sign = Seen::Signal { from: UserId(1), body: b"v=0".to_vec() };
            assert_eq!(heard, vec![sign; 10]);
            let news = world.peer(caller).news();
            let done = news.iter().filter(|seen| matches!(seen, Seen::Done { .. })).count();
            let offline = Seen::Rejected { reject: Reject::Offline, client_id: 0 };
            assert_eq!((done, news.iter().filter(|seen| **seen == offline).count()), (10, 10));
        }
    }
}
