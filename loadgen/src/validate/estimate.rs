//! What a plan costs in memory, item by item: arithmetic over measured constants, so that a run that cannot fit is refused
//! before it takes a machine down.
//!
//! The constants were measured on Linux 6.18, x86-64, over loopback (`benches/results/capacity-million.md` is one such run). They are rounded up.

use super::Ask;
use crate::engines::EngineName;
use crate::plan::Receive;

const KIB: u64 = 1_024;
const MIB: u64 = 1_024 * KIB;

/// A node without shards: program, store, admin port.
const NODE_START: u64 = 16 * MIB;
/// A shard before its first connection: buffers, recent messages, tables, its side of the mesh.
const NODE_SHARD: u64 = 8 * MIB;
/// An idle session of the node, and one that has sent and received messages and is in a room.
const NODE_SESSION: u64 = 208;
const NODE_SESSION_LIVED: u64 = 448;
/// The generator without connections: program, histograms.
const GENERATOR_START: u64 = 20 * MIB;
/// A connection of the generator: state, ledger, timer, its share of buffers in use.
const GENERATOR_CONNECTION: u64 = 328;
/// Receive buffers and queues of one of the generator's rings, by whether there are few of them.
const GENERATOR_RING: u64 = 3 * MIB;
const GENERATOR_RING_SMALL: u64 = 768 * KIB;
/// The kernel's part of a ring of the node: both queues.
const NODE_RING: u64 = 768 * KIB;

/// One end of a connection: socket, inode, file, name.
const SOCKET: u64 = 3_840;
/// A receive that stands ready, with its place in a table of descriptors.
const RECEIVE_ARMED: u64 = 896;
/// A poll that stands ready, likewise.
const RECEIVE_POLLED: u64 = 288;
/// An entry of epoll.
const RECEIVE_EPOLL: u64 = 192;
/// Connections with bytes under way at one moment, each of which holds a page on either side.
const BUSY_MAX: u64 = 16 * KIB;
const BUSY: u64 = 2 * 4_096;

/// One row of the sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is for.
    pub what: String,
    /// How many bytes.
    pub bytes: u64,
}

/// Everything that a plan takes from this machine.
#[must_use]
pub fn items(ask: &Ask) -> Vec<Item> {
    let mut items = Vec::new();
    let mut put = |what: String, bytes: u64| items.push(Item { what, bytes });
    let connections = u64::from(ask.connections);
    if let Some(node) = &ask.node {
        let shards = u64::from(node.shards);
        put(format!("node, start with {shards} shards"), NODE_START + shards * NODE_SHARD);
        let each = if ask.is_primed { NODE_SESSION_LIVED } else { NODE_SESSION };
        put(format!("node, sessions of {each} B"), connections * each);
        let each = if node.has_rings { RECEIVE_ARMED } else { RECEIVE_EPOLL };
        put(format!("kernel, node's receives of {each} B"), connections * each);
        put(format!("kernel, node's sockets of {SOCKET} B"), connections * SOCKET);
        if node.has_rings {
            put("kernel, node's rings".into(), shards * NODE_RING);
        }
    }
    put("generator, start".into(), GENERATOR_START);
    put(
        format!("generator, connections of {GENERATOR_CONNECTION} B"),
        connections * GENERATOR_CONNECTION,
    );
    let (how, each) = match (ask.engine, ask.receive) {
        (EngineName::Epoll, _) => ("epoll", RECEIVE_EPOLL),
        (EngineName::Uring, Receive::Armed) => ("armed", RECEIVE_ARMED),
        (EngineName::Uring, Receive::Polled) => ("polled", RECEIVE_POLLED),
    };
    if ask.engine == EngineName::Uring {
        let ring = if ask.rings > 4 { GENERATOR_RING_SMALL } else { GENERATOR_RING };
        put(format!("generator, {} rings", ask.rings), u64::from(ask.rings) * ring);
    }
    put(format!("kernel, generator's receives of {each} B, {how}"), connections * each);
    put(format!("kernel, generator's sockets of {SOCKET} B"), connections * SOCKET);
    put("kernel, bytes under way".into(), connections.min(BUSY_MAX) * BUSY);
    items
}

/// The sum.
#[must_use]
pub fn total(ask: &Ask) -> u64 {
    items(ask).iter().map(|item| item.bytes).sum()
}

/// The largest number of connections whose sum stays within `bytes`, with shards and rings in proportion.
#[must_use]
pub fn most_connections(ask: &Ask, bytes: u64) -> u32 {
    let (mut low, mut high) = (0, ask.connections);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if total(&ask.scaled(middle)) <= bytes { low = middle } else { high = middle - 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::super::tests::ask;
    use super::*;

    const GB: u64 = 1_000_000_000;

    #[test]
    fn a_million_on_one_machine_takes_about_eleven_gigabytes() {
        let total = total(&ask(1_000_000));
        assert!((10 * GB..12 * GB).contains(&total), "{total}");
    }

    #[test]
    fn polling_saves_six_hundred_bytes_of_each_connection() {
        let armed = ask(1_000_000);
        let polled = Ask { receive: Receive::Polled, ..ask(1_000_000) };
        assert_eq!(total(&armed) - total(&polled), 608 * 1_000_000);
    }

    #[test]
    fn a_node_elsewhere_costs_nothing_here() {
        let here = ask(100_000);
        let alone = Ask { node: None, ..ask(100_000) };
        let server = 100_000 * (NODE_SESSION + SOCKET + RECEIVE_ARMED);
        assert!(total(&alone) + server < total(&here));
        assert!(items(&alone).iter().all(|item| !item.what.contains("node")));
    }

    #[test]
    fn what_would_fit_fits_and_one_more_does_not() {
        let ask = ask(2_000_000);
        let most = most_connections(&ask, 8 * GB);
        assert!(total(&ask.scaled(most)) <= 8 * GB);
        assert!(total(&ask.scaled(most + 1)) > 8 * GB);
        assert_eq!(most_connections(&ask, u64::MAX), 2_000_000);
        assert_eq!(most_connections(&ask, 0), 0);
    }
}
