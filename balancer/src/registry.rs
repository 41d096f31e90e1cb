//! The nodes that hold a lease, what they carry, and the choice of one for a login.
//!
//! Pure: time is an argument, the key and the network are elsewhere. Nothing here is written down: a restarted
//! balancer learns all of it again from the nodes' reports within [`Settings::grace`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wire::token::Token;
use wire::{Epoch, UserId, home_of_user};

use crate::ends::{Ends, EndsFull, SessionEnd, Told};
use crate::limits::NODES_MAX;
use crate::placement::{Fill, Reservations, least_filled};

/// What the registry is told at its start.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a lease lasts without a report.
    pub lease: Duration,
    /// For how long a token is good, and so how long a reservation can last.
    pub token_ttl: Duration,
    /// After a start, for so long, the nodes that are known may not be all.
    pub grace: Duration,
}

/// What a node carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Sessions open.
    pub sessions: u64,
    /// Connections open.
    pub connections: u64,
    /// Sessions opened since the node's start.
    pub logins_total: u64,
}

/// A node as it presents itself; its fields have passed [`crate::convert`].
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub host: String,
    /// The common port.
    pub base_port: u16,
    /// The port of each shard; never empty.
    pub shard_ports: Vec<u16>,
    /// This start of it; never zero.
    pub incarnation: u64,
    /// Its clock, in milliseconds.
    pub mono_ms: u64,
    /// Sessions that it can hold; never zero.
    pub capacity: u64,
    /// What it carries already.
    pub load: Load,
    /// Whether it takes no more logins.
    pub draining: bool,
    /// Whether this start of it has held a lease before.
    pub returning: bool,
}

/// A report, which renews a lease.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The node's name.
    pub name: &'a str,
    /// Which start of it.
    pub incarnation: u64,
    /// Its clock, in milliseconds.
    pub mono_ms: u64,
    /// What it carries.
    pub load: Load,
    /// Whether it takes no more logins.
    pub draining: bool,
    /// Up to which number it has ended the sessions that it was told to end.
    pub ends_done: u64,
}

/// Why a registration was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// A later start holds the lease.
    #[error(
        "a later start of a node with this name holds the lease: give each node its own --name"
    )]
    Superseded,
    /// [`NODES_MAX`] nodes are known.
    #[error("{NODES_MAX} nodes hold a lease already")]
    TooMany,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease runs anew.
    Renewed,
    /// Such a lease is not known.
    Unknown,
    /// A later start holds it.
    Superseded,
}

/// Why no node was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The balancer has just started: other nodes may come back in a moment.
    #[error("the balancer has just started and is still learning its nodes: try again")]
    Learning,
    /// No node takes logins.
    #[error("no node that takes logins is known: start one, or look at its log")]
    NoNode,
    /// Every node is full.
    #[error("every node is full: start another one")]
    Full,
    /// Sessions of this epoch were ended.
    #[error("sessions of this epoch were ended: log in again")]
    Ended,
}

/// A chosen node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its name.
    pub node: String,
    /// Where it is reached.
    pub host: String,
    /// The port of the shard where the user lives.
    pub port: u16,
    /// What the token shall say.
    pub token: Token,
}

/// A node with a lease.
#[derive(Debug)]
pub struct Node {
    /// As it last registered; load, clock and state are in the other fields.
    pub registration: Registration,
    /// As last reported.
    pub load: Load,
    /// Whether it takes no more logins. Never taken back within an incarnation.
    pub draining: bool,
    /// Places promised.
    pub reservations: Reservations,
    /// When its lease ends.
    pub lease_end: Instant,
    heard: Instant,
    heard_mono_ms: u64,
    /// Up to which order to end sessions it was told, and up to which it has confirmed.
    ends_told: u64,
    ends_done: u64,
}

impl Node {
    /// The node's clock at `now`, extrapolated from its last report.
    #[must_use]
    pub fn mono_ms(&self, now: Instant) -> u64 {
        self.heard_mono_ms.saturating_add(whole_ms(now.saturating_duration_since(self.heard)))
    }

    fn fill(&self) -> Fill {
        Fill {
            taken: self.load.sessions.saturating_add(self.reservations.count()),
            capacity: self.registration.capacity,
        }
    }

    fn hear(&mut self, now: Instant, lease: Duration, mono_ms: u64, load: Load, draining: bool) {
        self.reservations.settle(load.logins_total.saturating_sub(self.load.logins_total));
        self.load = load;
        self.draining |= draining;
        self.heard = now;
        self.heard_mono_ms = mono_ms;
        self.lease_end = now + lease;
    }
}

/// The nodes.
#[derive(Debug)]
pub struct Registry {
    settings: Settings,
    started: Instant,
    /// A node came back that an earlier balancer knew: so this one was restarted.
    restarted: bool,
    nodes: BTreeMap<String, Node>,
    lapsed: u64,
    ends: Ends,
}

impl Registry {
    /// An empty registry, started `now`.
    #[must_use]
    pub fn new(now: Instant, settings: Settings) -> Self {
        Self {
            settings,
            started: now,
            restarted: false,
            nodes: BTreeMap::new(),
            lapsed: 0,
            ends: Ends::default(),
        }
    }

    /// What it was told.
    #[must_use]
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    /// From now on, for what is granted and renewed from now on.
    pub const fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Leases that ended without a goodbye.
    #[must_use]
    pub const fn lapsed(&self) -> u64 {
        self.lapsed
    }

    /// The orders to end sessions.
    #[must_use]
    pub const fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The nodes that hold a lease, by name.
    pub fn nodes(&mut self, now: Instant) -> impl Iterator<Item = &Node> {
        self.forget_lapsed(now);
        self.nodes.values()
    }

