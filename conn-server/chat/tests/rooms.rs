//! Rooms: who hears what, in which order, on which shard.

mod common;

use chat::Durability;
use common::{Seen, World};
use wire::{CloseReason, Command, ConversationId, Reject, RoomId};

const ALL: [Durability; 3] = [Durability::Commit, Durability::Relaxed, Durability::None];
const ROOM: u64 = 9;

/// Members of a room, spread over all shards.
fn members(world: &mut World, count: u64) -> Vec<usize> {
    (1..=count)
        .map(|user| {
            let shard = usize::try_from(user).unwrap() % world.shards();
            let link = world.login(user, shard);
            world.peer(link).join(ROOM);
            world.run();
            assert_eq!(world.peer(link).news(), [Seen::Joined { room: RoomId(ROOM), head: 0 }]);
            link
        })
        .collect()
}

#[test]
fn everyone_but_the_sender_hears_a_room_in_one_order() {
    for durability in ALL {
        for shards in [1, 3] {
            let mut world = World::with(shards, durability);
            let links = members(&mut world, 7);
            for n in 1..=20 {
                for link in &links {
                    world.peer(*link).say(ROOM, n, &format!("{link}-{n}"));
                }
                world.step();
            }
            world.run();
            let mut order = vec![None; 141];
            for link in links {
                for (seq, body) in world.peer(link).texts() {
                    let place = &mut order[usize::try_from(seq).unwrap()];
                    assert_eq!(place.get_or_insert(body.clone()), &body, "one order for all");
                    assert!(!body.starts_with(&format!("{link}-")), "not to the sender");
                }
            }
            assert_eq!(order.iter().flatten().count(), 140);
            let delivered: u64 =
                (0..usize::from(shards)).map(|shard| world.shard(shard).counters().delivered).sum();
            assert_eq!(delivered, 140 * 6);
        }
    }
}

#[test]
fn who_enters_later_is_told_the_head_and_hears_what_follows() {
    for durability in ALL {
        let mut world = World::with(2, durability);
        let links = members(&mut world, 2);
        for n in 1..=3 {
            world.peer(links[0]).say(ROOM, n, "early");
        }
        world.run();
        let late = world.login(5, 1);
        world.peer(late).join(ROOM);
        world.run();
        assert_eq!(world.peer(late).news(), [Seen::Joined { room: RoomId(ROOM), head: 3 }]);
        world.peer(links[0]).say(ROOM, 4, "late");
        world.run();
        assert_eq!(world.peer(late).texts(), [(4, "late".into())]);
        world.peer(late).pull(ConversationId::room(RoomId(ROOM)), 0, 10);
        world.run();
        assert_eq!(world.peer(late).texts().len(), 4);
    }
}

#[test]
fn who_left_or_was_never_in_hears_and_says_nothing() {
    for shards in [1, 3] {
        let mut world = World::with(shards, Durability::None);
        let links = members(&mut world, 4);
        let outsider = world.login(50, 0);
        world.peer(links[1]).leave(ROOM);
        world.reset(links[2]);
        world.run();
        assert_eq!(world.peer(links[1]).news(), [Seen::Left { room: RoomId(ROOM) }]);
        world.peer(links[0]).say(ROOM, 1, "hello");
        for link in [links[1], outsider] {
            world.peer(link).say(ROOM, 1, "me too");
            world.peer(link).leave(ROOM);
        }
        world.run();
        assert_eq!(world.peer(links[3]).texts(), [(1, "hello".into())]);
        for link in [links[1], outsider] {
            assert_eq!(
                world.peer(link).news(),
                [
                    Seen::Rejected { reject: Reject::NotMember, client_id: 1 },
                    Seen::Rejected { reject: Reject::NotMember, client_id: 0 }
                ]
            );
        }
        for link in [links[0], links[3]] {
            world.peer(link).leave(ROOM);
        }
        world.run();
        let rooms: u64 =
            (0..world.shards()).map(|shard| world.shard(shard).gauges(world.now).rooms).sum();
        assert_eq!(rooms, 0, "an empty room costs nothing");
    }
}

#[test]
fn a_session_is_in_so_many_rooms_and_no_more() {
    let mut world = World::small();
    let link = world.login(1, 0);
    for room in 1..=u64::from(chat::limits::SESSION_ROOMS_MAX) + 1 {
        world.peer(link).join(room);
    }
    world.peer(link).join(3);
    world.run();
    let news = world.peer(link).news();
    let refused = Seen::Rejected { reject: Reject::TooManyRooms, client_id: 0 };
    assert_eq!(news.iter().filter(|seen| **seen == refused).count(), 1);
    assert_eq!(news.iter().filter(|seen| matches!(seen, Seen::Joined { .. })).count(), 65);
}

