//! Every bound of the balancer, with its reason.

use std::time::Duration;

/// Nodes with a lease at one time: far beyond any cluster, and bounds what hostile registrations can fill.
pub const NODES_MAX: usize = 1024;

/// Shards of one node: a shard is an `u16` on the wire, and a node's ports must fit into 65,535.
pub const SHARDS_MAX: usize = 1024;

/// A node's name: it is hashed into every token and shown in every list.
pub const NAME_BYTES_MAX: usize = 64;

/// A host name is at most 255 bytes long in the DNS.
pub const HOST_BYTES_MAX: usize = 255;

/// Sessions that one node may claim to hold: well above what a machine holds, and keeps the load arithmetic in range.
pub const CAPACITY_MAX: u64 = 1 << 32;

/// Reservations are counted in steps of this length, so that a node has a bounded number of entries
/// ([`TOKEN_TTL_MAX`] divided by this) however many logins come.
pub const RESERVATION_STEP: Duration = Duration::from_millis(100);

/// A token that is never used holds a reservation for so long at the most.
pub const TOKEN_TTL_MAX: Duration = Duration::from_secs(600);

/// How long an order to end sessions is kept, whether or not every node has confirmed it: after the longest life of a
/// token none that was made before it is good any more, and a node that has lost its lease for a shorter time is told.
pub const ENDS_KEPT: Duration = TOKEN_TTL_MAX;

/// How long a registry in a Redis stays after the last balancer touched it: longer than any order to end sessions and any
/// lease matters.
pub const REGISTRY_KEPT: Duration = Duration::from_secs(2 * ENDS_KEPT.as_secs());

/// Orders to end sessions that are kept, some 100 bytes each: 27 changed passwords per second for all of [`ENDS_KEPT`], and
/// as many as nodes can confirm beyond that.
pub const ENDS_MAX: usize = 16_384;

/// Orders to end sessions in the answer to one report: 12 KiB at most, and a full list is through in 32 reports.
pub const ENDS_PER_REPORT: usize = 512;

/// The longest time that the balancer works on one call, whatever deadline the caller gave. It never waits for
/// anything but the lock of its registry, or a Redis for [`REDIS_DEADLINE`], so one that takes longer will not be answered
/// in time anyway.
pub const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// Calls of one connection that are worked on or wait at one time: a gateway multiplexes its logins over one connection.
pub const STREAMS_MAX: u32 = 4096;

/// gRPC connections open at one time: one for each node and each gateway, and as many again while they reconnect.
pub const GRPC_CONNECTIONS_MAX: usize = 2 * NODES_MAX + 256;

/// How often a silent gRPC connection is asked whether its peer is still there.
pub const GRPC_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long it may take to answer.
pub const GRPC_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A gRPC message is at most so long: a registration with [`SHARDS_MAX`] ports is below 8 KiB.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Connections of an admin port: scrapers and operators, not users.
pub const ADMIN_CONNECTIONS_MAX: usize = 256;

/// Time to send the head of an HTTP request: a client that trickles its header must not hold a connection.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The head of an HTTP request: browsers and proxies send less than 4 KiB where nobody sets cookies.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Time for open HTTP connections to finish at shutdown.
pub const HTTP_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after a failed accept (out of descriptors): trying at once would only burn the CPU.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that the kernel completes ahead of us: a burst of logins may arrive within one scheduling delay.
pub const LISTEN_BACKLOG: u32 = 4096;

/// Balancers that one caller names: each has its share of a call's deadline.
pub const BALANCERS_MAX: usize = 8;

/// The first pause after a failed call to the balancer; it doubles up to [`RETRY_PAUSE_MAX`].
pub const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest pause between attempts: recovery is noticed within this.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A configuration file is at most so long: with every option explained it is below 10 KiB, and a wrong path must not be
/// read whole.
pub const CONFIG_FILE_BYTES_MAX: u64 = 256 * 1024;

/// A file of certificates is at most so long: every authority that a system trusts takes half of it.
pub const PEM_FILE_BYTES_MAX: u64 = 512 * 1024;

/// A key file is at most so long: 64 hexadecimal digits are usual, and a wrong path must not be read whole.
pub const KEY_FILE_BYTES_MAX: u64 = 4096;

/// One call of a Redis, connecting included: it answers within a millisecond, and who waits for it waits in front of a
/// person. Below the half of a second so that whoever calls a balancer hears of it and not of a deadline.
pub const REDIS_DEADLINE: Duration = Duration::from_millis(300);

/// How long a Redis of one's own may take to start: it takes 50 ms on an idle machine.
pub const PRIVATE_REDIS_START_MAX: Duration = Duration::from_secs(20);

/// How often a Redis of one's own that needs ports is started before giving up.
pub const PRIVATE_REDIS_ATTEMPTS: u32 = 8;
