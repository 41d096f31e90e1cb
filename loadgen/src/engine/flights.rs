//! Messages on their way: said, and not yet acknowledged (in a closed loop: nor delivered to everybody).
//!
//! One slab for all connections, a doubly linked list per sender in the order of sending: answers come in that order,
//! so what is looked for is at the head. A message's body is not kept; its stamp makes it again.

use super::limits::FLIGHTS_MAX;

const NONE: u32 = u32::MAX;

/// One message on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// When it was due.
    pub(super) intended_ns: u64,
    /// When it was first sent; zero while it waits for its turn or for its connection.
    pub(super) sent_ns: u64,
    pub(super) sender: u32,
    pub(super) stream: u32,
    /// Its number in the ledger.
    pub(super) seq: u32,
    /// Its number among its sender's messages: the lower half of the client message id.
    pub(super) message: u32,
    /// Recipients that have not got it: counted in closed loops only.
    pub(super) owed: u32,
    pub(super) is_acked: bool,
    /// Refused, and waiting to be tried again.
    pub(super) is_resting: bool,
    pub(super) retries: u8,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    flight: Flight,
    previous: u32,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

#[derive(Debug)]
pub(super) struct Flights {
    slots: Vec<Slot>,
    free: Vec<u32>,
    lists: Vec<List>,
}

/// Where a flight is in the slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlightId(u32);

impl Flights {
    pub(super) fn new(connections: u32) -> Self {
        let empty = List { head: NONE, tail: NONE };
        Self { slots: Vec::new(), free: Vec::new(), lists: vec![empty; connections as usize] }
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.len() >= FLIGHTS_MAX
    }

    /// Adds a flight behind its sender's others.
    pub(super) fn add(&mut self, flight: Flight) -> FlightId {
        let list = &mut self.lists[flight.sender as usize];
        let slot = Slot { flight, previous: list.tail, next: NONE };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        match self.slots.get_mut(list.tail as usize) {
            Some(tail) => tail.next = id,
            None => list.head = id,
        }
        list.tail = id;
        FlightId(id)
    }

    pub(super) fn flight(&mut self, id: FlightId) -> &mut Flight {
        &mut self.slots[id.0 as usize].flight
    }

    /// The sender's first.
    pub(super) fn first(&self, sender: u32) -> Option<FlightId> {
        let head = self.lists[sender as usize].head;
        (head != NONE).then_some(FlightId(head))
    }

    /// The sender's next after `id`.
    pub(super) fn after(&self, id: FlightId) -> Option<FlightId> {
        let next = self.slots[id.0 as usize].next;
        (next != NONE).then_some(FlightId(next))
    }

    /// The sender's flight that `is_it`, sought from the oldest on.
    pub(super) fn find(&self, sender: u32, is_it: impl Fn(&Flight) -> bool) -> Option<FlightId> {
        let mut at = self.lists[sender as usize].head;
        while let Some(slot) = self.slots.get(at as usize) {
            if is_it(&slot.flight) {
                return Some(FlightId(at));
            }
            at = slot.next;
        }
        None
    }

    pub(super) fn remove(&mut self, id: FlightId) {
        let Slot { flight, previous, next } = self.slots[id.0 as usize];
        let list = &mut self.lists[flight.sender as usize];
        match self.slots.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => list.head = next,
        }
        match self.slots.get_mut(next as usize) {
            Some(next) => next.previous = previous,
            None => list.tail = previous,
        }
        self.free.push(id.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flight(sender: u32, message: u32) -> Flight {
        Flight {
            intended_ns: 0,
            sent_ns: 0,
            sender,
            stream: 0,
            seq: message,
            message,
            owed: 0,
            is_acked: false,
            is_resting: false,
            retries: 0,
        }
    }

    proptest! {
        #[test]
        fn lists_keep_the_order_of_sending(steps in proptest::collection::vec((0u32..3, any::<bool>(), any::<usize>()), 0..300)) {
            let mut flights = Flights::new(3);
            let mut model: [Vec<u32>; 3] = Default::default();
            for (message, (sender, adds, pick)) in steps.into_iter().enumerate() {
                let listed = &mut model[sender as usize];
                if adds || listed.is_empty() {
                    flights.add(flight(sender, message as u32));
                    listed.push(message as u32);
                } else {
                    let gone = listed.remove(pick % listed.len());
                    let id = flights.find(sender, |flight| flight.message == gone).unwrap();
                    flights.remove(id);
                }
                for sender in 0..3 {
                    let mut seen = Vec::new();
                    let mut at = flights.first(sender);
                    while let Some(id) = at {
                        seen.push(flights.flight(id).message);
                        at = flights.after(id);
                    }
                    prop_assert_eq!(&seen, &model[sender as usize]);
                }
                prop_assert_eq!(flights.len(), model.iter().map(Vec::len).sum::<usize>());
            }
        }
    }
}
