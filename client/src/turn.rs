//! One entry into a session: the time, where bytes go, whom to tell.

use wire::{Command, ConversationId, Pull, Seq};

use crate::notice::Notice;
use crate::outbox::Outbox;

/// Marks the correlation ids of pulls that a session makes by itself, so that the owner's own are told apart.
pub(crate) const REPAIR_BIT: u64 = 1 << 63;

/// What the bookkeeping needs of its caller.
pub(crate) struct Turn<'t, O, V> {
    pub(crate) now_ms: u64,
    /// Whether commands may be sent now: not before the welcome, not after the logout.
    pub(crate) is_open: bool,
    pub(crate) out: &'t mut O,
    pub(crate) visit: &'t mut V,
    /// The last correlation id given out.
    pub(crate) correlation: &'t mut u64,
    /// When something was last sent: the heartbeat is counted from it.
    pub(crate) sent_ms: &'t mut u64,
}

impl<O: Outbox, V: FnMut(Notice<'_>)> Turn<'_, O, V> {
    pub(crate) fn tell(&mut self, notice: Notice<'_>) {
        (self.visit)(notice);
    }

    /// Sends a pull and returns its correlation id.
    pub(crate) fn pull(&mut self, conversation: ConversationId, after: u64, limit: u16) -> u64 {
        *self.correlation += 1;
        let correlation = *self.correlation | REPAIR_BIT;
        let command = Command::Pull(Pull { conversation, after: Seq(after), limit });
        let is_written = self.out.append(&command.into(), correlation);
        debug_assert!(is_written, "a pull has no body, so it always fits a frame");
        *self.sent_ms = self.now_ms;
        correlation
    }
}
