//! Every bound of the core, with its reason, and the sum that gives the bytes of an idle session.

use core::mem::size_of;

use wire::limits::FRAME_BYTES_MAX;

use crate::conn::Conn;
use crate::directory::Entry;
use crate::frame_pool::charge_of;

/// Slices in one vectored send: 64 × 16 bytes of iovec stay in one KiB; a longer queue goes out in several sends.
pub const TRANSMIT_SLICES_MAX: usize = 64;

/// Bytes queued for one connection, charged by buffer class: promise 5. A reader may be 5,000 texts of 128 bytes behind.
pub const CONN_QUEUE_BYTES_MAX: u32 = 2 * 1024 * 1024;

/// Bytes queued in a shard, charged by buffer class: promise 5. 128 connections may be at their bound at once.
pub const SHARD_QUEUE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Bytes of one send: what is in flight cannot be taken back from a slow reader, so it is a small part of its bound.
pub const TRANSMIT_BYTES_MAX: usize = 128 * 1024;

/// Bytes that frames for one connection may share a buffer of: what one receive of 4 KiB brings about. A page, so that a
/// pack that is hardly used costs little.
pub const PACK_BYTES_MAX: usize = 4096;

/// Messages that a room's members get together, and acknowledgements among them, if one turn brings that many.
pub const ROUND_ITEMS_MAX: usize = 32;

/// Places in queues that a shard keeps without need: 8 KiB, and heartbeats of a large shard.
pub const QUEUE_NODES_KEPT: usize = 1024;

/// Connections that a lane keeps room for when load has dropped: what a turn of an idle shard touches.
pub const LANE_CONNS_KEPT: usize = 256;

/// Bytes that a lane of mail or store requests keeps room for when load has dropped.
pub const LANE_BYTES_KEPT: usize = 1024;

/// What a slow reader that is closed for the shard's sake may still have in flight; with more it is cut off at once.
pub const CUT_QUEUE_BYTES_MAX: u32 = 64 * 1024;

/// The table is looked through for long queues again only after so much more was queued.
pub const RELIEF_STEP_BYTES: u64 = SHARD_QUEUE_BYTES_MAX / 64;

/// The longest frame of somebody who has not logged in: a login. Half of one is all that a stranger makes the node keep.
pub const LOGIN_FRAME_BYTES_MAX: usize =
    wire::HEADER_BYTES + wire::limits::TOKEN_BYTES_MAX + wire::limits::ROOT_BYTES_MAX;

/// The longest header of a proxy: what a TCP segment always has room for, so that a proxy can send it in one.
pub const PROXY_HEADER_BYTES_MAX: usize = 536;

/// When the shard's bound is reached, the longest queues are closed until this much is queued: an eighth of the budget
/// per scan of the table, so that the scan's cost is spread over thousands of messages.
pub const SHARD_QUEUE_BYTES_LOW: u64 = SHARD_QUEUE_BYTES_MAX / 8 * 7;

/// Bytes that a driver may hand over in one receive: a pause takes effect after at most one of them.
pub const RECEIVE_BYTES_MAX: usize = 64 * 1024;

/// Bytes put aside for one connection: a torn frame, plus what a driver hands over between a pause and its effect: three
/// runs of 32 receives of 4 KiB, two in the call that brought the bytes that paused it and one before the cancel is seen.
pub const CONN_SPILL_BYTES_MAX: usize = FRAME_BYTES_MAX + RECEIVE_BYTES_MAX + 3 * 128 * 1024;

/// Bytes put aside in a shard: 1,000 connections may be torn inside a frame of the largest size at once.
pub const SHARD_SPILL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Emptied spill buffers that are kept for reuse: torn frames come in waves of about this many per turn.
pub const SPILL_SPARE_MAX: usize = 64;

/// Commands of one connection that are not answered yet; beyond it the connection pauses, so that one sender cannot take
/// all of the store's credit. Two seconds of a sender at 512 messages per second.
pub const CONN_AWAITING_MAX: u16 = 1024;

/// A paused connection goes on below this many: half, so that it does not stop and go for every answer.
pub const CONN_AWAITING_LOW: u16 = CONN_AWAITING_MAX / 2;

/// Reads of one connection without an answer; beyond it, or while more than a page is queued for it, its next read waits.
/// Four pages are half of the queue's bound: whoever pulls is held back and never closed for it.
pub const CONN_READS_MAX: u8 = 4;

/// Appends without an answer: 80 ms of a shard at 100,000 messages per second, which is many group commits.
pub const STORE_APPENDS_MAX: u32 = 8192;

/// Bytes of appends without an answer: 8192 texts of 2 KiB.
pub const STORE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Reads without an answer: each is bounded by a page, so this bounds the memory of their answers to 256 MiB.
pub const STORE_READS_MAX: u32 = 1024;

/// Services without an answer that change something: each is some statements in a commit that messages share.
pub const STORE_CHANGES_MAX: u32 = 512;

