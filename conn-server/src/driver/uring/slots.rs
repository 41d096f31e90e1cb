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
    #[should_panic(expected = "gives a slot out once")]
    fn a_slot_given_out_twice_is_a_bug() {
        let mut slots = Slots::default();
        slots.open(ConnKey::from_parts(0, 1), 1);
        slots.open(ConnKey::from_parts(0, 2), 2);
    }
}
