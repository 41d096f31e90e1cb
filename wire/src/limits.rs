//! Every bound of the protocol, with its reason.

use crate::header::HEADER_BYTES;

/// The longest text of one message, in bytes. Chat text is short; 32 KiB leaves room for pasted logs and for the
/// 16,384-byte row of the benchmark grid, and keeps a frame well below [`FRAME_BYTES_MAX`].
pub const BODY_BYTES_MAX: usize = 32 * 1024;

/// The longest login token, in bytes: today's is 65; the rest is room for a successor with a key id.
pub const TOKEN_BYTES_MAX: usize = 256;

/// The longest frame, header included. A power of two, so that the largest buffer class holds any frame.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// The longest payload.
pub const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;

/// The longest name of a user or a group: 50 letters of any script.
pub const NAME_BYTES_MAX: usize = 200;

/// The longest name that one user gives to another.
pub const ALIAS_BYTES_MAX: usize = NAME_BYTES_MAX;

/// The longest word with a friend request.
pub const NOTE_BYTES_MAX: usize = 1000;

/// The longest description of a user: half a page of text.
pub const DESCRIPTION_BYTES_MAX: usize = 2000;

/// The longest name or address of a picture.
pub const AVATAR_BYTES_MAX: usize = 500;

/// The longest body of a sign about a call: session descriptions of browsers have 2 to 10 KiB.
pub const SIGNAL_BYTES_MAX: usize = 16 * 1024;

/// Texts of one frame: a screenful typed at once, or what a client has kept while it was offline.
pub const TEXTS_MAX: usize = 64;

/// Bytes of all texts of one frame, with 12 for each.
pub const TEXTS_BYTES_MAX: usize = 48 * 1024;

/// Unread messages are counted so far: a reader who sees this number knows that there are many.
pub const UNREAD_MAX: u16 = 99;

/// How many messages or conversation heads one page may ask for: bounds what one command can make the node queue
/// (256 messages of ordinary size are below 64 KiB).
pub const PAGE_ITEMS_MAX: u16 = 256;

/// Bytes of a payload that are not its body, at most: the largest root, rounded up.
pub const ROOT_BYTES_MAX: usize = 128;

const _: () = assert!(BODY_BYTES_MAX + ROOT_BYTES_MAX <= PAYLOAD_BYTES_MAX);
const _: () = assert!(TEXTS_BYTES_MAX + ROOT_BYTES_MAX <= PAYLOAD_BYTES_MAX);
const _: () = assert!(TOKEN_BYTES_MAX + ROOT_BYTES_MAX <= PAYLOAD_BYTES_MAX);
