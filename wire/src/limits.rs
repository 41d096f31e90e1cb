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

/// How many messages or conversation heads one page may ask for: bounds what one command can make the node queue
/// (256 messages of ordinary size are below 64 KiB).
pub const PAGE_ITEMS_MAX: u16 = 256;

/// Bytes of a payload that are not its body, at most: the largest root, rounded up.
pub const ROOT_BYTES_MAX: usize = 128;

const _: () = assert!(BODY_BYTES_MAX + ROOT_BYTES_MAX <= PAYLOAD_BYTES_MAX);
const _: () = assert!(TOKEN_BYTES_MAX + ROOT_BYTES_MAX <= PAYLOAD_BYTES_MAX);
