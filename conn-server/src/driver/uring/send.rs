//! Sending: one send in flight per connection, of all that the core has queued for it, resumed where it fell short.

#![allow(unsafe_code, reason = "sends lend the core's memory to the kernel")]

use chat::{ConnKey, Transmit};

use super::Driver;
use super::ring::{Completion, Ring};
use super::slots::State;
use super::token::{Op, Token};
use crate::host::Host;
use crate::limits::{SEND_HEADERS, SEND_SLICES};
use crate::stats::IoCounters;

/// Message headers and slices of vectored sends from push to submission: the kernel copies both when it takes the
/// submission (IORING_FEAT_SUBMIT_STABLE), so this is per shard and not per connection. Never grows, since the kernel
/// has been told addresses.
pub(super) struct SendArena {
    headers: Vec<libc::msghdr>,
    slices: Vec<libc::iovec>,
}

impl SendArena {
    pub(super) fn new() -> Self {
        Self { headers: Vec::with_capacity(SEND_HEADERS), slices: Vec::with_capacity(SEND_SLICES) }
    }

    /// Uses the memory again if the kernel has taken everything that points into it.
    fn reuse(&mut self, ring: &Ring<'_>) {
        if ring.has_submitted_all() {
            self.headers.clear();
            self.slices.clear();
        }
    }

    /// The header for a vectored send, or `None` if there is no room before the next submission.
    fn header(&mut self, slices: &[&[u8]]) -> Option<*const libc::msghdr> {
        let start = self.slices.len();
        let has_room = self.headers.len() < self.headers.capacity()
            && start + slices.len() <= self.slices.capacity();
        if !has_room {
            return None;
        }
        self.slices.extend(slices.iter().map(|slice| libc::iovec {
            iov_base: slice.as_ptr().cast_mut().cast(),
            iov_len: slice.len(),
        }));
        // SAFETY: a msghdr is integers and pointers, for which zero is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = self.slices.get_mut(start..)?.as_mut_ptr();
        header.msg_iovlen = slices.len();
        self.headers.push(header);
        self.headers.last().map(std::ptr::from_ref)
    }

    /// Pushes one send of `slices`, and says how many bytes it carries.
    fn push(
        &mut self,
        ring: &mut Ring<'_>,
        file: u32,
        token: Token,
        slices: &[&[u8]],
        counters: &mut IoCounters,
    ) -> usize {
        if slices.len() > 1
            && let Some(header) = self.header(slices)
        {
            // SAFETY:
            // - header and slices are in vectors that never reallocate and are cleared only after `has_submitted_all`;
            // - the core keeps the bytes in place until `handle_sent` or `handle_closed` (contract of `Transmit`), and
            //   those are called only after this send's completion; the host outlives the ring's teardown.
            unsafe { ring.send_vectored(file, token, header, counters) };
            return slices.iter().map(|slice| slice.len()).sum();
        }
        // Without room for a header the first slice goes alone: the rest follows after its completion.
        let first = slices.first().copied().unwrap_or_default();
        // SAFETY: the core keeps the bytes in place, as above.
        unsafe { ring.send(file, token, first, counters) };
        first.len()
    }
}

impl Driver<'_> {
    /// Empties the lane `flush`: one send per connection that has none in flight.
    pub(super) fn flush(&mut self, host: &mut Host) {
        if host.fx.flush.is_empty() {
            return;
        }
        self.sends.reuse(&self.ring);
        let Host { shard, fx, counters, .. } = host;
        for &key in &fx.flush {
            let Some(slot) = self.slots.of(key) else { continue };
            let mut out = Transmit::default();
            if slot.is(State::NO_SEND) || !shard.poll_transmit(key, &mut out) {
                continue;
            }
            let token = Token::conn(Op::Send, key);
            let bytes = self.sends.push(&mut self.ring, slot.file, token, out.slices(), counters);
            slot.set(State::SEND);
            slot.sending = u32::try_from(bytes).unwrap_or(u32::MAX);
        }
        fx.flush.clear();
    }

    /// A send has ended.
    pub(super) fn on_sent(&mut self, host: &mut Host, completion: Completion) {
        let key = completion.token.key();
        let Some(slot) = self.slots.of(key) else {
            host.counters.stale += 1;
            return;
        };
        slot.clear(State::SEND);
        if slot.is(State::ABORTED) {
            self.close_if_done(host, key);
        } else if !slot.is(State::BROKEN) {
            let offered = slot.sending;
            self.count_sent(host, key, offered, completion.result);
        }
    }

    fn count_sent(&mut self, host: &mut Host, key: ConnKey, offered: u32, result: i32) {
        match u32::try_from(result) {
            Ok(sent @ 1..) => {
                host.counters.sends += 1;
                host.counters.short_sends += u64::from(sent < offered);
                host.shard.handle_sent(host.now, key, sent as usize, &mut host.fx);
            }
            // Interrupted before the first byte: the same bytes again.
            Err(_) if matches!(-result, libc::EINTR | libc::EAGAIN | libc::ECANCELED) => {
                host.shard.handle_sent(host.now, key, 0, &mut host.fx);
            }
            Ok(0) | Err(_) => self.on_broken(host, key),
        }
    }
}
