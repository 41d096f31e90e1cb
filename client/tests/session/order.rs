//! However a node's pushes are dropped, doubled and swapped, each message is delivered once and in order.

use crate::node::{ALICE, BOB, World, event_frame, room, text_frame, with_bob};
use client::{Counters, Follow, limits};
use wire::{ConversationId, Event, Reject, RoomId, Seq, UserId};

#[test]
fn what_comes_in_order_is_delivered_without_a_pull() {
    let mut world = World::new(Follow::Beginning);
    for _ in 0..3 {
        world.bob_tells();
    }
    world.check_delivered(1..=3);
    assert_eq!(world.node.pulls, []);
    assert_eq!(world.session.counters(), Counters::default());
}

#[test]
fn a_dropped_message_is_pulled_and_later_ones_wait_for_it() {
    let mut world = World::new(Follow::Beginning);
    world.bob_tells();
    world.bob_says(); // 2 never arrives
    world.bob_tells();
    world.check_delivered([1]);
    world.check_told("gap from 2");
    world.bob_tells();
    world.serve();
    world.check_delivered(1..=4);
    world.check_told("closed at 4");
    assert_eq!(world.node.pulls, [(Seq(1), 1)], "only what is missing is asked for");
}

#[test]
fn a_doubled_message_is_dropped_and_counted() {
    let mut world = World::new(Follow::Now);
    let frame = world.bob_says();
    world.hear(&frame);
    world.hear(&frame);
    world.check_delivered([1]);
    world.check_told("duplicate 1");
    assert_eq!(world.session.counters().duplicates, 1);
}

#[test]
fn a_doubled_message_behind_a_gap_is_delivered_once() {
    let mut world = World::new(Follow::Beginning);
    world.bob_says();
    let second = world.bob_says();
    world.hear(&second);
    world.hear(&second);
    world.serve();
    world.check_delivered([1, 2]);
    assert_eq!(world.session.counters().duplicates, 1);
}

#[test]
fn swapped_messages_come_out_in_order_even_before_the_pull_is_answered() {
    let mut world = World::new(Follow::Beginning);
    let (first, second) = (world.bob_says(), world.bob_says());
    world.hear(&second);
    world.hear(&first);
    world.check_delivered([1, 2]);
    world.serve(); // the pull's answer brings 1 again: known, and not the node's fault
    world.check_delivered([1, 2]);
    world.check_told("closed at 2");
    assert_eq!(world.session.counters(), Counters { gaps: 1, ..Counters::default() });
}

#[test]
fn ones_own_acknowledged_messages_have_their_place() {
    let mut world = World::new(Follow::Beginning);
    let ack = world.alice_sends();
    world.hear(&ack);
    world.bob_tells();
    let late_ack = world.alice_sends();
    world.bob_tells();
    world.check_delivered([2]);
    world.hear(&late_ack);
    world.check_delivered([2, 4]);
    world.serve();
    world.check_delivered([2, 4]);
    world.check_told("acked 1");
    world.check_told("acked 3");
}

#[test]
fn an_acknowledgement_behind_a_gap_is_told_at_once_and_the_gap_is_pulled() {
    let mut world = World::new(Follow::Beginning);
    world.bob_says();
    let ack = world.alice_sends();
    world.hear(&ack);
    world.check_told("acked 2");
    world.serve();
    world.check_delivered([1]);
    world.check_told("closed at 2");
}

#[test]
fn ones_own_message_of_another_session_is_delivered() {
    let mut world = World::new(Follow::Beginning);
    let frame = world.say(ALICE, with_bob());
    world.hear(&frame);
    world.hear(&frame);
    world.check_delivered([1]);
    assert_eq!(world.session.counters().duplicates, 0, "an echo is not the node's fault");
}

#[test]
fn a_conversation_starts_now_or_where_it_was_left() {
    let mut world = World::new(Follow::Now);
    for _ in 0..5 {
        world.bob_says();
    }
    world.bob_tells();
    world.check_delivered([6]);
    let with_carol = ConversationId::private(ALICE, UserId(3));
    world.session.resume(with_carol, Seq(2));
    for _ in 0..3 {
        world.say(UserId(3), with_carol);
    }
    let fourth = world.say(UserId(3), with_carol);
    world.hear(&fourth);
    world.serve();
    world.check_delivered([6, 3, 4]);
    assert_eq!(
        world.session.cursors().collect::<Vec<_>>(),
        [(with_bob(), Seq(6)), (with_carol, Seq(4))]
    );
}

