//! Limits that change while sessions are open.

mod common;

use std::time::Duration;

use chat::Limits;
use common::{Seen, World};
use wire::{CloseReason, Reject};

fn limits() -> Limits {
    Limits {
        connections_max: 10_000,
        body_bytes_max: 32 * 1024,
        heartbeat_interval: Duration::from_secs(10),
        heartbeat_timeout: Duration::from_secs(30),
        heartbeats_per_s_max: 100_000,
        login_timeout: Duration::from_secs(5),
        reconnect_window: Duration::from_secs(10),
    }
}

#[test]
fn a_shard_that_takes_fewer_keeps_those_it_has() {
    let mut world = World::small();
    let (first, _second) = (world.login(1, 0), world.login(2, 0));
    world.set_limits(0, &Limits { connections_max: 1, ..limits() });
    let third = world.connect(0);
    world.run();
    assert_eq!(world.peer(third).news(), [Seen::goodbye(CloseReason::Full)]);
    world.peer(first).command(wire::Command::Heartbeat);
    world.run();
    assert_eq!(world.peer(first).news(), [Seen::HeartbeatAck]);
    world.set_limits(0, &limits());
    world.login(4, 0);
}

#[test]
fn the_longest_text_is_the_one_that_is_so_now() {
    let mut world = World::small();
    let link = world.login(1, 0);
    world.set_limits(0, &Limits { body_bytes_max: 4, ..limits() });
    world.peer(link).text(2, 1, "12345");
    world.run();
    let news = world.peer(link).news();
    assert!(
        matches!(news.as_slice(), [Seen::Rejected { reject: Reject::BodySize, .. }]),
        "{news:?}"
    );
}

#[test]
fn nobody_expires_by_a_timeout_that_it_was_not_told() {
    let mut world = World::small();
    let told_30_s = world.login(1, 0);
    let short = Limits {
        heartbeat_interval: Duration::from_secs(1),
        heartbeat_timeout: Duration::from_secs(3),
        ..limits()
    };
    world.set_limits(0, &short);
    world.login(2, 0);
    world.pass(Duration::from_secs(25));
    assert_eq!(world.peer(told_30_s).news(), []);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.peer(told_30_s).news(), [Seen::goodbye(CloseReason::Expired)]);
}
