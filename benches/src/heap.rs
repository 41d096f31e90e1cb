//! An allocator that counts, per thread: what a gate on allocations stands on.
//!
//! The counts of a thread are its own, so that a node in this process is told apart from the clients beside it.

#![allow(unsafe_code, reason = "the allocator's interface")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What one thread has done on the heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Blocks asked for, those that were moved or grown included.
    pub allocations: u64,
    /// Bytes asked for and not given back: negative in a thread that frees what others asked for.
    pub live_bytes: i64,
}

thread_local! {
    static HEAP: Cell<Heap> = const { Cell::new(Heap { allocations: 0, live_bytes: 0 }) };
}

/// The present thread's counts.
#[must_use]
pub fn of_this_thread() -> Heap {
    HEAP.with(Cell::get)
}

/// The system's allocator, counting. To be made the global one of a test.
#[derive(Debug)]
pub struct Counting;

fn count(allocations: u64, bytes: i64) {
    // A thread that is ending counts no more.
    let _ = HEAP.try_with(|heap| {
        let Heap { allocations: before, live_bytes } = heap.get();
        heap.set(Heap { allocations: before + allocations, live_bytes: live_bytes + bytes });
    });
}

fn bytes(layout: Layout) -> i64 {
    i64::try_from(layout.size()).unwrap_or(i64::MAX)
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract; counting allocates
// nothing and does not unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, bytes(layout));
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, bytes(layout));
        // SAFETY: the caller keeps `alloc_zeroed`'s contract, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, -bytes(layout));
        // SAFETY: `block` came from the system's allocator with this layout, since all blocks do.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, i64::try_from(size).unwrap_or(i64::MAX) - bytes(layout));
        // SAFETY: `block` came from the system's allocator with this layout, since all blocks do.
        unsafe { System.realloc(block, layout, size) }
    }
}
