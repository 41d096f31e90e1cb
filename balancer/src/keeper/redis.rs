//! The registry in a Redis: each operation is one script on keys with one hash tag.
//!
//! The scripts decide, with the rules of [`crate::registry`] and [`crate::placement`]; here is only what they are told and
//! what they answer.

use std::fmt::Display;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use wire::token::Token;
use wire::{Epoch, UserId, home_of_user};

use super::{Clock, Kept, Overview};
use crate::ends::{EndsFull, SessionEnd, Told};
use crate::limits::{ENDS_KEPT, ENDS_MAX, ENDS_PER_REPORT, NODES_MAX, REGISTRY_KEPT};
use crate::proto::{self, NodeInfo, NodeState};
use crate::redis::{Away, FromRedisValue, Link, Script};
use crate::registry::{
    Load, PlaceError, Placement, RegisterError, Registration, Renewal, Report, Settings,
};

/// Every key of the registry. The part in braces is what a cluster chooses their place by: the same for all.
const KEYS: [&str; 8] = [
    "ringline:{nodes}:meta",
    "ringline:{nodes}:leases",
    "ringline:{nodes}:about",
    "ringline:{nodes}:state",
    "ringline:{nodes}:held",
    "ringline:{nodes}:done",
    "ringline:{nodes}:ends",
    "ringline:{nodes}:orders",
];

macro_rules! step {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("steps/common.lua"),
                include_str!(concat!("steps/", $file))
            ))
        });
    };
}

step!(REGISTER, "register.lua");
step!(REPORT, "report.lua");
step!(DRAIN, "drain.lua");
step!(DEREGISTER, "deregister.lua");
step!(PLACE, "place.lua");
step!(END, "end.lua");
step!(LOOK, "look.lua");

/// The greatest number that a script counts with exactly. What a node claims beyond it is as good as this.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// A row of [`LOOK`]: about the node, sessions, connections, logins, whether it drains, reservations, its clock, what is
/// left of its lease.
type Row = (Vec<u8>, u64, u64, u64, u64, u64, u64, u64);

/// A registry behind a connection.
#[derive(Debug)]
pub(super) struct Remote {
    link: Link,
    settings: Mutex<Settings>,
}

impl Remote {
    pub(super) const fn new(link: Link, settings: Settings) -> Self {
        Self { link, settings: Mutex::new(settings) }
    }

