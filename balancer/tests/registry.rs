//! The registry's promises as short stories; time is an argument, so nothing here waits.

use std::time::{Duration, Instant};

use balancer::ends::SessionEnd;
use balancer::limits::ENDS_KEPT;
use balancer::registry::{
    Load, PlaceError, Placement, RegisterError, Registration, Registry, Renewal, Report, Settings,
};
use wire::{Epoch, UserId, home_of_user};

const LEASE: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(2);
const TTL: Duration = Duration::from_secs(30);

/// A registry and the time that its story has reached.
struct Story {
    registry: Registry,
    now: Instant,
    next_user: u64,
}

impl Story {
    fn new() -> Self {
        let now = Instant::now();
        let settings = Settings { lease: LEASE, token_ttl: TTL, grace: GRACE };
        Self { registry: Registry::new(now, settings), now, next_user: 1 }
    }

    fn after(&mut self, span: Duration) -> &mut Self {
        self.now += span;
        self
    }

    fn register(&mut self, node: Registration) -> Result<(), RegisterError> {
        self.registry.register(self.now, node)
    }

    fn report(&mut self, node: &Registration, load: Load) -> Renewal {
        let report = Report {
            name: &node.name,
            incarnation: node.incarnation,
            mono_ms: 0,
            load,
            draining: false,
            ends_done: 0,
        };
        self.registry.report(self.now, report)
    }

    /// A report that confirms orders to end sessions; gives whom the node is told to end, and what to confirm next.
    fn report_ends(&mut self, node: &Registration, ends_done: u64) -> (Vec<u64>, u64) {
        let report = Report {
            name: &node.name,
            incarnation: node.incarnation,
            mono_ms: 0,
            load: Load::default(),
            draining: false,
            ends_done,
        };
        assert_eq!(self.registry.report(self.now, report), Renewal::Renewed);
        let told = self.registry.tell_ends(&node.name);
        (told.ends.iter().map(|end| end.user.0).collect(), told.number)
    }

    fn end(&mut self, user: u64, below: u64) -> usize {
        let end = SessionEnd { user: UserId(user), below: Epoch(below) };
        self.registry.end_sessions(self.now, end).unwrap()
    }

    fn place(&mut self) -> Result<Placement, PlaceError> {
        self.next_user += 1;
        self.registry.place(self.now, UserId(self.next_user), Epoch(1))
    }

    fn names(&mut self) -> Vec<String> {
        self.registry.nodes(self.now).map(|node| node.registration.name.clone()).collect()
    }
}

fn node(name: &str, incarnation: u64) -> Registration {
    Registration {
        name: name.to_owned(),
        host: "127.0.0.1".to_owned(),
        base_port: 4000,
        shard_ports: vec![4001, 4002, 4003],
        incarnation,
        mono_ms: 0,
        capacity: 1_000,
        load: Load::default(),
        draining: false,
        returning: false,
    }
}

fn load(sessions: u64, logins_total: u64) -> Load {
    Load { sessions, connections: sessions, logins_total }
}

#[test]
fn a_login_goes_to_the_port_where_its_user_lives_with_a_token_for_that_start_of_the_node() {
    let mut story = Story::new();
    story.register(Registration { mono_ms: 700, ..node("n1", 42) }).unwrap();
    story.after(Duration::from_millis(300));
    for user in 1..=50 {
        let placed = story.registry.place(story.now, UserId(user), Epoch(9)).unwrap();
        assert_eq!(placed.port, 4001 + home_of_user(UserId(user), 3).0);
        assert_eq!((placed.token.user, placed.token.epoch), (UserId(user), Epoch(9)));
        assert_eq!(placed.token.incarnation, 42);
        assert_eq!(placed.token.expires_ms, 700 + 300 + 30_000, "of the node's clock");
    }
}

#[test]
fn a_burst_does_not_pile_onto_one_node_and_reports_settle_what_arrived() {
    let mut story = Story::new();
    let (one, two) = (node("n1", 1), node("n2", 1));
    story.register(Registration { load: load(100, 100), ..one.clone() }).unwrap();
    story.register(two.clone()).unwrap();
    let first: Vec<_> = (0..300).map(|_| story.place().unwrap().node).collect();
    assert_eq!(first.iter().filter(|name| *name == "n2").count(), 200, "n1 has 100 already");

    // All arrived: sessions replace reservations, so nothing is counted twice.
    assert_eq!(story.report(&one, load(200, 200)), Renewal::Renewed);
    assert_eq!(story.report(&two, load(200, 200)), Renewal::Renewed);
    let held: Vec<_> =
        story.registry.nodes(story.now).map(|node| node.reservations.count()).collect();
    assert_eq!(held, [0, 0]);
}

#[test]
fn promises_that_nobody_takes_up_expire_with_their_tokens() {
    let mut story = Story::new();
    let only = Registration { capacity: 10, ..node("n1", 1) };
    story.register(only.clone()).unwrap();
    for _ in 0..10 {
        story.place().unwrap();
    }
    assert_eq!(story.place(), Err(PlaceError::Full));
    for _ in 0..TTL.as_secs() {
        story.after(Duration::from_secs(1));
        story.report(&only, Load::default());
    }
    assert!(story.place().is_ok());
}

