//! The core's bytes on their way through a runtime, which wants to own what it sends.
//!
//! The core keeps the bytes of a send in place until `handle_sent` or `handle_closed` (contract of `Transmit`). A task
//! calls neither before its send has ended, and a runtime is torn down before the core is: so an address is as good as
//! the bytes, and nothing is copied.

use chat::limits::TRANSMIT_SLICES_MAX;

use crate::limits::SPARE_VECTORS_MAX;

/// What one send carries. Not `Send`, and never to be used after the send has ended.
#[derive(Debug)]
pub(super) enum Lent {
    /// One slice.
    One(Slice),
    /// Several.
    Many(Box<Vector>),
}

/// An address and how many bytes are there.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver) struct Slice {
    pub(in crate::driver) start: *const u8,
    pub(in crate::driver) len: usize,
}

/// The slices of a vectored send.
#[derive(Debug)]
pub(in crate::driver) struct Vector {
    slices: [libc::iovec; TRANSMIT_SLICES_MAX],
    count: usize,
}

impl Vector {
    const EMPTY: Self = Self {
        slices: [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; TRANSMIT_SLICES_MAX],
        count: 0,
    };

    /// Where the slices stand, while this is not moved out of its box.
    pub(in crate::driver) const fn start(&self) -> *const libc::iovec {
        self.slices.as_ptr()
    }

    /// How many.
    pub(in crate::driver) const fn count(&self) -> usize {
        self.count
    }

    fn fill(&mut self, slices: &[&[u8]]) {
        for (place, slice) in self.slices.iter_mut().zip(slices) {
            *place =
                libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() };
        }
        self.count = slices.len().min(TRANSMIT_SLICES_MAX);
    }

    fn bytes(&self) -> usize {
        self.slices.iter().take(self.count).map(|slice| slice.iov_len).sum()
    }
}

impl Lent {
    /// How many bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::One(slice) => slice.len,
            Self::Many(vector) => vector.bytes(),
        }
    }
}

/// Vectors that no send uses now: one KiB each, as many as sends were in flight at once, up to a bound.
#[derive(Debug, Default)]
pub(super) struct Spare {
    #[allow(clippy::vec_box, reason = "their addresses are given away and must not change")]
    vectors: Vec<Box<Vector>>,
}

impl Spare {
    /// Takes the addresses of what a send is to carry.
    pub(super) fn lend(&mut self, slices: &[&[u8]]) -> Lent {
        if let [one] = slices {
            return Lent::One(Slice { start: one.as_ptr(), len: one.len() });
        }
        let mut vector = self.vectors.pop().unwrap_or_else(|| Box::new(Vector::EMPTY));
        vector.fill(slices);
        Lent::Many(vector)
    }

    /// Takes back what a send has done with.
    pub(super) fn give_back(&mut self, lent: Lent) {
        if let Lent::Many(vector) = lent
            && self.vectors.len() < SPARE_VECTORS_MAX
        {
            self.vectors.push(vector);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_where_it_was() {
        let mut spare = Spare::default();
        let (first, second) = ([1u8; 3], [2u8; 5]);
        let one = spare.lend(&[&first]);
        assert!(matches!(&one, Lent::One(slice) if slice.start == first.as_ptr()));
        assert_eq!(one.bytes(), 3);
        let many = spare.lend(&[&first, &second]);
        assert!(matches!(&many, Lent::Many(vector) if vector.count() == 2));
        assert_eq!(many.bytes(), 8);
        spare.give_back(one);
        spare.give_back(many);
        assert_eq!(spare.vectors.len(), 1);
        spare.lend(&[&second, &first, &second]);
        assert_eq!(spare.vectors.len(), 0);
    }
}
