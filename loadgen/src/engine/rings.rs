//! The rings of one thread: which connection is in which, and waiting for any of them.
//!
//! One ring waits in the system call that submits. Several are submitted one by one, and then their descriptors are
//! polled: rare enough, since more than one is needed for idle connections in great number only.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::ring::{Ring, Sizes};

#[derive(Debug, Default)]
pub(super) struct Rings {
    rings: Vec<Ring>,
    per_ring: u32,
}

/// Rings for so many connections, with at most `most` in each.
pub(super) fn count(connections: u32, most: u32) -> u32 {
    connections.div_ceil(most.min(table_max()).max(1)).max(1)
}

impl Rings {
    /// Opens as many rings as `connections` need, with at most so many in each.
    pub(super) fn open(connections: u32, buffer_bytes: usize, most: u32) -> io::Result<Self> {
        let count = count(connections, most);
        let per_ring = connections.div_ceil(count).max(1);
        let sizes = Sizes::of(count, buffer_bytes);
        let rings = (0..count).map(|_| Ring::open(per_ring, sizes)).collect::<io::Result<_>>()?;
        Ok(Self { rings, per_ring })
    }

    pub(super) const fn len(&self) -> usize {
        self.rings.len()
    }

    /// The number of a connection's ring.
    pub(super) const fn at(&self, index: u32) -> usize {
        (index / self.per_ring) as usize
    }

    /// The ring of a connection.
    pub(super) fn of(&mut self, index: u32) -> &mut Ring {
        let at = self.at(index);
        &mut self.rings[at]
    }

    pub(super) fn ring(&mut self, at: usize) -> &mut Ring {
        &mut self.rings[at]
    }

    /// A connection's place in its ring's table.
    pub(super) const fn slot(&self, index: u32) -> u32 {
        index % self.per_ring
    }

    /// Submits what is queued and runs deferred work, if there is any.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        for ring in &mut self.rings {
            if ring.wants_enter() {
                ring.submit()?;
            }
        }
        Ok(())
    }

    pub(super) fn wants_enter(&mut self) -> bool {
        self.rings.iter_mut().any(Ring::wants_enter)
    }

    pub(super) fn has_completions(&mut self) -> bool {
        self.rings.iter_mut().any(Ring::has_completions)
    }

    /// Submits what is queued and waits for a completion, or for `timeout`.
    pub(super) fn submit_and_wait(&mut self, timeout: Duration) -> io::Result<()> {
        if let [ring] = &self.rings[..] {
            return ring.submit_and_wait(timeout);
        }
        self.submit()?;
        if self.has_completions() {
            return Ok(());
        }
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(self.rings.len());
        for ring in &self.rings {
            // SAFETY: the ring, and with it its descriptor, is borrowed for as long as the list.
            let fd = unsafe { BorrowedFd::borrow_raw(ring.fd()) };
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Deferred work makes a ring readable, and is run by this. The others are left alone: with fifty rings most of
        // them have nothing.
        for (ring, fd) in self.rings.iter().zip(&fds) {
            if !fd.revents().is_empty() {
                ring.submit()?;
            }
        }
        Ok(())
    }

    /// Ends every operation of every ring; `false` if some did not end in time.
    pub(super) fn quiesce(&mut self, patience: Duration) -> bool {
        let unfinished =
            self.rings.iter_mut().filter_map(|ring| (!ring.quiesce(patience)).then_some(()));
        unfinished.count() == 0
    }
}

/// How large a table of direct descriptors may be: as many as this process might have open, so the soft limit is raised
/// to the hard one.
fn table_max() -> u32 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(u32::MAX)
}
