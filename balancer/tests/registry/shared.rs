//! What only a registry in a Redis can do: several balancers at once, and one that goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use balancer::keeper::{Clock, Keeper};
use balancer::redis::{Away, Link};
use balancer::registry::{Load, PlaceError, Registration, Renewal, Report, Settings};
use tokio::task::JoinSet;
use wire::{Epoch, UserId};

use crate::story::{GRACE, LEASE, Server, TTL, load, node};

/// Longer than any test takes, but for the time that a balancer that was restarted waits for its nodes.
const SETTINGS: Settings =
    Settings { lease: Duration::from_secs(600), token_ttl: TTL, grace: GRACE };

/// How often something is looked at that takes some time.
const LOOK: Duration = Duration::from_millis(5);

fn balancer(server: &Server) -> Arc<Keeper> {
    Arc::new(server.keeper(Clock::Real, SETTINGS))
}

/// As balancers are: with a deadline that a frozen Redis exceeds.
fn hasty(server: &Server) -> Keeper {
    Keeper::in_redis(Link::new(&server.redis.url()).unwrap(), Clock::Real, SETTINGS)
}

async fn report(keeper: &Keeper, node: &Registration, load: Load) -> Result<Renewal, Away> {
    let report = Report {
        name: &node.name,
        incarnation: node.incarnation,
        mono_ms: 0,
        load,
        draining: false,
        ends_done: 0,
    };
    Ok(keeper.report(report).await?.0)
}

/// A burst at one balancer; how many each of these nodes got.
async fn burst(keeper: Arc<Keeper>, first: u64, logins: u64) -> Vec<String> {
    let mut under_way = JoinSet::new();
    for user in first..first + logins {
        let keeper = Arc::clone(&keeper);
        under_way.spawn(async move { keeper.place(UserId(user), Epoch(1)).await.unwrap() });
    }
    let placed = under_way.join_all().await;
    placed.into_iter().map(|placed| placed.unwrap().node).collect()
}

#[tokio::test]
async fn two_balancers_never_fill_a_node_beyond_its_capacity_together() {
    let server = Server::new();
    let (one, two) = (balancer(&server), balancer(&server));
    for (name, capacity) in [("n1", 100), ("n2", 200), ("n3", 300)] {
        one.register(Registration { capacity, ..node(name, 1) }).await.unwrap().unwrap();
    }
    let bursts = [burst(Arc::clone(&one), 1, 150), burst(Arc::clone(&two), 1_000, 150)];
    let [first, second] = bursts.map(tokio::spawn);
    let placed = [first.await.unwrap(), second.await.unwrap()].concat();
    let count = |name: &str| placed.iter().filter(|placed| *placed == name).count();
    assert_eq!(["n1", "n2", "n3"].map(count), [50, 100, 150], "by capacity, over both");

    let bursts = [burst(Arc::clone(&one), 2_000, 100), burst(Arc::clone(&two), 3_000, 200)];
    let [first, second] = bursts.map(tokio::spawn);
    let placed = [first.await.unwrap(), second.await.unwrap()].concat();
    let count = |name: &str| placed.iter().filter(|placed| *placed == name).count();
    assert_eq!(["n1", "n2", "n3"].map(count), [50, 100, 150]);
    for keeper in [&one, &two] {
        let full = keeper.place(UserId(9_999), Epoch(1)).await.unwrap();
        assert_eq!(full, Err(PlaceError::Full));
    }
    // A report to one of them makes room at both.
    let arrived = load(50, 100);
    assert_eq!(report(&one, &node("n1", 1), arrived).await, Ok(Renewal::Renewed));
    assert_eq!(two.place(UserId(9_999), Epoch(1)).await.unwrap().unwrap().node, "n1");
}

#[tokio::test]
async fn what_one_balancer_was_told_another_knows_at_once() {
    let server = Server::new();
    let one = balancer(&server);
    let returning = Registration { returning: true, load: load(7, 7), ..node("n1", 5) };
    one.register(returning.clone()).await.unwrap().unwrap();
    drop(one);
    // Started now, with nodes that were known before: nothing to wait for. In its own memory it would be learning.
    let settings = Settings { grace: Duration::from_secs(600), ..SETTINGS };
    let two = server.keeper(Clock::Real, settings);
    assert_eq!(report(&two, &returning, load(8, 8)).await, Ok(Renewal::Renewed));
    let seen = two.look().await.unwrap();
    assert_eq!(seen.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["n1"]);
    assert!(two.drain("n1", 0).await.unwrap());
    let three = balancer(&server);
    let none = three.place(UserId(1), Epoch(1)).await.unwrap();
    assert!(matches!(none, Err(PlaceError::NoNode | PlaceError::Learning)), "{none:?}");
}

