//! The stories.

use std::time::Duration;

use balancer::ends::{EndsFull, SessionEnd};
use balancer::limits::{ENDS_KEPT, ENDS_MAX, ENDS_PER_REPORT, NODES_MAX};
use balancer::proto::NodeState;
use balancer::registry::{Load, PlaceError, RegisterError, Registration, Renewal, Settings};
use wire::{Epoch, UserId, home_of_user};

use crate::story::{GRACE, LEASE, SETTINGS, Story, TTL, load, node};

pub(crate) async fn a_login_goes_to_the_port_where_its_user_lives_with_a_token_for_that_start_of_the_node(
    story: Story,
) {
    story.register(Registration { mono_ms: 700, ..node("n1", 42) }).await.unwrap();
    story.after(Duration::from_millis(300));
    for user in 1..=50 {
        let placed = story.place_user(user, 9).await.unwrap();
        assert_eq!(placed.port, 4001 + home_of_user(UserId(user), 3).0);
        assert_eq!((placed.token.user, placed.token.epoch), (UserId(user), Epoch(9)));
        assert_eq!(placed.token.incarnation, 42);
        assert_eq!(placed.token.expires_ms, 700 + 300 + 30_000, "of the node's clock");
    }
}

pub(crate) async fn a_burst_does_not_pile_onto_one_node_and_reports_settle_what_arrived(
    mut story: Story,
) {
    let (one, two) = (node("n1", 1), node("n2", 1));
    story.register(Registration { load: load(100, 100), ..one.clone() }).await.unwrap();
    story.register(two.clone()).await.unwrap();
    assert_eq!(story.spread(300, ["n1", "n2"]).await, [100, 200], "n1 has 100 already");

    // All arrived: sessions replace reservations, so nothing is counted twice.
    assert_eq!(story.report(&one, load(200, 200)).await, Renewal::Renewed);
    assert_eq!(story.report(&two, load(200, 200)).await, Renewal::Renewed);
    assert_eq!(story.held().await, [0, 0]);
}

pub(crate) async fn promises_that_nobody_takes_up_expire_with_their_tokens(mut story: Story) {
    let only = Registration { capacity: 10, ..node("n1", 1) };
    story.register(only.clone()).await.unwrap();
    for _ in 0..10 {
        story.place().await.unwrap();
    }
    assert_eq!(story.place().await, Err(PlaceError::Full));
    for _ in 0..TTL.as_secs() {
        story.after(Duration::from_secs(1));
        story.report(&only, Load::default()).await;
    }
    assert!(story.place().await.is_ok());
}

pub(crate) async fn promises_are_kept_in_order_and_only_those_that_are_over_expire(
    mut story: Story,
) {
    let only = Registration { capacity: 8, ..node("n1", 1) };
    story.register(only.clone()).await.unwrap();
    for _ in 0..4 {
        story.place().await.unwrap();
        story.place().await.unwrap();
        story.after(Duration::from_secs(4));
        story.report(&only, Load::default()).await;
    }
    assert_eq!(story.place().await, Err(PlaceError::Full));
    // Three have arrived: the oldest promises are kept by them, so that the fourth is the first to expire.
    story.report(&only, load(0, 3)).await;
    assert_eq!(story.held().await, [5]);
    for _ in 0..5 {
        story.after(Duration::from_secs(4));
        story.report(&only, load(0, 3)).await;
    }
    // 36 s after the first two, 32 s after the third and fourth, 28 s after the fifth.
    story.place().await.unwrap();
    assert_eq!(story.held().await, [5], "one expired, one was promised");
    story.report(&only, load(0, 1_000)).await;
    assert_eq!(story.held().await, [0], "logins with tokens of another make settle nothing");
}

pub(crate) async fn nodes_are_filled_to_equal_parts_exactly(mut story: Story) {
    for (name, capacity) in [("n1", 100), ("n2", 200), ("n3", 300)] {
        story.register(Registration { capacity, ..node(name, 1) }).await.unwrap();
    }
    assert_eq!(story.spread(300, ["n1", "n2", "n3"]).await, [50, 100, 150]);
    assert_eq!(story.spread(300, ["n1", "n2", "n3"]).await, [50, 100, 150]);
    assert_eq!(story.place().await, Err(PlaceError::Full));
    for name in ["n1", "n2", "n3"] {
        assert!(story.keeper.deregister(name, 1).await.unwrap());
    }
    // They differ in the twentieth digit, and the fuller one is the first by name.
    let full = 1_u64 << 32;
    for (name, sessions, capacity) in [("n4", full - 2, full), ("n5", full - 3, full - 1)] {
        let load = load(sessions, 0);
        story.register(Registration { capacity, load, ..node(name, 1) }).await.unwrap();
    }
    assert_eq!(story.place().await.unwrap().node, "n5");
    assert_eq!(story.place().await.unwrap().node, "n4");
}