#[test]
fn a_slow_member_is_sent_away_and_the_room_goes_on() {
    let mut world = World::with(2, Durability::None);
    let links = members(&mut world, 5);
    world.links[links[2]].window = 10_000;
    let body = "x".repeat(1000);
    for n in 1..=3000 {
        world.peer(links[0]).say(ROOM, n, &body);
        if n % 100 == 0 {
            world.run();
        }
    }
    world.run();
    for link in [links[1], links[3], links[4]] {
        assert_eq!(world.peer(link).texts().len(), 3000);
    }
    world.links[links[2]].window = usize::MAX;
    world.run();
    let news = world.peer(links[2]).news();
    assert_eq!(news.last(), Some(&Seen::goodbye(CloseReason::Slow)));
    assert!(news.len() < 2500);
}

/// What a room says in one turn is gathered; who comes, goes or asks meanwhile hears exactly what is theirs.
#[test]
fn a_turn_of_messages_reaches_those_who_were_there() {
    for durability in ALL {
        for shards in [1, 2] {
            let mut world = World::with(shards, durability);
            let links = members(&mut world, 4);
            let late = world.login(50, 0);
            let [one, two, three, leaver] = links[..] else { panic!("four members") };
            // In one receive: texts, a leave, an entry again, more texts, and a goodbye at the end.
            for n in 1..=5 {
                world.peer(leaver).say(ROOM, n, &format!("leaver-{n}"));
            }
            world.peer(leaver).leave(ROOM);
            world.peer(leaver).join(ROOM);
            world.peer(leaver).say(ROOM, 6, "leaver-6");
            for n in 1..=40 {
                for link in [one, two] {
                    world.peer(link).say(ROOM, n, &format!("{link}-{n}"));
                }
                world.step();
            }
            world.peer(late).join(ROOM);
            world.run();
            world.peer(two).say(ROOM, 41, "last");
            world.peer(two).command(Command::Logout);
            world.run();
            let heard = |world: &mut World, link| -> Vec<String> {
                world.peer(link).texts().into_iter().map(|(_, body)| body).collect()
            };
            let of = |heard: &[String], prefix: &str| -> Vec<String> {
                heard.iter().filter(|body| body.starts_with(prefix)).cloned().collect()
            };
            let said = |prefix: &str, count: u32| -> Vec<String> {
                (1..=count).map(|n| format!("{prefix}-{n}")).collect()
            };
            let by_three = heard(&mut world, three);
            assert_eq!(of(&by_three, "leaver"), said("leaver", 6));
            for link in [one, two] {
                assert_eq!(of(&by_three, &format!("{link}-")), said(&link.to_string(), 40));
            }
            assert_eq!(by_three.last().map(String::as_str), Some("last"));
            assert_eq!(by_three.len(), 6 + 80 + 1);
            let by_two = heard(&mut world, two);
            assert_eq!(of(&by_two, &format!("{one}-")), said(&one.to_string(), 40));
            assert_eq!(by_two.len(), 6 + 40, "not its own");
            let by_late = world.peer(late).texts();
            let seqs: Vec<u64> = by_late.iter().map(|(seq, _)| *seq).collect();
            assert!(
                seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]),
                "from its head on: {seqs:?}"
            );
            for shard in 0..usize::from(shards) {
                assert!(!world.shard(shard).is_unfinished());
            }
        }
    }
}

/// Members who speak at once: each hears the others, and what it said acknowledged, in the one order of the room.
#[test]
fn acknowledgements_keep_their_place_among_what_others_say() {
    // Under `relaxed` a text goes out before the store has it, and its acknowledgement after.
    for durability in [Durability::Commit, Durability::None] {
        for shards in [1, 2] {
            let mut world = World::with(shards, durability);
            let links = members(&mut world, 5);
            let late = world.login(50, 0);
            for n in 1..=40 {
                for link in &links {
                    for part in 0..3 {
                        world.peer(*link).say(ROOM, 3 * n + part, "x");
                    }
                }
                if n == 20 {
                    world.peer(late).join(ROOM);
                }
                world.step_together();
                for shard in 0..world.shards() {
                    world.move_inbox(shard);
                }
            }
            world.run();
            for link in links.into_iter().chain([late]) {
                // Whoever comes may hear something before it is told where the room was when it came.
                let mut last = (link != late).then_some(0);
                for news in world.peer(link).news() {
                    let (Seen::Acked { seq, .. } | Seen::Text { seq, .. }) = news else {
                        if let Seen::Joined { head, .. } = news {
                            last = Some(head);
                        }
                        continue;
                    };
                    let Some(before) = last else { continue };
                    assert_eq!(seq, before + 1, "{durability:?}, {shards} shards, link {link}");
                    last = Some(seq);
                }
                assert_eq!(last, Some(5 * 3 * 40));
            }
        }
    }
}
