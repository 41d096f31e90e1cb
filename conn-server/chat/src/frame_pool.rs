//! Encoded frames, shared by counting: each is encoded once, whoever gets it.
//!
//! Invariants: a frame's memory never moves while it is held; every class is charged by its size, so that what is charged
//! is what is pinned.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use wire::Message;
use wire::limits::FRAME_BYTES_MAX;

/// Buffer sizes: two or three steps per doubling keep the waste below a third.
const CLASSES: [u32; 19] = [
    32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16_384, 32_768,
    49_152, 65_536,
];
const _: () = assert!(CLASSES[CLASSES.len() - 1] as usize == FRAME_BYTES_MAX);

/// Buffers are made in chunks of about this many bytes: small enough to start small, large enough to be rare.
const CHUNK_BYTES: u32 = 64 * 1024;

const CLASS_SHIFT: u32 = 27;
const FREE_END: u32 = u32::MAX;

const fn class_of(len: u32) -> usize {
    let mut class = 0;
    while class < CLASSES.len() - 1 && CLASSES[class] < len {
        class += 1;
    }
    class
}

/// What a frame of so many bytes is charged with.
pub(crate) const fn charge_of(len: u32) -> u32 {
    CLASSES[class_of(len)]
}

/// The class of each length, in steps of 32 bytes: one load instead of a search per frame.
static CLASS_BY_LEN: [u8; FRAME_BYTES_MAX / 32 + 1] = {
    let mut table = [0; FRAME_BYTES_MAX / 32 + 1];
    let mut step = 0;
    let mut class = 0;
    while step < table.len() {
        while (CLASSES[class] as usize) < step * 32 {
            class += 1;
        }
        table[step] = class as u8;
        step += 1;
    }
    table
};

/// A handle of a frame: class and index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameId(u32);

impl FrameId {
    const fn class(self) -> usize {
        (self.0 >> CLASS_SHIFT) as usize
    }
    const fn index(self) -> u32 {
        self.0 & ((1 << CLASS_SHIFT) - 1)
    }
    /// What holding it is charged with.
    pub(crate) fn charge(self) -> u32 {
        CLASSES.get(self.class()).copied().unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Meta {
    len: u32,
    /// Holders; of a free buffer, the next free one.
    count: u32,
}

#[derive(Debug)]
struct Class {
    bytes: u32,
    per_chunk: u32,
    chunks: Vec<Box<[u8]>>,
    meta: Vec<Meta>,
    free: u32,
}

impl Class {
    fn new(bytes: u32) -> Self {
        let per_chunk = (CHUNK_BYTES / bytes).max(1);
        Self { bytes, per_chunk, chunks: Vec::new(), meta: Vec::new(), free: FREE_END }
    }

    fn grow(&mut self) {
        let first = u32::try_from(self.meta.len()).unwrap_or(FREE_END);
        self.chunks.push(vec![0; (self.bytes * self.per_chunk) as usize].into_boxed_slice());
        for step in 0..self.per_chunk {
            let next = if step + 1 == self.per_chunk { self.free } else { first + step + 1 };
            self.meta.push(Meta { len: 0, count: next });
        }
        self.free = first;
    }

    fn range(&self, index: u32) -> (usize, core::ops::Range<usize>) {
        let start = (index % self.per_chunk * self.bytes) as usize;
        let len = self.meta.get(index as usize).map_or(0, |meta| meta.len as usize);
        ((index / self.per_chunk) as usize, start..start + len)
    }
}

/// All frames of a shard.
#[derive(Debug)]
pub(crate) struct FramePool {
    classes: Vec<Class>,
    held: u64,
}

impl FramePool {
    pub(crate) fn new() -> Self {
        Self { classes: CLASSES.iter().map(|bytes| Class::new(*bytes)).collect(), held: 0 }
    }

    /// Frames that somebody holds.
    pub(crate) const fn held(&self) -> u64 {
        self.held
    }

    /// A frame of `len` bytes, held once, its bytes left over from its last use; `None` if it is longer than any frame.
    fn take(&mut self, len: usize) -> Option<FrameId> {
        let class_index = *CLASS_BY_LEN.get(len.div_ceil(32))?;
        let class = self.classes.get_mut(class_index as usize)?;
        if class.free == FREE_END {
            class.grow();
        }
        let index = class.free;
        let meta = class.meta.get_mut(index as usize)?;
        class.free = meta.count;
        *meta = Meta { len: u32::try_from(len).ok()?, count: 1 };
        self.held += 1;
        Some(FrameId(u32::from(class_index) << CLASS_SHIFT | index))
    }

    /// Encodes a message, once; `None` if it is longer than a frame can be.
    pub(crate) fn encode(&mut self, message: &Message<'_>, correlation: u64) -> Option<FrameId> {
        let frame = self.take(message.encoded_len())?;
        if message.encode(correlation, self.bytes_mut(frame)).is_none() {
            self.release(frame);
            return None;
        }
        Some(frame)
    }

    /// Copies a frame that another shard encoded.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Option<FrameId> {
        let frame = self.take(bytes.len())?;
        self.bytes_mut(frame).copy_from_slice(bytes);
        Some(frame)
    }

    pub(crate) fn bytes(&self, frame: FrameId) -> &[u8] {
        let Some(class) = self.classes.get(frame.class()) else { return &[] };
        let (chunk, range) = class.range(frame.index());
        class.chunks.get(chunk).and_then(|chunk| chunk.get(range)).unwrap_or_default()
    }

    /// For its only holder, before anybody was sent it.
    pub(crate) fn bytes_mut(&mut self, frame: FrameId) -> &mut [u8] {
        let Some(class) = self.classes.get_mut(frame.class()) else { return &mut [] };
        let (chunk, range) = class.range(frame.index());
        class.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(range)).unwrap_or_default()
    }

    /// One more holder.
    pub(crate) fn hold(&mut self, frame: FrameId) {
        if let Some(meta) = self.meta(frame) {
            meta.count += 1;
        }
    }

    /// One holder less; the last one frees it.
    pub(crate) fn release(&mut self, frame: FrameId) {
        let index = frame.index();
        let Some(class) = self.classes.get_mut(frame.class()) else { return };
        let Some(meta) = class.meta.get_mut(index as usize) else { return };
        debug_assert!(meta.count > 0, "a free frame is not released");
        meta.count -= 1;
        if meta.count == 0 {
            meta.count = class.free;
            class.free = index;
            self.held -= 1;
        }
    }

    fn meta(&mut self, frame: FrameId) -> Option<&mut Meta> {
        self.classes.get_mut(frame.class())?.meta.get_mut(frame.index() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_freed_by_its_last_holder_and_its_place_used_again() {
        let mut pool = FramePool::new();
        let first = pool.copy(b"one").unwrap();
        pool.hold(first);
        pool.release(first);
        assert_eq!(pool.bytes(first), b"one");
        pool.release(first);
        let second = pool.copy(b"second").unwrap();
        assert_eq!(first, second);
        assert_eq!(pool.bytes(second), b"second");
    }

    #[test]
    fn every_length_gets_the_smallest_class_that_fits() {
        let mut pool = FramePool::new();
        for len in (0..=FRAME_BYTES_MAX).step_by(7).chain([FRAME_BYTES_MAX]) {
            let frame = pool.take(len).unwrap();
            assert_eq!(frame.charge(), charge_of(len as u32), "{len}");
            assert_eq!(pool.bytes(frame).len(), len);
            pool.release(frame);
        }
        assert!(pool.take(FRAME_BYTES_MAX + 1).is_none());
    }
}
