//! One io_uring: its table of direct descriptors, its receive buffers, submission and completion.
//!
//! Knows nothing of chat. Invariant: memory that the kernel was given (receive buffers here, send buffers at the
//! caller) stays where it is until [`Ring::quiesce`] has seen the end of every operation.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use io_uring::types::{BufRingEntry, CancelBuilder, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, squeue};

use super::limits::{
    COMPLETIONS, COMPLETIONS_MIN, RECV_BUFFERS, RECV_BUFFERS_MIN, RINGS_FULL_SIZE_MAX, SUBMISSIONS,
    SUBMISSIONS_MIN,
};
use super::pages::Pages;

/// The one group of receive buffers.
pub(super) const BUFFER_GROUP: u16 = 0;

/// Submissions that a full queue is given to make room. One does unless the kernel has no memory.
const PUSH_ATTEMPTS: u32 = 64;

/// A completion, copied out of the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) user_data: u64,
    /// A count of bytes, or an error number below zero.
    pub(super) result: i32,
    flags: u32,
}

impl Completion {
    /// Whether the operation goes on and will complete again.
    pub(super) fn has_more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The receive buffer that it filled.
    pub(super) fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// Sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    submissions: u32,
    completions: u32,
    buffers: u16,
    buffer_bytes: usize,
}

impl Sizes {
    /// For one of `rings` rings.
    pub(super) const fn of(rings: u32, buffer_bytes: usize) -> Self {
        if rings <= RINGS_FULL_SIZE_MAX {
            let (submissions, completions, buffers) = (SUBMISSIONS, COMPLETIONS, RECV_BUFFERS);
            return Self { submissions, completions, buffers, buffer_bytes };
        }
        let (submissions, completions, buffers) =
            (SUBMISSIONS_MIN, COMPLETIONS_MIN, RECV_BUFFERS_MIN);
        Self { submissions, completions, buffers, buffer_bytes }
    }

    /// Memory of a ring: submissions, completions, buffers.
    #[cfg(test)]
    pub(super) const fn bytes(self) -> usize {
        self.submissions as usize * 64
            + self.completions as usize * 16
            + self.buffers as usize * self.buffer_bytes
    }
}

pub(super) struct Ring {
    // Dropped first: the memory below is the kernel's until then.
    ring: IoUring,
    entries: Pages,
    buffers: Pages,
    sizes: Sizes,
    tail: u16,
    /// Operations that will still complete.
    in_flight: u32,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

impl Ring {
    /// Opens a ring for `files` connections, on the thread that will use it.
    pub(super) fn open(files: u32, sizes: Sizes) -> io::Result<Self> {
        let Sizes { submissions, completions, buffers: count, buffer_bytes } = sizes;
        let ring = IoUring::builder()
            // One thread submits (6.0), and completions are made ready only when it asks (6.1): no interrupts of its work.
            .setup_single_issuer()
            .setup_defer_taskrun()
            // Without it nobody would know that deferred work waits.
            .setup_taskrun_flag()
            // One wrong submission must not hold back those behind it.
            .setup_submit_all()
            .setup_cqsize(completions)
            .build(submissions)
            .map_err(explain_setup)?;
        ring.submitter().register_files_sparse(files)?;
        let entries = Pages::new(usize::from(count) * size_of::<BufRingEntry>());
        let buffers = Pages::new(usize::from(count) * buffer_bytes);
        let address = entries.at(0) as u64;
        // SAFETY: the entries are page-aligned, large enough, and live until the ring is gone (field order, `quiesce`).
        unsafe {
            ring.submitter().register_buf_ring_with_flags(address, count, BUFFER_GROUP, 0)?;
        }
        let mut ring = Self { ring, entries, buffers, sizes, tail: 0, in_flight: 0 };
        for id in 0..count {
            ring.recycle(id);
        }
        Ok(ring)
    }

    /// Receive buffers, and the bytes of each.
    pub(super) const fn buffers(&self) -> (u16, usize) {
        (self.sizes.buffers, self.sizes.buffer_bytes)
    }