pub(crate) async fn what_no_node_can_carry_does_no_harm(mut story: Story) {
    let greatest = Load { sessions: u64::MAX, connections: u64::MAX, logins_total: u64::MAX };
    let one = Registration { load: greatest, mono_ms: u64::MAX, ..node("n1", u64::MAX) };
    story.register(one.clone()).await.unwrap();
    assert_eq!(story.place().await, Err(PlaceError::Full));
    assert_eq!(story.report(&one, greatest).await, Renewal::Renewed);
    assert_eq!(story.register(node("n1", u64::MAX - 1)).await, Err(RegisterError::Superseded));
    assert_eq!(story.end(u64::MAX, u64::MAX).await, 1);
    assert_eq!(story.end(u64::MAX, u64::MAX - 1).await, 1, "an older order adds nothing");
    assert_eq!(story.report_ends(&one, u64::MAX).await, (vec![u64::MAX], 1));
    assert_eq!(story.place_user(u64::MAX, u64::MAX - 1).await, Err(PlaceError::Ended));
    assert_eq!(story.report(&one, load(0, 0)).await, Renewal::Renewed);
    let placed = story.place_user(u64::MAX, u64::MAX).await.unwrap();
    assert_eq!((placed.token.incarnation, placed.token.epoch), (u64::MAX, Epoch(u64::MAX)));
}

pub(crate) async fn a_dead_node_is_gone_when_its_lease_ends_and_comes_back_as_a_new_incarnation(
    mut story: Story,
) {
    story.register(node("n1", 7)).await.unwrap();
    story.after(LEASE - Duration::from_millis(1));
    assert!(story.place().await.is_ok(), "its lease still runs");
    story.after(Duration::from_millis(1));
    assert_eq!(story.place().await, Err(PlaceError::NoNode));
    assert_eq!(story.keeper.look().await.unwrap().lapsed, 1);

    story.register(node("n1", 8)).await.unwrap();
    assert_eq!(story.place().await.unwrap().token.incarnation, 8);
}

pub(crate) async fn a_node_that_restarts_faster_than_its_lease_replaces_itself(mut story: Story) {
    let old = node("n1", 7);
    story.register(old.clone()).await.unwrap();
    story.place().await.unwrap();
    assert_eq!(story.held().await, [1]);
    story.register(node("n1", 8)).await.unwrap();
    assert_eq!(story.held().await, [0], "places promised at the old start are void");
    assert_eq!(story.report(&old, Load::default()).await, Renewal::Superseded);
    assert_eq!(story.register(old).await, Err(RegisterError::Superseded));
    let gone = story.keeper.deregister("n1", 7).await.unwrap();
    assert!(!gone, "an old start's goodbye is ignored");
    assert_eq!(story.names().await, ["n1"]);
}

pub(crate) async fn a_draining_node_gets_no_login_and_cannot_take_it_back(mut story: Story) {
    let draining = node("n1", 1);
    story.register(draining.clone()).await.unwrap();
    assert!(!story.keeper.drain("n1", 2).await.unwrap(), "of another start");
    assert!(!story.keeper.drain("n2", 0).await.unwrap(), "nobody has this name");
    assert!(story.keeper.drain("n1", 0).await.unwrap());
    assert_eq!(story.place().await, Err(PlaceError::NoNode));
    assert_eq!(story.report(&draining, Load::default()).await, Renewal::Renewed);
    assert_eq!(story.register(draining).await, Ok(()));
    assert_eq!(story.place().await, Err(PlaceError::NoNode), "the same start stays draining");
    story.register(node("n2", 1)).await.unwrap();
    assert_eq!(story.place().await.unwrap().node, "n2");
    story.register(node("n1", 2)).await.unwrap();
    assert_eq!(story.place().await.unwrap().node, "n1", "the next start serves");
}

pub(crate) async fn a_node_says_goodbye(mut story: Story) {
    story.register(node("n1", 1)).await.unwrap();
    story.place().await.unwrap();
    assert!(story.keeper.deregister("n1", 1).await.unwrap());
    assert!(!story.keeper.deregister("n1", 1).await.unwrap());
    story.after(GRACE);
    assert_eq!(story.place().await, Err(PlaceError::NoNode));
    assert_eq!(story.report(&node("n1", 1), Load::default()).await, Renewal::Unknown);
    assert_eq!(story.keeper.look().await.unwrap().lapsed, 0);
    story.register(node("n1", 1)).await.unwrap();
    assert_eq!(story.held().await, [0], "what was promised went with it");
}

