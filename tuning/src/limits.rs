//! What the checks measure against, each with its reason.

use std::time::Duration;

/// Descriptors that a process needs beside its connections: rings, listeners, store files, logs, the admin port.
pub const OTHER_DESCRIPTORS: u64 = 1_024;

/// A shard's direct-descriptor table is sized 10 % above its share, since shares are never quite equal.
pub const TABLE_PERCENT: u64 = 110;

/// The input queue per core that removes drops under bursts of many connections; the kernel's default is 1,000.
pub const NETDEV_BACKLOG: u64 = 16_384;

/// From this many connections on, the default input queue is too short for one burst (a heartbeat of one in ten at once).
pub const NETDEV_BACKLOG_CONNECTIONS: u64 = 100_000;

/// From this rate on, a pause of ten milliseconds on one core fills the default input queue of 1,000 packets.
pub const NETDEV_BACKLOG_RATE: u64 = 100_000;

/// Locked memory for buffers that a ring registers: they are counted in every kernel.
pub const MEMLOCK_BYTES: u64 = 64 * 1024;

/// Locked memory before Linux 5.12, where the rings themselves are counted too: eight shards with completion queues of 65,536
/// entries.
pub const MEMLOCK_OLD_BYTES: u64 = 16 * 1024 * 1024;

/// The conntrack table should be a quarter larger than the plan: closed connections stay in it for a while.
pub const CONNTRACK_PERCENT: u64 = 125;

/// Kernel memory of one TCP connection with both ends on this host: 7.8 KB of slab were measured with 1,000,000 of them on
/// Linux 6.18.
pub const KERNEL_PAIR_BYTES: u64 = 8_000;

/// User memory of one connection with both ends on this host: 512 bytes in the node, 512 in the generator.
pub const USER_PAIR_BYTES: u64 = 1_024;

/// Both together.
pub const PAIR_BYTES: u64 = KERNEL_PAIR_BYTES + USER_PAIR_BYTES;

/// Memory that the processes need before the first connection: node, store, gateway, balancer, generator.
pub const BASE_BYTES: u64 = 256 * 1024 * 1024;

/// Above this share of the available memory the kernel starts to reclaim, and timing results suffer.
pub const MEMORY_WARN_PERCENT: u64 = 70;

/// How long `tuning check` watches counters.
pub const SAMPLE: Duration = Duration::from_millis(250);

/// The packets of one turn that a card under load needs; the kernel's default is 300.
pub const NETDEV_BUDGET: u64 = 600;

/// The widest range of local ports that leaves the system's own ports alone.
pub const PORTS_WIDE: (u64, u64) = (1_024, 65_535);

/// The kernel counts TCP's memory in pages of this size on the machines that matter here.
pub const PAGE_BYTES: u64 = 4_096;

/// One connection in so many has something queued at once: a burst to a tenth of all, which is a large room.
pub const QUEUED_DIVISOR: u64 = 10;

/// What such a connection has queued in the kernel: the first size of a send buffer.
pub const QUEUED_BYTES: u64 = 16_384;

/// Threads of a node without shards: the store's, the admin port's and the workers of rings.
pub const THREADS_MIN: u64 = 64;

/// Idle states that wake faster than this are not worth a word.
pub const IDLE_LATENCY_US: u64 = 10;

/// Stolen time from which on it is told: 1 %.
pub const STEAL_WARN_PERMILLE: u64 = 10;

/// Stolen time from which on nothing measured here means anything: 10 %.
pub const STEAL_FAIL_PERMILLE: u64 = 100;

/// Network cards that are looked at.
pub const CARDS_MAX: usize = 16;

/// The largest file that is read: 220,000 rows of `/proc/net/tcp`.
pub const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What is kept of a tool's answer.
pub const TOOL_BYTES_MAX: usize = 256 * 1024;

/// Files beyond this are left out of a recording.
pub const RECORDED_BYTES_MAX: usize = 64 * 1024;

/// What a node's page of figures may be long.
pub const NODE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How long a node may take to answer.
pub const NODE_TIMEOUT: Duration = Duration::from_secs(5);

/// A share of a bound from which on it is near.
pub const NEAR_PERCENT: u64 = 80;

/// Rows of `/proc/net/tcp` beyond which it is not read: listing them takes the kernel a second and more. On loopback a connection
/// is two, so this is far beyond any range of ports.
pub const SOCKETS_MAX: u64 = 200_000;