    /// The ring's own descriptor: readable when there is something to reap.
    pub(super) fn fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// Queues an operation.
    ///
    /// Whatever memory it names must stay valid until it has completed.
    pub(super) fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        for _ in 0..PUSH_ATTEMPTS {
            // SAFETY: callers keep what the entry points to: receive buffers here, send buffers in their pool, and
            // socket addresses until the next submission, when the kernel has copied them.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                self.in_flight += 1;
                return Ok(());
            }
            self.submit()?;
        }
        Err(io::Error::other("the kernel takes no submissions: its memory may be exhausted"))
    }

    /// Whether a system call would do anything: something to submit, or deferred work to run.
    pub(super) fn wants_enter(&mut self) -> bool {
        let submissions = self.ring.submission();
        !submissions.is_empty() || submissions.taskrun() || submissions.cq_overflow()
    }

    /// Whether a completion is there to be reaped.
    pub(super) fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// Submits what is queued and runs deferred work, without waiting.
    pub(super) fn submit(&self) -> io::Result<()> {
        tolerate(self.ring.submitter().submit())
    }

    /// Submits what is queued and waits for a completion, or for `timeout`.
    pub(super) fn submit_and_wait(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::from(timeout);
        let arguments = SubmitArgs::new().timespec(&timeout);
        tolerate(self.ring.submitter().submit_with_args(1, &arguments))
    }

    /// Moves up to `max` completions to `reaped`.
    pub(super) fn reap(&mut self, max: usize, reaped: &mut Vec<Completion>) {
        for entry in self.ring.completion().take(max) {
            let completion = Completion {
                user_data: entry.user_data(),
                result: entry.result(),
                flags: entry.flags(),
            };
            self.in_flight -= u32::from(!completion.has_more());
            reaped.push(completion);
        }
    }

    /// What was received in a buffer.
    pub(super) fn received(&self, id: u16, len: usize) -> &[u8] {
        assert!(len <= self.sizes.buffer_bytes, "a receive fills one buffer at most");
        let start = self.buffers.at(usize::from(id) * self.sizes.buffer_bytes);
        // SAFETY: the kernel has filled `len` bytes of this buffer and does not touch it before `recycle`, which needs
        // the ring exclusively, so not while this slice lives.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    /// Gives a buffer back to the kernel.
    pub(super) fn recycle(&mut self, id: u16) {
        let Sizes { buffers: count, buffer_bytes, .. } = self.sizes;
        let address = self.buffers.at(usize::from(id) * buffer_bytes) as u64;
        let slot = usize::from(self.tail & (count - 1));
        let entry = self.entries.at(slot * size_of::<BufRingEntry>()).cast::<BufRingEntry>();
        // SAFETY: within the entries and aligned for them; the kernel reads only entries below the tail, which this is not.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address);
        entry.set_len(u32::try_from(buffer_bytes).expect("receive buffers are small"));
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        let base = self.entries.at(0).cast::<BufRingEntry>().cast_const();
        // SAFETY: the base of the entries is what the function asks for.
        let tail = unsafe { BufRingEntry::tail(base) };
        // SAFETY: the tail lies in the first entry, is aligned for a u16, and is shared with the kernel as an atomic.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // The entry must be seen before the tail that covers it.
        tail.store(self.tail, Ordering::Release);
    }

    /// Ends every operation and waits for their completions, which are dropped. `false` if some did not come in time:
    /// then nothing that they point to may be freed.
    pub(super) fn quiesce(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut dropped = Vec::new();
        while self.in_flight > 0 && Instant::now() < deadline {
            let step = Timespec::from(Duration::from_millis(100));
            // No operation to cancel, or not all of them yet: the count below is what decides.
            let _ = self.submit();
            let _ = self.ring.submitter().register_sync_cancel(Some(step), CancelBuilder::any());
            let _ = self.submit_and_wait(Duration::from_millis(1));
            self.reap(usize::MAX, &mut dropped);
            dropped.clear();
        }
        // Closes the sockets now, and not some time after the ring is gone: whoever measures next may need their places.
        let _ = self.ring.submitter().unregister_files();
        self.in_flight == 0
    }
}

/// Waiting ends by a timeout or a signal, and a full completion queue is emptied by the caller: none is an error.
fn tolerate(entered: io::Result<usize>) -> io::Result<()> {
    match entered {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
            Some(_) | None => Err(error),
        },
    }
}

fn explain_setup(error: io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "io_uring is switched off: set the sysctl kernel.io_uring_disabled to 0"
        }
        Some(libc::ENOSYS) => {
            "this kernel or a seccomp filter has no io_uring: allow it in the container's profile"
        }
        Some(libc::ENOMEM) => "no memory for a ring: raise the limit on locked memory (ulimit -l)",
        Some(_) | None => "the load generator needs Linux 6.1 or later with io_uring",
    };
    io::Error::new(error.kind(), format!("no io_uring ({error}): {advice}"))
}
