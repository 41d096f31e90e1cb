//! The io_uring driver: one ring per shard; multishot accepts into direct descriptors, multishot receives into shared
//! buffers, one send in flight per connection, no system call but the one that submits and waits.
//!
//! This file owns the loop and the dispatch of completions; each operation has its own file. Invariants:
//! - a buffer is given back on every path, and what is lent to the kernel outlives its last completion;
//! - after every completion without MORE the operation is armed again or its connection goes on closing, whatever the
//!   result was;
//! - a completion counts for a connection only if its generation is that of the slot's present owner.

mod accept;
mod buffers;
mod close;
mod probe;
mod receive;
mod ring;
mod send;
mod slots;
mod token;

use std::io;
use std::os::fd::AsRawFd;

use chat::{ConnKey, Effects};
use io_uring::IoUring;

pub(super) use probe::explain;
pub use probe::probe;

use self::accept::Accepting;
use self::buffers::Buffers;
use self::receive::Starved;
use self::ring::{Completion, Enter, Ring};
use self::send::SendArena;
use self::slots::Slots;
use self::token::Op;
use crate::clock::Clock;
use crate::host::{End, Host, Phase, Wait};
use crate::limits::{EVENTS_PER_TURN_MAX, TEARDOWN_STEP, TEARDOWN_TIMEOUT};
use crate::listener::ShardListeners;
use crate::stats::IoCounters;

/// One of the core's lanes of connections.
type Lane = fn(&mut Effects) -> &mut Vec<ConnKey>;

/// Sizes of one shard's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UringConfig {
    /// Submissions per enter; when a turn has more, it enters more than once.
    pub submission_entries: u32,
    /// Completions that can wait. Should hold one per buffer, one per send of a turn and a burst of accepts: beyond it
    /// the kernel keeps them aside, ends multishots and slows down.
    pub completion_entries: u32,
    /// Receive buffers of the shard: a power of two, at most 32,768.
    pub buffers: u16,
    /// Bytes of each buffer; at most 4 KiB. A connection can deliver 32 buffers before its pause takes effect, and the
    /// core puts 128 KiB aside for a paused one.
    pub buffer_bytes: u32,
}

impl Default for UringConfig {
    /// 4 MiB of buffers, of which a message touches three cache lines, and half a MiB of queues per shard. A buffer of a page
    /// takes a burst of sixteen texts whole: half as large, every burst was torn, put aside and joined again.
    fn default() -> Self {
        Self {
            submission_entries: 4096,
            completion_entries: 16_384,
            buffers: 1024,
            buffer_bytes: 4096,
        }
    }
}

/// What a shard's driver has to know beyond its host.
#[derive(Debug)]
pub(crate) struct UringIo {
    pub(crate) listeners: ShardListeners,
    pub(crate) config: UringConfig,
    /// Places in the descriptor table.
    pub(crate) files: u32,
}

/// Runs one shard until it is over. `ready` is called when the ring is set up.
///
/// # Errors
/// If the ring cannot be set up, or the kernel refuses to go on.
pub(crate) fn run(host: &mut Host, io: UringIo, ready: impl FnOnce()) -> io::Result<End> {
    let (mut uring, _) = ring::build(&io.config)?;
    let mut driver = Driver::new(&mut uring, host, io)?;
    ready();
    loop {
        host.begin_turn();
        driver.reap(host);
        host.finish_inputs();
        driver.drain_lanes(host);
        host.end_turn();
        driver.arrange_accepts(host);
        driver.feed_starved(host);
        driver.buffers.publish();
        if let Phase::Over(end) = host.phase {
            return Ok(end);
        }
        let enter = match host.wait(driver.ring.has_completions(), driver.accepting.gate.retry_at())
        {
            Wait::Poll => Enter::Poll,
            Wait::Sleep(timeout) => Enter::Wait(timeout),
        };
        driver.ring.enter(enter, &mut host.counters)?;
    }
}

/// One shard's ring and what it has in flight.
struct Driver<'r> {
    ring: Ring<'r>,
    buffers: Buffers,
    slots: Slots,
    sends: SendArena,
    accepting: Accepting,
    starved: Starved,
    /// Cancels that did not find their target, to be looked at when all completions have been reaped.
    missed: Vec<ConnKey>,
}

