//! Bytes put aside: the tails of torn frames, and what arrived for connections that must wait.

use alloc::vec::Vec;

use wire::Header;

use crate::conn::NONE;
use crate::limits::{CONN_SPILL_BYTES_MAX, SHARD_SPILL_BYTES_MAX, SPILL_SPARE_MAX};

/// A spare buffer larger than this is given back rather than kept: one that has grown to it held a frame of 16 KiB.
const SPARE_BYTES_MAX: usize = 32 * 1024;

/// A torn frame gets its whole length at once if at least this part of it is there: few copies of large frames, and what a
/// peer has only announced is reserved for it up to so many times what it sent.
const GROWTH: usize = 4;

/// Makes room for bytes behind what is there.
fn grow(place: &mut Vec<u8>, bytes: &[u8]) {
    let len = place.len() + bytes.len();
    let begun = if place.is_empty() { bytes } else { place.as_slice() };
    let frame = Header::parse(begun).ok().flatten().map_or(0, |header| header.frame_len());
    if frame > len && frame <= len.saturating_mul(GROWTH) {
        place.reserve_exact(frame - place.len());
    } else {
        place.reserve(bytes.len());
    }
}

/// All spills of a shard.
#[derive(Debug, Default)]
pub(crate) struct Spills {
    spills: Vec<Vec<u8>>,
    free: Vec<u32>,
    spare: Vec<Vec<u8>>,
    /// The fewest spare buffers since the memory was last tidied: so many were not needed.
    spare_low: usize,
    bytes: usize,
}

impl Spills {
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts bytes behind what is there; makes the spill if there is none. `false`, with nothing done, beyond a bound.
    pub(crate) fn append(&mut self, spill: &mut u32, bytes: &[u8]) -> bool {
        let held = self.spills.get(*spill as usize).map_or(0, Vec::len);
        if held + bytes.len() > CONN_SPILL_BYTES_MAX
            || self.bytes + bytes.len() > SHARD_SPILL_BYTES_MAX
        {
            return false;
        }
        if *spill == NONE {
            *spill = self.free.pop().unwrap_or_else(|| {
                self.spills.push(Vec::new());
                u32::try_from(self.spills.len() - 1).unwrap_or(NONE)
            });
            if let (Some(place), Some(spare)) =
                (self.spills.get_mut(*spill as usize), self.spare.pop())
            {
                *place = spare;
                self.spare_low = self.spare_low.min(self.spare.len());
            }
        }
        if let Some(place) = self.spills.get_mut(*spill as usize) {
            if place.capacity() - place.len() < bytes.len() {
                grow(place, bytes);
            }
            place.extend_from_slice(bytes);
            self.bytes += bytes.len();
        }
        true
    }

    /// What is put aside.
    pub(crate) fn bytes_of(&self, spill: u32) -> &[u8] {
        self.spills.get(spill as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// Gives back the spare buffers that were not needed at any time since the last call; whether there were any.
    pub(crate) fn tidy(&mut self) -> bool {
        let idle = self.spare_low.min(self.spare.len());
        self.spare.truncate(self.spare.len() - idle);
        self.spare_low = self.spare.len();
        idle > 0
    }

    /// Whether `tidy` has something to do, now or after another while without use.
    pub(crate) const fn is_untidy(&self) -> bool {
        !self.spare.is_empty()
    }

    /// Takes the bytes out, to be given back with `put_back`.
    pub(crate) fn take(&mut self, spill: u32) -> Vec<u8> {
        self.spills.get_mut(spill as usize).map(core::mem::take).unwrap_or_default()
    }

    /// Gives the bytes back after the first `used` of them were handled; frees the spill if none is left.
    pub(crate) fn put_back(&mut self, spill: &mut u32, mut bytes: Vec<u8>, used: usize) {
        if *spill == NONE {
            // Its connection closed over what it said, and gave the spill up.
            self.bytes -= bytes.len();
            bytes.clear();
            self.recycle(bytes);
            return;
        }
        bytes.drain(..used);
        self.bytes -= used;
        if bytes.is_empty() {
            self.recycle(bytes);
            self.free.push(core::mem::replace(spill, NONE));
        } else if let Some(place) = self.spills.get_mut(*spill as usize) {
            *place = bytes;
        }
    }

    /// Drops what is put aside.
    pub(crate) fn free(&mut self, spill: &mut u32) {
        if *spill != NONE {
            let bytes = self.take(*spill);
            let all = bytes.len();
            self.put_back(spill, bytes, all);
        }
    }

    fn recycle(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < SPILL_SPARE_MAX && bytes.capacity() <= SPARE_BYTES_MAX {
            self.spare.push(bytes);
        }
    }
}
