//! The promises of the shared state, the same for both places where it can be; and what only several processes need.

use std::time::Duration;

use balancer::redis::PrivateRedis;
use tempfile::TempDir;

use super::*;
use crate::limits::CODE_ATTEMPTS_MAX;

/// An interval that no test outlives.
const RATE: Rate = Rate::new("test", 2, Duration::from_secs(1_000));
/// How often something is looked at that takes some time.
const LOOK: Duration = Duration::from_millis(5);
const BOB: &str = "bob@example.org";
const EVE: &str = "eve@example.org";

/// A Redis, and the directory that it is in.
struct Server {
    redis: PrivateRedis,
    _dir: TempDir,
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { redis: PrivateRedis::start(dir.path()).unwrap(), _dir: dir }
    }

    /// One that refuses what a cluster refuses.
    fn cluster() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { redis: PrivateRedis::start_cluster(dir.path()).unwrap(), _dir: dir }
    }

    /// Patient: what is promised must not depend on how busy this machine is.
    fn shared(&self) -> Shared {
        let link = Link::with_deadline(&self.redis.url(), Duration::from_secs(60)).unwrap();
        Shared::at(Place::Redis(Redis(link)))
    }

    /// As gateways are.
    fn hasty(&self) -> Shared {
        Shared::in_redis(&self.redis.url()).unwrap()
    }
}

fn is_held(taken: Result<(), Refusal>) -> bool {
    matches!(taken, Err(Refusal::Wait(Wait(wait))) if wait > Duration::from_secs(900))
}

async fn each_subject_has_its_own_burst_and_may_get_it_back(shared: &Shared) {
    for subject in [BOB, EVE] {
        assert_eq!(shared.take(&RATE, subject).await, Ok(()));
        assert_eq!(shared.take(&RATE, subject).await, Ok(()));
        assert!(is_held(shared.take(&RATE, subject).await));
        assert!(is_held(shared.peek(&RATE, subject).await));
    }
    assert_eq!(shared.peek(&RATE, "carol").await, Ok(()));
    shared.give_back(&RATE, "carol").await;
    shared.give_back(&RATE, BOB).await;
    assert_eq!(shared.peek(&RATE, BOB).await, Ok(()), "a look takes nothing");
    assert_eq!(shared.take(&RATE, BOB).await, Ok(()));
    assert!(is_held(shared.take(&RATE, BOB).await));
    for _ in 0..3 {
        shared.give_back(&RATE, BOB).await;
    }
    for _ in 0..2 {
        assert_eq!(shared.take(&RATE, BOB).await, Ok(()), "no more than a burst comes back");
    }
    assert!(is_held(shared.take(&RATE, BOB).await));
    shared.forget(&RATE, EVE).await;
    assert_eq!(shared.take(&RATE, EVE).await, Ok(()));
    let other = Rate::new("other", 1, Duration::from_secs(1_000));
    assert_eq!(shared.take(&other, BOB).await, Ok(()), "bounds do not meet");
}

async fn a_code_is_good_for_its_subject_until_it_is_used_replaced_or_guessed_at(shared: &Shared) {
    let (right, wrong) = ([1; 32], [9; 32]);
    assert_eq!(shared.try_code(BOB, right).await, Ok(CodeVerdict::Unknown));
    assert_eq!(shared.drop_code(BOB).await, Ok(false));
    shared.put_code(BOB, right).await.unwrap();
    assert_eq!(shared.try_code(BOB, right).await, Ok(CodeVerdict::Right));
    assert_eq!(shared.try_code(BOB, right).await, Ok(CodeVerdict::Right), "trying uses nothing up");
    assert_eq!(shared.try_code(EVE, right).await, Ok(CodeVerdict::Unknown));
    for _ in 0..CODE_ATTEMPTS_MAX {
        assert_eq!(shared.try_code(BOB, wrong).await, Ok(CodeVerdict::Wrong));
    }
    assert_eq!(shared.try_code(BOB, right).await, Ok(CodeVerdict::Unknown), "void");
    shared.put_code(BOB, [2; 32]).await.unwrap();
    assert_eq!(shared.try_code(BOB, right).await, Ok(CodeVerdict::Wrong), "replaced");
    assert_eq!(shared.try_code(BOB, [2; 32]).await, Ok(CodeVerdict::Right));
    assert_eq!(shared.drop_code(BOB).await, Ok(true));
    assert_eq!(shared.drop_code(BOB).await, Ok(false), "of two one is told so");
    assert_eq!(shared.try_code(BOB, [2; 32]).await, Ok(CodeVerdict::Unknown));
}

#[tokio::test]
async fn rates_are_the_same_wherever_they_are() {
    let (server, cluster) = (Server::new(), Server::cluster());
    for shared in [Shared::in_memory(), server.shared(), cluster.shared()] {
        each_subject_has_its_own_burst_and_may_get_it_back(&shared).await;
    }
}

#[tokio::test]
async fn codes_are_the_same_wherever_they_are() {
    let (server, cluster) = (Server::new(), Server::cluster());
    for shared in [Shared::in_memory(), server.shared(), cluster.shared()] {
        a_code_is_good_for_its_subject_until_it_is_used_replaced_or_guessed_at(&shared).await;
    }
}

