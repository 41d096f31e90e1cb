//! Messages that were said and not answered yet (in a closed loop: not delivered to everybody yet), in a queue for each
//! sender.
//!
//! A sender numbers its messages without a hole, so a message's place in the queue is its number less that of the first
//! one. What is answered out of turn stays in place, marked, until everything before it is answered too. Bodies are not
//! kept: the stamp makes them again.

use std::collections::VecDeque;

use super::limits::UNANSWERED_MAX;

/// One message without an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// When it was due.
    pub(super) intended_ns: u64,
    /// When it was first sent; `None` while it waits for its turn.
    pub(super) sent_ns: Option<u64>,
    pub(super) stream: u32,
    /// Its number in the ledger.
    pub(super) seq: u32,
    /// Its number among its sender's: the lower half of the client message id.
    pub(super) message: u32,
    /// Recipients that have not got it: counted in closed loops only.
    pub(super) owed: u32,
    pub(super) is_acked: bool,
    /// Refused, and waiting to be tried again.
    pub(super) is_resting: bool,
    pub(super) retries: u8,
    is_over: bool,
}

impl Pending {
    pub(super) const fn new(intended_ns: u64, stream: u32, seq: u32, message: u32) -> Self {
        Self {
            intended_ns,
            sent_ns: None,
            stream,
            seq,
            message,
            owed: 0,
            is_acked: false,
            is_resting: false,
            retries: 0,
            is_over: false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Unanswered {
    queues: Vec<VecDeque<Pending>>,
    count: usize,
}

impl Unanswered {
    pub(super) fn new(connections: u32) -> Self {
        Self { queues: (0..connections).map(|_| VecDeque::new()).collect(), count: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) const fn is_full(&self) -> bool {
        self.count >= UNANSWERED_MAX
    }

    /// Adds a sender's next message, with the number after that of the one before.
    pub(super) fn push(&mut self, sender: u32, pending: Pending) {
        let queue = &mut self.queues[sender as usize];
        debug_assert!(
            queue.back().is_none_or(|last| last.message.wrapping_add(1) == pending.message),
            "a sender's messages are numbered without a hole"
        );
        queue.push_back(pending);
        self.count += 1;
    }

    /// A sender's message, if it has no answer yet.
    pub(super) fn get(&mut self, sender: u32, message: u32) -> Option<&mut Pending> {
        let queue = &mut self.queues[sender as usize];
        let at = message.wrapping_sub(queue.front()?.message);
        queue.get_mut(at as usize).filter(|pending| !pending.is_over)
    }

    /// The number of the sender's message that has the ledger's number `seq` in `stream`.
    pub(super) fn number_of(&self, sender: u32, stream: u32, seq: u64) -> Option<u32> {
        let is_it = |pending: &&Pending| {
            !pending.is_over && pending.stream == stream && u64::from(pending.seq) == seq
        };
        self.queues[sender as usize].iter().find(is_it).map(|pending| pending.message)
    }

    /// The number of the sender's first message without an answer.
    pub(super) fn first(&self, sender: u32) -> Option<u32> {
        self.queues[sender as usize].front().map(|pending| pending.message)
    }

    /// The numbers of all the sender's messages without an answer, in the order of saying.
    pub(super) fn numbers(&self, sender: u32) -> Vec<u32> {
        let queue = self.queues[sender as usize].iter();
        queue.filter(|pending| !pending.is_over).map(|pending| pending.message).collect()
    }

    /// A message has its answer.
    pub(super) fn settle(&mut self, sender: u32, message: u32) {
        let Some(pending) = self.get(sender, message) else { return };
        pending.is_over = true;
        self.count -= 1;
        let queue = &mut self.queues[sender as usize];
        while queue.front().is_some_and(|first| first.is_over) {
            queue.pop_front();
        }
    }

    /// Drops everything of a sender and returns how many had no answer.
    pub(super) fn forget(&mut self, sender: u32) -> u32 {
        let queue = std::mem::take(&mut self.queues[sender as usize]);
        let count = queue.iter().filter(|pending| !pending.is_over).count();
        self.count -= count;
        count as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_queue_is_what_was_said_less_what_was_answered(
            first: u32,
            steps in proptest::collection::vec((0u32..3, any::<bool>(), any::<usize>()), 0..300),
        ) {
            let mut unanswered = Unanswered::new(3);
            let mut said = [first; 3];
            let mut model: [Vec<u32>; 3] = Default::default();
            for (sender, says, pick) in steps {
                let (said, open) = (&mut said[sender as usize], &mut model[sender as usize]);
                if says || open.is_empty() {
                    unanswered.push(sender, Pending::new(0, sender, said.wrapping_sub(first), *said));
                    open.push(*said);
                    *said = said.wrapping_add(1);
                } else {
                    let number = open.remove(pick % open.len());
                    let seq = u64::from(number.wrapping_sub(first));
                    prop_assert_eq!(unanswered.number_of(sender, sender, seq), Some(number));
                    unanswered.settle(sender, number);
                    prop_assert!(unanswered.get(sender, number).is_none());
                    prop_assert_eq!(unanswered.number_of(sender, sender, seq), None);
                }
                for sender in 0..3u32 {
                    let open = &model[sender as usize];
                    prop_assert_eq!(&unanswered.numbers(sender), open);
                    prop_assert_eq!(unanswered.first(sender), open.first().copied());
                }
                prop_assert_eq!(unanswered.len(), model.iter().map(Vec::len).sum::<usize>());
            }
            for sender in 0..3u32 {
                prop_assert_eq!(unanswered.forget(sender) as usize, model[sender as usize].len());
            }
            prop_assert_eq!(unanswered.len(), 0);
        }
    }
}
