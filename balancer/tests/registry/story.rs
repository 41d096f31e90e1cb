//! A registry somewhere, and the time that its story has reached.

use std::sync::Arc;
use std::time::Duration;

use balancer::ends::SessionEnd;
use balancer::keeper::{Clock, Keeper, ToldClock};
use balancer::redis::{Link, PrivateRedis};
use balancer::registry::{
    Load, PlaceError, Placement, RegisterError, Registration, Renewal, Report, Settings,
};
use tempfile::TempDir;
use wire::{Epoch, UserId};

pub(crate) const LEASE: Duration = Duration::from_secs(5);
pub(crate) const GRACE: Duration = Duration::from_secs(2);
pub(crate) const TTL: Duration = Duration::from_secs(30);

pub(crate) const SETTINGS: Settings = Settings { lease: LEASE, token_ttl: TTL, grace: GRACE };

/// What is promised must not depend on how busy this machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Redis, and the directory that it is in.
pub(crate) struct Server {
    pub(crate) redis: PrivateRedis,
    _dir: TempDir,
}

impl Server {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { redis: PrivateRedis::start(dir.path()).unwrap(), _dir: dir }
    }

    pub(crate) fn cluster() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { redis: PrivateRedis::start_cluster(dir.path()).unwrap(), _dir: dir }
    }

    pub(crate) fn keeper(&self, clock: Clock, settings: Settings) -> Keeper {
        let link = Link::with_deadline(&self.redis.url(), PATIENCE).unwrap();
        Keeper::in_redis(link, clock, settings)
    }
}

pub(crate) struct Story {
    pub(crate) keeper: Keeper,
    clock: ToldClock,
    next_user: u64,
    _server: Option<Arc<Server>>,
}

impl Story {
    pub(crate) fn in_memory() -> Self {
        let clock = ToldClock::new();
        let keeper = Keeper::in_memory(Clock::Told(clock.clone()), SETTINGS);
        Self { keeper, clock, next_user: 1, _server: None }
    }

    pub(crate) fn in_redis() -> Self {
        Self::at(&Arc::new(Server::new()))
    }

    pub(crate) fn at(server: &Arc<Server>) -> Self {
        let clock = ToldClock::new();
        let keeper = server.keeper(Clock::Told(clock.clone()), SETTINGS);
        Self { keeper, clock, next_user: 1, _server: Some(Arc::clone(server)) }
    }

    pub(crate) fn after(&self, span: Duration) {
        self.clock.advance(span);
    }

    pub(crate) async fn register(&self, node: Registration) -> Result<(), RegisterError> {
        self.keeper.register(node).await.unwrap()
    }

    pub(crate) async fn report(&self, node: &Registration, load: Load) -> Renewal {
        let report = Report { load, ..report(node) };
        self.keeper.report(report).await.unwrap().0
    }

    /// A report that confirms orders to end sessions; gives whom the node is told to end, and what to confirm next.
    pub(crate) async fn report_ends(&self, node: &Registration, ends_done: u64) -> (Vec<u64>, u64) {
        let report = Report { ends_done, ..report(node) };
        let (renewal, told) = self.keeper.report(report).await.unwrap();
        assert_eq!(renewal, Renewal::Renewed);
        (told.ends.iter().map(|end| end.user.0).collect(), told.number)
    }

    pub(crate) async fn end(&self, user: u64, below: u64) -> usize {
        let end = SessionEnd { user: UserId(user), below: Epoch(below) };
        self.keeper.end_sessions(end).await.unwrap().unwrap()
    }

    pub(crate) async fn place(&mut self) -> Result<Placement, PlaceError> {
        self.next_user += 1;
        self.place_user(self.next_user, 1).await
    }

    pub(crate) async fn place_user(&self, user: u64, epoch: u64) -> Result<Placement, PlaceError> {
        self.keeper.place(UserId(user), Epoch(epoch)).await.unwrap()
    }

    /// So many logins; gives how many went to each of these nodes.
    pub(crate) async fn spread<const N: usize>(
        &mut self,
        logins: usize,
        names: [&str; N],
    ) -> [usize; N] {
        let mut counts = [0; N];
        for _ in 0..logins {
            let placed = self.place().await.unwrap().node;
            counts[names.iter().position(|name| *name == placed).unwrap()] += 1;
        }
        counts
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        let seen = self.keeper.look().await.unwrap();
        seen.nodes.into_iter().map(|node| node.name).collect()
    }

    pub(crate) async fn held(&self) -> Vec<u64> {
        let seen = self.keeper.look().await.unwrap();
        seen.nodes.iter().map(|node| node.reservations).collect()
    }
}

const fn report(node: &Registration) -> Report<'_> {
    Report {
        name: node.name.as_str(),
        incarnation: node.incarnation,
        mono_ms: 0,
        load: Load { sessions: 0, connections: 0, logins_total: 0 },
        draining: false,
        ends_done: 0,
    }
}

pub(crate) fn node(name: &str, incarnation: u64) -> Registration {
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

pub(crate) const fn load(sessions: u64, logins_total: u64) -> Load {
    Load { sessions, connections: sessions, logins_total }
}