#[test]
fn a_raw_session_passes_on_what_comes_and_keeps_nothing() {
    let mut world = World::new(Follow::Raw);
    for seq in [3, 1, 1] {
        world.hear(&text_frame(with_bob(), seq, BOB, 0));
    }
    world.check_delivered([3, 1, 1]);
    assert_eq!(world.session.cursors().count(), 0);
    assert!(world.take_commands().is_empty());
}

#[test]
fn a_long_gap_is_pulled_page_by_page_one_at_a_time() {
    let mut world = World::new(Follow::Beginning);
    for _ in 0..1_000 {
        world.bob_says();
    }
    world.bob_tells();
    world.serve();
    world.check_delivered(1..=1_001);
    let asked: Vec<u64> = world.node.pulls.iter().map(|(after, _)| after.0).collect();
    assert_eq!(asked, [0, 256, 512, 768]);
}

#[test]
fn what_cannot_be_held_is_pulled_again() {
    let mut world = World::new(Follow::Beginning);
    world.bob_says();
    let count = 3 * limits::HELD_MESSAGES_MAX as u64;
    for _ in 0..count {
        world.bob_tells(); // all behind the gap, with the pull unanswered
    }
    let pull = world.take_commands();
    let answer = world.node.answer_all(&pull);
    assert_eq!(world.node.pulls, [(Seq(0), 1)], "one pull however many messages wait");
    assert!(world.session.counters().held_overflows > 0);
    world.hear(&answer);
    world.serve();
    world.check_delivered(1..=count + 1);
}

#[test]
fn a_busy_node_is_asked_again_for_as_long_as_it_takes() {
    let mut world = World::new(Follow::Beginning);
    world.node.busy_pulls = 50;
    world.bob_says();
    world.bob_tells();
    world.serve();
    world.pass(60_000);
    world.check_delivered([1, 2]);
    assert_eq!(world.session.counters().lost, 0);
}

#[test]
fn a_message_that_is_pushed_before_it_can_be_pulled_is_waited_for() {
    let mut world = World::new(Follow::Beginning);
    world.node.log.insert(with_bob(), vec![]);
    world.hear(&text_frame(with_bob(), 2, BOB, 0));
    world.serve();
    world.pass(1_000);
    world.check_delivered([]);
    world.node.log.insert(with_bob(), vec![BOB, BOB]); // the store has caught up
    world.pass(2_000);
    world.check_delivered([1, 2]);
}

#[test]
fn what_the_node_has_forgotten_is_given_up_and_said() {
    let mut world = World::new(Follow::Beginning);
    for _ in 0..9 {
        world.bob_says();
    }
    world.node.oldest = 6;
    world.bob_tells();
    world.serve();
    world.pass(60_000);
    world.check_told("lost 1 to 5");
    world.check_delivered(6..=10);
    assert_eq!(world.session.counters().lost, 5);
}

#[test]
fn a_message_heard_of_but_found_nowhere_is_given_up() {
    let mut world = World::new(Follow::Beginning);
    world.bob_tells();
    let head = wire::ConversationHead { conversation: with_bob(), head: Seq(3) };
    world.hear_event(Event::ConversationHead(head));
    world.serve();
    world.pass(60_000);
    world.check_told("lost 2 to 3");
    world.hear(&text_frame(with_bob(), 4, BOB, 0));
    world.check_delivered([1, 4]);
}

#[test]
fn a_refused_pull_gives_up_and_goes_on() {
    let mut world = World::new(Follow::Beginning);
    world.bob_says();
    world.bob_tells();
    let pull = world.take_commands();
    let view = wire::FrameView::parse(&pull).unwrap();
    let rejected = wire::Rejected {
        reject: Reject::NotMember.code(),
        kind: wire::Kind::Pull as u8,
        retry_after_ms: 0,
        client_message_id: wire::ClientMessageId(0),
    };
    world.hear(&event_frame(Event::Rejected(rejected), view.correlation()));
    world.check_told("lost 1 to 1");
    world.check_delivered([2]);
}

#[test]
fn a_new_connection_goes_on_where_the_last_one_was() {
    let mut world = World::new(Follow::Beginning);
    world.bob_tells();
    world.bob_says();
    world.bob_tells(); // a gap, whose pull is never answered
    world.take_commands();
    world.bob_says();
    world.session.reconnect();
    world.login();
    world.check_delivered(1..=3);
    world.command(|session, now_ms, out| {
        session.conversations(now_ms, ConversationId::default(), 256, out).unwrap();
    });
    world.serve();
    world.check_delivered(1..=4);
}

