//! Every bound of the node's I/O, with its reason. The core's own bounds are in `chat::limits`.

use std::time::Duration;

/// Completions or readiness events handled in one turn: about half a millisecond of work, so that timers, mail and
/// accepts never wait longer than that behind a flood.
pub const EVENTS_PER_TURN_MAX: usize = 512;

/// Messages taken from a shard's inbox in one turn: one batch of each peer of a 64-shard node, and its store outcomes.
pub const MESSAGES_PER_TURN_MAX: usize = 128;

/// Mail handled in one turn: what one send of a connection takes along, so that a shard that has much to catch up with does
/// not close readers for its own delay. About 500 texts: as much as the events of a turn.
pub const MAIL_BYTES_PER_TURN_MAX: usize = chat::limits::TRANSMIT_BYTES_MAX;

/// Mail for a full inbox is merged up to this much per batch, so that its receiver can take it in turns.
pub const KEPT_BATCH_BYTES_MAX: usize = MAIL_BYTES_PER_TURN_MAX;

/// Messages that wait in a shard's inbox. A peer posts at most one batch per turn and merges while this is full, so the
/// bound costs latency and never mail.
pub const INBOX_MESSAGES_MAX: usize = 1024;

/// Store batches that wait for the store, all shards together. A shard merges while this is full.
pub const STORE_BATCHES_MAX: usize = 1024;

/// Appends after which a group commit takes no further batch along: some 100 ms of a slow disk's work, and a bound to
/// how long the first of them waits for the last.
pub const STORE_GROUP_APPENDS_MAX: usize = 4096;

/// The first pause after a commit that failed: a lock or a short stall is over by then.
pub const STORE_RETRY_MIN: Duration = Duration::from_millis(50);

/// The longest pause between two tries while the disk refuses: how long the node stays red after the disk works again.
pub const STORE_RETRY_MAX: Duration = Duration::from_secs(1);

/// Tries to write what was shown to clients when the node ends and the disk refuses: some seconds, within a drain.
pub const STORE_LAST_TRIES: u32 = 20;

/// Emptied batches that a shard keeps for reuse: one per peer it is likely to write to in a turn.
pub const SPARE_BATCHES_MAX: usize = 64;

/// A spare batch keeps at most this capacity; a larger one goes back to the allocator.
pub const SPARE_BATCH_BYTES_MAX: usize = 256 * 1024;

/// How long a shard with unposted mail sleeps at most. Its peer's inbox is full, which lasts about one turn of the peer.
pub const POST_RETRY: Duration = Duration::from_millis(1);

/// How long memory that a burst needed is kept for the next one: so long that steady load never gives back what it
/// takes again at once.
pub const TIDY_INTERVAL: Duration = Duration::from_secs(2);

/// How long accepting pauses after an error that no close of a connection can cure (the system is short of memory or
/// descriptors). Clients wait in the backlog meanwhile.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Connections taken from the common port before the other shards get their turn: the kernel wakes waiting shards in the
/// order in which they began to wait, so a shard that never steps back would take them all.
pub const ACCEPTS_PER_TURN_AT_COMMON_PORT: u32 = 16;

/// Places in a descriptor table beyond the planned connections: those that are told that the shard is full, those that
/// are cut off beyond these, and those whose close is under way.
pub const FILE_SLACK: u32 = 64;

/// The most that the kernel lets a ring's descriptor table hold, whatever the descriptor limit.
pub const FILE_TABLE_MAX: u32 = 1 << 20;

/// Heartbeats per second of a node, unless it is told otherwise: a third to a half of a core. A million sessions may send
/// one every 30 s; two million are told 60 s.
pub const HEARTBEATS_PER_S_MAX: u32 = 33_334;

/// Connections waiting to be accepted, per listening socket: a second of connects at 4,000/s. The kernel cuts it to
/// `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// Base ports tried for `--listen IP:0` before giving up.
pub const PORT_SEARCH_MAX: u32 = 256;

/// Shards of one node: a shard's number has to fit in the ports after the base, and the mesh is quadratic in it.
pub const SHARDS_MAX: u16 = 256;

