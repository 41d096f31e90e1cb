//! What the checks measure against, each with its reason.

use std::time::Duration;

/// Descriptors that a process needs beside its connections: rings, listeners, store files, logs, the admin port.
pub const OTHER_DESCRIPTORS: u64 = 1_024;

/// A shard's direct-descriptor table is sized 10 % above its share, since shares are never quite equal.
pub const TABLE_PERCENT: u64 = 110;

/// The listen queue that a ramp wants at most: the kernel's own default since Linux 5.4. A shard accepts far faster than this in
/// any moment.
pub const BACKLOG_MAX: u64 = 4_096;

/// The shortest listen queue worth having, however few connections are planned.
pub const BACKLOG_MIN: u64 = 128;

/// Below this fraction of the wanted listen queue a ramp stands still: SYNs are dropped and tried again after a second.
pub const BACKLOG_FAIL_DIVISOR: u64 = 8;

/// The input queue per core that removes drops under bursts of many connections; the kernel's default is 1,000.
pub const NETDEV_BACKLOG: u64 = 16_384;

/// From this many connections on, the default input queue is too short for one burst (a heartbeat of one in ten at once).
pub const NETDEV_BACKLOG_CONNECTIONS: u64 = 100_000;

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

/// Memory that the processes need before the first connection: node, store, gateway, balancer, generator.
pub const BASE_BYTES: u64 = 256 * 1024 * 1024;

/// Above this share of the available memory the kernel starts to reclaim, and timing results suffer.
pub const MEMORY_WARN_PERCENT: u64 = 70;

/// How long `tuning check` watches the drop counters.
pub const SAMPLE: Duration = Duration::from_millis(250);

/// The largest file that is read: the largest of `/proc` here is `softnet_stat`, 130 bytes for each core.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
