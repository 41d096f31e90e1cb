//! Links the protocol and the core without `std`: a second panic handler or allocator would be a link error, so that this
//! builds is the proof that neither can name a socket, a thread or a clock. Never runs.
#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

struct NoMemory;

// SAFETY: it never gives memory out, which the trait allows.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static MEMORY: NoMemory = NoMemory;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Refers to the core, so that it is linked.
#[unsafe(no_mangle)]
pub extern "C" fn bare_shard_bytes() -> usize {
    core::mem::size_of::<chat::Shard>()
}
