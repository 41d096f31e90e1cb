//! What each connection has with the kernel: sixteen bytes per connection. Pure.

use chat::ConnKey;

/// A connection's state in the driver, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u16);

impl State {
    /// A receive is armed.
    pub(super) const RECEIVE: Self = Self(1 << 0);
    /// A send is in flight.
    pub(super) const SEND: Self = Self(1 << 1);
    /// FIN is being sent.
    pub(super) const SHUTDOWN: Self = Self(1 << 2);
    /// The close is in flight.
    pub(super) const CLOSE: Self = Self(1 << 4);
    /// The core wants no bytes for now.
    pub(super) const PAUSED: Self = Self(1 << 5);
    /// In the list of those that wait for buffers.
    pub(super) const STARVED: Self = Self(1 << 6);
    /// Nothing more will be received: the peer's FIN or an error was seen.
    pub(super) const FINISHED: Self = Self(1 << 7);
    /// The core knows that the connection broke.
    pub(super) const BROKEN: Self = Self(1 << 8);
    /// The core said `abort`: nothing of this connection concerns it but the close.
    pub(super) const ABORTED: Self = Self(1 << 9);
    /// Its socket may be full, and then a cancel would not find a receive that goes on and on: one buffer at a time.
    pub(super) const CAREFUL: Self = Self(1 << 10);
    /// It says much at once: a bulk buffer for each receive.
    pub(super) const BULK: Self = Self(1 << 11);
    /// The receive that is armed ends with its first completion.
    pub(super) const ONCE: Self = Self(1 << 12);
    /// How many receives in a row spoke for a change between page and bulk buffers.
    const STREAK: Self = Self(0b11 << 13);
    /// The slot has an owner.
    const OPEN: Self = Self(1 << 15);

    /// What has to end before the close.
    pub(super) const IN_FLIGHT: Self = Self(Self::RECEIVE.0 | Self::SEND.0 | Self::SHUTDOWN.0);
    /// Reasons not to arm a receive.
    pub(super) const NO_RECEIVE: Self = Self(
        Self::RECEIVE.0
            | Self::PAUSED.0
            | Self::STARVED.0
            | Self::FINISHED.0
            | Self::ABORTED.0
            | Self::CLOSE.0,
    );
    /// Reasons not to send.
    pub(super) const NO_SEND: Self =
        Self(Self::SEND.0 | Self::BROKEN.0 | Self::ABORTED.0 | Self::CLOSE.0);

    /// Both.
    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Its direct descriptor.
    pub(super) file: u32,
    /// Bytes offered in the send in flight.
    pub(super) sending: u32,
    generation: u32,
    state: State,
}

impl Slot {
    /// Whether any of the bits is set.
    pub(super) const fn is(&self, any: State) -> bool {
        self.state.0 & any.0 != 0
    }

    pub(super) const fn set(&mut self, bits: State) {
        self.state.0 |= bits.0;
    }

    pub(super) const fn clear(&mut self, bits: State) {
        self.state.0 &= !bits.0;
    }

    /// Notes a receive that filled a page buffer, or would have: whether that was the third in a row that did not fit the
    /// connection's kind of buffer. Then its kind is changed.
    pub(super) const fn turns(&mut self, is_full: bool) -> bool {
        const ONE: u16 = State::STREAK.0 & State::STREAK.0.wrapping_neg();
        if is_full == self.is(State::BULK) {
            self.clear(State::STREAK);
            return false;
        }
        self.state.0 += ONE;
        if !self.is_streak_over() {
            return false;
        }
        self.clear(State::STREAK);
        self.state.0 ^= State::BULK.0;
        true
    }

    const fn is_streak_over(&self) -> bool {
        self.state.0 & State::STREAK.0 == State::STREAK.0
    }
}

const _: () = assert!(size_of::<Slot>() <= 16, "a driver's share of an idle connection");

/// All connections of a shard, by the index of their key. Grows with the highest index in use.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
}

impl Slots {
    /// For so many connections before it grows. Memory is reserved, and used as they come.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self { slots: Vec::with_capacity(count) }
    }

    /// Takes the slot of a new connection.
    ///
    /// # Panics
    /// If the slot has an owner: the core gave a key out twice, and going on would mix two people's bytes.
    pub(super) fn open(&mut self, key: ConnKey, file: u32) {
        const VACANT: Slot = Slot { file: 0, sending: 0, generation: 0, state: State(0) };
        let index = key.index() as usize;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, VACANT);
        }
        let slot = &mut self.slots[index];
        assert!(!slot.is(State::OPEN), "the core gives a slot out once");
        let generation = key.generation();
        // What came with the connection is taken with care, like what comes after a pause.
        let state = State::OPEN.with(State::CAREFUL);
        *slot = Slot { file, sending: 0, generation, state };
    }

    /// The slot of a key, if it still is its owner.
    pub(super) fn of(&mut self, key: ConnKey) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.index() as usize)?;
        (slot.generation == key.generation() && slot.is(State::OPEN)).then_some(slot)
    }

    /// Gives a slot back; its key is dead.
    pub(super) fn close(&mut self, key: ConnKey) {
        if let Some(slot) = self.of(key) {
            debug_assert!(!slot.is(State::IN_FLIGHT), "closed with an operation in flight");
            slot.state = State(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_answers_to_its_present_owner_only() {
        let mut slots = Slots::default();
        let (first, second) = (ConnKey::from_parts(5, 1), ConnKey::from_parts(5, 2));
        assert!(slots.of(first).is_none());
        slots.open(first, 40);
        assert_eq!(slots.of(first).unwrap().file, 40);
        assert!(slots.of(second).is_none());
        slots.close(first);
        assert!(slots.of(first).is_none());
        slots.open(second, 41);
        assert!(slots.of(first).is_none());
        slots.of(second).unwrap().set(State::SEND);
        assert!(slots.of(second).unwrap().is(State::NO_SEND));
        assert!(!slots.of(second).unwrap().is(State::RECEIVE.with(State::CLOSE)));
    }

    #[test]
    fn three_receives_in_a_row_change_the_kind_of_buffer() {
        let mut slots = Slots::default();
        let key = ConnKey::from_parts(0, 1);
        slots.open(key, 1);
        let slot = slots.of(key).unwrap();
        let mut kinds = Vec::new();
        for is_full in [true, true, false, true, true, true, false, false, true, false, false] {
            kinds.push((slot.turns(is_full), slot.is(State::BULK)));
        }
        let page = (false, false);
        let bulk = (false, true);
        let (up, down) = ((true, true), (true, false));
        assert_eq!(kinds, [page, page, page, page, page, up, bulk, bulk, bulk, bulk, bulk]);
        assert!(slot.turns(false) == down.0 && !slot.is(State::BULK) && slot.is(State::OPEN));
    }

    #[test]
    #[should_panic(expected = "gives a slot out once")]
    fn a_slot_given_out_twice_is_a_bug() {
        let mut slots = Slots::default();
        slots.open(ConnKey::from_parts(0, 1), 1);
        slots.open(ConnKey::from_parts(0, 2), 2);
    }
}
