//! What the tasks of a shard's connections and the turn tell each other: 24 bytes per connection. Pure.

use std::task::Waker;

use chat::ConnKey;

/// A connection's state in the driver, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u16);

impl State {
    /// The core wants no bytes for now.
    pub(super) const PAUSED: Self = Self(1 << 0);
    /// Nothing more will be received: the peer's FIN or an error was seen.
    pub(super) const FINISHED: Self = Self(1 << 1);
    /// The core has something to send.
    pub(super) const FLUSH: Self = Self(1 << 2);
    /// FIN is to be sent.
    pub(super) const FIN: Self = Self(1 << 3);
    /// The core knows that the connection broke.
    pub(super) const BROKEN: Self = Self(1 << 4);
    /// The core said `abort`, or the shard is over: the task ends.
    pub(super) const ABORTED: Self = Self(1 << 5);
    /// The socket is shut down both ways, which ends what is in flight.
    pub(super) const CUT: Self = Self(1 << 6);
    /// The slot has an owner.
    const OPEN: Self = Self(1 << 15);

    /// Nothing more is to be received, ever.
    pub(super) const NO_MORE: Self = Self(Self::FINISHED.0 | Self::ABORTED.0);

    /// Both.
    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its task; none before the task's first step.
    pub(super) task: Option<Waker>,
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

    /// Has the task look at its state. A task that has not begun looks by itself.
    pub(super) fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }
}

const _: () = assert!(size_of::<Slot>() <= 24, "beside its task, a connection's share of a driver");

/// All connections of a shard, by the index of their key. Grows with the highest index in use.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
}

impl Slots {
    /// Takes the slot of a new connection.
    ///
    /// # Panics
    /// If the slot has an owner: the core gave a key out twice.
    pub(super) fn open(&mut self, key: ConnKey) {
        let index = key.index() as usize;
        if index >= self.slots.len() {
            let vacant = || Slot { task: None, generation: 0, state: State(0) };
            self.slots.resize_with(index + 1, vacant);
        }
        let slot = &mut self.slots[index];
        assert!(!slot.is(State::OPEN), "the core gives a slot out once");
        *slot = Slot { task: None, generation: key.generation(), state: State::OPEN };
    }

    /// The slot of a key, if it still is its owner.
    pub(super) fn of(&mut self, key: ConnKey) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.index() as usize)?;
        (slot.generation == key.generation() && slot.is(State::OPEN)).then_some(slot)
    }

    /// Gives a slot back; its key is dead.
    pub(super) fn close(&mut self, key: ConnKey) {
        if let Some(slot) = self.of(key) {
            *slot = Slot { task: None, generation: key.generation(), state: State(0) };
        }
    }

    /// Every slot that has an owner.
    pub(super) fn each_open(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().filter(|slot| slot.is(State::OPEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_answers_to_its_present_owner_only() {
        let mut slots = Slots::default();
        let (first, second) = (ConnKey::from_parts(3, 1), ConnKey::from_parts(3, 2));
        slots.open(first);
        slots.of(first).unwrap().set(State::FLUSH.with(State::FIN));
        assert!(slots.of(second).is_none());
        slots.close(first);
        assert!(slots.of(first).is_none());
        assert_eq!(slots.each_open().count(), 0);
        slots.open(second);
        assert!(!slots.of(second).unwrap().is(State::FLUSH.with(State::FIN)));
    }
}
