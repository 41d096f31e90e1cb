//! Between the messages of the protocol and the registry's types. What a peer sent is checked here, once.

use tonic::Status;

use crate::ends::SessionEnd;
use crate::limits::{CAPACITY_MAX, HOST_BYTES_MAX, NAME_BYTES_MAX, SHARDS_MAX};
use crate::proto;
use crate::registry::{Load, Node, Registration, Report};
use std::time::Instant;

/// Whether a string can be a node's name.
#[must_use]
pub fn is_node_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Checks a registration.
pub(crate) fn registration(sent: proto::RegisterRequest) -> Result<Registration, Status> {
    let ok = |holds: bool, rule: &'static str| {
        if holds { Ok(()) } else { Err(Status::invalid_argument(rule)) }
    };
    let draining = is_draining(sent.state)?;
    ok(is_node_name(&sent.name), "name: 1 to 64 of a-z, A-Z, 0-9, '-', '_', '.'")?;
    let is_host = (1..=HOST_BYTES_MAX).contains(&sent.host.len())
        && sent.host.bytes().all(|byte| byte.is_ascii_graphic());
    ok(is_host, "host: 1 to 255 visible ASCII characters")?;
    ok(sent.incarnation != 0, "incarnation: not zero")?;
    ok((1..=CAPACITY_MAX).contains(&sent.capacity), "capacity: 1 to 2^32 sessions")?;
    ok(
        (1..=SHARDS_MAX).contains(&sent.shard_ports.len()),
        "shard_ports: one for each shard, at least 1 and at most 1024",
    )?;
    let port = |number: u32| match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(port),
        Ok(_) | Err(_) => Err(Status::invalid_argument("ports: 1 to 65535")),
    };
    Ok(Registration {
        base_port: port(sent.base_port)?,
        shard_ports: sent.shard_ports.into_iter().map(port).collect::<Result<_, _>>()?,
        name: sent.name,
        host: sent.host,
        incarnation: sent.incarnation,
        mono_ms: sent.mono_ms,
        capacity: sent.capacity,
        load: load(sent.load),
        draining,
        returning: sent.returning,
    })
}

/// Checks a report.
pub(crate) fn report(sent: &proto::ReportRequest) -> Result<Report<'_>, Status> {
    Ok(Report {
        name: &sent.name,
        incarnation: sent.incarnation,
        mono_ms: sent.mono_ms,
        load: load(sent.load),
        draining: is_draining(sent.state)?,
        ends_done: sent.ends_done,
    })
}

/// What a node is told to end.
pub(crate) fn session_end(end: &SessionEnd) -> proto::SessionEnd {
    proto::SessionEnd { user_id: end.user.0, below_epoch: end.below.0 }
}

/// A node as lists show it.
pub(crate) fn node_info(now: Instant, node: &Node) -> proto::NodeInfo {
    let known = &node.registration;
    let state = if node.draining { proto::NodeState::Draining } else { proto::NodeState::Serving };
    let lease_left = node.lease_end.saturating_duration_since(now).as_millis();
    proto::NodeInfo {
        name: known.name.clone(),
        host: known.host.clone(),
        base_port: known.base_port.into(),
        shard_ports: known.shard_ports.iter().map(|&port| port.into()).collect(),
        incarnation: known.incarnation,
        mono_ms: node.mono_ms(now),
        capacity: known.capacity,
        load: Some(proto::Load {
            sessions: node.load.sessions,
            connections: node.load.connections,
            logins_total: node.load.logins_total,
        }),
        state: state.into(),
        reservations: node.reservations.count(),
        lease_left_ms: u64::try_from(lease_left).unwrap_or(u64::MAX),
    }
}

fn load(sent: Option<proto::Load>) -> Load {
    let proto::Load { sessions, connections, logins_total } = sent.unwrap_or_default();
    Load { sessions, connections, logins_total }
}

fn is_draining(state: i32) -> Result<bool, Status> {
    match proto::NodeState::try_from(state) {
        Ok(proto::NodeState::Serving) => Ok(false),
        Ok(proto::NodeState::Draining) => Ok(true),
        Ok(proto::NodeState::Unspecified) | Err(_) => {
            Err(Status::invalid_argument("state: serving or draining"))
        }
    }
}
