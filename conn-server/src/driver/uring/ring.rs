//! The ring itself: set-up with its fallbacks, one typed function per submission, one call into the kernel per turn.
//!
//! Owns the queues' indices for the whole life of the loop, so that a submission is a copy and a completion a read: the
//! shared heads and tails are touched once per turn. Never interprets a completion.

#![allow(unsafe_code, reason = "submission and enter are raw system interfaces")]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{
    CompletionQueue, EnterFlags, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue,
};

use super::UringConfig;
use super::buffers::{BufferId, GROUP};
use super::token::{Op, Token};
use crate::stats::IoCounters;

/// Set-ups in the order of preference: whether there is an array of submissions, and their names in reports.
///
/// All need DEFER_TASKRUN and so Linux 6.1, which also has multishot receive. It runs completion work only when this
/// thread asks for it: batches, no interrupts, and a bound on what a connection can deliver before its pause takes
/// effect. Rings without it (6.0) have no such bound: there the epoll driver serves.
const SETUPS: [(bool, &str); 2] = [
    // NO_SQARRAY (6.6) saves an indirection per submission.
    (false, "single_issuer,defer_taskrun,taskrun_flag,submit_all,no_sqarray"),
    (true, "single_issuer,defer_taskrun,taskrun_flag,submit_all"),
];

/// Sets a ring up for this thread, with the best flags that the kernel takes.
pub(super) fn build(config: &UringConfig) -> io::Result<(IoUring, &'static str)> {
    let mut refused = io::Error::from(io::ErrorKind::Unsupported);
    for (has_sqarray, name) in SETUPS {
        match build_with(has_sqarray, config) {
            Ok(ring) => return Ok((ring, name)),
            // Only a flag that the kernel does not know is cured by leaving it out.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = error,
            Err(error) => return Err(error),
        }
    }
    Err(refused)
}

fn build_with(has_sqarray: bool, config: &UringConfig) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    builder.setup_submit_all().setup_clamp().setup_cqsize(config.completion_entries);
    if !has_sqarray {
        builder.setup_no_sqarray();
    }
    builder.build(config.submission_entries)
}

/// One completion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) token: Token,
    pub(super) result: i32,
    flags: u32,
}

impl Completion {
    /// Whether the operation goes on and will complete again.
    pub(super) fn has_more(self) -> bool {
        cqueue::more(self.flags)
    }

    /// Whether a receive has left its socket empty.
    pub(super) fn has_emptied(self) -> bool {
        self.result > 0 && !cqueue::sock_nonempty(self.flags)
    }

    /// The descriptor that came with it (of a borrow), or the error.
    pub(super) fn descriptor(self) -> Result<OwnedFd, i32> {
        if self.result < 0 {
            return Err(-self.result);
        }
        // SAFETY: the kernel has just made this descriptor for this completion, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(self.result) })
    }

    /// The buffer that came with it.
    pub(super) fn buffer(self) -> Option<BufferId> {
        cqueue::buffer_select(self.flags).map(BufferId)
    }
}

/// How to enter the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Enter {
    /// Submit and reap, do not wait.
    Poll,
    /// Wait for an event, at most so long.
    Wait(Option<Duration>),
}

/// The ring's queues, borrowed for the life of the loop.
pub(super) struct Ring<'r> {
    submitter: Submitter<'r>,
    sq: SubmissionQueue<'r>,
    cq: CompletionQueue<'r>,
    /// Submissions that found the queue full and the kernel busy, in order.
    backlog: VecDeque<squeue::Entry>,
    /// Operations that the kernel has, or will have, and that have not had their last completion.
    in_flight: usize,
    is_busy: bool,
    flags: EnterFlags,
}

impl<'r> Ring<'r> {
    pub(super) fn new(uring: &'r mut IoUring) -> Self {
        let params = uring.params();
        let mut flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if params.is_feature_no_iowait() {
            // A shard that waits for the network is idle, not waiting for a disk.
            flags |= EnterFlags::NO_IOWAIT;
        }
        let (mut submitter, sq, cq) = uring.split();
        // Saves a descriptor look-up per enter; without it everything works the same.
        let _ = submitter.register_ring_fd();
        let backlog = VecDeque::new();
        Self { submitter, sq, cq, backlog, in_flight: 0, is_busy: false, flags }
    }

