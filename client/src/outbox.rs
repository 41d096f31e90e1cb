//! Where frames to send are appended.

use bytes::BytesMut;
use wire::Message;

/// A growing buffer of bytes to send, owned by the caller.
pub trait Outbox {
    /// Appends one frame; `false`, with the buffer unchanged, if a body is longer than a frame can carry.
    #[must_use]
    fn append(&mut self, message: &Message<'_>, correlation: u64) -> bool;
}

impl Outbox for Vec<u8> {
    fn append(&mut self, message: &Message<'_>, correlation: u64) -> bool {
        message.append_to(correlation, self)
    }
}

impl Outbox for BytesMut {
    fn append(&mut self, message: &Message<'_>, correlation: u64) -> bool {
        let start = self.len();
        self.resize(start + message.encoded_len(), 0);
        let written = self.get_mut(start..).and_then(|room| message.encode(correlation, room));
        self.truncate(start + written.unwrap_or(0));
        written.is_some()
    }
}
