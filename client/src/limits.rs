//! Every bound of the client half, with its reason.

/// Conversations that one session keeps a cursor for, at 24 bytes each: 384 KiB for the busiest user imaginable. Messages of
/// further ones are delivered as they come and counted as untracked.
pub const CURSORS_MAX: usize = 16 * 1024;

/// Messages held back behind gaps, in one session: one page of a pull. What does not fit is dropped and pulled later.
pub const HELD_MESSAGES_MAX: usize = 256;

/// Bytes of those messages' texts: eight of the longest, or a whole page of texts of 1 KiB.
pub const HELD_BYTES_MAX: usize = 256 * 1024;

/// Pulls that one session has outstanding at a time, one per conversation at most: bounds what it makes the node queue for
/// it to four pages, well below the 2 MiB that a connection may queue there.
pub const PULLS_OUTSTANDING_MAX: u8 = 4;

/// Pulls that may come back without the missing message before it is given up: under durability `relaxed` a message is
/// pushed before the store has it, so the first tries may be early. With the doubling delay these take 6.2 s.
pub const PULL_ATTEMPTS_MAX: u8 = 6;

/// The delay before the second try, in milliseconds, about a slow group commit; it doubles with each further try.
pub const PULL_RETRY_MS: u64 = 200;

/// Notices that the blocking client keeps while it waits for an answer; beyond it the caller must read them first.
pub const BACKLOG_MAX: usize = 64 * 1024;

/// Bytes that the blocking client reads at a time: the largest frame, so that one read can complete any frame.
pub const READ_BYTES: usize = wire::limits::FRAME_BYTES_MAX;