    pub(super) const fn submitter(&self) -> &Submitter<'r> {
        &self.submitter
    }

    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether the kernel has taken every submission: what they point to may be used again, but for the bytes of sends.
    pub(super) fn has_submitted_all(&self) -> bool {
        self.backlog.is_empty() && self.sq.is_empty()
    }

    /// The next completion of those that were there when the kernel was last entered.
    pub(super) fn reap(&mut self) -> Option<Completion> {
        let entry = self.cq.next()?;
        let token = Token::from_user_data(entry.user_data());
        let completion = Completion { token, result: entry.result(), flags: entry.flags() };
        if !completion.has_more() {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        Some(completion)
    }

    /// Whether completions are waiting to be reaped.
    pub(super) fn has_completions(&self) -> bool {
        !self.cq.is_empty()
    }

    /// Submits what was pushed, and waits as told. One call into the kernel, or none if there is nothing to do.
    ///
    /// It waits for one event, and does not ask for more within a short time (min-wait, 6.12): the timer of that costs
    /// more than the calls that it saves (53 against 40 µs of CPU per message with one in flight, no gain from 8 on).
    pub(super) fn enter(&mut self, enter: Enter, counters: &mut IoCounters) -> io::Result<()> {
        self.is_busy = false;
        // Publishes the reaped head, which makes room for completions.
        self.cq.sync();
        self.push_backlog();
        self.sq.sync();
        let (want, timeout) = match enter {
            Enter::Wait(timeout) if self.backlog.is_empty() => (1, timeout),
            Enter::Wait(_) | Enter::Poll => (0, None),
        };
        if want == 0 && self.sq.is_empty() && !self.sq.taskrun() && !self.sq.cq_overflow() {
            return Ok(());
        }
        let timespec = timeout.map(Timespec::from);
        let mut args = SubmitArgs::new();
        if let Some(timespec) = &timespec {
            args = args.timespec(timespec);
        }
        self.call(want, self.flags, &args, counters)
    }

    fn call(
        &mut self,
        want: u32,
        flags: EnterFlags,
        args: &SubmitArgs<'_, '_>,
        counters: &mut IoCounters,
    ) -> io::Result<()> {
        let submit = clamp(self.sq.len());
        counters.enters += 1;
        // SAFETY: the flags say that the argument is extended, and it is of that type, with a timespec that the caller
        // keeps; submissions were checked when they were pushed.
        let result = unsafe { self.submitter.enter(submit, want, flags.bits(), Some(args)) };
        self.sq.sync();
        self.cq.sync();
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR) => Ok(()),
                // The completion queue overflowed, or memory is short: reap, then try again.
                Some(libc::EBUSY | libc::EAGAIN) => {
                    counters.kernel_busy += 1;
                    self.is_busy = true;
                    Ok(())
                }
                _ => Err(error),
            },
        }
    }

    /// Queues a submission; when the queue is full it is handed over first, and if the kernel is too busy for that the
    /// submission waits its turn in the backlog. Bounded by what connections can have in flight.
    fn push(&mut self, entry: squeue::Entry, counters: &mut IoCounters) {
        self.in_flight += 1;
        if self.sq.is_full() && !self.is_busy {
            counters.submission_full += 1;
            self.sq.sync();
            // Submits and does not reap: what connections may deliver per turn is bounded by one reaping enter. An error
            // that matters comes again from that one.
            let flags = self.flags.difference(EnterFlags::GETEVENTS);
            let _ = self.call(0, flags, &SubmitArgs::new(), counters);
            self.push_backlog();
        }
        if !self.backlog.is_empty() || !self.push_now(&entry) {
            self.backlog.push_back(entry);
        }
    }

    fn push_now(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: entries come from the typed functions below: they point to nothing, or the caller of `send` and
        // `send_vectored` vouches for what they point to.
        unsafe { self.sq.push(entry) }.is_ok()
    }

    fn push_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if !self.push_now(&entry) {
                self.backlog.push_front(entry);
                return;
            }
        }
    }

    /// Accepts from a listener until cancelled, each socket into a free place of the descriptor table.
    pub(super) fn accept(&mut self, listener: RawFd, index: u32, counters: &mut IoCounters) {
        let accept = opcode::AcceptMulti::new(Fd(listener)).allocate_file_index(true).build();
        self.push(accept.user_data(Token::shard(Op::Accept, index).user_data()), counters);
    }

    /// Ends an accept.
    pub(super) fn cancel_accept(&mut self, index: u32, counters: &mut IoCounters) {
        let target = Token::shard(Op::Accept, index).user_data();
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::user_data(target)).build();
        self.push(cancel.user_data(Token::shard(Op::AcceptCancel, index).user_data()), counters);
    }

    /// Receives until cancelled, the end of the stream, or a shortage of buffers.
    pub(super) fn receive(&mut self, file: u32, token: Token, counters: &mut IoCounters) {
        let receive = opcode::RecvMulti::new(Fixed(file), GROUP).build();
        self.push(receive.user_data(token.user_data()), counters);
    }

    /// Receives once.
    pub(super) fn receive_once(&mut self, file: u32, token: Token, counters: &mut IoCounters) {
        let receive = opcode::Recv::new(Fixed(file), std::ptr::null_mut(), 0).buf_group(GROUP);
        let receive = receive.build().flags(squeue::Flags::BUFFER_SELECT);
        self.push(receive.user_data(token.user_data()), counters);
    }

    /// Ends the operation of `target`.
    pub(super) fn cancel(&mut self, target: Token, token: Token, counters: &mut IoCounters) {
        let target = CancelBuilder::user_data(target.user_data());
        let cancel = opcode::AsyncCancel2::new(target).build();
        self.push(cancel.user_data(token.user_data()), counters);
    }

    /// Ends every operation of a descriptor. The kernel looks at all that is in flight for this: only where `cancel` has
    /// missed.
    pub(super) fn cancel_file(&mut self, file: u32, token: Token, counters: &mut IoCounters) {
        let target = CancelBuilder::fd(Fixed(file)).all();
        let cancel = opcode::AsyncCancel2::new(target).build();
        self.push(cancel.user_data(token.user_data()), counters);
    }

    /// Ends every operation of the ring.
    pub(super) fn cancel_all(&mut self, counters: &mut IoCounters) {
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
        self.push(cancel.user_data(Token::shard(Op::Teardown, 0).user_data()), counters);
    }

    /// Gives the process a descriptor of a connection's socket, in the completion.
    pub(super) fn borrow(&mut self, file: u32, token: Token, counters: &mut IoCounters) {
        let install = opcode::FixedFdInstall::new(Fixed(file), 0).build();
        self.push(install.user_data(token.user_data()), counters);
    }

    /// Sends FIN. The kernel does this in a worker thread, one after the other, and every cancel walks the queue of what
    /// is still to be done there: not for a mass of connections.
    pub(super) fn shutdown(&mut self, file: u32, token: Token, counters: &mut IoCounters) {
        let shutdown = opcode::Shutdown::new(Fixed(file), libc::SHUT_WR).build();
        self.push(shutdown.user_data(token.user_data()), counters);
    }

    /// Closes a descriptor and frees its place.
    pub(super) fn close(&mut self, file: u32, token: Token, counters: &mut IoCounters) {
        let close = opcode::Close::new(Fixed(file)).build();
        self.push(close.user_data(token.user_data()), counters);
    }

    /// Completes every time somebody writes to an eventfd.
    pub(super) fn watch(&mut self, eventfd: RawFd, counters: &mut IoCounters) {
        #[allow(clippy::cast_sign_loss, reason = "a flag")]
        let poll = opcode::PollAdd::new(Fd(eventfd), libc::POLLIN as u32).multi(true).build();
        self.push(poll.user_data(Token::shard(Op::Wake, 0).user_data()), counters);
    }

    /// Sends one slice, all of it unless the peer goes away.
    ///
    /// # Safety
    /// The bytes must stay where they are, unchanged, until the completion.
    pub(super) unsafe fn send(
        &mut self,
        file: u32,
        token: Token,
        bytes: &[u8],
        counters: &mut IoCounters,
    ) {
        let send = opcode::Send::new(Fixed(file), bytes.as_ptr(), clamp(bytes.len()));
        let send = send.flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build();
        self.push(send.user_data(token.user_data()), counters);
    }

    /// Sends the slices of a message header, all of them unless the peer goes away.
    ///
    /// # Safety
    /// The header and its slices must stay until `has_submitted_all`, the bytes until the completion.
    pub(super) unsafe fn send_vectored(
        &mut self,
        file: u32,
        token: Token,
        header: *const libc::msghdr,
        counters: &mut IoCounters,
    ) {
        #[allow(clippy::cast_sign_loss, reason = "flags")]
        let flags = (libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32;
        let send = opcode::SendMsg::new(Fixed(file), header).flags(flags).build();
        self.push(send.user_data(token.user_data()), counters);
    }

    /// Gives up the ring's descriptor and its sockets, which closes them now and not some time after the thread's end.
    pub(super) fn release(&mut self) {
        // Nothing is in flight; whatever fails here is done by the kernel when the ring goes.
        let _ = self.submitter.unregister_files();
        let _ = self.submitter.unregister_buf_ring(GROUP);
        let _ = self.submitter.unregister_ring_fd();
    }
}

fn clamp(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_up_works_where_the_best_one_does() {
        let config =
            UringConfig { submission_entries: 8, completion_entries: 16, ..Default::default() };
        if build(&config).is_err() {
            return;
        }
        for (has_sqarray, _) in SETUPS {
            let mut uring = build_with(has_sqarray, &config).unwrap();
            let mut ring = Ring::new(&mut uring);
            let mut counters = IoCounters::default();
            // More than the queue holds, so that some have to be handed over on the way.
            for _ in 0..20 {
                ring.cancel_all(&mut counters);
            }
            let mut seen = 0;
            while ring.in_flight() > 0 {
                ring.enter(Enter::Wait(None), &mut counters).unwrap();
                while let Some(completion) = ring.reap() {
                    assert_eq!(completion.token.op(), Some(Op::Teardown));
                    seen += 1;
                }
            }
            assert_eq!(seen, 20);
            assert!(counters.submission_full > 0);
            ring.release();
        }
    }
}