/// Sockets that the epoll driver accepts from one listener in one turn.
pub const EPOLL_ACCEPTS_PER_TURN: usize = 64;

/// The epoll driver's one read buffer per shard.
pub const EPOLL_READ_BYTES: usize = 64 * 1024;

/// Reads from one connection per turn in the epoll driver, so that a flooding peer cannot hold the shard.
pub const EPOLL_READS_PER_TURN: usize = 2;

/// Message headers of vectored sends that may wait for submission; with none left a send carries one slice and goes on
/// after it.
pub const SEND_HEADERS: usize = 512;

/// Slices of vectored sends that may wait for submission: 128 KiB of iovecs.
pub const SEND_SLICES: usize = 8192;

/// Submission queue entries of a runtime's ring: a turn with more of them enters the kernel in between.
pub const RUNTIME_SUBMISSIONS: u32 = 1024;

/// The most completions that the kernel lets a ring have room for.
pub const RING_COMPLETIONS_MAX: u32 = 65_536;

/// Slice vectors that a driver on a runtime keeps for its next sends: one MiB, a turn's worth of vectored sends.
pub const SPARE_VECTORS_MAX: usize = 1024;

/// How long teardown waits for cancelled operations. Beyond it the process ends: their memory must not be freed.
pub const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long teardown waits for completions before it asks again for what is left to be cancelled.
pub const TEARDOWN_STEP: Duration = Duration::from_millis(100);

/// How much longer than its deadline the end of a drain may take before a shard that has heard of it and does not end is
/// left behind: the teardown of its driver, and then some.
pub const END_GRACE: Duration = Duration::from_secs(15);

/// How often the end of a node is looked for while nobody has asked for it.
pub const END_LOOK: Duration = Duration::from_secs(1);

/// How long a node waits for its shards to set their drivers up.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the admin port and the balancer's reports wait for the snapshots of busy shards.
pub const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(1);

/// One call to the balancer.
pub const BALANCER_DEADLINE: Duration = Duration::from_secs(2);

/// Pause between two attempts to register: a balancer that comes back has its nodes again within it.
pub const REGISTER_RETRY: Duration = Duration::from_millis(500);

/// How long a node that starts waits to be registered before it says that it serves; it serves without, too.
pub const REGISTER_AT_START: Duration = Duration::from_secs(3);

/// How long the end of a node waits for its control thread, which has a last call to the balancer to make.
pub const CONTROL_END_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for a TLS client to shake hands: two round trips of the slowest network, and then some.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the TLS front to reach the chat port of its own machine.
pub const FRONT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for a TLS client to finish after the node has: as long as the node itself waits for the FIN of a client.
pub const FRONT_LINGER: Duration = Duration::from_secs(5);

/// Time for the TLS front to write what a node said last, once that has ended.
pub const FRONT_END_TIMEOUT: Duration = Duration::from_secs(5);

/// What a TLS thread reads at one time: a whole TLS record.
pub const FRONT_BUFFER_BYTES: usize = 16 * 1024;

/// Threads of the TLS front: beyond the cores of any machine they only take turns.
pub const FRONT_THREADS_MAX: u16 = 256;

/// Networks of proxies: at most 13 filter steps each, of the 4,096 that the kernel takes.
pub const NETWORKS_MAX: usize = 64;

const _: () = assert!(EPOLL_READ_BYTES <= chat::limits::RECEIVE_BYTES_MAX);
const _: () = assert!(SEND_SLICES >= chat::limits::TRANSMIT_SLICES_MAX);
const _: () = assert!(INBOX_MESSAGES_MAX >= MESSAGES_PER_TURN_MAX);
const _: () = assert!(END_GRACE.as_secs() > TEARDOWN_TIMEOUT.as_secs());
const _: () = assert!(FILE_SLACK >= 2 * chat::limits::SHED_MAX);

/// Lines of the log about refused services in a second, for each of the store's threads: enough to see who tries what, and too
/// few to fill a disk.
pub const REFUSALS_LOGGED_PER_S: u32 = 10;
