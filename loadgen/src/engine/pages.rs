//! Zeroed, page-aligned memory at an address that never changes: what is lent to the kernel.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

const PAGE: usize = 4_096;

/// One piece of memory. Freed when dropped: whoever lends it must have it back by then.
#[derive(Debug)]
pub(super) struct Pages {
    memory: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    /// At least `bytes` of it; untouched pages cost nothing.
    pub(super) fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes.max(1).next_multiple_of(PAGE), PAGE)
            .expect("sizes are bounded by the engine's limits");
        // SAFETY: the layout's size is above zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        Self { memory, layout }
    }

    pub(super) const fn len(&self) -> usize {
        self.layout.size()
    }

    /// The address of byte `at`.
    pub(super) fn at(&self, at: usize) -> *mut u8 {
        assert!(at < self.len(), "offset {at} is within the memory");
        // SAFETY: the offset is within the allocation, as just asserted.
        unsafe { self.memory.as_ptr().add(at) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}
