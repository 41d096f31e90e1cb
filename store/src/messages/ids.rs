//! Blocks of message ids: leased one after another, or drawn where nothing can be written down.

use std::hash::{BuildHasher, RandomState};

use crate::error::{Error, Result};
use crate::limits::{ID_BLOCK_BITS, ID_BLOCKS_MAX};

/// The first block that is never leased, unless a file was restored: the upper half is for those that are drawn.
pub(super) const DRAWN_FROM: u64 = ID_BLOCKS_MAX / 2;

/// The first id of each of the last blocks of a lease: `last` is the last one.
///
/// # Errors
/// `Refused` once they are used up.
pub(crate) fn block_bases(last: u64, shards: u16) -> Result<Vec<u64>> {
    if last >= DRAWN_FROM {
        return Err(Error::refused("message ids are used up: begin a new store"));
    }
    let first = last + 1 - u64::from(shards);
    Ok((first..=last).map(|block| block << ID_BLOCK_BITS).collect())
}

/// Draws one block of message ids per shard, for a start whose disk takes no writes: from a range that is never leased,
/// each beginning somewhere in its lower half. There are 2^61 beginnings: that two of them come near each other is less
/// likely than that the disk returns a wrong bit.
#[must_use]
pub fn draw_id_blocks(shards: u16) -> Vec<u64> {
    // Seeded by the system; a hash of the shard's number keeps the shards of one start apart.
    let random = RandomState::new();
    let blocks = ID_BLOCKS_MAX - DRAWN_FROM;
    (0..shards)
        .map(|shard| {
            let block = DRAWN_FROM + random.hash_one((shard, "block")) % blocks;
            let within = random.hash_one((shard, "within")) % (1 << (ID_BLOCK_BITS - 1));
            (block << ID_BLOCK_BITS) + within
        })
        .collect()
}

/// Draws where a restored file goes on: the block before the first one that it leases, in the lower half of the range that
/// is drawn from, so that there is room after it, and the place at which each of its blocks begins. What the file had
/// leased after the backup is not known any more; it was never in this range, unless that file had been restored too.
pub(crate) fn draw_id_start() -> (i64, i64) {
    let random = RandomState::new();
    let block = DRAWN_FROM + random.hash_one("block") % ((ID_BLOCKS_MAX - DRAWN_FROM) / 2);
    let within = random.hash_one("within") % (1 << (ID_BLOCK_BITS - 1));
    (block.cast_signed(), within.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_blocks_are_apart_from_each_other_and_from_leased_ones() {
        let mut bases: Vec<u64> = (0..20).flat_map(|_| draw_id_blocks(4)).collect();
        bases.sort_unstable();
        assert!(bases[0] >= DRAWN_FROM << ID_BLOCK_BITS);
        // An hour of a million ids a second fits between any two.
        assert!(bases.windows(2).all(|pair| pair[1] - pair[0] > 3_600_000_000));
        let last = bases.last().expect("some") + (1 << (ID_BLOCK_BITS - 1));
        assert!(i64::try_from(last).is_ok(), "SQLite's integers hold them");
    }
}
