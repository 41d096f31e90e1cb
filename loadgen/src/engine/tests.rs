//! What only this engine has: several rings, and receive buffers that run out. Stories that hold for every engine are told
//! in `engines`.
//!
//! Here an engine has eight receive buffers (see `limits`).

use super::*;
use crate::engines::tests::{RIGHT, check_clean, grants_for, key, plan};
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
