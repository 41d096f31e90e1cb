//! The floor under loadgen's ledger: it is no measure if it loses, mixes or forges anything.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
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
fn what_is_forwarded_without_acknowledgement_arrives_too() {
    let mut plan = plan(Preset::Pairs, Load::Closed { window: 64 });
    plan.options.no_acks = true;
    check_clean(&run(&plan, floor("forward --max 20")), 1);
}

#[test]
fn an_echo_is_what_was_said() {
    let mut stream = TcpStream::connect(floor("echo --max 20")).unwrap();
    let mut answer = [0; 16];
    stream.write_all(b"L\x07\0\0\0").unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[0], b'R');
    let said: Vec<u8> = (0..3).flat_map(|n| [&b"M"[..], &[b'0' + n; 128]].concat()).collect();
    stream.write_all(&said).unwrap();
    let mut heard = vec![0; said.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, said);
}

#[test]
fn who_breaks_the_wire_is_closed_alone() {
    let floor = floor("login --max 20");
    let mut good = TcpStream::connect(floor).unwrap();
    for bad in [&b"X\0\0\0\0"[..], b"L\xff\xff\xff\xff", b"too much for a login"] {
        let mut stream = TcpStream::connect(floor).unwrap();
        stream.write_all(bad).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "closed or reset");
    }
    good.write_all(b"L\0\0\0\0").unwrap();
    let mut answer = [0; 16];
    good.read_exact(&mut answer).unwrap();
    assert_eq!(answer[0], b'R');
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
