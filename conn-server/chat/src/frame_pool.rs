//! Encoded frames, shared by counting: each is encoded once, whoever gets it. Frames for one connection alone may lie
//! behind each other in one buffer, a pack, which is handled as one frame.
//!
//! Invariants: a frame's memory never moves while it is held; every class is charged by its size, so that what is charged
//! is what is pinned; the memory of a burst is given back when it is over
//! (`tidy`) and not before, so that steady load allocates nothing.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use wire::Message;
use wire::limits::FRAME_BYTES_MAX;

use crate::limits::PACK_BYTES_MAX;

/// Buffer sizes: two or three steps per doubling keep the waste below a third.
const CLASSES: [u32; 19] = [
    32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16_384, 32_768,
    49_152, 65_536,
];
const _: () = assert!(CLASSES[CLASSES.len() - 1] as usize == FRAME_BYTES_MAX);

/// Buffers are made in chunks of at most about this many bytes, a power of two of them: small enough to start small, large enough to be rare.
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
    /// Holders; of a free buffer, the next free one in its chunk.
    count: u32,
}

/// Buffers that are made and given back together.
#[derive(Debug)]
struct Chunk {
    /// Empty while the chunk has no memory.
    bytes: Box<[u8]>,
    meta: Box<[Meta]>,
    free: u32,
    used: u32,
}

impl Chunk {
    fn new(bytes: u32, count: u32) -> Self {
        let next = |step: u32| if step + 1 == count { FREE_END } else { step + 1 };
        Self {
            bytes: vec![0; (bytes * count) as usize].into_boxed_slice(),
            meta: (0..count).map(|step| Meta { len: 0, count: next(step) }).collect(),
            free: 0,
            used: 0,
        }
    }

    fn without_memory() -> Self {
        Self { bytes: Box::default(), meta: Box::default(), free: FREE_END, used: 0 }
    }
}

#[derive(Debug)]
struct Class {
    bytes: u32,
    /// Buffers of a chunk, as a power of two: an index is taken apart without a division.
    chunk_bits: u32,
    chunks: Vec<Chunk>,
    /// Chunks with a free buffer; the last is taken from first, so that the others can run empty.
    available: Vec<u32>,
    /// Chunks without memory.
    vacant: Vec<u32>,
    /// Chunks with memory and no frame in use.
    empty: u32,
    /// The fewest of them since the memory was last tidied: so many were not needed.
    empty_low: u32,
}

impl Class {
    fn new(bytes: u32) -> Self {
        let chunk_bits = (CHUNK_BYTES / bytes).max(1).ilog2();
        let (chunks, available, vacant) = (Vec::new(), Vec::new(), Vec::new());
        Self { bytes, chunk_bits, chunks, available, vacant, empty: 0, empty_low: 0 }
    }

    /// The chunk of a buffer, and its place there.
    const fn split(&self, index: u32) -> (u32, u32) {
        (index >> self.chunk_bits, index & ((1 << self.chunk_bits) - 1))
    }

    fn grow(&mut self) -> u32 {
        let chunk = Chunk::new(self.bytes, 1 << self.chunk_bits);
        let id = match self.vacant.pop() {
            Some(id) => {
                if let Some(place) = self.chunks.get_mut(id as usize) {
                    *place = chunk;
                }
                id
            }
            None => {
                self.chunks.push(chunk);
                u32::try_from(self.chunks.len() - 1).unwrap_or(FREE_END)
            }
        };
        self.empty += 1;
        self.available.push(id);
        id
    }

    /// Takes a buffer; its index.
    fn take(&mut self, len: u32) -> Option<u32> {
        let id = match self.available.last() {
            Some(id) => *id,
            None => self.grow(),
        };
        let chunk = self.chunks.get_mut(id as usize)?;
        let at = chunk.free;
        let meta = chunk.meta.get_mut(at as usize)?;
        chunk.free = meta.count;
        *meta = Meta { len, count: 1 };
        if chunk.used == 0 {
            self.empty -= 1;
            self.empty_low = self.empty_low.min(self.empty);
        }
        chunk.used += 1;
        if chunk.free == FREE_END {
            self.available.pop();
        }
        Some(id << self.chunk_bits | at)
    }

    /// Frees a buffer; its chunk keeps its memory until it is tidied.
    fn free(&mut self, index: u32) {
        let (id, at) = self.split(index);
        let Some(chunk) = self.chunks.get_mut(id as usize) else { return };
        if chunk.free == FREE_END {
            self.available.push(id);
        }
        if let Some(meta) = chunk.meta.get_mut(at as usize) {
            meta.count = core::mem::replace(&mut chunk.free, at);
        }
        chunk.used -= 1;
        self.empty += u32::from(chunk.used == 0);
    }

