//! The allocator's side of giving memory back: what this thread has freed goes to the system only when it is asked for.

#![allow(unsafe_code, reason = "the allocator's own interface")]

/// Returns the pages that this thread has freed. Some hundred microseconds after a burst: only when a shard is idle.
/// Without effect if the process runs on another allocator.
pub(crate) fn give_back() {
    // SAFETY: takes no pointer, may be called at any time, and touches only memory that nobody holds.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
