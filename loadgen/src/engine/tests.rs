//! Whole runs against the reference server: more than one ring, no buffers left, nobody there, stopped from outside.
//!
//! Here an engine has eight receive buffers and room for a thousand messages without an answer (see `limits`).

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wire::token::TokenKey;

use super::*;
use crate::grants_direct::{DirectGrants, DirectNode};
use crate::outcome::LedgerTotals;
use crate::plan::EngineOptions;
use crate::selftest::{Done, Fault, ReferenceServer, Script};

fn key() -> TokenKey {
    TokenKey::new(&[3; 32]).unwrap()
}

fn plan(preset: Preset, connections: u32, load: Load) -> Plan {
    Plan {
        seed: 5,
        run_id: 77,
        connections,
        ramp_per_s: 5_000.0,
        preset,
        load,
        body_bytes: 64,
        warmup: Duration::ZERO,
        duration: Duration::from_millis(600),
        drain_max: Duration::from_secs(30),
        ramp_stall_max: Duration::from_secs(60),
        sources: Vec::new(),
        cpu: None,
        logout: true,
        options: EngineOptions::default(),
    }
}

fn grants_for(address: SocketAddrV4, read_at: Instant) -> DirectGrants {
    let node = DirectNode {
        name: "selftest".into(),
        incarnation: 1,
        chat: address,
        shard_ports: vec![],
        mono_ms: 0,
        read_at,
    };
    DirectGrants::new(key(), node)
}

fn run_against(script: Script, plan: &Plan, per_ring: u32) -> (Outcome, Done) {
    let server = ReferenceServer::start(key(), script).unwrap();
    let mut grants = grants_for(server.address(), server.started());
    let outcome = run_with(plan, &mut grants, &Watch::default(), per_ring).unwrap();
    (outcome, server.finish().unwrap())
}

const RIGHT: Script = Script { fault: Fault::None, every: 1 };

/// Everything sent was acknowledged and delivered, and nothing else happened.
#[track_caller]
fn check_clean(outcome: &Outcome, done: &Done, recipients: u64) {
    let messages = done.messages;
    let clean = LedgerTotals {
        sent: messages,
        acked: messages,
        delivered: messages * recipients,
        ..Default::default()
    };
    assert_eq!(outcome.ledger, clean, "{:?}", outcome.violations);
    assert!(messages > 0);
    assert_eq!(outcome.established, outcome.target);
    assert!(outcome.disconnects.is_empty(), "{:?}", outcome.disconnects);
    assert!(outcome.login_failures.is_empty(), "{:?}", outcome.login_failures);
}

#[test]
fn connections_in_several_rings_talk_to_each_other() {
    let load = Load::Open { rate_per_s: 2_000.0 };
    let plan = plan(Preset::Pairs, 30, load);
    let (outcome, done) = run_against(RIGHT, &plan, 7);
    check_clean(&outcome, &done, 1);
    assert_eq!(outcome.intended, 1_200);
    assert_eq!((outcome.sent, outcome.acked, outcome.delivered), (1_200, 1_200, 1_200));
}

#[test]
fn a_run_without_receive_buffers_to_spare_loses_nothing() {
    let load = Load::Closed { window: 200 };
    let mut plan = plan(Preset::Rooms { room_size: 20 }, 60, load);
    plan.body_bytes = 1_500; // Several buffers per message.
    let (outcome, done) = run_against(RIGHT, &plan, 100);
    check_clean(&outcome, &done, 19);
    assert!(outcome.enobufs > 0, "eight buffers must have run out");
}

