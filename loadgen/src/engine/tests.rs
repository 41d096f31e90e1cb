//! What only this engine has: several rings, and receive buffers that run out. Stories that hold for every engine are told
//! in `engines`.
//!
//! Here an engine has eight receive buffers (see `limits`).

use super::*;
use crate::engines::tests::{RIGHT, check_clean, grants_for, key, plan};
use crate::plan::Receive;
use crate::selftest::{Done, ReferenceServer};

fn run_in_rings(plan: &Plan, per_ring: u32) -> (Outcome, Done) {
    let server = ReferenceServer::start(key(), RIGHT).unwrap();
    let mut grants = grants_for(server.address(), server.started());
    let outcome = run_with(plan, &mut grants, &Watch::default(), per_ring).unwrap();
    (outcome, server.finish().unwrap())
}

#[test]
fn connections_in_several_rings_talk_to_each_other() {
    let load = Load::Open { rate_per_s: 2_000.0 };
    let plan = plan(Preset::Pairs, 30, load);
    let (outcome, done) = run_in_rings(&plan, 7);
    check_clean(&outcome, &done, 1);
    assert_eq!(outcome.intended, 1_200);
    assert_eq!((outcome.sent, outcome.acked, outcome.delivered), (1_200, 1_200, 1_200));
}

#[test]
fn a_run_without_receive_buffers_to_spare_loses_nothing() {
    let load = Load::Closed { window: 200 };
    let mut plan = plan(Preset::Rooms { room_size: 20 }, 60, load);
    plan.body_bytes = 1_500; // Several buffers per message.
    let (outcome, done) = run_in_rings(&plan, 100);
    check_clean(&outcome, &done, 19);
    assert!(outcome.enobufs > 0, "eight buffers must have run out");
}

#[test]
fn polled_bytes_arrive_in_order_however_many_buffers_they_fill() {
    let load = Load::Closed { window: 200 };
    let mut plan = plan(Preset::Rooms { room_size: 20 }, 60, load);
    plan.body_bytes = 1_500;
    plan.options.receive = Receive::Polled;
    let (outcome, done) = run_in_rings(&plan, 25);
    check_clean(&outcome, &done, 19);
}

#[test]
fn silence_costs_heartbeats_and_each_is_answered() {
    for receive in [Receive::Armed, Receive::Polled] {
        let mut plan = plan(Preset::Idle, 50, Load::None);
        plan.duration = Duration::from_millis(10);
        // The reference server asks for a heartbeat each second, and the first comes within the first interval.
        plan.options.idle = Duration::from_millis(1_300);
        plan.options.receive = receive;
        let (outcome, _) = run_in_rings(&plan, 20);
        assert!(outcome.idle.is_some_and(|idle| idle.heartbeats > 0), "{:?}", outcome.idle);
        assert_eq!(outcome.beats.interval_ms, Some((1_000, 1_000)));
        let of =
            |times: &Option<hdrhistogram::Histogram<u64>>| times.as_ref().map_or(0, |t| t.len());
        let answered = of(&outcome.beats.punctuality) + of(&outcome.beats.ramp_punctuality);
        // Those that were sent last may not have been answered when the logouts began.
        assert!(answered > 0 && answered <= outcome.heartbeats, "{answered}");
        assert!(outcome.heartbeats - answered <= 50);
        assert!(outcome.disconnects.is_empty(), "{:?}", outcome.disconnects);
    }
}

#[test]
fn more_rings_for_more_connections_and_smaller_ones() {
    assert_eq!((rings_for(1), rings::count(100, 30)), (1, 4));
    let (few, many) = (ring::Sizes::of(1, 1_024), ring::Sizes::of(53, 1_024));
    assert!(many.bytes() <= few.bytes());
    // Of a million connections, the rings may cost each 64 bytes here.
    assert!(53 * many.bytes() <= 64 * 1_000_000);
}