pub(crate) async fn a_restarted_balancer_waits_until_its_nodes_are_back_instead_of_piling_onto_the_first(
    mut story: Story,
) {
    let one = Registration { returning: true, load: load(400, 400), ..node("n1", 1) };
    let two = Registration { returning: true, load: load(390, 390), ..node("n2", 1) };
    assert_eq!(story.place().await, Err(PlaceError::Learning), "no node is known yet");
    assert_eq!(story.report(&one, load(400, 400)).await, Renewal::Unknown, "register again");
    story.register(one).await.unwrap();
    assert_eq!(story.place().await, Err(PlaceError::Learning));
    story.after(Duration::from_secs(1));
    story.register(two).await.unwrap();
    story.after(GRACE - Duration::from_secs(1));
    assert_eq!(story.place().await.unwrap().node, "n2");
}

pub(crate) async fn a_fresh_system_serves_as_soon_as_its_first_node_is_there(mut story: Story) {
    assert_eq!(story.place().await, Err(PlaceError::Learning));
    story.register(node("n1", 1)).await.unwrap();
    assert!(story.place().await.is_ok());
}

pub(crate) async fn registrations_are_bounded(story: Story) {
    for index in 0..NODES_MAX {
        story.register(node(&format!("n{index}"), 1)).await.unwrap();
    }
    assert_eq!(story.register(node("one-more", 1)).await, Err(RegisterError::TooMany));
    assert_eq!(story.register(node("n0", 2)).await, Ok(()), "a known name may come back");
    assert_eq!(story.names().await.len(), NODES_MAX);
    assert!(story.names().await.is_sorted());
}

pub(crate) async fn what_is_seen_of_a_node_is_what_it_said(mut story: Story) {
    let one = Registration { mono_ms: 50, load: load(3, 5), ..node("n1", 9) };
    story.register(one).await.unwrap();
    story.register(Registration { draining: true, ..node("n0", 1) }).await.unwrap();
    story.place().await.unwrap();
    story.after(Duration::from_millis(1_500));
    let nodes = story.keeper.look().await.unwrap().nodes;
    assert_eq!((nodes[0].name.as_str(), nodes[0].state()), ("n0", NodeState::Draining));
    let one = &nodes[1];
    assert_eq!((one.name.as_str(), one.state()), ("n1", NodeState::Serving));
    assert_eq!((one.host.as_str(), one.base_port), ("127.0.0.1", 4000));
    assert_eq!(one.shard_ports, [4001, 4002, 4003]);
    assert_eq!((one.incarnation, one.capacity, one.reservations), (9, 1_000, 1));
    assert_eq!((one.mono_ms, one.lease_left_ms), (50 + 1_500, 5_000 - 1_500));
    let load = one.load.unwrap();
    assert_eq!((load.sessions, load.connections, load.logins_total), (3, 3, 5));
}

pub(crate) async fn settings_can_change(story: Story) {
    let one = node("n1", 1);
    story.register(one.clone()).await.unwrap();
    let settings = Settings { lease: 2 * LEASE, token_ttl: 2 * TTL, ..SETTINGS };
    story.keeper.set_settings(settings);
    assert_eq!(story.keeper.settings().lease, 2 * LEASE);
    story.report(&one, Load::default()).await;
    story.after(LEASE);
    let placed = story.place_user(7, 1).await.unwrap();
    assert_eq!(placed.token.expires_ms, 5_000 + 60_000);
}

pub(crate) async fn every_node_is_told_whose_sessions_end_until_it_has_confirmed(story: Story) {
    let (one, two) = (node("n1", 1), node("n2", 1));
    assert_eq!(story.end(7, 3).await, 0, "nobody to wait for");
    story.register(one.clone()).await.unwrap();
    story.register(two.clone()).await.unwrap();
    assert_eq!(story.end(8, 5).await, 2);
    let (users, number) = story.report_ends(&one, 0).await;
    assert_eq!(users, [7, 8]);
    let again = story.report_ends(&one, 0).await;
    assert_eq!(again, (users, number), "the answer may have been lost");
    assert_eq!(story.end(8, 5).await, 2, "heard is not done");
    assert_eq!(story.report_ends(&one, number).await, (vec![], number));
    assert_eq!(story.end(8, 5).await, 1);
    let told = story.report_ends(&two, number + 1).await;
    assert_eq!(told, (vec![7, 8], number), "it cannot know of more");
    story.after(LEASE);
    assert_eq!(story.end(8, 5).await, 0, "a node without a lease is not waited for");
}