#[test]
fn sources_are_used_in_turn_and_mixed_fleets_talk_both_ways() {
    let mut plan = plan(Preset::Mixed, 200, Load::Open { rate_per_s: 500.0 });
    plan.sources = vec![Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
    let (outcome, done) = run_against(RIGHT, &plan, 1_000);
    assert_eq!(outcome.ledger.sent, done.messages);
    let (private, room) = (&outcome.classes["private"], &outcome.classes["room"]);
    assert_eq!(private.response.len() + room.response.len(), 300);
    assert_eq!((room.response.len(), room.delivery.len()), (60, 60 * 99));
    assert_eq!(outcome.ledger.lost, 0);
}

#[test]
fn idle_connections_send_their_heartbeats() {
    let mut plan = plan(Preset::Idle, 50, Load::None);
    // The reference server asks for one each second, and the first comes within the first interval.
    plan.duration = Duration::from_millis(1_300);
    let (outcome, _) = run_against(RIGHT, &plan, 20);
    assert!(outcome.heartbeats >= 50, "{}", outcome.heartbeats);
    assert_eq!(outcome.ledger, LedgerTotals::default());
}

#[test]
fn an_idle_run_may_begin_with_messages_and_rooms() {
    let mut plan = plan(Preset::Idle, 50, Load::None);
    plan.duration = Duration::from_millis(10);
    plan.options.prime = 3;
    let (outcome, done) = run_against(RIGHT, &plan, 20);
    assert_eq!(done.messages, 150);
    check_clean(&outcome, &done, 1);
    assert_eq!((outcome.intended, outcome.sent, outcome.classes.len()), (0, 0, 0));
}

#[test]
fn first_messages_that_do_not_arrive_end_the_run_with_their_number() {
    let mut plan = plan(Preset::Idle, 10, Load::None);
    plan.options.prime = 4;
    plan.options.raw = true; // Nobody pulls what was dropped.
    plan.ramp_stall_max = Duration::from_millis(300);
    let server = ReferenceServer::start(key(), Script { fault: Fault::Drop, every: 10 }).unwrap();
    let mut grants = grants_for(server.address(), server.started());
    let error = run(&plan, &mut grants, &Watch::default()).unwrap_err();
    let words = error.to_string();
    assert!(words.starts_with("of the first 40 messages 3"), "{words}");
    server.finish().unwrap();
}

#[test]
fn a_ramp_to_nobody_fails_with_its_reason_and_without_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
    drop(listener);
    let plan = plan(Preset::Pairs, 4, Load::Open { rate_per_s: 10.0 });
    let mut grants = grants_for(address, Instant::now());
    let watch = Watch::default();
    let outcome = run(&plan, &mut grants, &watch).unwrap();
    assert_eq!((outcome.established, outcome.sent), (0, 0));
    let refused = u64::from(limits::LOGIN_ATTEMPTS_MAX) * 4;
    assert_eq!(outcome.login_failures["connect: connection refused"], refused);
    assert_eq!(watch.phase(), Phase::Done);
}

#[test]
fn a_ramp_that_gets_nowhere_ends_after_its_patience() {
    // Connects, and is never answered.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
    let mut plan = plan(Preset::Pairs, 4, Load::Open { rate_per_s: 10.0 });
    plan.ramp_stall_max = Duration::from_millis(200);
    let mut grants = grants_for(address, Instant::now());
    let outcome = run(&plan, &mut grants, &Watch::default()).unwrap();
    assert_eq!(outcome.established, 0);
    assert_eq!(outcome.login_failures["no answer before the ramp was given up"], 4);
}

#[test]
fn a_forged_token_is_refused_by_name() {
    let server = ReferenceServer::start(TokenKey::new(&[4; 32]).unwrap(), RIGHT).unwrap();
    let plan = plan(Preset::Pairs, 2, Load::Open { rate_per_s: 10.0 });
    let mut grants = grants_for(server.address(), server.started());
    let outcome = run(&plan, &mut grants, &Watch::default()).unwrap();
    assert_eq!(outcome.established, 0);
    assert!(outcome.login_failures["goodbye: bad_token"] >= 2);
    server.finish().unwrap();
}

#[test]
fn a_stopped_run_keeps_what_it_has_and_accuses_nobody() {
    let server = ReferenceServer::start(key(), RIGHT).unwrap();
    let mut plan = plan(Preset::Pairs, 10, Load::Open { rate_per_s: 1_000.0 });
    plan.duration = Duration::from_secs(3_600);
    let mut grants = grants_for(server.address(), server.started());
    let watch = Watch::default();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            while watch.acked.load(Ordering::Relaxed) < 50 {
                std::thread::yield_now();
            }
            watch.stop.store(true, Ordering::Relaxed);
        });
        run(&plan, &mut grants, &watch).unwrap()
    });
    assert!(outcome.interrupted);
    assert!(outcome.acked >= 50);
    assert_eq!((outcome.ledger.lost, outcome.ledger.duplicate), (0, 0));
    assert!(outcome.measured < plan.duration);
    server.finish().unwrap();
}

#[test]
fn too_many_messages_without_an_answer_end_the_load_as_an_overflow() {
    let script = Script { fault: Fault::Stall(Duration::from_millis(1_500)), every: 10 };
    let mut plan = plan(Preset::Pairs, 20, Load::Open { rate_per_s: 5_000.0 });
    plan.duration = Duration::from_secs(2);
    let (outcome, done) = run_against(script, &plan, 100);
    assert_eq!(outcome.send_queue_overflows, 1);
    assert!(outcome.measured < plan.duration);
    // What had been sent still arrived.
    check_clean(&outcome, &done, 1);
}

#[test]
fn plans_that_contradict_themselves_are_refused() {
    let good = plan(Preset::Pairs, 2, Load::Open { rate_per_s: 10.0 });
    let bad = [
        Plan { connections: 0, ..good.clone() },
        Plan { connections: 1, ..good.clone() },
        Plan { body_bytes: STAMP_BYTES - 1, ..good.clone() },
        Plan { ramp_per_s: 0.0, ..good.clone() },
        Plan { load: Load::Open { rate_per_s: -1.0 }, ..good.clone() },
        Plan { load: Load::Closed { window: 0 }, ..good.clone() },
        Plan { preset: Preset::Rooms { room_size: 1 }, ..good },
    ];
    for plan in bad {
        let mut grants = grants_for(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), Instant::now());
        let refused = run(&plan, &mut grants, &Watch::default()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
    }
}
