//! What one send carries.

use arrayvec::ArrayVec;

use crate::limits::TRANSMIT_SLICES_MAX;

/// The bytes of one vectored send, borrowed from the shard's frame pool. The memory stays where it is and unchanged
/// until `handle_sent` has accounted for it or `handle_closed` has freed the connection.
#[derive(Clone, Debug, Default)]
pub struct Transmit<'a> {
    slices: ArrayVec<&'a [u8], TRANSMIT_SLICES_MAX>,
}

impl<'a> Transmit<'a> {
    /// The slices, in order, none empty.
    #[must_use]
    pub fn slices(&self) -> &[&'a [u8]] {
        &self.slices
    }

    /// Adds a slice; `false` if there is no place for it.
    pub(crate) fn push(&mut self, slice: &'a [u8]) -> bool {
        self.slices.try_push(slice).is_ok()
    }
}
