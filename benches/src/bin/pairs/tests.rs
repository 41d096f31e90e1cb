//! The floor under loadgen's ledger: it is no measure if it loses, mixes or forges anything.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use loadgen::grants_raw::RawGrants;
use loadgen::offer::{ephemeral_ports, loopback_sources};
use loadgen::outcome::Outcome;
use loadgen::plan::{EngineOptions, Load, Plan, Preset, Protocol, Watch};

use crate::floor::{Args, Floor};

/// A floor on a thread of its own; it serves until the tests end.
fn floor(words: &str) -> SocketAddrV4 {
    let args = Args::parse_from(std::iter::once("floor").chain(words.split_whitespace()));
    let floor = Floor::open(&args).unwrap();
    let address = floor.address().to_string().parse().unwrap();
    std::thread::spawn(move || floor.serve().unwrap());
    address
}

fn plan(preset: Preset, load: Load) -> Plan {
    Plan {
        seed: 7,
        run_id: 11,
        connections: 20,
        ramp_per_s: 1e6,
        preset,
        load,
        body_bytes: 128,
        warmup: Duration::ZERO,
        duration: Duration::from_millis(200),
        drain_max: Duration::from_secs(60),
        ramp_stall_max: Duration::from_secs(60),
        sources: loopback_sources(1_000, ephemeral_ports()),
        cpu: None,
        logout: false,
        options: EngineOptions {
            protocol: Protocol::Raw,
            server_pid: Some(std::process::id()),
            ..EngineOptions::default()
        },
    }
}

fn run(plan: &Plan, floor: SocketAddrV4) -> Outcome {
    let watch = Arc::new(Watch::default());
    loadgen::engine::run(plan, &mut RawGrants::new(floor), &watch).unwrap()
}

/// Everything that was sent was acknowledged, and arrived as often as it should.
#[track_caller]
fn check_clean(outcome: &Outcome, deliveries_each: u64) {
    let ledger = &outcome.ledger;
    assert!(ledger.sent > 0, "the load said something");
    assert_eq!((ledger.acked, ledger.delivered), (ledger.sent, ledger.sent * deliveries_each));
    assert_eq!((ledger.lost, ledger.duplicate, ledger.reordered), (0, 0, 0));
    assert_eq!((ledger.corrupt, ledger.misrouted), (0, 0));
    assert!(outcome.disconnects.is_empty(), "{:?}", outcome.disconnects);
}

#[test]
fn private_messages_reach_their_partner_and_are_acknowledged() {
    let outcome = run(&plan(Preset::Pairs, Load::Closed { window: 64 }), floor("acked --max 20"));
    check_clean(&outcome, 1);
    let window = outcome.window;
    assert!(window.server_cpu.is_some() && window.delivered > 0);
}

#[test]
fn frames_that_buffers_tear_arrive_whole() {
    let mut plan = plan(Preset::Pairs, Load::Closed { window: 320 });
    plan.options.burst = 16;
    // No burst fits in a buffer, no frame ends where one does, and there are too few of them.
    check_clean(&run(&plan, floor("acked --max 20 --buffer-bytes 200 --buffers 8")), 1);
}

#[test]
fn what_is_said_to_all_reaches_all_others() {
    let plan = plan(Preset::Rooms { room_size: 20 }, Load::Closed { window: 8 });
    check_clean(&run(&plan, floor("fanout --max 20")), 19);
}

#[test]
fn whoever_logged_in_may_come_again() {
    let outcome = run(&plan(Preset::Churn, Load::None), floor("login --max 20"));
    assert!(outcome.window.logins > 0 && outcome.login_failures.is_empty(), "{outcome:?}");
}