    /// Gives back the memory of chunks that were empty all the time since the last call; how many.
    fn tidy(&mut self) -> u32 {
        let excess = core::mem::replace(&mut self.empty_low, self.empty);
        if excess == 0 {
            return 0;
        }
        let mut left = excess;
        let Self { chunks, available, vacant, .. } = self;
        available.retain(|id| {
            let chunk = chunks.get_mut(*id as usize).filter(|chunk| left > 0 && chunk.used == 0);
            let Some(chunk) = chunk else { return true };
            *chunk = Chunk::without_memory();
            vacant.push(*id);
            left -= 1;
            false
        });
        self.empty -= excess;
        self.empty_low = self.empty;
        excess
    }

    fn meta(&mut self, index: u32) -> Option<&mut Meta> {
        let (id, at) = self.split(index);
        self.chunks.get_mut(id as usize)?.meta.get_mut(at as usize)
    }

    fn range(&self, index: u32) -> Option<(&Chunk, core::ops::Range<usize>)> {
        let (id, at) = self.split(index);
        let chunk = self.chunks.get(id as usize)?;
        let start = (at * self.bytes) as usize;
        let len = chunk.meta.get(at as usize)?.len as usize;
        Some((chunk, start..start + len))
    }
}

/// All frames of a shard.
#[derive(Debug)]
pub(crate) struct FramePool {
    classes: Vec<Class>,
    held: u64,
    /// Frames were taken since the memory was last tidied.
    is_used: bool,
}

impl FramePool {
    pub(crate) fn new() -> Self {
        let classes = CLASSES.iter().map(|bytes| Class::new(*bytes)).collect();
        Self { classes, held: 0, is_used: false }
    }

    /// Frames that somebody holds.
    pub(crate) const fn held(&self) -> u64 {
        self.held
    }

    /// Gives the memory back that was not needed at any time since the last call; whether there was any.
    pub(crate) fn tidy(&mut self) -> bool {
        self.is_used = false;
        // Every class, so no short cut.
        let freed: u32 = self.classes.iter_mut().map(Class::tidy).sum();
        freed > 0
    }

    /// Whether `tidy` may have something to do, now or after another while without use.
    pub(crate) fn is_untidy(&self) -> bool {
        self.is_used || self.classes.iter().any(|class| class.empty_low > 0)
    }

    /// A frame of `len` bytes in a buffer of at least `room` bytes, held once, its bytes left over from its last use;
    /// `None` if it is longer than any frame.
    fn take(&mut self, len: usize, room: usize) -> Option<FrameId> {
        let class_index = *CLASS_BY_LEN.get(len.max(room).div_ceil(32))?;
        let class = self.classes.get_mut(class_index as usize)?;
        let index = class.take(u32::try_from(len).ok()?)?;
        self.held += 1;
        self.is_used = true;
        Some(FrameId(u32::from(class_index) << CLASS_SHIFT | index))
    }

    /// Encodes a message, once; `None` if it is longer than a frame can be.
    pub(crate) fn encode(&mut self, message: &Message<'_>, correlation: u64) -> Option<FrameId> {
        self.encode_pack(message, correlation, 0)
    }

    /// The same, into a buffer with room for `more` messages of this length behind it, or as many as a pack holds.
    pub(crate) fn encode_pack(
        &mut self,
        message: &Message<'_>,
        correlation: u64,
        more: usize,
    ) -> Option<FrameId> {
        let len = message.encoded_len();
        let frame = self.take(len, len.saturating_mul(more + 1).min(PACK_BYTES_MAX))?;
        if message.encode(correlation, self.bytes_mut(frame)).is_none() {
            self.release(frame);
            return None;
        }
        Some(frame)
    }

    /// Encodes a message behind what is in a frame, if its buffer has room and nobody shares it; where it begins.
    pub(crate) fn append(
        &mut self,
        frame: FrameId,
        message: &Message<'_>,
        correlation: u64,
    ) -> Option<usize> {
        let (start, room) = self.extend(frame, message.encoded_len())?;
        message.encode(correlation, room).expect("the room is its encoded length");
        Some(start)
    }

    /// Copies frames that another shard encoded behind what is in a frame, as [`append`](Self::append) encodes them.
    /// Whether there was room.
    pub(crate) fn append_copy(&mut self, frame: FrameId, bytes: &[u8]) -> bool {
        let room = self.extend(frame, bytes.len());
        room.map(|(_, room)| room.copy_from_slice(bytes)).is_some()
    }

    /// Makes a frame longer, if its buffer has room and nobody shares it: where the new bytes begin, and they.
    fn extend(&mut self, frame: FrameId, len: usize) -> Option<(usize, &mut [u8])> {
        let class = self.classes.get_mut(frame.class())?;
        let (id, at) = class.split(frame.index());
        let size = class.bytes as usize;
        let chunk = class.chunks.get_mut(id as usize)?;
        let meta = chunk.meta.get_mut(at as usize)?;
        let start = meta.len as usize;
        let end = start.saturating_add(len);
        if meta.count != 1 || end > size {
            return None;
        }
        meta.len = u32::try_from(end).ok()?;
        let first = at as usize * size;
        Some((start, chunk.bytes.get_mut(first + start..first + end)?))
    }

