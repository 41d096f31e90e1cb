//! Where the registry is: in this process, which then is the only balancer, or in a Redis, which several balancers share and
//! any of them answers from.
//!
//! The operations and what they promise are the same; the tests of one are the tests of the other.

mod clock;
mod redis;

use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::registry::Registry as Page;
use wire::{Epoch, UserId};

pub use self::clock::{Clock, ToldClock};
use self::redis::Remote;
use crate::convert;
use crate::ends::{EndsFull, SessionEnd, Told};
use crate::proto::{Load, NodeInfo, NodeState};
use crate::redis::{Away, Link};
use crate::registry::{
    PlaceError, Placement, RegisterError, Registration, Registry, Renewal, Report, Settings,
};

/// Keeps the registry.
#[derive(Debug)]
pub struct Keeper {
    place: Place,
    clock: Clock,
}

#[derive(Debug)]
enum Place {
    Memory(Mutex<Registry>),
    Redis(Remote),
}

/// The registry as a whole, for a page of figures.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Leases that ended without a goodbye.
    pub lapsed: u64,
    /// Orders to end sessions that grew too old before every node had confirmed them.
    pub ends_lapsed: u64,
    /// Orders to end sessions that are kept for nodes.
    pub ends: u64,
    /// Every node that holds a lease, by name.
    pub nodes: Vec<NodeInfo>,
}

/// What came of a question to whoever keeps the registry: its answer, unless there is none.
pub type Kept<T> = Result<T, Away>;

impl Keeper {
    /// In this process.
    #[must_use]
    pub fn in_memory(clock: Clock, settings: Settings) -> Self {
        let registry = Registry::new(clock.now(), settings);
        Self { place: Place::Memory(Mutex::new(registry)), clock }
    }

    /// In a Redis, which need not be there yet.
    #[must_use]
    pub const fn in_redis(link: Link, clock: Clock, settings: Settings) -> Self {
        Self { place: Place::Redis(Remote::new(link, settings)), clock }
    }

    /// What it was told.
    #[must_use]
    pub fn settings(&self) -> Settings {
        match &self.place {
            Place::Memory(registry) => lock(registry).settings(),
            Place::Redis(remote) => remote.settings(),
        }
    }

    /// From now on, for what is granted and renewed from now on.
    pub fn set_settings(&self, settings: Settings) {
        match &self.place {
            Place::Memory(registry) => lock(registry).set_settings(settings),
            Place::Redis(remote) => remote.set_settings(settings),
        }
    }

    /// The Redis, if there is one.
    #[must_use]
    pub const fn link(&self) -> Option<&Link> {
        match &self.place {
            Place::Memory(_) => None,
            Place::Redis(remote) => Some(remote.link()),
        }
    }

    /// See [`Registry::register`].
    ///
    /// # Errors
    /// See [`Away`]; within it, [`RegisterError`].
    pub async fn register(&self, node: Registration) -> Kept<Result<(), RegisterError>> {
        match &self.place {
            Place::Memory(registry) => Ok(lock(registry).register(self.clock.now(), node)),
            Place::Redis(remote) => remote.register(&self.clock, node).await,
        }
    }

    /// See [`Registry::report`]; and what the node is to end, see [`Registry::tell_ends`].
    ///
    /// # Errors
    /// See [`Away`].
    pub async fn report(&self, report: Report<'_>) -> Kept<(Renewal, Told)> {
        match &self.place {
            Place::Memory(registry) => {
                let mut registry = lock(registry);
                Ok(match registry.report(self.clock.now(), report) {
                    Renewal::Renewed => (Renewal::Renewed, registry.tell_ends(report.name)),
                    other @ (Renewal::Unknown | Renewal::Superseded) => (other, Told::default()),
                })
            }
            Place::Redis(remote) => remote.report(&self.clock, report).await,
        }
    }

    /// See [`Registry::drain`].
    ///
    /// # Errors
    /// See [`Away`].
    pub async fn drain(&self, name: &str, incarnation: u64) -> Kept<bool> {
        match &self.place {
            Place::Memory(registry) => {
                Ok(lock(registry).drain(self.clock.now(), name, incarnation))
            }
            Place::Redis(remote) => remote.drain(&self.clock, name, incarnation).await,
        }
    }

    /// See [`Registry::deregister`].
    ///
    /// # Errors
    /// See [`Away`].
    pub async fn deregister(&self, name: &str, incarnation: u64) -> Kept<bool> {
        match &self.place {
            Place::Memory(registry) => {
                Ok(lock(registry).deregister(self.clock.now(), name, incarnation))
            }
            Place::Redis(remote) => remote.deregister(&self.clock, name, incarnation).await,
        }
    }

    /// See [`Registry::place`].
    ///
    /// # Errors
    /// See [`Away`]; within it, [`PlaceError`].
    pub async fn place(&self, user: UserId, epoch: Epoch) -> Kept<Result<Placement, PlaceError>> {
        match &self.place {
            Place::Memory(registry) => Ok(lock(registry).place(self.clock.now(), user, epoch)),
            Place::Redis(remote) => remote.place(&self.clock, user, epoch).await,
        }
    }

    /// See [`Registry::end_sessions`].
    ///
    /// # Errors
    /// See [`Away`]; within it, [`EndsFull`].
    pub async fn end_sessions(&self, end: SessionEnd) -> Kept<Result<usize, EndsFull>> {
        match &self.place {
            Place::Memory(registry) => Ok(lock(registry).end_sessions(self.clock.now(), end)),
            Place::Redis(remote) => remote.end_sessions(&self.clock, end).await,
        }
    }

    /// Everything that there is to see.
    ///
    /// # Errors
    /// See [`Away`].
    pub async fn look(&self) -> Kept<Overview> {
        match &self.place {
            Place::Memory(registry) => {
                let (mut registry, now) = (lock(registry), self.clock.now());
                let nodes = registry.nodes(now).map(|node| convert::node_info(now, node)).collect();
                Ok(Overview {
                    lapsed: registry.lapsed(),
                    ends_lapsed: registry.ends().lapsed(),
                    ends: registry.ends().len() as u64,
                    nodes,
                })
            }
            Place::Redis(remote) => remote.look(&self.clock).await,
        }
    }

    /// Shows on a page what went wrong with the Redis, if there is one.
    pub(crate) fn register_on(&self, page: &mut Page) {
        if let Some(link) = self.link() {
            link.register(page);
        }
    }
}

impl Overview {
    /// So many of the nodes take no more logins.
    #[must_use]
    pub fn draining(&self) -> u64 {
        self.sum(|node| u64::from(node.state() == NodeState::Draining))
    }

    /// The sum of something over all nodes.
    pub fn sum(&self, what: impl Fn(&NodeInfo) -> u64) -> u64 {
        self.nodes.iter().map(what).fold(0, u64::saturating_add)
    }

    /// A node's load.
    #[must_use]
    pub fn load(node: &NodeInfo) -> Load {
        node.load.unwrap_or_default()
    }
}

/// Held for one decision, never across an await.
fn lock(registry: &Mutex<Registry>) -> MutexGuard<'_, Registry> {
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}
