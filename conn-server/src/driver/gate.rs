//! When a shard accepts: at its own port while it serves, at the common port while it has room as well. The same for
//! every driver; how accepting is armed and ended is the driver's.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::host::{Host, Phase};
use crate::limits::{ACCEPT_RETRY, ACCEPTS_PER_TURN_AT_COMMON_PORT};
use crate::listener::ShardListeners;

/// Index of the common listener; the shard's own is the other.
pub(super) const COMMON: usize = 0;

/// One shard's listeners, and what speaks for and against accepting.
#[derive(Debug)]
pub(super) struct Gate {
    /// The common one, then the shard's own. Dropped when the drain has ended accepting: with the last shard's share
    /// the socket closes, and new clients are refused.
    sockets: [Option<Arc<OwnedFd>>; 2],
    /// After an error: not before then, or before a connection closes.
    retry_at: Option<chat::Instant>,
    /// Taken from the common port since this shard last stood at the end of the line.
    taken: u32,
    /// Counted in the mesh as accepting at the common port.
    is_at_common_port: bool,
    has_joined: bool,
}

impl Gate {
    pub(super) fn new(listeners: ShardListeners) -> Self {
        Self {
            sockets: [Some(listeners.common), Some(listeners.own)],
            retry_at: None,
            taken: 0,
            is_at_common_port: false,
            has_joined: false,
        }
    }

    pub(super) const fn retry_at(&self) -> Option<chat::Instant> {
        self.retry_at
    }

    pub(super) fn socket(&self, index: usize) -> Option<&OwnedFd> {
        self.sockets.get(index)?.as_deref()
    }

    /// Lets go of a listener whose accepting has ended for good.
    pub(super) fn drop_socket(&mut self, index: usize) {
        if let Some(socket) = self.sockets.get_mut(index) {
            *socket = None;
        }
    }

    /// Once per turn, before `is_wanted`.
    pub(super) fn follow(&mut self, host: &mut Host) {
        match host.phase {
            Phase::Starting => {}
            Phase::Serving => {
                self.join_common_port(host);
                self.leave_if_full(host);
            }
            Phase::Draining { .. } | Phase::Over(_) => {
                if std::mem::take(&mut self.is_at_common_port) {
                    host.inbox().mesh().leave_common_port();
                }
            }
        }
        if self.retry_at.is_some_and(|at| at <= host.now.mono) {
            self.retry_at = None;
        }
    }

    /// Whether a listener is to be accepted from.
    pub(super) fn is_wanted(&self, host: &Host, index: usize) -> bool {
        host.phase == Phase::Serving
            && self.retry_at.is_none()
            && (index != COMMON || self.is_at_common_port)
    }

    /// A socket was taken, or shed. `true`: let the other shards have the next ones. Waiting accepts are woken in the
    /// order in which they began to wait, so a shard has to go to the end of the line by itself.
    pub(super) fn on_taken(&mut self, host: &mut Host, index: usize) -> bool {
        self.leave_if_full(host);
        if index != COMMON || host.inbox().mesh().shards() < 2 {
            return false;
        }
        self.taken += 1;
        let is_enough = self.taken >= ACCEPTS_PER_TURN_AT_COMMON_PORT;
        if is_enough {
            self.taken = 0;
        }
        is_enough
    }

    /// An accept failed.
    pub(super) fn on_error(&mut self, host: &mut Host, error: i32) {
        match error {
            // Cancelled, or nothing there: no error.
            libc::ECANCELED | libc::EAGAIN => {}
            // The connection's trouble, not the listener's.
            libc::ECONNABORTED | libc::EPROTO | libc::EINTR => host.counters.accept_errors += 1,
            // The table is full, or the system is short of something. Clients wait in the backlog meanwhile.
            _ => {
                host.counters.accept_errors += 1;
                host.counters.accept_pauses += 1;
                self.retry_at = Some(host.now.mono + ACCEPT_RETRY);
            }
        }
    }

    /// A descriptor has become free.
    pub(super) fn on_file_free(&mut self, host: &Host) {
        self.retry_at = None;
        if host.phase == Phase::Serving {
            self.join_common_port(host);
        }
    }

    /// Leaves the common port to the others while there is no room. Refused to the last shard there: it goes on and
    /// sheds, so that clients get an answer.
    fn leave_if_full(&mut self, host: &mut Host) {
        if self.is_at_common_port && host.open >= host.connections_max {
            let may_leave = host.inbox().mesh().may_leave_common_port();
            self.is_at_common_port = !may_leave;
            host.counters.accept_pauses += u64::from(may_leave);
        }
    }

    /// Accepts at the common port again, or for the first time, if there is room.
    fn join_common_port(&mut self, host: &Host) {
        let has_room = host.open < host.connections_max || !self.has_joined;
        if !self.is_at_common_port && has_room {
            self.is_at_common_port = true;
            self.has_joined = true;
            host.inbox().mesh().join_common_port();
        }
    }
}