impl<'r> Driver<'r> {
    fn new(uring: &'r mut IoUring, host: &mut Host, io: UringIo) -> io::Result<Self> {
        let ring = Ring::new(uring);
        ring.submitter().register_files_sparse(io.files)?;
        let buffers = Buffers::new(ring.submitter(), io.config.buffers, io.config.buffer_bytes)?;
        // For what has to go through the kernel's worker threads all the same: a mass of it must not become a mass of
        // threads. Best effort: the limit is an economy.
        let _ = ring.submitter().register_iowq_max_workers(&mut [1, 1]);
        let mut driver = Self {
            ring,
            buffers,
            slots: Slots::with_capacity(io.files as usize),
            sends: SendArena::new(),
            accepting: Accepting::new(io.listeners),
            starved: Starved::default(),
            missed: Vec::new(),
        };
        let wake = host.inbox().wake_fd().as_raw_fd();
        driver.ring.watch(wake, &mut host.counters);
        Ok(driver)
    }

    /// Handles the completions that are there, up to a turn's worth.
    fn reap(&mut self, host: &mut Host) {
        for _ in 0..EVENTS_PER_TURN_MAX {
            let Some(completion) = self.ring.reap() else { break };
            host.counters.cqes += 1;
            self.dispatch(host, completion);
        }
        if !self.missed.is_empty() && !self.ring.has_completions() {
            self.repeat_missed(host);
        }
    }

    fn dispatch(&mut self, host: &mut Host, completion: Completion) {
        match completion.token.op() {
            Some(Op::Receive) => self.on_receive(host, completion),
            Some(Op::Send) => self.on_sent(host, completion),
            Some(Op::Accept) => self.on_accept(host, completion),
            Some(Op::Wake) => {
                host.counters.wake_ups += 1;
                if !completion.has_more() {
                    host.counters.rearms += 1;
                    let wake = host.inbox().wake_fd().as_raw_fd();
                    self.ring.watch(wake, &mut host.counters);
                }
            }
            Some(Op::Close) => self.on_closed(host, completion),
            Some(Op::Shed) => self.accepting.gate.on_file_free(host),
            Some(Op::Borrow) => self.on_borrowed(host, completion),
            Some(Op::Shutdown) => self.on_shutdown(host, completion),
            Some(Op::Cancel) => self.on_cancelled(completion),
            Some(Op::Pause) => self.on_paused(completion),
            Some(Op::AcceptCancel) => self.on_accept_cancelled(completion),
            Some(Op::Teardown) | None => host.counters.stale += 1,
        }
    }

    /// Does what the core asked for in this turn. The core is not called here, so the lanes do not grow meanwhile.
    fn drain_lanes(&mut self, host: &mut Host) {
        self.flush(host);
        self.each(host, |fx| &mut fx.pause, Self::pause);
        self.each(host, |fx| &mut fx.resume, Self::resume);
        self.each(host, |fx| &mut fx.shutdown, Self::shutdown);
        self.each(host, |fx| &mut fx.abort, Self::abort);
    }

    /// Empties one lane, keeping its capacity.
    fn each(&mut self, host: &mut Host, lane: Lane, act: fn(&mut Self, &mut Host, ConnKey)) {
        let mut keys = std::mem::take(lane(&mut host.fx));
        for key in keys.drain(..) {
            act(self, host, key);
        }
        *lane(&mut host.fx) = keys;
    }
}

impl Drop for Driver<'_> {
    /// Ends everything that the kernel has of this shard, and waits for it: only then may buffers, queues and the core's
    /// frames be freed. Runs on every way out, a panic included.
    fn drop(&mut self) {
        let (clock, mut counters) = (Clock::start(), IoCounters::default());
        while self.ring.in_flight() > 0 {
            self.ring.cancel_all(&mut counters);
            let entered = self.ring.enter(Enter::Wait(Some(TEARDOWN_STEP)), &mut counters);
            while self.ring.reap().is_some() {}
            let is_late = clock.mono().since(chat::Instant(0)) > TEARDOWN_TIMEOUT;
            if entered.is_err() || is_late {
                // Freeing memory that the kernel may still write to would corrupt the process in silence.
                tracing::error!(
                    in_flight = self.ring.in_flight(),
                    "the ring does not let go: ending the process"
                );
                std::process::abort();
            }
        }
        self.ring.release();
    }
}
