//! Every bound of the engine, with its reason.

/// Connections of one ring. A table of direct descriptors is capped by RLIMIT_NOFILE, which is 20,000 on many hosts;
/// the tables of several rings add up, and none of them uses descriptors of the process.
pub(super) const CONNS_PER_RING_MAX: u32 = 19_000;

/// Submissions of a ring between two system calls; when it is full the ring submits early.
pub(super) const SUBMISSIONS: u32 = 4_096;

/// The same where there are many rings: each has a small part of the traffic.
pub(super) const SUBMISSIONS_MIN: u32 = 512;

/// Completions that wait in a ring: more than its receive buffers plus a send of every connection.
pub(super) const COMPLETIONS: u32 = 32_768;

/// The same where there are many rings.
pub(super) const COMPLETIONS_MIN: u32 = 8_192;

/// Rings from which on they are made smaller. They are many because connections are, and most of those are idle: fifty
/// rings of full size would cost more memory than the connections' own state.
pub(super) const RINGS_FULL_SIZE_MAX: u32 = 4;

/// Receive buffers of a ring where there are many.
pub(super) const RECV_BUFFERS_MIN: u16 = if cfg!(test) { 8 } else { 512 };

/// Receive buffers of a ring. They are given back before the next completion is looked at, so this bounds the burst
/// between two turns; they are used in turn, so more of them would only leave the cache.
///
/// The engine's own tests have few, so that they run out of them.
pub(super) const RECV_BUFFERS: u16 = if cfg!(test) { 8 } else { 2_048 };

/// Bytes of a receive buffer: at the least several ordinary frames, at the most what a few large ones fill.
pub(super) const RECV_BUFFER_BYTES_MIN: usize = 1_024;
/// See [`RECV_BUFFER_BYTES_MIN`].
pub(super) const RECV_BUFFER_BYTES_MAX: usize = 16 * 1_024;

/// Completions that are handled before the schedule is looked at again. A due send ends the batch earlier.
pub(super) const COMPLETIONS_PER_TURN: usize = 256;

/// Messages without an answer while connections say their first ones: enough to keep a node busy, few beside what its
/// queues hold.
pub(super) const PRIMING_MAX: usize = 1_024;

/// Sends that are made before completions are looked at again.
pub(super) const SENDS_PER_TURN: u32 = 128;

/// Sends made at one reading of the clock, which costs as much as some of the work: a message's moment is at most this many
/// sends old, a few microseconds.
pub(super) const SENDS_PER_CLOCK: u32 = 8;

/// Logins that are started in a turn, and logouts: a burst of all of them would be one long turn.
pub(super) const STARTS_PER_TURN: u32 = 256;

/// Bytes of a send buffer at the least: a login and several small frames.
pub(super) const SEND_BUFFER_BYTES_MIN: usize = 1_024;

/// Send buffers are made this many at a time, so that they stay where they are.
pub(super) const SEND_BUFFERS_PER_CHUNK: usize = 256;

/// Bytes of send buffers: what waits here waits for peers that do not read, and a run in which they hold half a
/// gigabyte measures nothing any more. It ends as invalid.
pub(super) const SEND_BYTES_MAX: usize = 512 * 1_024 * 1_024;

/// Messages without an answer, over all connections: 100 s of a stalled node at 10,000 messages per second. The run
/// ends as invalid beyond it.
pub(super) const FLIGHTS_MAX: usize = if cfg!(test) { 1_000 } else { 1 << 20 };

/// Grants asked for and not yet given: bounds what a slow gateway is asked at once.
pub(super) const ASKED_MAX: u32 = 1_024;

/// Connections that are between their grant's request and being ready: more would only wait at the node, and those that
/// wait for its login timeout fail, come again and make the others wait. About 100 ms of the fastest ramps.
pub(super) const ARRIVING_MAX: u32 = 2_048;

/// The wait before a connection is asked for again that found too many under way.
pub(super) const ARRIVING_POLL_NS: u64 = 20_000_000;

/// Logins tried for one connection before the ramp gives it up.
pub(super) const LOGIN_ATTEMPTS_MAX: u8 = 6;

/// The wait before the second try of a login; it doubles with each further one.
pub(super) const LOGIN_BACKOFF_MS: u64 = 100;

/// The longest wait before a login is tried again.
pub(super) const LOGIN_BACKOFF_MS_MAX: u64 = 3_000;

/// Times that a refused message is tried again: with the doubling wait about a minute of a busy node.
pub(super) const RETRIES_MAX: u8 = 12;

/// The wait before a refused message is tried again, if the node names none; it doubles with each further try.
pub(super) const RETRY_MS: u64 = 50;

/// The longest wait before a refused message is tried again.
pub(super) const RETRY_MS_MAX: u64 = 8_000;

/// How close a due send must be for the engine to spin instead of sleeping: about what waking up costs on a virtual
/// machine, well below the 200 µs of lag that make a run invalid.
pub(super) const SPIN_NS: u64 = 60_000;

/// The longest sleep: how late a stop from outside is seen.
pub(super) const SLEEP_NS_MAX: u64 = 20_000_000;

/// The sleep while somebody else works on grants.
pub(super) const GRANT_POLL_NS: u64 = 1_000_000;

/// How long an interrupted run waits for what is under way, and then for goodbyes.
pub(super) const INTERRUPTED_DRAIN_NS: u64 = 2_000_000_000;

/// How long the logouts may go without a goodbye. Then the connections that are left are just closed.
pub(super) const CLOSE_STALL_NS_MAX: u64 = 10_000_000_000;

/// Goodbyes that are awaited at once: a client here and there logs out, not a hundred thousand in one moment.
pub(super) const LEAVING_MAX: u32 = 4_096;

/// How long the end of all operations is waited for before their memory is given up instead of freed.
pub(super) const TEARDOWN_NS_MAX: u64 = 5_000_000_000;

/// Different reasons that are counted by name: the rest are counted together.
pub(super) const REASONS_MAX: usize = 64;

/// A heartbeat whose answer is later than this when the logouts begin counts as not answered.
pub(super) const BEAT_LATE_MS: u32 = 1_000;

/// Heartbeats that are sent before it is looked whether a message is due: with a million connections hundreds are due in
/// each tick of the wheel, and a message must not wait for all of them.
pub(super) const BEATS_PER_CLOCK: usize = 32;

/// Slots of the heartbeat wheel: with [`WHEEL_TICK_MS`] it reaches 65 s ahead; later dues go round again.
pub(super) const WHEEL_SLOTS: usize = 4_096;

/// Milliseconds between two slots of the wheel: a heartbeat may be this late, out of many seconds.
pub(super) const WHEEL_TICK_MS: u64 = 16;

const _: () = assert!(COMPLETIONS > RECV_BUFFERS as u32 + CONNS_PER_RING_MAX / 2);
const _: () = assert!(COMPLETIONS_MIN > RECV_BUFFERS_MIN as u32 + CONNS_PER_RING_MAX / 3);
const _: () = assert!(RECV_BUFFERS.is_power_of_two() && RECV_BUFFERS_MIN.is_power_of_two());
