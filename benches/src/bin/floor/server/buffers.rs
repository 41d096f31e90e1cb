//! The provided-buffer ring: receive buffers that all connections share.

#![allow(unsafe_code, reason = "memory shared with the kernel")]

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// The one buffer group.
pub(super) const GROUP: u16 = 0;

/// The ring and its buffers; mapped until the process ends, which is when the kernel lets go of them.
#[derive(Debug)]
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    count: u16,
    bytes_each: u32,
    tail: u16,
}

fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    let kind = MapFlags::PRIVATE | MapFlags::POPULATE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), bytes, access, kind) }?;
    NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap gave null"))
}

impl Buffers {
    /// Maps `count` buffers (a power of two), registers them and hands them all to the kernel.
    pub(super) fn new(submitter: &Submitter<'_>, count: u16, bytes_each: u32) -> io::Result<Self> {
        let entries = map(usize::from(count) * size_of::<BufRingEntry>())?.cast();
        let memory = map(usize::from(count) * bytes_each as usize)?;
        let address = entries.as_ptr() as u64;
        // SAFETY: the entries stay mapped until the process ends.
        unsafe { submitter.register_buf_ring_with_flags(address, count, GROUP, 0) }?;
        let mut buffers = Self { entries, memory, count, bytes_each, tail: 0 };
        (0..count).for_each(|id| buffers.recycle(id));
        buffers.publish();
        Ok(buffers)
    }

    fn start(&self, id: u16) -> NonNull<u8> {
        assert!(id < self.count, "the kernel names a buffer that it was given");
        // SAFETY: `id` is below `count`, so the offset is within the mapping.
        unsafe { self.memory.add(usize::from(id) * self.bytes_each as usize) }
    }

    /// What a completion put into a buffer.
    pub(super) fn bytes(&self, id: u16, len: usize) -> &[u8] {
        assert!(len <= self.bytes_each as usize, "the kernel stays within the buffer");
        // SAFETY: the range is within one mapped buffer, filled by the kernel, which does not touch it until it is recycled;
        // that needs `&mut self`, so not while this slice lives.
        unsafe { std::slice::from_raw_parts(self.start(id).as_ptr(), len) }
    }

    /// Gives a buffer back; the kernel sees it with the next `publish`.
    pub(super) fn recycle(&mut self, id: u16) {
        let address = self.start(id).as_ptr() as u64;
        // SAFETY: the place is below `count`, the number of entries in the mapping.
        let entry = unsafe { self.entries.add(usize::from(self.tail & (self.count - 1))) };
        // SAFETY: mapped, aligned, and not read by the kernel before the tail has passed it.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(address);
        entry.set_len(self.bytes_each);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was given back.
    pub(super) fn publish(&mut self) {
        // SAFETY: the first entry of the ring.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: mapped, aligned to two bytes, written only here, read by the kernel as an atomic.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
