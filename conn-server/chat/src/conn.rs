//! Connections and their keys.

/// Names a connection of a shard: an index, and a generation that tells the index's owners apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnKey {
    index: u32,
    generation: u32,
}

impl ConnKey {
    /// Bits of a generation: it fits beside an operation and an index into a ring's 64-bit user data.
    pub const GENERATION_BITS: u32 = 24;

    /// Puts a key together again from its parts.
    #[must_use]
    pub const fn from_parts(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// The slot, below the shard's `connections_max`.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The owner of the slot.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}