    pub(super) const fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn settings(&self) -> Settings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_settings(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    pub(super) async fn register(
        &self,
        clock: &Clock,
        node: Registration,
    ) -> Kept<Result<(), RegisterError>> {
        let mut args = vec![node.name.clone().into_bytes(), sortable(node.incarnation)];
        args.extend([about(&node), number(node.capacity)]);
        args.extend(load(node.load, node.mono_ms, node.draining));
        args.extend([flag(node.returning), text(NODES_MAX)]);
        Ok(match self.run::<u64>(&REGISTER, clock, args).await? {
            0 => Ok(()),
            1 => Err(RegisterError::Superseded),
            _ => Err(RegisterError::TooMany),
        })
    }

    pub(super) async fn report(&self, clock: &Clock, report: Report<'_>) -> Kept<(Renewal, Told)> {
        let mut args = vec![report.name.as_bytes().to_vec(), sortable(report.incarnation)];
        args.extend(load(report.load, report.mono_ms, report.draining));
        args.extend([text(report.ends_done), text(ENDS_PER_REPORT)]);
        let (outcome, number, ends): (u64, u64, Vec<u64>) = self.run(&REPORT, clock, args).await?;
        let renewal = match outcome {
            0 => Renewal::Renewed,
            1 => Renewal::Unknown,
            _ => Renewal::Superseded,
        };
        let (ends, _) = ends.as_chunks::<2>();
        let end =
            |&[user, below]: &[u64; 2]| SessionEnd { user: UserId(user), below: Epoch(below) };
        Ok((renewal, Told { ends: ends.iter().map(end).collect(), number }))
    }

    pub(super) async fn drain(&self, clock: &Clock, name: &str, incarnation: u64) -> Kept<bool> {
        let args = vec![name.as_bytes().to_vec(), sortable(incarnation)];
        Ok(self.run::<u64>(&DRAIN, clock, args).await? == 1)
    }

    pub(super) async fn deregister(
        &self,
        clock: &Clock,
        name: &str,
        incarnation: u64,
    ) -> Kept<bool> {
        let args = vec![name.as_bytes().to_vec(), sortable(incarnation)];
        Ok(self.run::<u64>(&DEREGISTER, clock, args).await? == 1)
    }

    pub(super) async fn place(
        &self,
        clock: &Clock,
        user: UserId,
        epoch: Epoch,
    ) -> Kept<Result<Placement, PlaceError>> {
        let args = vec![sortable(user.0), sortable(epoch.0)];
        // The chosen node is there with the first answer only.
        type Chosen = (u64, Option<Vec<u8>>, Option<u64>, Option<u64>);
        let (outcome, about, incarnation, mono_ms): Chosen = self.run(&PLACE, clock, args).await?;
        let (Some(about), Some(incarnation), Some(mono_ms)) = (about, incarnation, mono_ms) else {
            return Ok(Err(match outcome {
                1 => PlaceError::Learning,
                2 => PlaceError::NoNode,
                3 => PlaceError::Full,
                _ => PlaceError::Ended,
            }));
        };
        let node = self.known(&about)?;
        let shards = u16::try_from(node.shard_ports.len()).unwrap_or(u16::MAX);
        let home = usize::from(home_of_user(user, shards).0);
        let port = node.shard_ports.get(home).copied().unwrap_or(node.base_port);
        let expires_ms = mono_ms.saturating_add(whole_ms(self.settings().token_ttl));
        Ok(Ok(Placement {
            node: node.name,
            host: node.host,
            port: u16::try_from(port).unwrap_or(0), // Every one was checked when the node registered.
            token: Token { user, epoch, incarnation, expires_ms },
        }))
    }

    pub(super) async fn end_sessions(
        &self,
        clock: &Clock,
        end: SessionEnd,
    ) -> Kept<Result<usize, EndsFull>> {
        let args = vec![sortable(end.user.0), sortable(end.below.0), text(ENDS_MAX)];
        let waiting = self.run::<i64>(&END, clock, args).await?;
        Ok(usize::try_from(waiting).map_err(|_| EndsFull))
    }

    pub(super) async fn look(&self, clock: &Clock) -> Kept<Overview> {
        let (lapsed, ends_lapsed, ends, rows): (u64, u64, u64, Vec<Row>) =
            self.run(&LOOK, clock, vec![]).await?;
        let mut nodes =
            rows.into_iter().map(|row| self.node_info(row)).collect::<Kept<Vec<_>>>()?;
        nodes.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(Overview { lapsed, ends_lapsed, ends, nodes })
    }

    fn node_info(&self, row: Row) -> Kept<NodeInfo> {
        let (about, sessions, connections, logins_total, draining, held, mono_ms, left_ms) = row;
        let state = if draining == 1 { NodeState::Draining } else { NodeState::Serving };
        Ok(NodeInfo {
            load: Some(proto::Load { sessions, connections, logins_total }),
            state: state.into(),
            reservations: held,
            mono_ms,
            lease_left_ms: left_ms,
            ..self.known(&about)?
        })
    }

    /// What a balancer wrote about a node.
    fn known(&self, about: &[u8]) -> Kept<NodeInfo> {
        NodeInfo::decode(about).map_err(|error| Away::Refused {
            place: format!("{:?}", self.link),
            reason: format!("what it has of a node was not written by a balancer: {error}"),
        })
    }

    async fn run<T: FromRedisValue>(
        &self,
        step: &Script,
        clock: &Clock,
        more: Vec<Vec<u8>>,
    ) -> Kept<T> {
        let Settings { lease, token_ttl, grace } = self.settings();
        let mut args = vec![clock.told().into_bytes()];
        args.extend([lease, token_ttl, grace, ENDS_KEPT].map(|span| text(span.as_micros())));
        args.push(text(REGISTRY_KEPT.as_millis()));
        args.extend(more);
        self.link.run(step, &KEYS, args).await
    }
}

/// What does not change while a node lives.
fn about(node: &Registration) -> Vec<u8> {
    NodeInfo {
        name: node.name.clone(),
        host: node.host.clone(),
        base_port: node.base_port.into(),
        shard_ports: node.shard_ports.iter().map(|&port| port.into()).collect(),
        incarnation: node.incarnation,
        capacity: node.capacity,
        ..NodeInfo::default()
    }
    .encode_to_vec()
}

/// What `hear` takes.
fn load(load: Load, mono_ms: u64, draining: bool) -> [Vec<u8>; 5] {
    let Load { sessions, connections, logins_total } = load;
    [number(sessions), number(connections), number(logins_total), number(mono_ms), flag(draining)]
}

fn text(value: impl Display) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn number(value: u64) -> Vec<u8> {
    text(value.min(NUMBER_MAX))
}

fn flag(is_set: bool) -> Vec<u8> {
    text(u8::from(is_set))
}

/// A number as a text that sorts as the number does, whatever its size.
fn sortable(value: u64) -> Vec<u8> {
    text(format_args!("{value:020}"))
}

fn whole_ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
