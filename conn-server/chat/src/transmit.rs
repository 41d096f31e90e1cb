//! What one send carries.

use crate::limits::TRANSMIT_SLICES_MAX;

/// The bytes of one vectored send, borrowed from the shard's frame pool. The memory stays where it is and unchanged
/// until `handle_sent` has accounted for it or `handle_closed` has freed the connection.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    slices: [&'a [u8]; TRANSMIT_SLICES_MAX],
    count: usize,
}

impl Default for Transmit<'_> {
    fn default() -> Self {
        Self { slices: [&[]; TRANSMIT_SLICES_MAX], count: 0 }
    }
}

impl<'a> Transmit<'a> {
    /// The slices, in order, none empty.
    #[must_use]
    pub fn slices(&self) -> &[&'a [u8]] {
        self.slices.get(..self.count).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, slice: &'a [u8]) -> bool {
        let Some(place) = self.slices.get_mut(self.count) else { return false };
        *place = slice;
        self.count += 1;
        true
    }
}