    /// Copies a frame that another shard encoded.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Option<FrameId> {
        let frame = self.take(bytes.len(), 0)?;
        self.bytes_mut(frame).copy_from_slice(bytes);
        Some(frame)
    }

    pub(crate) fn bytes(&self, frame: FrameId) -> &[u8] {
        self.classes
            .get(frame.class())
            .and_then(|class| class.range(frame.index()))
            .and_then(|(chunk, range)| chunk.bytes.get(range))
            .unwrap_or_default()
    }

    /// For its only holder, before anybody was sent it.
    pub(crate) fn bytes_mut(&mut self, frame: FrameId) -> &mut [u8] {
        let Some(class) = self.classes.get_mut(frame.class()) else { return &mut [] };
        let Some((_, range)) = class.range(frame.index()) else { return &mut [] };
        let (id, _) = class.split(frame.index());
        let chunk = class.chunks.get_mut(id as usize);
        chunk.and_then(|chunk| chunk.bytes.get_mut(range)).unwrap_or_default()
    }

    /// One more holder.
    pub(crate) fn hold(&mut self, frame: FrameId) {
        let class = self.classes.get_mut(frame.class());
        if let Some(meta) = class.and_then(|class| class.meta(frame.index())) {
            meta.count += 1;
        }
    }

    /// One holder less; the last one frees it.
    pub(crate) fn release(&mut self, frame: FrameId) {
        let Some(class) = self.classes.get_mut(frame.class()) else { return };
        let Some(meta) = class.meta(frame.index()) else { return };
        debug_assert!(meta.count > 0, "a free frame is not released");
        meta.count -= 1;
        if meta.count == 0 {
            class.free(frame.index());
            self.held -= 1;
        }
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
    fn a_pack_grows_while_it_is_held_once_and_has_room() {
        let beat = Message::Event(wire::Event::HeartbeatAck);
        let len = beat.encoded_len();
        let mut pool = FramePool::new();
        let pack = pool.encode_pack(&beat, 1, 3).unwrap();
        let lone = pool.encode(&beat, 2).unwrap();
        assert_eq!(pool.append(pack, &beat, 3), Some(len));
        pool.hold(pack);
        assert_eq!(pool.append(pack, &beat, 4), None);
        pool.release(pack);
        let held = pool.held();
        let fits = pack.charge() as usize / len;
        for at in 2..fits {
            assert_eq!(pool.append(pack, &beat, 4), Some(at * len));
        }
        assert_eq!(pool.append(pack, &beat, 5), None);
        assert_eq!(pool.append(lone, &beat, 6).is_some(), lone.charge() as usize >= 2 * len);
        assert_eq!((pool.bytes(pack).len(), pool.held()), (fits * len, held));
        let first = wire::split_frame(pool.bytes(pack)).unwrap().unwrap().0;
        assert_eq!(wire::FrameView::parse(first).unwrap().correlation(), 1);
    }

    #[test]
    fn memory_of_a_burst_is_given_back() {
        let mut pool = FramePool::new();
        let burst: Vec<FrameId> = (0..10_000).map(|_| pool.copy(&[7; 200]).unwrap()).collect();
        let chunks = |pool: &FramePool| {
            let class = &pool.classes[class_of(200)];
            class.chunks.iter().filter(|chunk| !chunk.bytes.is_empty()).count()
        };
        let at_peak = chunks(&pool);
        let (kept, freed) = burst.split_at(3);
        for frame in freed.iter().rev() {
            pool.release(*frame);
        }
        // The first call looks back at the burst, the second at a while in which nothing was needed.
        assert!(!pool.tidy() && pool.is_untidy());
        assert!(pool.tidy() && !pool.is_untidy());
        assert!(at_peak > 30 && chunks(&pool) == 1, "{at_peak}, then {}", chunks(&pool));
        for frame in kept {
            assert_eq!(pool.bytes(*frame), [7; 200]);
        }
        let again: Vec<FrameId> = (0..10_000).map(|_| pool.copy(&[8; 200]).unwrap()).collect();
        assert_eq!(chunks(&pool), at_peak);
        assert!(again.iter().all(|frame| pool.bytes(*frame) == [8; 200]));
        assert_eq!(pool.held(), 10_003);
    }

    #[test]
    fn every_length_gets_the_smallest_class_that_fits() {
        let mut pool = FramePool::new();
        for len in (0..=FRAME_BYTES_MAX).step_by(7).chain([FRAME_BYTES_MAX]) {
            let frame = pool.take(len, 0).unwrap();
            assert_eq!(frame.charge(), charge_of(len as u32), "{len}");
            assert_eq!(pool.bytes(frame).len(), len);
            pool.release(frame);
        }
        assert!(pool.take(FRAME_BYTES_MAX + 1, 0).is_none());
    }
}
