//! Whole runs against the reference server, told of each engine: nobody there, nobody answering, stopped from outside, too
//! much without an answer.
//!
//! Here an engine has room for a thousand messages without an answer (see its `limits`).

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wire::token::TokenKey;

use super::*;
use crate::grants_direct::{DirectGrants, DirectNode};
use crate::outcome::{LedgerTotals, Outcome};
use crate::plan::{EngineOptions, Load, Phase, Plan, Preset, Watch};
use crate::selftest::{Done, Fault, ReferenceServer, Script};
use crate::stamp::STAMP_BYTES;

pub(crate) fn key() -> TokenKey {
    TokenKey::new(&[3; 32]).unwrap()
}

pub(crate) fn plan(preset: Preset, connections: u32, load: Load) -> Plan {
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

pub(crate) fn grants_for(address: SocketAddrV4, read_at: Instant) -> DirectGrants {
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

fn run_against(engine: EngineName, script: Script, plan: &Plan) -> (Outcome, Done) {
    let server = ReferenceServer::start(key(), script).unwrap();
    let mut grants = grants_for(server.address(), server.started());
    let outcome = engine.engine()(plan, &mut grants, &Watch::default()).unwrap();
    (outcome, server.finish().unwrap())
}

pub(crate) const RIGHT: Script = Script { fault: Fault::None, every: 1 };

/// Everything sent was acknowledged and delivered, and nothing else happened.
#[track_caller]
pub(crate) fn check_clean(outcome: &Outcome, done: &Done, recipients: u64) {
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

/// Makes a test of each story with each engine.
macro_rules! told_of_each_engine {
    ($($story:ident)*) => {
        mod uring {
            $(#[test] fn $story() { super::$story(super::EngineName::Uring); })*
        }
        mod epoll {
            $(#[test] fn $story() { super::$story(super::EngineName::Epoll); })*
        }
    };
}

told_of_each_engine! {
    sources_are_used_in_turn_and_mixed_fleets_talk_both_ways
    idle_connections_send_their_heartbeats
    an_idle_run_may_begin_with_messages_and_rooms
    first_messages_that_do_not_arrive_end_the_run_with_their_number
    a_ramp_to_nobody_fails_with_its_reason_and_without_an_error
    a_ramp_that_gets_nowhere_ends_after_its_patience
    a_forged_token_is_refused_by_name
    a_stopped_run_keeps_what_it_has_and_accuses_nobody
    too_many_messages_without_an_answer_end_the_load_as_an_overflow
    plans_that_contradict_themselves_are_refused
    bursts_are_said_at_once_and_count_one_by_one
    a_closed_loop_in_bursts_loses_nothing
    connections_that_come_and_go_are_counted_as_logins
}

fn sources_are_used_in_turn_and_mixed_fleets_talk_both_ways(engine: EngineName) {
    let mut plan = plan(Preset::Mixed, 200, Load::Open { rate_per_s: 500.0 });
    plan.sources = vec![Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
    let (outcome, done) = run_against(engine, RIGHT, &plan);
    assert_eq!(outcome.ledger.sent, done.messages);
    let (private, room) = (&outcome.classes["private"], &outcome.classes["room"]);
    assert_eq!(private.response.len() + room.response.len(), 300);
    assert_eq!((room.response.len(), room.delivery.len()), (60, 60 * 99));
    assert_eq!(outcome.ledger.lost, 0);
}

fn idle_connections_send_their_heartbeats(engine: EngineName) {
    let mut plan = plan(Preset::Idle, 50, Load::None);
    // The reference server asks for one each second, and the first comes within the first interval.
    plan.duration = Duration::from_millis(1_300);
    let (outcome, _) = run_against(engine, RIGHT, &plan);
    assert!(outcome.heartbeats >= 50, "{}", outcome.heartbeats);
    assert_eq!(outcome.ledger, LedgerTotals::default());
}

fn an_idle_run_may_begin_with_messages_and_rooms(engine: EngineName) {
    let mut plan = plan(Preset::Idle, 50, Load::None);
    plan.duration = Duration::from_millis(10);
    plan.options.prime = 3;
    let (outcome, done) = run_against(engine, RIGHT, &plan);
    assert_eq!(done.messages, 150);
    check_clean(&outcome, &done, 1);
    assert_eq!((outcome.intended, outcome.sent, outcome.classes.len()), (0, 0, 0));
}

fn first_messages_that_do_not_arrive_end_the_run_with_their_number(engine: EngineName) {
    let mut plan = plan(Preset::Idle, 10, Load::None);
    plan.options.prime = 4;
    plan.options.raw = true; // Nobody pulls what was dropped.
    plan.ramp_stall_max = Duration::from_millis(300);
    let server = ReferenceServer::start(key(), Script { fault: Fault::Drop, every: 10 }).unwrap();
    let mut grants = grants_for(server.address(), server.started());
    let error = engine.engine()(&plan, &mut grants, &Watch::default()).unwrap_err();
    let words = error.to_string();
    assert!(words.starts_with("of the first 40 messages 3"), "{words}");
    server.finish().unwrap();
}

fn a_ramp_to_nobody_fails_with_its_reason_and_without_an_error(engine: EngineName) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
    drop(listener);
    let plan = plan(Preset::Pairs, 4, Load::Open { rate_per_s: 10.0 });
    let mut grants = grants_for(address, Instant::now());
    let watch = Watch::default();
    let outcome = engine.engine()(&plan, &mut grants, &watch).unwrap();
    assert_eq!((outcome.established, outcome.sent), (0, 0));
    // Six tries for each of them.
    assert_eq!(outcome.login_failures["connect: connection refused"], 6 * 4);
    assert_eq!(watch.phase(), Phase::Done);
}

fn a_ramp_that_gets_nowhere_ends_after_its_patience(engine: EngineName) {
    // Connects, and is never answered.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
    let mut plan = plan(Preset::Pairs, 4, Load::Open { rate_per_s: 10.0 });
    plan.ramp_stall_max = Duration::from_millis(200);
    let mut grants = grants_for(address, Instant::now());
    let outcome = engine.engine()(&plan, &mut grants, &Watch::default()).unwrap();
    assert_eq!(outcome.established, 0);
    assert_eq!(outcome.login_failures["no answer before the ramp was given up"], 4);
}

fn a_forged_token_is_refused_by_name(engine: EngineName) {
    let server = ReferenceServer::start(TokenKey::new(&[4; 32]).unwrap(), RIGHT).unwrap();
    let plan = plan(Preset::Pairs, 2, Load::Open { rate_per_s: 10.0 });
    let mut grants = grants_for(server.address(), server.started());
    let outcome = engine.engine()(&plan, &mut grants, &Watch::default()).unwrap();
    assert_eq!(outcome.established, 0);
    assert!(outcome.login_failures["goodbye: bad_token"] >= 2);
    server.finish().unwrap();
}

fn a_stopped_run_keeps_what_it_has_and_accuses_nobody(engine: EngineName) {
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
        engine.engine()(&plan, &mut grants, &watch).unwrap()
    });
    assert!(outcome.interrupted);
    assert!(outcome.acked >= 50);
    assert_eq!((outcome.ledger.lost, outcome.ledger.duplicate), (0, 0));
    assert!(outcome.measured < plan.duration);
    server.finish().unwrap();
}

fn too_many_messages_without_an_answer_end_the_load_as_an_overflow(engine: EngineName) {
    let script = Script { fault: Fault::Stall(Duration::from_millis(1_500)), every: 10 };
    let mut plan = plan(Preset::Pairs, 20, Load::Open { rate_per_s: 5_000.0 });
    plan.duration = Duration::from_secs(2);
    let (outcome, done) = run_against(engine, script, &plan);
    assert_eq!(outcome.send_queue_overflows, 1);
    assert!(outcome.measured < plan.duration);
    // What had been sent still arrived.
    check_clean(&outcome, &done, 1);
}

fn plans_that_contradict_themselves_are_refused(engine: EngineName) {
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
        let refused = engine.engine()(&plan, &mut grants, &Watch::default()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput, "{refused}");
    }
}

fn bursts_are_said_at_once_and_count_one_by_one(engine: EngineName) {
    let mut plan = plan(Preset::Pairs, 20, Load::Open { rate_per_s: 1_000.0 });
    plan.options.burst = 16;
    let (outcome, done) = run_against(engine, RIGHT, &plan);
    check_clean(&outcome, &done, 1);
    // 600 are due in the measured time, and the burst that begins in it is said to its end.
    assert_eq!((outcome.intended, outcome.sent, outcome.acked), (608, 608, 608));
}

fn a_closed_loop_in_bursts_loses_nothing(engine: EngineName) {
    let mut plan = plan(Preset::Rooms { room_size: 5 }, 30, Load::Closed { window: 64 });
    plan.options.burst = 16;
    let (outcome, done) = run_against(engine, RIGHT, &plan);
    check_clean(&outcome, &done, 4);
    assert_eq!(outcome.ledger.sent % 16, 0);
}

fn connections_that_come_and_go_are_counted_as_logins(engine: EngineName) {
    let mut plan = plan(Preset::Churn, 8, Load::None);
    plan.duration = Duration::from_millis(300);
    let (outcome, _) = run_against(engine, RIGHT, &plan);
    assert_eq!((outcome.established, outcome.ledger), (8, LedgerTotals::default()));
    // Everybody had come before the window began.
    assert!(outcome.window.logins > 0);
    assert!(outcome.disconnects.is_empty(), "{:?}", outcome.disconnects);
    assert!(outcome.login_failures.is_empty(), "{:?}", outcome.login_failures);
}
