//! Every bound of the readiness engine, with its reason.
//!
//! Where a bound decides what the load is (how often a login is tried, how long a refused message rests), it has the
//! same value as in the other engine: two engines that behave differently would not be a comparison.

/// Descriptors of the process that connections may not take: logs, the gateway's HTTP connections (64), the admin port,
/// the report's files.
pub(super) const DESCRIPTORS_KEPT: u64 = 256;

/// Bytes that one read takes: several of the largest frames. One buffer for all connections.
pub(super) const READ_BYTES: usize = 128 * 1_024;

/// Readiness events taken in one call: few enough that a call's events are still in the cache when they are handled.
pub(super) const EVENTS_PER_WAIT: usize = 256;

/// Messages that are said before sockets are looked at again.
pub(super) const SAID_PER_TURN: u32 = 128;

/// Logins, logouts and alarms that are started in a turn: a burst of all of them would be one long turn.
pub(super) const STARTED_PER_TURN: u32 = 256;

/// Bytes that wait for peers which do not read, over all connections: a run in which they hold half a gigabyte
/// measures nothing any more. It ends as invalid.
pub(super) const WAITING_BYTES_MAX: usize = 512 * 1_024 * 1_024;

/// Bytes of a drained send buffer that is kept for the next frames; a larger one is given back.
pub(super) const SEND_BUFFER_BYTES_KEPT: usize = 64 * 1_024;

/// Messages without an answer, over all connections: 100 s of a stalled node at 10,000 messages per second. The run
/// ends as invalid beyond it. Few in this engine's own tests, so that they get there.
pub(super) const UNANSWERED_MAX: usize = if cfg!(test) { 1_000 } else { 1 << 20 };

/// Messages without an answer while connections say their first ones.
pub(super) const PRIMING_MAX: usize = 1_024;

/// Grants asked for and not yet given: bounds what a slow gateway is asked at once.
pub(super) const GRANTS_ASKED_MAX: u32 = 1_024;

/// Logins tried for one connection before the ramp gives it up.
pub(super) const LOGIN_ATTEMPTS_MAX: u8 = 6;

/// The wait before the second try of a login; it doubles with each further one.
pub(super) const LOGIN_WAIT_MS: u64 = 100;

/// The longest wait before a login is tried again.
pub(super) const LOGIN_WAIT_MS_MAX: u64 = 3_000;

/// Times that a refused message is tried again: with the doubling wait about a minute of a busy node.
pub(super) const RETRIES_MAX: u8 = 12;

/// The wait before a refused message is tried again, if the node names none; it doubles with each further try.
pub(super) const RETRY_MS: u64 = 50;

/// The longest wait before a refused message is tried again.
pub(super) const RETRY_MS_MAX: u64 = 8_000;

/// How close a due send must be for the engine to look at its sockets without sleeping: about what waking up costs on
/// a virtual machine, well below the 200 µs of lag that make a run invalid.
pub(super) const SPIN_NS: u64 = 60_000;

/// The longest sleep: how late a stop from outside is seen.
pub(super) const SLEEP_NS_MAX: u64 = 20_000_000;

/// The sleep while somebody else works on grants.
pub(super) const GRANT_LOOK_NS: u64 = 1_000_000;

/// How long an interrupted run waits for what is under way, and then for goodbyes.
pub(super) const INTERRUPTED_NS: u64 = 2_000_000_000;

/// How long the logouts may go without a goodbye. Then the connections that are left are just closed.
pub(super) const GOODBYE_STALL_NS: u64 = 10_000_000_000;

/// Goodbyes that are awaited at once: a client here and there logs out, not ten thousand in one moment.
pub(super) const LEAVING_MAX: u32 = 4_096;

/// Senders that a closed loop passes over, because they are not there, before it waits for them.
pub(super) const PASSED_OVER_MAX: u32 = 64;

/// Different reasons that are counted by name: the rest are counted together.
pub(super) const REASONS_MAX: usize = 64;

const _: () = assert!(READ_BYTES >= 2 * wire::limits::FRAME_BYTES_MAX);