#[test]
fn a_dead_node_is_gone_when_its_lease_ends_and_comes_back_as_a_new_incarnation() {
    let mut story = Story::new();
    story.register(node("n1", 7)).unwrap();
    story.after(LEASE - Duration::from_millis(1));
    assert!(story.place().is_ok(), "its lease still runs");
    story.after(Duration::from_millis(1));
    assert_eq!(story.place(), Err(PlaceError::NoNode));
    assert_eq!(story.registry.lapsed(), 1);

    story.register(node("n1", 8)).unwrap();
    assert_eq!(story.place().unwrap().token.incarnation, 8);
}

#[test]
fn a_node_that_restarts_faster_than_its_lease_replaces_itself() {
    let mut story = Story::new();
    let old = node("n1", 7);
    story.register(old.clone()).unwrap();
    story.place().unwrap();
    story.register(node("n1", 8)).unwrap();
    let held: Vec<_> = story.registry.nodes(story.now).map(|n| n.reservations.count()).collect();
    assert_eq!(held, [0], "places promised at the old start are void");
    assert_eq!(story.report(&old, Load::default()), Renewal::Superseded);
    assert_eq!(story.register(old), Err(RegisterError::Superseded));
    assert!(!story.registry.deregister(story.now, "n1", 7), "an old start's goodbye is ignored");
    assert_eq!(story.names(), ["n1"]);
}

#[test]
fn a_draining_node_gets_no_login_and_cannot_take_it_back() {
    let mut story = Story::new();
    let draining = node("n1", 1);
    story.register(draining.clone()).unwrap();
    assert!(story.registry.drain(story.now, "n1", 0));
    assert_eq!(story.place(), Err(PlaceError::NoNode));
    assert_eq!(story.report(&draining, Load::default()), Renewal::Renewed);
    assert_eq!(story.register(draining), Ok(()));
    assert_eq!(story.place(), Err(PlaceError::NoNode), "the same start stays draining");
    story.register(node("n2", 1)).unwrap();
    assert_eq!(story.place().unwrap().node, "n2");
}

#[test]
fn a_restarted_balancer_waits_until_its_nodes_are_back_instead_of_piling_onto_the_first() {
    let mut story = Story::new();
    let one = Registration { returning: true, load: load(400, 400), ..node("n1", 1) };
    let two = Registration { returning: true, load: load(390, 390), ..node("n2", 1) };
    assert_eq!(story.place(), Err(PlaceError::Learning), "no node is known yet");
    assert_eq!(story.report(&one, load(400, 400)), Renewal::Unknown, "register again");
    story.register(one).unwrap();
    assert_eq!(story.place(), Err(PlaceError::Learning));
    story.after(Duration::from_secs(1));
    story.register(two).unwrap();
    story.after(GRACE - Duration::from_secs(1));
    assert_eq!(story.place().unwrap().node, "n2");
}

#[test]
fn a_fresh_system_serves_as_soon_as_its_first_node_is_there() {
    let mut story = Story::new();
    assert_eq!(story.place(), Err(PlaceError::Learning));
    story.register(node("n1", 1)).unwrap();
    assert!(story.place().is_ok());
}

#[test]
fn registrations_are_bounded() {
    let mut story = Story::new();
    for index in 0..balancer::limits::NODES_MAX {
        story.register(node(&format!("n{index}"), 1)).unwrap();
    }
    assert_eq!(story.register(node("one-more", 1)), Err(RegisterError::TooMany));
    assert_eq!(story.register(node("n0", 2)), Ok(()), "a known name may come back");
}

#[test]
fn every_node_is_told_whose_sessions_end_until_it_has_confirmed() {
    let mut story = Story::new();
    let (one, two) = (node("n1", 1), node("n2", 1));
    assert_eq!(story.end(7, 3), 0, "nobody to wait for");
    story.register(one.clone()).unwrap();
    story.register(two.clone()).unwrap();
    assert_eq!(story.end(8, 5), 2);
    let (users, number) = story.report_ends(&one, 0);
    assert_eq!(users, [7, 8]);
    assert_eq!(story.report_ends(&one, 0), (users, number), "the answer may have been lost");
    assert_eq!(story.end(8, 5), 2, "heard is not done");
    assert_eq!(story.report_ends(&one, number), (vec![], number));
    assert_eq!(story.end(8, 5), 1);
    assert_eq!(story.report_ends(&two, number + 1), (vec![7, 8], number), "it cannot know of more");
    story.after(LEASE);
    assert_eq!(story.end(8, 5), 0, "a node without a lease is not waited for");
}

#[test]
fn a_node_that_comes_back_is_told_what_it_missed() {
    let mut story = Story::new();
    let one = node("n1", 1);
    story.register(one.clone()).unwrap();
    story.end(7, 3);
    let (_, number) = story.report_ends(&one, 0);
    story.report_ends(&one, number);
    story.after(LEASE);
    story.end(8, 3);
    story.register(Registration { returning: true, ..one.clone() }).unwrap();
    assert_eq!(story.report_ends(&one, 0).0, [7, 8]);
    story.after(ENDS_KEPT);
    story.register(one.clone()).unwrap();
    assert_eq!(story.report_ends(&one, 0).0, [0; 0], "no token of that time is good any more");
}

#[test]
fn a_session_that_was_ended_is_not_placed_by_a_login_that_was_under_way() {
    let mut story = Story::new();
    story.register(node("n1", 1)).unwrap();
    story.end(7, 5);
    let mut place = |user, epoch| story.registry.place(story.now, UserId(user), Epoch(epoch));
    assert_eq!(place(7, 4), Err(PlaceError::Ended));
    assert!(place(7, 5).is_ok());
    assert!(place(8, 1).is_ok());
}
