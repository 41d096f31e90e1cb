//! The ring: set-up, submissions, completions, one call into the kernel per turn. With the flags of the node's driver.

#![allow(unsafe_code, reason = "submission and enter are raw system interfaces")]

use std::io;

use io_uring::types::{Fd, Fixed};
use io_uring::{
    CompletionQueue, EnterFlags, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue,
};

use super::args::Args;
use super::buffers::GROUP;

/// The set-up, as the ready line names it.
pub(super) const FLAGS: &str = "single_issuer,defer_taskrun,taskrun_flag,submit_all,no_sqarray";

pub(super) fn build(args: &Args) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    builder.setup_submit_all().setup_no_sqarray().setup_clamp().setup_cqsize(args.completions);
    builder.build(args.submissions)
}

/// An operation, in the lowest bits of the user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    Accept,
    /// The index is the slot.
    Receive,
    /// Of bytes that are always there.
    SendStatic,
    /// Of a receive buffer, which is the index.
    SendBuffer,
    /// Of a copy, which is the index.
    SendHeld,
    /// The index is the slot.
    Close,
    /// Of a receive; the index is the slot.
    Cancel,
}

impl Op {
    const fn of(user_data: u64) -> Self {
        match user_data & 7 {
            0 => Self::Accept,
            1 => Self::Receive,
            2 => Self::SendStatic,
            3 => Self::SendBuffer,
            4 => Self::SendHeld,
            5 => Self::Close,
            _ => Self::Cancel,
        }
    }
}

/// `wanted: 24 | index: 32 | op: 8`; `wanted` is what a send should return.
const fn user_data(op: Op, index: u32, wanted: usize) -> u64 {
    (wanted as u64) << 40 | (index as u64) << 8 | op as u64
}

/// A completion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) op: Op,
    pub(super) index: u32,
    /// Of a receive: the buffer it filled. Of a send from a buffer: that buffer.
    pub(super) buffer: u16,
    pub(super) result: i32,
    pub(super) has_more: bool,
    wanted: u32,
}

impl Completion {
    /// A send is done.
    ///
    /// # Panics
    /// If it was short: what follows it would be misread, and every figure with it.
    pub(super) fn check_whole(self) {
        let is_whole = u32::try_from(self.result).is_ok_and(|sent| sent == self.wanted);
        assert!(is_whole || self.result < 0, "a send fell short: lower the load");
    }
}

/// The ring's queues, borrowed for the life of the loop.
pub(super) struct Ring<'r> {
    submitter: Submitter<'r>,
    sq: SubmissionQueue<'r>,
    cq: CompletionQueue<'r>,
    flags: EnterFlags,
}

impl<'r> Ring<'r> {
    pub(super) fn new(uring: &'r mut IoUring) -> Self {
        let mut flags = EnterFlags::GETEVENTS;
        if uring.params().is_feature_no_iowait() {
            flags |= EnterFlags::NO_IOWAIT;
        }
        let (mut submitter, sq, cq) = uring.split();
        // Saves a look-up per enter; without it everything works the same.
        let _ = submitter.register_ring_fd();
        Self { submitter, sq, cq, flags }
    }

    pub(super) const fn submitter(&self) -> &Submitter<'r> {
        &self.submitter
    }

    /// Submits what was pushed and waits for a completion.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        self.call(1)
    }

    fn call(&mut self, want: u32) -> io::Result<()> {
        self.cq.sync();
        self.sq.sync();
        let submit = self.sq.len() as u32;
        // SAFETY: no argument is passed; submissions point to what outlives their completion, see `push`.
        let entered = unsafe {
            self.submitter.enter::<libc::sigset_t>(submit, want, self.flags.bits(), None)
        };
        self.sq.sync();
        self.cq.sync();
        match entered {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Interrupted, or completions must be reaped first.
                Some(libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                Some(_) | None => Err(error),
            },
        }
    }

    /// The next completion of those that were there when the kernel was last entered.
    pub(super) fn reap(&mut self) -> Option<Completion> {
        let entry = self.cq.next()?;
        let (user_data, flags) = (entry.user_data(), entry.flags());
        let index = (user_data >> 8) as u32;
        Some(Completion {
            op: Op::of(user_data),
            index,
            buffer: cqueue::buffer_select(flags).unwrap_or(index as u16),
            result: entry.result(),
            has_more: cqueue::more(flags),
            wanted: (user_data >> 40) as u32,
        })
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: sends are made from static bytes, from receive buffers or from copies, which both stay until the
        // completion; nothing else points to memory.
        while unsafe { self.sq.push(entry) }.is_err() {
            self.call(0)?;
        }
        Ok(())
    }

    pub(super) fn accept(&mut self, listener: i32) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(listener)).allocate_file_index(true).build();
        self.push(&accept.user_data(user_data(Op::Accept, 0, 0)))
    }

    pub(super) fn receive(&mut self, slot: u32) -> io::Result<()> {
        let receive = opcode::RecvMulti::new(Fixed(slot), GROUP).build();
        self.push(&receive.user_data(user_data(Op::Receive, slot, 0)))
    }

    /// Sends all of `bytes`, which stay until the completion.
    pub(super) fn send(&mut self, slot: u32, bytes: &[u8], op: Op, index: u32) -> io::Result<()> {
        let send = opcode::Send::new(Fixed(slot), bytes.as_ptr(), bytes.len() as u32);
        let send = send.flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build();
        self.push(&send.user_data(user_data(op, index, bytes.len())))
    }

    /// Ends a slot's receive.
    pub(super) fn cancel(&mut self, slot: u32) -> io::Result<()> {
        let cancel = opcode::AsyncCancel::new(user_data(Op::Receive, slot, 0)).build();
        self.push(&cancel.user_data(user_data(Op::Cancel, slot, 0)))
    }

    pub(super) fn close(&mut self, slot: u32) -> io::Result<()> {
        let close = opcode::Close::new(Fixed(slot)).build();
        self.push(&close.user_data(user_data(Op::Close, slot, 0)))
    }
}
