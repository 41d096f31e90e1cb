//! The sockets of the epoll driver: twelve bytes per connection. Pure but for closing what it drops.

use std::os::fd::OwnedFd;

use chat::ConnKey;

/// A connection's state in the driver, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u16);

impl State {
    /// The core wants no bytes for now.
    pub(super) const PAUSED: Self = Self(1 << 0);
    /// In the list of those to be read from without an event.
    pub(super) const READY: Self = Self(1 << 1);
    /// The peer's FIN or an error is behind the bytes: read on until it shows.
    pub(super) const ENDING: Self = Self(1 << 2);
    /// Nothing more will be received: the peer's FIN or an error was seen.
    pub(super) const FINISHED: Self = Self(1 << 3);
    /// The socket's buffer is full: an edge tells when it is not.
    pub(super) const BLOCKED: Self = Self(1 << 4);
    /// Sent in this turn; the core has not been told yet.
    pub(super) const SENT: Self = Self(1 << 5);
    /// The core knows that the connection broke.
    pub(super) const BROKEN: Self = Self(1 << 6);

    /// Reasons not to read.
    pub(super) const NO_RECEIVE: Self = Self(Self::PAUSED.0 | Self::FINISHED.0);
    /// Reasons not to send.
    pub(super) const NO_SEND: Self = Self(Self::BLOCKED.0 | Self::SENT.0 | Self::BROKEN.0);

    /// Both.
    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Slot {
    socket: Option<OwnedFd>,
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
    /// Takes the slot of a new connection.
    ///
    /// # Panics
    /// If the slot has an owner: the core gave a key out twice.
    pub(super) fn open(&mut self, key: ConnKey, socket: OwnedFd) {
        let index = key.index() as usize;
        if index >= self.slots.len() {
            let vacant = || Slot { socket: None, generation: 0, state: State(0) };
            self.slots.resize_with(index + 1, vacant);
        }
        let slot = &mut self.slots[index];
        assert!(slot.socket.is_none(), "the core gives a slot out once");
        *slot = Slot { socket: Some(socket), generation: key.generation(), state: State(0) };
    }

    /// The slot of a key, if it still is its owner, with its socket.
    pub(super) fn of(&mut self, key: ConnKey) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.index() as usize)?;
        (slot.generation == key.generation() && slot.socket.is_some()).then_some(slot)
    }

    /// The socket of a key, if it still is its slot's owner.
    pub(super) fn socket(&self, key: ConnKey) -> Option<&OwnedFd> {
        let slot = self.slots.get(key.index() as usize)?;
        if slot.generation == key.generation() { slot.socket.as_ref() } else { None }
    }

    /// Closes the socket; the key is dead. `false` if it was before.
    pub(super) fn close(&mut self, key: ConnKey) -> bool {
        self.of(key).is_some_and(|slot| slot.socket.take().is_some())
    }
}