/// What a client is told to wait after `busy`: a few group commits.
pub const BUSY_RETRY_MS: u32 = 100;

/// Bytes of one page of messages in a queue, as charged, unless one message is larger: an eighth of the connection's bound, whatever the page's count.
pub const PAGE_BYTES_MAX: usize = CONN_QUEUE_BYTES_MAX as usize / 8;

/// Mail bytes of one class for one peer that it has not handled yet; beyond it the commands that cause such mail wait.
pub const MAIL_CREDIT_BYTES: u32 = 4 * 1024 * 1024;

/// Commands that wait for a peer's credit go on when so much or less is unhandled: half, so that they do not stop and go
/// with every batch.
pub const MAIL_CREDIT_BYTES_LOW: u32 = MAIL_CREDIT_BYTES / 2;

/// Replies for one peer with its reserve: for what is owed to commands that were taken before, for closes, and for
/// deliveries that came from a third shard. Beyond it a recipient who is connected there counts as a slow reader.
pub const MAIL_RESERVE_BYTES: u32 = 4 * MAIL_CREDIT_BYTES;

/// Credit that is kept back until mail goes to its owner anyway: an eighth, so that the owner never runs out for it.
pub const MAIL_OWED_BYTES_MAX: u32 = MAIL_CREDIT_BYTES / 8;

const _: () = assert!(MAIL_OWED_BYTES_MAX < MAIL_CREDIT_BYTES_LOW);

/// Rooms that one session may be in.
pub const SESSION_ROOMS_MAX: u16 = 64;

/// Rooms with members or interest in a shard: a room costs about 100 bytes.
pub const SHARD_ROOMS_MAX: usize = 1_000_000;

/// Conversations whose `seq` a shard keeps in memory (durability `none` and `relaxed`): about 100 bytes each.
pub const SHARD_CONVERSATIONS_MAX: usize = 4_000_000;

/// Private conversations of one user that a shard can list (durability `none`); a page of them looks at all. More are
/// served, but not listed.
pub const USER_LISTED_MAX: u16 = 16_384;

/// Recent messages that a shard knows retries of (durability `none` and `relaxed`). The promise is 1,024 per sender;
/// this holds it for 32 senders that write without pause, and for any number of slower ones for seconds. 3 MiB, taken at
/// the start.
pub const RECENT_MAX: usize = 32_768;

/// Directory entries of closed sessions, kept until their token has expired: more logins than this within a token's life
/// are refused as busy.
pub const DIRECTORY_CLOSED_MAX: usize = 1_000_000;

/// Connections of a shard: an index has 24 bits in a connection reference.
pub const CONNECTIONS_MAX: u32 = (1 << 24) - 1;

/// Connections beyond a full shard's bound that are told so and closed in order; whoever comes while so many linger is cut
/// off without a word.
pub const SHED_MAX: u32 = 32;

/// Sessions that a shard's tables are made for at its start, if so many are planned: no table is copied while they come, and
/// what is not used yet is address space alone.
pub const SESSIONS_RESERVED_MAX: u32 = 65_536;

/// The longest heartbeat interval that a crowd makes the node tell, in milliseconds: routers on the way forget silent
/// connections after some minutes. A longer one has to be configured.
pub const HEARTBEAT_INTERVAL_MS_MAX: u32 = 5 * 60 * 1000;

/// How long a user whose sessions were ended is remembered, in seconds, so that a token from before opens nothing: longer than
/// any token lives.
pub const TOKEN_KEPT_S: u32 = 600;

/// How long the reason of a cut session is kept for the user's next login, in seconds.
pub const CUT_REASON_KEPT_S: u32 = 3600;

/// A hash table of hashbrown has grown to twice the buckets just before it is 7/16 full: bytes per entry then.
const fn at_worst_load(entry: usize) -> usize {
    (entry + 1) * 16 / 7
}

/// Bytes of an idle session in the core: slab entry (the timer's links are in it) and directory entry.
pub const IDLE_SESSION_BYTES: usize =
    size_of::<Conn>() + size_of::<Entry>() + at_worst_load(size_of::<u32>());

const _: () = assert!(IDLE_SESSION_BYTES <= 256);
/// Promise 5: 5,000 texts of 128 bytes fit into one queue. A text frame is its body and 72 bytes.
const _: () = assert!(5_000 * charge_of(128 + 72) <= CONN_QUEUE_BYTES_MAX);
const _: () = assert!(PAGE_BYTES_MAX > 2 * FRAME_BYTES_MAX);
// The pages that may be asked for, and what one may exceed its bound by, fit into a queue.
const _: () =
    assert!((CONN_READS_MAX as usize + 2) * PAGE_BYTES_MAX <= CONN_QUEUE_BYTES_MAX as usize);
/// A place in the ring of texts is counted in 32 bits of eight bytes each: what is remembered fits several times.
const _: () = assert!(RECENT_MAX as u64 * FRAME_BYTES_MAX as u64 <= (1 << 35) / 2);
