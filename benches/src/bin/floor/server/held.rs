//! Copies that sends are made from, each with a count of the sends that still need it. Their memory is used again.

/// One copy.
#[derive(Debug, Default)]
struct Copied {
    bytes: Vec<u8>,
    sends: u32,
}

/// All copies.
#[derive(Debug, Default)]
pub(super) struct Held {
    copies: Vec<Copied>,
    free: Vec<u32>,
}

impl Held {
    /// Keeps what `parts` say, one after the other, until `sends` sends have completed. Gives its index.
    pub(super) fn keep(&mut self, parts: &[&[u8]], sends: u32) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.copies.push(Copied::default());
            self.copies.len() as u32 - 1
        });
        let copy = &mut self.copies[index as usize];
        copy.bytes.clear();
        parts.iter().for_each(|part| copy.bytes.extend_from_slice(part));
        copy.sends = sends;
        index
    }

    /// A copy's bytes. They stay where they are until the last send is done.
    pub(super) fn bytes(&self, index: u32) -> &[u8] {
        &self.copies[index as usize].bytes
    }

    /// A send of a copy is done.
    pub(super) fn release(&mut self, index: u32) {
        let copy = &mut self.copies[index as usize];
        copy.sends -= 1;
        if copy.sends == 0 {
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_used_again_after_its_last_send() {
        let mut held = Held::default();
        let first = held.keep(&[b"to", b"gether"], 2);
        held.release(first);
        let second = held.keep(&[b"other"], 1);
        assert_eq!((held.bytes(first), held.bytes(second)), (&b"together"[..], &b"other"[..]));
        held.release(first);
        assert_eq!(held.keep(&[b"again"], 1), first);
    }
}