#[tokio::test]
async fn time_gives_back_what_was_taken() {
    let server = Server::new();
    let quick = Rate::new("quick", 1, Duration::from_millis(20));
    for shared in [Shared::in_memory(), server.shared()] {
        assert_eq!(shared.take(&quick, BOB).await, Ok(()));
        while shared.take(&quick, BOB).await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[tokio::test]
async fn what_one_gateway_counts_and_keeps_counts_for_all() {
    let server = Server::new();
    let (one, other) = (server.shared(), server.shared());
    one.take(&RATE, BOB).await.unwrap();
    other.take(&RATE, BOB).await.unwrap();
    assert!(is_held(one.take(&RATE, BOB).await) && is_held(other.peek(&RATE, BOB).await));
    one.put_code(BOB, [1; 32]).await.unwrap();
    assert_eq!(other.try_code(BOB, [1; 32]).await, Ok(CodeVerdict::Right));
    assert_eq!(other.drop_code(BOB).await, Ok(true));
    assert_eq!(one.drop_code(BOB).await, Ok(false));
}

#[tokio::test]
async fn every_key_ends_by_itself_and_says_nothing() {
    let server = Server::new();
    let shared = server.shared();
    for _ in 0..3 {
        let _ = shared.take(&RATE, BOB).await;
    }
    shared.give_back(&RATE, BOB).await;
    shared.put_code(BOB, [1; 32]).await.unwrap();
    let _ = shared.try_code(BOB, [2; 32]).await;
    let keys =
        server.redis.run(&["EVAL", "return table.concat(redis.call('KEYS', '*'), ' ')", "0"]);
    let keys = keys.unwrap();
    assert!(!keys.contains("bob") && keys.split(' ').count() == 2, "{keys}");
    for key in keys.split(' ') {
        assert!(key.starts_with("ringline:{") && key.ends_with('}'), "{key}");
        let life = server.redis.run(&["PTTL", key]).unwrap();
        let life = life.trim_matches(|letter: char| !letter.is_ascii_digit() && letter != '-');
        let life: i64 = life.parse().unwrap();
        let longest = if key.contains("code:") { 180_000 } else { 2_000_000 };
        assert!(life > 0 && life <= longest, "{key}: {life}");
    }
}

/// What every operation answers while nobody knows.
async fn nothing_is_granted(shared: &Shared) {
    assert_eq!(shared.take(&RATE, EVE).await, Err(Refusal::Away));
    assert_eq!(shared.peek(&RATE, EVE).await, Err(Refusal::Away));
    assert_eq!(shared.put_code(BOB, [1; 32]).await, Err(NotKept::Away));
    assert_eq!(shared.try_code(BOB, [1; 32]).await, Err(Away));
    assert_eq!(shared.drop_code(BOB).await, Err(Away));
    assert!(shared.is_failing());
}

/// Asks until there is an answer; an outage test would hang where there never is one.
async fn answers_again(shared: &Shared) {
    while shared.peek(&RATE, "carol").await == Err(Refusal::Away) {
        tokio::time::sleep(LOOK).await;
    }
    assert!(!shared.is_failing());
}

#[tokio::test]
async fn a_redis_that_is_away_grants_nothing_and_is_found_again() {
    let mut server = Server::new();
    let shared = server.shared();
    for _ in 0..2 {
        shared.take(&RATE, BOB).await.unwrap();
    }
    shared.put_code(BOB, [1; 32]).await.unwrap();

    // Frozen: it comes back with all that it had.
    let hasty = server.hasty();
    answers_again(&hasty).await;
    server.redis.freeze().unwrap();
    nothing_is_granted(&hasty).await;
    server.redis.thaw().unwrap();
    answers_again(&hasty).await;
    assert!(is_held(shared.take(&RATE, BOB).await), "still locked out");
    assert_eq!(shared.try_code(BOB, [1; 32]).await, Ok(CodeVerdict::Right));

    // Gone: it comes back with nothing.
    server.redis.kill();
    nothing_is_granted(&shared).await;
    server.redis.restart().unwrap();
    answers_again(&shared).await;
    assert_eq!(shared.try_code(BOB, [1; 32]).await, Ok(CodeVerdict::Unknown));
    assert_eq!(shared.take(&RATE, BOB).await, Ok(()));
}

#[tokio::test]
async fn a_restart_that_nobody_looked_at_costs_no_request() {
    let mut server = Server::new();
    let shared = server.shared();
    shared.take(&RATE, BOB).await.unwrap();
    server.redis.restart().unwrap();
    assert_eq!(shared.take(&RATE, BOB).await, Ok(()), "on a new connection at once");
}

#[tokio::test]
async fn a_redis_without_memory_left_locks_everybody_out_rather_than_nobody() {
    let server = Server::new();
    let shared = server.shared();
    shared.take(&RATE, BOB).await.unwrap();
    server.redis.run(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    assert_eq!(shared.take(&RATE, EVE).await, Err(Refusal::Away));
    assert_eq!(shared.put_code(BOB, [1; 32]).await, Err(NotKept::Away));
    server.redis.run(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert_eq!(shared.take(&RATE, EVE).await, Ok(()));
}
