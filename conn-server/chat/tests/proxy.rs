//! The header of a proxy in front of a connection: taken where it may be, whole or torn, and nowhere else.

mod common;

use std::net::SocketAddr;

use chat::{ProxyHeader, ProxyHeaders};
use common::{Seen, World, WorldConfig};
use wire::CloseReason;

fn world(proxy_headers: ProxyHeaders) -> World {
    World::new(WorldConfig { proxy_headers, ..WorldConfig::default() })
}

fn header() -> Vec<u8> {
    let source: SocketAddr = "203.0.113.7:50000".parse().unwrap();
    ProxyHeader::write(source, "127.0.0.1:4000".parse().unwrap())
}

/// Connects and sends these bytes and a login, so many at a time.
fn open(world: &mut World, first: &[u8], chunk: usize) -> Vec<Seen> {
    world.chunk = chunk;
    let link = world.connect(0);
    let token = world.token(7);
    let peer = world.peer(link);
    peer.outgoing.extend_from_slice(first);
    peer.login(&token);
    world.run();
    world.peer(link).news()
}

fn is_welcome(news: &[Seen]) -> bool {
    matches!(news, [Seen::Welcome { .. }])
}

#[test]
fn a_header_torn_at_every_byte_is_taken() {
    for mode in [ProxyHeaders::Optional, ProxyHeaders::Required] {
        for chunk in 1..=header().len() + 1 {
            let mut world = world(mode);
            let news = open(&mut world, &header(), chunk);
            assert!(is_welcome(&news), "{mode:?}, {chunk}: {news:?}");
            assert_eq!(world.shard(0).counters().proxied, 1);
        }
    }
}

#[test]
fn without_a_header_only_those_that_may_are_served() {
    assert!(is_welcome(&open(&mut world(ProxyHeaders::Refused), &[], 1000)));
    assert!(is_welcome(&open(&mut world(ProxyHeaders::Optional), &[], 1000)));
    let mut strict = world(ProxyHeaders::Required);
    let news = open(&mut strict, &[], 1000);
    assert_eq!(news, [Seen::goodbye(CloseReason::Violation)]);
    assert_eq!(strict.shard(0).counters().violations_proxy, 1);
}

#[test]
fn a_header_where_anybody_could_write_one_is_garbage() {
    let news = open(&mut world(ProxyHeaders::Refused), &header(), 1000);
    assert_eq!(news, [Seen::goodbye(CloseReason::Violation)]);
}

#[test]
fn nobody_behind_a_proxy_can_send_a_header_of_its_own() {
    let twice = [header(), header()].concat();
    for chunk in [1, 28, 1000] {
        let news = open(&mut world(ProxyHeaders::Optional), &twice, chunk);
        assert_eq!(news, [Seen::goodbye(CloseReason::Violation)]);
    }
}

#[test]
fn what_begins_like_a_header_and_is_none_is_a_violation() {
    let mut bad = header();
    bad[13] = 0x13;
    for chunk in [1, 14, 1000] {
        let mut world = world(ProxyHeaders::Optional);
        assert_eq!(open(&mut world, &bad, chunk), [Seen::goodbye(CloseReason::Violation)]);
        assert_eq!(world.shard(0).counters().violations_proxy, 1);
    }
}

#[test]
fn a_proxy_that_says_nothing_is_let_go() {
    let mut world = world(ProxyHeaders::Required);
    let link = world.connect(0);
    world.peer(link).outgoing.extend_from_slice(&header()[..20]);
    world.run();
    world.pass(std::time::Duration::from_secs(6));
    assert_eq!(world.peer(link).news(), [Seen::goodbye(CloseReason::LoginTimeout)]);
}