    /// A node takes a lease.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn register(
        &mut self,
        now: Instant,
        registration: Registration,
    ) -> Result<(), RegisterError> {
        self.forget_lapsed(now);
        let Registration { mono_ms, load, draining, returning, .. } = registration;
        let held = self.nodes.get(&registration.name).map(|node| node.registration.incarnation);
        match held {
            Some(held) if held > registration.incarnation => return Err(RegisterError::Superseded),
            None if self.nodes.len() >= NODES_MAX => return Err(RegisterError::TooMany),
            Some(_) | None => {}
        }
        self.restarted |= returning;
        let lease = self.settings.lease;
        if held == Some(registration.incarnation)
            && let Some(node) = self.nodes.get_mut(&registration.name)
        {
            node.hear(now, lease, mono_ms, load, draining);
            node.registration = registration;
            // It may have missed what other nodes have confirmed meanwhile.
            (node.ends_told, node.ends_done) = (0, 0);
            return Ok(());
        }
        // Of an earlier start nothing is kept: tokens for it are worthless, and so are the places promised there.
        let node = Node {
            load,
            draining,
            reservations: Reservations::default(),
            lease_end: now + lease,
            heard: now,
            heard_mono_ms: mono_ms,
            ends_told: 0,
            ends_done: 0,
            registration,
        };
        self.nodes.insert(node.registration.name.clone(), node);
        Ok(())
    }

    /// A node renews its lease and tells its load.
    pub fn report(&mut self, now: Instant, report: Report<'_>) -> Renewal {
        self.forget_lapsed(now);
        let lease = self.settings.lease;
        match self.nodes.get_mut(report.name) {
            Some(node) if node.registration.incarnation == report.incarnation => {
                node.hear(now, lease, report.mono_ms, report.load, report.draining);
                // A number that it was not told is of an earlier lease.
                if report.ends_done <= node.ends_told {
                    node.ends_done = node.ends_done.max(report.ends_done);
                }
                Renewal::Renewed
            }
            Some(node) if node.registration.incarnation > report.incarnation => Renewal::Superseded,
            Some(_) | None => Renewal::Unknown,
        }
    }

    /// What a node that has just reported is to end, if it holds a lease.
    pub fn tell_ends(&mut self, name: &str) -> Told {
        let Some(node) = self.nodes.get_mut(name) else { return Told::default() };
        let told = self.ends.after(node.ends_done);
        node.ends_told = node.ends_told.max(told.number);
        told
    }

    /// Ends sessions wherever they are. Gives the number of nodes that have not confirmed it.
    ///
    /// # Errors
    /// See [`EndsFull`].
    pub fn end_sessions(&mut self, now: Instant, end: SessionEnd) -> Result<usize, EndsFull> {
        self.forget_lapsed(now);
        let number = self.ends.post(now, end, self.done_by_all())?;
        Ok(self.nodes.values().filter(|node| node.ends_done < number).count())
    }

    /// Up to which order every node that holds a lease has ended the sessions.
    fn done_by_all(&self) -> u64 {
        self.nodes.values().map(|node| node.ends_done).min().unwrap_or(u64::MAX - 1)
    }

    /// No more logins for this start of a node; zero: whichever holds the lease. `false`: no such node.
    pub fn drain(&mut self, now: Instant, name: &str, incarnation: u64) -> bool {
        self.forget_lapsed(now);
        match self.nodes.get_mut(name) {
            Some(node) if incarnation == 0 || node.registration.incarnation == incarnation => {
                node.draining = true;
                true
            }
            Some(_) | None => false,
        }
    }

    /// This start of a node leaves. `false`: no such node.
    pub fn deregister(&mut self, now: Instant, name: &str, incarnation: u64) -> bool {
        self.forget_lapsed(now);
        let is_held =
            self.nodes.get(name).is_some_and(|node| node.registration.incarnation == incarnation);
        is_held && self.nodes.remove(name).is_some()
    }

    /// Chooses a node for a login and promises a place there.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn place(
        &mut self,
        now: Instant,
        user: UserId,
        epoch: Epoch,
    ) -> Result<Placement, PlaceError> {
        self.forget_lapsed(now);
        let is_young = now.saturating_duration_since(self.started) < self.settings.grace;
        if is_young && (self.restarted || self.nodes.is_empty()) {
            return Err(PlaceError::Learning);
        }
        if self.ends.covers(user, epoch) {
            return Err(PlaceError::Ended);
        }
        let ttl = self.settings.token_ttl;
        let mut open = self.nodes.values_mut().filter(|node| !node.draining).peekable();
        if open.peek().is_none() {
            return Err(PlaceError::NoNode);
        }
        let node = least_filled(open.map(|node| {
            node.reservations.expire(now);
            let fill = node.fill();
            (node, fill)
        }))
        .ok_or(PlaceError::Full)?;
        node.reservations.add(now + ttl);
        let Registration { name, host, base_port, shard_ports, incarnation, .. } =
            &node.registration;
        let shards = u16::try_from(shard_ports.len()).unwrap_or(u16::MAX);
        let home = usize::from(home_of_user(user, shards).0);
        Ok(Placement {
            node: name.clone(),
            host: host.clone(),
            port: shard_ports.get(home).copied().unwrap_or(*base_port),
            token: Token {
                user,
                epoch,
                incarnation: *incarnation,
                expires_ms: node.mono_ms(now).saturating_add(whole_ms(ttl)),
            },
        })
    }

    fn forget_lapsed(&mut self, now: Instant) {
        let before = self.nodes.len();
        self.nodes.retain(|_, node| node.lease_end > now);
        self.lapsed += (before - self.nodes.len()) as u64;
        self.ends.forget_old(now, self.done_by_all());
    }
}

fn whole_ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