#[tokio::test]
async fn a_lease_ends_by_the_clock_of_the_redis() {
    let server = Server::new();
    let settings = Settings { lease: Duration::from_millis(30), ..SETTINGS };
    let keeper = server.keeper(Clock::Real, settings);
    keeper.register(node("n1", 1)).await.unwrap().unwrap();
    while keeper.look().await.unwrap().lapsed == 0 {
        tokio::time::sleep(LOOK).await;
    }
    assert_eq!(report(&keeper, &node("n1", 1), Load::default()).await, Ok(Renewal::Unknown));
}

#[tokio::test]
async fn a_redis_that_freezes_or_dies_is_answered_for_at_once_and_found_again_even_empty() {
    let mut server = Server::new();
    let keeper = hasty(&server);
    let one = node("n1", 1);
    until_answered(async || keeper.register(one.clone()).await).await.unwrap();

    server.redis.freeze().unwrap();
    let late = keeper.place(UserId(1), Epoch(1)).await.unwrap_err();
    assert!(matches!(late, Away::Late(_)), "{late:?}");
    let paused = keeper.place(UserId(1), Epoch(1)).await.unwrap_err();
    assert!(matches!(paused, Away::Paused(_) | Away::Late(_)), "{paused:?}");
    assert!(keeper.link().unwrap().is_failing());
    server.redis.thaw().unwrap();
    let placed = until_answered(async || keeper.place(UserId(1), Epoch(1)).await).await;
    assert_eq!(placed.unwrap().node, "n1", "with all that it had");

    server.redis.kill();
    let gone = until_not_paused(async || keeper.place(UserId(1), Epoch(1)).await).await;
    assert!(matches!(gone, Away::Unreachable { .. }), "{gone:?}");
    assert!(gone.to_string().contains("--redis"), "{gone}");
    server.redis.restart().unwrap();
    let again = until_answered(async || report(&keeper, &one, Load::default()).await).await;
    assert_eq!(again, Renewal::Unknown, "it is to register again");
    let returning = Registration { returning: true, ..one };
    until_answered(async || keeper.register(returning.clone()).await).await.unwrap();
    loop {
        match until_answered(async || keeper.place(UserId(1), Epoch(1)).await).await {
            Ok(placed) => break assert_eq!(placed.node, "n1"),
            // Other nodes are given the time to come back too.
            Err(error) => assert_eq!(error, PlaceError::Learning),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks until there is an answer.
async fn until_answered<T>(ask: impl AsyncFn() -> Result<T, Away>) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Asks until it was really asked, and in vain.
async fn until_not_paused<T>(ask: impl AsyncFn() -> Result<T, Away>) -> Away {
    loop {
        match ask().await {
            Ok(_) | Err(Away::Paused(_)) => tokio::time::sleep(LOOK).await,
            Err(away) => return away,
        }
    }
}

#[tokio::test]
async fn nothing_of_a_registry_stays_for_ever() {
    let server = Server::new();
    let keeper = balancer(&server);
    keeper.register(node("n1", 1)).await.unwrap().unwrap();
    keeper.place(UserId(1), Epoch(1)).await.unwrap().unwrap();
    let end = balancer::ends::SessionEnd { user: UserId(2), below: Epoch(2) };
    keeper.end_sessions(end).await.unwrap().unwrap();
    report(&keeper, &node("n1", 1), Load::default()).await.unwrap();
    let script = "local all = redis.call('KEYS', '*') \
                  for _, key in ipairs(all) do if redis.call('PTTL', key) < 0 then return key end end \
                  return tostring(#all)";
    assert_eq!(server.redis.run(&["EVAL", script, "0"]).unwrap(), "8", "keys, each with an end");
    assert!(LEASE < balancer::limits::REGISTRY_KEPT);
}