pub(crate) async fn a_node_that_comes_back_is_told_what_it_missed(story: Story) {
    let one = node("n1", 1);
    story.register(one.clone()).await.unwrap();
    story.end(7, 3).await;
    let (_, number) = story.report_ends(&one, 0).await;
    story.report_ends(&one, number).await;
    story.after(LEASE);
    story.end(8, 3).await;
    story.register(Registration { returning: true, ..one.clone() }).await.unwrap();
    assert_eq!(story.report_ends(&one, 0).await.0, [7, 8]);
    story.after(ENDS_KEPT);
    story.register(one.clone()).await.unwrap();
    let told = story.report_ends(&one, 0).await.0;
    assert_eq!(told, [0; 0], "no token of that time is good any more");
}

pub(crate) async fn a_session_that_was_ended_is_not_placed_by_a_login_that_was_under_way(
    story: Story,
) {
    story.register(node("n1", 1)).await.unwrap();
    story.end(7, 5).await;
    assert_eq!(story.place_user(7, 4).await, Err(PlaceError::Ended));
    assert!(story.place_user(7, 5).await.is_ok());
    assert!(story.place_user(8, 1).await.is_ok());
}

pub(crate) async fn orders_come_in_pieces_and_a_later_one_replaces_an_earlier(story: Story) {
    let one = node("n1", 1);
    story.register(one.clone()).await.unwrap();
    let count = ENDS_PER_REPORT as u64 + 3;
    for user in 1..=count {
        assert_eq!(story.end(user, 5).await, 1);
    }
    let (first, number) = story.report_ends(&one, 0).await;
    assert_eq!((first.len(), number), (ENDS_PER_REPORT, ENDS_PER_REPORT as u64));
    let (second, last) = story.report_ends(&one, number).await;
    assert_eq!((second, last), (vec![count - 2, count - 1, count], count));
    assert_eq!(story.report_ends(&one, last).await, (vec![], count));
    assert_eq!(story.end(1, 6).await, 1, "it reaches further than the earlier one");
    assert_eq!(story.report_ends(&one, last).await, (vec![1], count + 1));
    assert_eq!(story.place_user(1, 5).await, Err(PlaceError::Ended));
    assert_eq!(story.keeper.look().await.unwrap().ends, count);
}

pub(crate) async fn orders_are_bounded_and_make_room_from_what_is_done_first(story: Story) {
    let one = node("n1", 1);
    story.register(one.clone()).await.unwrap();
    for user in 1..=ENDS_MAX as u64 {
        assert_eq!(story.end(user, 5).await, 1);
    }
    let more = SessionEnd { user: UserId(u64::MAX), below: Epoch(5) };
    assert_eq!(story.keeper.end_sessions(more).await.unwrap(), Err(EndsFull));
    assert_eq!(story.end(7, 6).await, 1, "in the place of its user's earlier one");
    let (_, number) = story.report_ends(&one, 0).await;
    story.report_ends(&one, number).await;
    assert_eq!(story.keeper.end_sessions(more).await.unwrap(), Ok(1));
    let kept = ENDS_MAX as u64 - (ENDS_PER_REPORT as u64) + 1;
    assert_eq!(story.keeper.look().await.unwrap().ends, kept);
    assert!(story.place_user(1, 4).await.is_ok(), "forgotten: it was done");
    assert_eq!(story.place_user(7, 5).await, Err(PlaceError::Ended));
}

pub(crate) async fn orders_that_grow_too_old_are_counted(story: Story) {
    let one = node("n1", 1);
    story.keeper.set_settings(Settings { lease: 2 * ENDS_KEPT, ..SETTINGS });
    story.register(one.clone()).await.unwrap();
    story.end(1, 5).await;
    story.report_ends(&one, 0).await;
    story.report_ends(&one, 1).await;
    story.end(2, 5).await;
    story.after(ENDS_KEPT - Duration::from_millis(1));
    let seen = story.keeper.look().await.unwrap();
    assert_eq!((seen.ends, seen.ends_lapsed), (2, 0));
    story.after(Duration::from_millis(1));
    let seen = story.keeper.look().await.unwrap();
    assert_eq!((seen.ends, seen.ends_lapsed), (0, 1), "one of them was never done");
    assert!(story.place_user(2, 4).await.is_ok());
}
