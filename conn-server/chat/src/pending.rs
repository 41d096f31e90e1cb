//! Requests on their way to the store, or spread over shards, and the credit that bounds them.
//!
//! Invariant: every ticket is answered once; a second answer, or one for an earlier owner of the slot, finds nothing.

use alloc::vec::Vec;
use core::time::Duration;

use wire::{ClientMessageId, ConversationId, Kind, RoomId, Seq, UserId};

use crate::conn::{ConnKey, ConnRef, NONE};
use crate::frame_pool::FrameId;
use crate::limits::{STORE_APPENDS_MAX, STORE_BYTES_MAX, STORE_CHANGES_MAX, STORE_READS_MAX};
use crate::members::EnterAsker;
use crate::store::Ticket;
use crate::time::Instant;

/// Whom to answer about a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) origin: ConnRef,
    pub(crate) correlation: u64,
    pub(crate) kind: Kind,
    pub(crate) client_message_id: ClientMessageId,
}

/// A message that the store is to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingAppend {
    pub(crate) asker: Asker,
    pub(crate) conversation: ConversationId,
    pub(crate) from: UserId,
    /// Its encoded text, if it is to be delivered after the commit.
    pub(crate) frame: Option<FrameId>,
    pub(crate) message_id: u64,
    pub(crate) bytes: u32,
}

/// A list of conversations that is put together from all shards' parts (durability `none`).
#[derive(Debug)]
pub(crate) struct PendingParts {
    pub(crate) key: ConnKey,
    pub(crate) correlation: u64,
    pub(crate) after: ConversationId,
    pub(crate) limit: u16,
    pub(crate) missing: u16,
    pub(crate) heads: Vec<(ConversationId, Seq)>,
    pub(crate) is_complete: bool,
}

/// What an answer will be for.
#[derive(Debug)]
pub(crate) enum Pending {
    Append(PendingAppend),
    Page {
        key: ConnKey,
        correlation: u64,
        conversation: ConversationId,
        after: Seq,
    },
    Enter {
        asker: EnterAsker,
        room: RoomId,
    },
    /// The conversation's last `seq` is asked for, since messages wait for it.
    Learn {
        conversation: ConversationId,
    },
    Conversations {
        key: ConnKey,
        correlation: u64,
        after: ConversationId,
    },
    Parts(PendingParts),
    Serve {
        key: ConnKey,
        correlation: u64,
        kind: Kind,
    },
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    next_free: u32,
    pending: Option<Pending>,
}

const fn is_change(pending: &Pending) -> bool {
    matches!(pending, Pending::Serve { kind, .. } if kind.is_change())
}

/// All requests without an answer.
#[derive(Debug)]
pub(crate) struct Desk {
    slots: Vec<Slot>,
    free: u32,
    appends: u32,
    append_bytes: u64,
    reads: u32,
    /// Services that change something: they wait for the disk as appends do, and must not use up what reads may.
    changes: u32,
    /// When the store last answered an append, or when it was given one while it had none.
    progress: Instant,
    /// The same for reads, which are served beside the appends.
    read_progress: Instant,
}

impl Desk {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            appends: 0,
            append_bytes: 0,
            reads: 0,
            changes: 0,
            progress: Instant(0),
            read_progress: Instant(0),
        }
    }

    pub(crate) const fn appends(&self) -> u32 {
        self.appends
    }

    pub(crate) const fn is_idle(&self) -> bool {
        self.appends == 0 && self.reads == 0 && self.changes == 0
    }

    /// Whether the store has owed an answer for too long.
    pub(crate) fn is_stalled(&self, now: Instant, patience: Duration) -> bool {
        (self.appends + self.changes > 0 && now.since(self.progress) > patience)
            || (self.reads > 0 && now.since(self.read_progress) > patience)
    }

    /// Whether there is credit for one more append of so many bytes.
    pub(crate) fn takes_append(&self, bytes: u32) -> bool {
        self.appends < STORE_APPENDS_MAX && self.append_bytes + u64::from(bytes) <= STORE_BYTES_MAX
    }

    /// Takes an append's credit for a message that waits to become one.
    pub(crate) fn park(&mut self, now: Instant, bytes: u32) {
        if self.appends == 0 {
            self.progress = now;
        }
        self.appends += 1;
        self.append_bytes += u64::from(bytes);
    }

    /// Gives it back.
    pub(crate) fn unpark(&mut self, now: Instant, bytes: u32) {
        self.progress = now;
        self.appends -= 1;
        self.append_bytes -= u64::from(bytes);
    }

    /// Whether there is credit for one more read.
    pub(crate) const fn takes_read(&self) -> bool {
        self.reads < STORE_READS_MAX
    }

    /// Whether there is credit for one more service that changes something.
    pub(crate) const fn takes_change(&self) -> bool {
        self.changes < STORE_CHANGES_MAX
    }

    pub(crate) fn open(&mut self, now: Instant, pending: Pending) -> Ticket {
        if let Pending::Append(append) = &pending {
            if self.appends + self.changes == 0 {
                self.progress = now;
            }
            self.appends += 1;
            self.append_bytes += u64::from(append.bytes);
        } else if is_change(&pending) {
            if self.appends + self.changes == 0 {
                self.progress = now;
            }
            self.changes += 1;
        } else {
            if self.reads == 0 {
                self.read_progress = now;
            }
            self.reads += 1;
        }
        match self.slots.get_mut(self.free as usize) {
            Some(slot) => {
                let index = core::mem::replace(&mut self.free, slot.next_free);
                slot.pending = Some(pending);
                Ticket { index, generation: slot.generation }
            }
            None => {
                let index = u32::try_from(self.slots.len()).unwrap_or(NONE);
                self.slots.push(Slot { generation: 0, next_free: NONE, pending: Some(pending) });
                Ticket { index, generation: 0 }
            }
        }
    }

    pub(crate) fn close(&mut self, now: Instant, ticket: Ticket) -> Option<Pending> {
        let slot = self.slots.get_mut(ticket.index as usize)?;
        if slot.generation != ticket.generation {
            return None;
        }
        let pending = slot.pending.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_free = core::mem::replace(&mut self.free, ticket.index);
        if let Pending::Append(append) = &pending {
            self.progress = now;
            self.appends -= 1;
            self.append_bytes -= u64::from(append.bytes);
        } else if is_change(&pending) {
            self.progress = now;
            self.changes -= 1;
        } else {
            self.read_progress = now;
            self.reads -= 1;
        }
        Some(pending)
    }

    /// A pending list of conversations, while parts of it are missing.
    pub(crate) fn parts(&mut self, ticket: Ticket) -> Option<&mut PendingParts> {
        let slot = self.slots.get_mut(ticket.index as usize)?;
        match (&mut slot.pending, slot.generation == ticket.generation) {
            (Some(Pending::Parts(parts)), true) => Some(parts),
            _ => None,
        }
    }
}
