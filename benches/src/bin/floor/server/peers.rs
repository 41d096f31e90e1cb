//! Who is connected: by slot in the descriptor table, and by the number that a login named. And the bytes of torn frames.

use super::traffic::FRAME_BYTES;

/// No slot, or no number.
const NONE: u32 = u32::MAX;

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Peer {
    number: u32,
    /// Bytes of a frame that has not come whole.
    torn: u32,
}

const EMPTY: Peer = Peer { number: NONE, torn: 0 };

/// All connections.
#[derive(Debug)]
pub(super) struct Peers {
    by_slot: Vec<Peer>,
    slot_of: Vec<u32>,
    /// Slots that are logged in, in no order, and where each is in that list.
    present: Vec<u32>,
    place_of: Vec<u32>,
    /// The torn frames' bytes by slot; as long as the highest slot that ever tore one.
    tails: Vec<[u8; FRAME_BYTES]>,
}

impl Peers {
    pub(super) fn new(slots: u32, numbers: u32) -> Self {
        Self {
            by_slot: vec![EMPTY; slots as usize],
            slot_of: vec![NONE; numbers as usize],
            present: Vec::with_capacity(slots as usize),
            place_of: vec![NONE; slots as usize],
            tails: Vec::new(),
        }
    }

    pub(super) fn open(&mut self, slot: u32) {
        self.by_slot[slot as usize] = EMPTY;
    }

    /// Forgets a connection.
    pub(super) fn close(&mut self, slot: u32) {
        let peer = std::mem::replace(&mut self.by_slot[slot as usize], EMPTY);
        if peer.number == NONE {
            return;
        }
        // Its successor may have logged in under the same number before it was gone.
        if self.slot_of[peer.number as usize] == slot {
            self.slot_of[peer.number as usize] = NONE;
        }
        let place = std::mem::replace(&mut self.place_of[slot as usize], NONE) as usize;
        self.present.swap_remove(place);
        if let Some(&moved) = self.present.get(place) {
            self.place_of[moved as usize] = place as u32;
        }
    }

    /// Takes a login; `false` if it names a number that there is not.
    pub(super) fn log_in(&mut self, slot: u32, number: u32) -> bool {
        let Some(at) = self.slot_of.get_mut(number as usize) else { return false };
        *at = slot;
        self.by_slot[slot as usize].number = number;
        self.place_of[slot as usize] = self.present.len() as u32;
        self.present.push(slot);
        true
    }

    pub(super) fn is_logged_in(&self, slot: u32) -> bool {
        self.by_slot[slot as usize].number != NONE
    }

    /// The slot of a logged in connection's partner, if it is there.
    pub(super) fn partner(&self, slot: u32) -> Option<u32> {
        let number = self.by_slot[slot as usize].number ^ 1;
        self.slot_of.get(number as usize).copied().filter(|slot| *slot != NONE)
    }

    /// Every logged in connection.
    pub(super) fn present(&self) -> &[u32] {
        &self.present
    }

    /// How many bytes of an unfinished frame a connection has.
    pub(super) fn torn(&self, slot: u32) -> usize {
        self.by_slot[slot as usize].torn as usize
    }

    /// Those bytes.
    pub(super) fn tail(&self, slot: u32) -> &[u8] {
        let torn = self.torn(slot);
        self.tails.get(slot as usize).map_or(&[], |tail| &tail[..torn])
    }

    /// Keeps more bytes of an unfinished frame, which stays below a frame's length.
    pub(super) fn keep(&mut self, slot: u32, bytes: &[u8]) {
        let at = slot as usize;
        if self.tails.len() <= at {
            self.tails.resize(at + 1, [0; FRAME_BYTES]);
        }
        let torn = self.torn(slot);
        self.tails[at][torn..torn + bytes.len()].copy_from_slice(bytes);
        self.by_slot[at].torn = (torn + bytes.len()) as u32;
    }

    /// The unfinished frame is finished.
    pub(super) fn forget_tail(&mut self, slot: u32) {
        self.by_slot[slot as usize].torn = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_find_each_other_while_both_are_there() {
        let mut peers = Peers::new(8, 4);
        peers.open(5);
        assert!(peers.log_in(5, 2));
        assert_eq!(peers.partner(5), None);
        peers.open(1);
        assert!(peers.log_in(1, 3));
        assert_eq!((peers.partner(5), peers.partner(1)), (Some(1), Some(5)));
        peers.close(1);
        assert_eq!(peers.partner(5), None);
        assert_eq!(peers.present(), [5]);
        assert!(!peers.log_in(1, 4), "there are numbers below four");
    }

    #[test]
    fn a_successor_keeps_its_number_when_the_first_goes() {
        let mut peers = Peers::new(4, 4);
        assert!(peers.log_in(0, 0) && peers.log_in(1, 1) && peers.log_in(2, 1));
        peers.close(1);
        assert_eq!(peers.partner(0), Some(2));
        assert_eq!(peers.present(), [0, 2]);
    }

    #[test]
    fn a_torn_frame_is_kept_in_pieces() {
        let mut peers = Peers::new(4, 4);
        peers.keep(3, b"ab");
        peers.keep(3, b"c");
        assert_eq!((peers.tail(3), peers.torn(3), peers.torn(2)), (&b"abc"[..], 3, 0));
        peers.forget_tail(3);
        assert!(peers.tail(3).is_empty());
    }
}
