//! Archives in and out: the only file that calls rkyv.

use core::mem::size_of;

use rkyv::api::low::{LowSerializer, LowValidator, access, to_bytes_in_with_alloc};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;
use rkyv::ser::allocator::SubAllocator;
use rkyv::ser::writer::Buffer;
use rkyv::{Portable, Serialize};

use crate::error::FrameError;

/// A payload type: how it is read from its archived root.
pub(crate) trait Payload<'a>: Sized + Copy {
    /// The archived form.
    type Root: 'a;

    /// Reads the checked root, and checks what the archive's own validation cannot know.
    fn view(root: &'a Self::Root) -> Result<Self, FrameError>;

    /// Bytes in front of the root: zero but for kinds with a body.
    fn tail(&self) -> usize {
        0
    }
}

/// Bytes of a payload's archived root.
pub(crate) const fn root_bytes<'a, T: Payload<'a>>() -> usize {
    size_of::<T::Root>()
}

/// The only checked access: validates the archive, then insists on the canonical form (body, root, nothing else), so
/// that one message has one encoding.
#[inline]
pub(crate) fn read<'a, T>(payload: &'a [u8]) -> Result<T, FrameError>
where
    T: Payload<'a>,
    T::Root: Portable + for<'b> CheckBytes<LowValidator<'b, Failure>>,
{
    let root = access::<T::Root, Failure>(payload).map_err(|_| FrameError::Payload)?;
    let value = T::view(root)?;
    if value.tail() + size_of::<T::Root>() == payload.len() {
        Ok(value)
    } else {
        Err(FrameError::Payload)
    }
}

/// Writes a payload's archive at the start of `out` and returns its length, or `None` if `out` is too short.
pub(crate) fn write<T>(value: &T, out: &mut [u8]) -> Option<usize>
where
    T: for<'b, 'c> Serialize<LowSerializer<Buffer<'b>, SubAllocator<'c>, Failure>>,
{
    let buffer = Buffer::from(out);
    // No payload needs scratch space: none nests a collection in a collection.
    let scratch = SubAllocator::empty();
    let written = to_bytes_in_with_alloc::<_, _, Failure>(value, buffer, scratch).ok()?;
    Some(written.len())
}
