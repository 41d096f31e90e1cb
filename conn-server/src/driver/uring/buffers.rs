//! The provided-buffer ring: receive buffers that all connections of a shard share, so that an idle connection pins
//! none. A buffer is lent by the kernel with a completion and given back before the turn ends.
//!
//! Owns the memory of ring and buffers. It must outlive every receive: the driver frees it only after teardown has seen
//! the last completion.

#![allow(unsafe_code, reason = "memory shared with the kernel")]

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// The one buffer group of a ring.
pub(super) const GROUP: u16 = 0;

/// Anonymous zeroed memory, page-aligned, all of it there from the start: no page fault in the middle of a burst, and the
/// memory that a connection adds can be told from what the node needs anyway.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Self> {
        let (access, kind) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::POPULATE);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), len, access, kind) }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap gave null"))?;
        Ok(Self { start, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, mapped with this length, and nothing borrows from it any more. An error
        // could only mean that it is not mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A buffer that the kernel filled: give it back with [`Buffers::recycle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BufferId(pub(super) u16);

/// The ring and its buffers.
#[derive(Debug)]
pub(super) struct Buffers {
    ring: Mapping,
    memory: Mapping,
    /// A power of two.
    count: u16,
    bytes_each: usize,
    /// The next place in the ring, published or not.
    tail: u16,
    published: u16,
}

impl Buffers {
    /// Allocates `count` (a power of two up to 32,768) buffers, registers them and hands them all to the kernel.
    pub(super) fn new(submitter: &Submitter<'_>, count: u16, bytes_each: u32) -> io::Result<Self> {
        assert!(count.is_power_of_two(), "the configuration rounds it");
        let bytes_each = bytes_each as usize;
        let ring = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(usize::from(count) * bytes_each)?;
        let address = ring.start.as_ptr() as u64;
        // SAFETY: the ring's memory is mapped for as long as `Self` lives, and the driver drops `Self` after the last
        // completion of the io_uring it is registered with.
        unsafe { submitter.register_buf_ring_with_flags(address, count, GROUP, 0) }?;
        let mut buffers = Self { ring, memory, count, bytes_each, tail: 0, published: 0 };
        (0..count).for_each(|id| buffers.recycle(BufferId(id)));
        buffers.publish();
        Ok(buffers)
    }

    pub(super) const fn count(&self) -> u16 {
        self.count
    }

    /// The bytes that a completion put into a buffer.
    pub(super) fn bytes(&mut self, id: BufferId, len: usize) -> &mut [u8] {
        assert!(id.0 < self.count, "the kernel names a buffer that it was given");
        assert!(len <= self.bytes_each, "the kernel stays within the buffer");
        let start = usize::from(id.0) * self.bytes_each;
        // SAFETY: `id` is below `count`, so the offset is within the mapping of `count * bytes_each` bytes.
        let start = unsafe { self.memory.start.add(start) };
        // SAFETY: the range is within one buffer (asserted), zero-initialised or written by the kernel, and lent to us
        // by a completion: the kernel does not touch it until it is recycled and published. `&mut self` keeps it from
        // being recycled, or lent twice, while the slice lives.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    /// Gives a buffer back; the kernel sees it with the next `publish`.
    pub(super) fn recycle(&mut self, id: BufferId) {
        debug_assert!(id.0 < self.count, "a buffer of this ring");
        let place = usize::from(self.tail & (self.count - 1));
        let start = usize::from(id.0) * self.bytes_each;
        let entry = self.ring.start.cast::<BufRingEntry>();
        // SAFETY: `place` is below `count`, the number of entries in the mapping.
        let entry = unsafe { entry.add(place) };
        // SAFETY: the entry is in the mapping and aligned (page start plus a multiple of its size); the kernel reads it
        // only after the tail has passed it, so nobody else uses it now.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(self.memory.start.as_ptr().wrapping_add(start) as u64);
        #[allow(clippy::cast_possible_truncation, reason = "made from a u32")]
        entry.set_len(self.bytes_each as u32);
        entry.set_bid(id.0);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was given back. Once per turn is enough: with deferred task work the kernel takes
    /// buffers only while this thread is in the kernel.
    pub(super) fn publish(&mut self) {
        if self.published == self.tail {
            return;
        }
        let base = self.ring.start.cast::<BufRingEntry>().as_ptr();
        // SAFETY: `base` is the first entry of the ring, initialised when the first buffer was given.
        let tail = unsafe { BufRingEntry::tail(base) };
        // SAFETY: the tail lies in the mapping, aligned to two bytes, and is only written here; the kernel reads it
        // with acquire ordering, which this release pairs with.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        self.published = self.tail;
    }
}