#[test]
fn a_room_is_followed_from_its_head_and_caught_up_after_a_reconnect() {
    let mut world = World::new(Follow::Beginning);
    for _ in 0..5 {
        world.say(BOB, room(9));
    }
    let join = |session: &mut client::Session, now_ms, out: &mut Vec<u8>| {
        session.join(now_ms, RoomId(9), out).unwrap();
    };
    world.command(join);
    world.serve();
    let sixth = world.say(BOB, room(9));
    world.hear(&sixth);
    world.say(BOB, room(9));
    world.session.reconnect();
    world.login();
    world.command(join);
    world.serve();
    world.check_delivered([6, 7]);
}

#[test]
fn a_room_that_was_left_starts_anew() {
    let mut world = World::new(Follow::Beginning);
    world.say(BOB, room(9));
    let join = |session: &mut client::Session, now_ms, out: &mut Vec<u8>| {
        session.join(now_ms, RoomId(9), out).unwrap();
    };
    world.command(join);
    world.serve();
    world.command(|session, now_ms, out| {
        session.leave(now_ms, RoomId(9), out).unwrap();
    });
    world.serve();
    for _ in 0..4 {
        world.say(BOB, room(9));
    }
    world.command(join);
    world.serve();
    world.check_delivered([]);
    world.check_told("left 9");
}

#[test]
fn pages_that_the_owner_asks_for_are_his_own_affair() {
    let mut world = World::new(Follow::Now);
    for _ in 0..3 {
        world.bob_tells();
    }
    world.command(|session, now_ms, out| {
        session.pull(now_ms, with_bob(), Seq(0), 2, out).unwrap();
    });
    world.serve();
    world.check_delivered(1..=3);
    for line in ["page 1", "page 2", "page end 2"] {
        world.check_told(line);
    }
}

#[test]
fn many_conversations_catch_up_with_few_pulls_at_a_time() {
    let mut world = World::new(Follow::Beginning);
    for other in 2..202 {
        world.say(UserId(other), ConversationId::private(ALICE, UserId(other)));
    }
    world.command(|session, now_ms, out| {
        session.conversations(now_ms, ConversationId::default(), 256, out).unwrap();
    });
    let query = world.take_commands();
    let heads = world.node.answer_all(&query);
    world.hear(&heads);
    let pulls = world.take_commands();
    world.node.answer_all(&pulls);
    assert_eq!(world.node.pulls.len(), usize::from(limits::PULLS_OUTSTANDING_MAX));
    world.session.reconnect(); // those answers were lost with their connection
    world.login();
    assert_eq!(world.delivered.len(), 200);
    assert_eq!(world.session.counters().gaps, 200);
}

/// Random faults between node and client: whatever they are, in the end everything is there.
#[test]
fn any_mixture_of_faults_delivers_everything_once_and_in_order() {
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(Follow::Beginning);
        let mut late: Vec<Vec<u8>> = Vec::new();
        for _ in 0..120 {
            let frame = if random.u8(..) < 40 { world.alice_sends() } else { world.bob_says() };
            match random.u8(0..10) {
                0 => {}
                1 => late.push(frame),
                2 => {
                    world.hear(&frame);
                    world.hear(&frame);
                }
                _ => world.hear(&frame),
            }
            if !late.is_empty() && random.u8(0..6) == 0 {
                let frame = late.swap_remove(random.usize(..late.len()));
                world.hear(&frame);
            }
            if random.u8(0..8) == 0 {
                world.serve();
            }
            if random.u8(0..40) == 0 {
                world.session.reconnect();
                world.take_commands();
                world.login();
            }
            world.node.busy_pulls += u32::from(random.u8(0..30) == 0);
            if random.u8(0..20) == 0 {
                world.pass(random.u64(0..2_000));
            }
        }
        world.command(|session, now_ms, out| {
            session.conversations(now_ms, ConversationId::default(), 256, out).unwrap();
        });
        world.serve();
        world.pass(30_000);
        let mut expected: Vec<u64> = (1..=world.node.log[&with_bob()].len() as u64).collect();
        let delivered = world.delivered.clone();
        assert!(delivered.is_sorted_by(|a, b| a < b), "seed {seed}: {delivered:?}");
        // One's own are told by their acknowledgement, or delivered when that was lost: never neither.
        let acked = |seq: u64| world.told.iter().any(|told| *told == format!("acked {seq}"));
        expected.retain(|seq| {
            world.node.log[&with_bob()][*seq as usize - 1] == BOB
                || !acked(*seq)
                || delivered.contains(seq)
        });
        assert_eq!(delivered, expected, "seed {seed}");
        assert_eq!(world.session.counters().lost, 0, "seed {seed}");
    }
}
