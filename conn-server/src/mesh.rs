//! What travels between shard threads: each shard's inbox with its wake-up, and what shards must agree on.
//!
//! The only file with atomics. A shard posts at most one message per turn to each peer, never blocks and never drops: a
//! full inbox gives the message back (see `postbox`). The receiver is woken only if it said that it is about to sleep,
//! which costs the sender one load otherwise.
//!
//! A shard's thread may stand still for any time. So what must reach the others all the same does not stand in line
//! behind its mail: orders to end are a number that every shard looks at, and the store's answers have a queue of their
//! own, which the core's credit bounds.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

use chat::{MailBatch, StoreBatch, StoreOutcome};
use crossbeam::queue::{ArrayQueue, SegQueue};
use crossbeam::utils::CachePadded;
use rustix::event::{EventfdFlags, eventfd};
use wire::{Epoch, ShardId, UserId};

pub(crate) use crate::lane::StoreSender;
pub use crate::lane::{StoreLane, StoreMail};
use crate::limits::{INBOX_MESSAGES_MAX, POST_RETRY, SPARE_BATCH_BYTES_MAX, SPARE_BATCHES_MAX};
use crate::stats::ShardSnapshot;

/// Where a snapshot goes. Called once, on the shard's thread: it must not block.
pub type SnapshotReply = Box<dyn FnOnce(Box<ShardSnapshot>) + Send>;

/// What a shard can be told.
pub enum Message {
    /// Mail of a peer shard.
    Mail(MailBatch),
    /// Answers of the store, and an emptied batch to use again.
    Stored {
        /// In the order of the requests.
        outcomes: Vec<StoreOutcome>,
        /// The batch that the requests came in, emptied.
        spare: StoreBatch,
    },
    /// Say how you are.
    Snapshot(SnapshotReply),
    /// Every shard is ready: begin to accept.
    Open,
    /// Something that the shards share has changed: look again.
    Look,
    /// These users' sessions of an epoch below that are over.
    EndSessions(Vec<(UserId, Epoch)>),
    /// Limits that are so from now on.
    Limits(chat::Limits),
}

/// What all shards are told to do. An abort is not taken back, and of several drains the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Stop accepting, let every connection finish, end by the deadline (of the node's monotonic clock).
    Drain {
        /// When to give up on what is left.
        deadline: chat::Instant,
    },
    /// End now.
    Abort,
}

impl Order {
    /// No order.
    const NONE: u64 = 0;
    const ABORT: u64 = u64::MAX;

    const fn from_code(code: u64) -> Option<Self> {
        match code {
            Self::NONE => None,
            Self::ABORT => Some(Self::Abort),
            ns => Some(Self::Drain { deadline: chat::Instant(ns) }),
        }
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mail(_) => "Mail",
            Self::Stored { .. } => "Stored",
            Self::Snapshot(_) => "Snapshot",
            Self::Open => "Open",
            Self::Look => "Look",
            Self::EndSessions(_) => "EndSessions",
            Self::Limits(_) => "Limits",
        })
    }
}

/// Why a message was not taken.
#[derive(Debug)]
pub enum PostError {
    /// The inbox is full for now; here is the message again.
    Full(Message),
    /// The shard has ended.
    Gone,
}

/// One shard's place in the mesh.
#[derive(Debug)]
struct Station {
    inbox: ArrayQueue<Message>,
    /// Emptied batches on their way back to the shard that sent them.
    returned: ArrayQueue<MailBatch>,
    /// Answers of the store: never more than the requests that the shard's core has credit for.
    answers: SegQueue<Message>,
    /// Set by the shard before it sleeps, cleared by whoever wakes it.
    is_asleep: CachePadded<AtomicBool>,
    is_gone: AtomicBool,
    /// The last order that the shard has taken.
    order_heard: AtomicU64,
    wake: OwnedFd,
}

/// Every shard's inbox, and what the shards must agree on.
#[derive(Debug)]
pub struct Mesh {
    stations: Vec<Station>,
    /// What the shards are told to do, as [`Order`] encodes it.
    order: CachePadded<AtomicU64>,
    /// Shards that accept at the common port.
    accepting: AtomicU32,
    /// One of them is full and stays only because it is the last.
    is_last_full: AtomicBool,
    /// Draining shards that have nothing left to do.
    drained: AtomicU32,
}

impl Mesh {
    /// A mesh of `shards` empty inboxes.
    ///
    /// # Errors
    /// If the wake-up descriptors cannot be made.
    pub fn new(shards: u16) -> io::Result<Arc<Self>> {
        Self::with_inboxes(shards, INBOX_MESSAGES_MAX)
    }

    /// The same, with room for so many messages in each inbox.
    pub(crate) fn with_inboxes(shards: u16, messages: usize) -> io::Result<Arc<Self>> {
        let stations = (0..shards)
            .map(|_| {
                Ok(Station {
                    inbox: ArrayQueue::new(messages),
                    returned: ArrayQueue::new(SPARE_BATCHES_MAX),
                    answers: SegQueue::new(),
                    is_asleep: CachePadded::new(AtomicBool::new(false)),
                    is_gone: AtomicBool::new(false),
                    order_heard: AtomicU64::new(Order::NONE),
                    wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
                })
            })
            .collect::<io::Result<_>>()?;
        Ok(Arc::new(Self {
            stations,
            order: CachePadded::new(AtomicU64::new(Order::NONE)),
            accepting: AtomicU32::new(0),
            is_last_full: AtomicBool::new(false),
            drained: AtomicU32::new(0),
        }))
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        u16::try_from(self.stations.len()).unwrap_or(u16::MAX)
    }

    /// Posts a message; `Ok(true)` if the shard had to be woken.
    ///
    /// # Errors
    /// [`PostError::Full`] gives the message back; [`PostError::Gone`] if the shard has ended or never was.
    pub fn post(&self, to: ShardId, message: Message) -> Result<bool, PostError> {
        let Some(station) = self.stations.get(usize::from(to.0)) else {
            return Err(PostError::Gone);
        };
        if station.is_gone.load(Ordering::Acquire) {
            return Err(PostError::Gone);
        }
        station.inbox.push(message).map_err(PostError::Full)?;
        Ok(station.wake_if_asleep())
    }

    /// Posts a message and waits while the inbox is full. For threads that may wait: never called by a shard.
    /// `false` if the shard has ended.
    pub fn post_waiting(&self, to: ShardId, mut message: Message) -> bool {
        loop {
            match self.post(to, message) {
                Ok(_) => return true,
                Err(PostError::Gone) => return false,
                Err(PostError::Full(again)) => message = again,
            }
            std::thread::sleep(POST_RETRY);
        }
    }

    /// Gives a shard an answer of the store. Never waits: there are no more answers than requests. `false` if the shard
    /// has ended.
    pub(crate) fn answer(&self, to: ShardId, answer: Message) -> bool {
        let Some(station) = self.stations.get(usize::from(to.0)) else { return false };
        if station.is_gone.load(Ordering::Acquire) {
            return false;
        }
        station.answers.push(answer);
        station.wake_if_asleep();
        true
    }

    /// Tells all shards to end, however full their inboxes are.
    pub(crate) fn give(&self, order: Order) {
        match order {
            Order::Abort => self.order.store(Order::ABORT, Ordering::Release),
            Order::Drain { deadline: chat::Instant(ns) } => {
                let code = ns.clamp(Order::NONE + 1, Order::ABORT - 1);
                // An earlier order stands.
                let _ = self.order.compare_exchange(
                    Order::NONE,
                    code,
                    Ordering::Release,
                    Ordering::Relaxed,
                );
            }
        }
        for station in &self.stations {
            station.wake_if_asleep();
        }
    }

    /// What the shards have been told to do.
    pub(crate) fn order(&self) -> Option<Order> {
        Order::from_code(self.order.load(Ordering::Acquire))
    }

    /// Whether a shard has taken the last order.
    pub(crate) fn has_heard(&self, shard: ShardId) -> bool {
        let order = self.order.load(Ordering::Acquire);
        let station = self.stations.get(usize::from(shard.0));
        station.is_some_and(|station| station.order_heard.load(Ordering::Acquire) == order)
    }

    /// The receiving side of a shard, which that shard's thread owns; `None` if there is no such shard.
    #[must_use]
    pub fn inbox(self: &Arc<Self>, shard: ShardId) -> Option<Inbox> {
        let index = usize::from(shard.0);
        (index < self.stations.len()).then(|| Inbox {
            mesh: Arc::clone(self),
            index,
            order_seen: Order::NONE,
        })
    }

    /// Gives an emptied batch back to its sender, who will need as many as it sends. What is too many or too large is freed.
    pub(crate) fn give_back(&self, batch: MailBatch) {
        if batch.capacity() <= SPARE_BATCH_BYTES_MAX
            && let Some(station) = self.stations.get(usize::from(batch.from().0))
        {
            drop(station.returned.push(batch));
        }
    }

    /// A batch that came back to a shard.
    pub(crate) fn returned(&self, shard: ShardId) -> Option<MailBatch> {
        self.stations.get(usize::from(shard.0))?.returned.pop()
    }

    /// A shard begins to accept at the common port. If a full one stayed there only as the last, it may go now.
    pub(crate) fn join_common_port(&self) {
        self.accepting.fetch_add(1, Ordering::SeqCst);
        if self.is_last_full.swap(false, Ordering::SeqCst) {
            self.tell_all_to_look();
        }
    }

    /// A shard that is full asks to stop accepting at the common port: refused to the last one, which sheds instead, so
    /// that clients get an answer and do not hang in the backlog.
    pub(crate) fn may_leave_common_port(&self) -> bool {
        let leave = |accepting: u32| (accepting > 1).then(|| accepting - 1);
        let try_leave =
            || self.accepting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, leave).is_ok();
        // The second try sees a shard that joined before it could see the mark.
        try_leave() || {
            self.is_last_full.store(true, Ordering::SeqCst);
            try_leave()
        }
    }

    /// A draining shard stops accepting at the common port, whoever is left.
    pub(crate) fn leave_common_port(&self) {
        self.accepting.fetch_sub(1, Ordering::SeqCst);
    }

    /// A draining shard found nothing left to do, or something again.
    pub(crate) fn report_drained(&self, is_drained: bool) {
        if !is_drained {
            self.drained.fetch_sub(1, Ordering::AcqRel);
        } else if self.drained.fetch_add(1, Ordering::AcqRel) + 1 == u32::from(self.shards()) {
            self.tell_all_to_look();
        }
    }

    fn tell_all_to_look(&self) {
        for shard in 0..self.shards() {
            // A full inbox belongs to a shard that is awake and will look by itself.
            let _ = self.post(ShardId(shard), Message::Look);
        }
    }

    /// Whether every shard has reported so.
    pub(crate) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire) == u32::from(self.shards())
    }
}

impl Station {
    /// To be called after something was put there for the shard. `true` if it had to be woken.
    fn wake_if_asleep(&self) -> bool {
        // Pairs with the fence in `Inbox::may_sleep`: either that shard sees what was put there, or this thread sees
        // that it is asleep.
        fence(Ordering::SeqCst);
        self.is_asleep.load(Ordering::Relaxed) && self.wake()
    }

    /// Wakes the shard unless somebody else just did.
    fn wake(&self) -> bool {
        if !self.is_asleep.swap(false, Ordering::AcqRel) {
            return false;
        }
        // Can only fail if the counter is full, and then the shard has been woken 2^64 times already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        true
    }
}

/// The receiving side of one shard.
#[derive(Debug)]
pub struct Inbox {
    mesh: Arc<Mesh>,
    index: usize,
    /// The last order that was taken.
    order_seen: u64,
}

impl Inbox {
    fn station(&self) -> &Station {
        &self.mesh.stations[self.index]
    }

    /// The oldest answer of the store, or else the oldest message.
    #[must_use]
    pub fn take(&self) -> Option<Message> {
        let station = self.station();
        station.answers.pop().or_else(|| station.inbox.pop())
    }

    /// What all shards were told since this was last called.
    pub(crate) fn take_order(&mut self) -> Option<Order> {
        let code = self.mesh.order.load(Ordering::Acquire);
        if code == self.order_seen {
            return None;
        }
        self.order_seen = code;
        self.station().order_heard.store(code, Ordering::Release);
        Order::from_code(code)
    }

    /// Whether neither a message nor an answer is there.
    pub(crate) fn is_empty(&self) -> bool {
        let station = self.station();
        station.inbox.is_empty() && station.answers.is_empty()
    }

    /// Says that this shard is about to sleep; `false` if it must not, because something has come.
    pub(crate) fn may_sleep(&self) -> bool {
        let station = self.station();
        station.is_asleep.store(true, Ordering::Relaxed);
        // Pairs with the fence in `Station::wake_if_asleep`.
        fence(Ordering::SeqCst);
        if self.is_empty() && self.mesh.order.load(Ordering::Relaxed) == self.order_seen {
            return true;
        }
        self.woke();
        false
    }

    /// Says that this shard is awake, whatever woke it: senders need not wake it any more.
    pub(crate) fn woke(&self) {
        self.station().is_asleep.store(false, Ordering::Relaxed);
    }

    /// Becomes readable when the shard is to wake up. The drivers with a loop of their own never read it: they wait for
    /// the edge, and the counter does not overflow in the life of a machine.
    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.station().wake.as_fd()
    }

    pub(crate) fn mesh(&self) -> &Arc<Mesh> {
        &self.mesh
    }
}

impl Drop for Inbox {
    /// The shard has ended: nothing more is taken, and what waits is dropped, so that whoever waits for a snapshot sees
    /// its reply dropped instead of waiting for ever.
    fn drop(&mut self) {
        self.station().is_gone.store(true, Ordering::Release);
        while self.take().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_full_inbox_gives_the_message_back() {
        let mesh = Mesh::new(1).unwrap();
        let inbox = mesh.inbox(ShardId(0)).unwrap();
        for _ in 0..INBOX_MESSAGES_MAX {
            mesh.post(ShardId(0), Message::Open).unwrap();
        }
        assert!(matches!(
            mesh.post(ShardId(0), Message::Look),
            Err(PostError::Full(Message::Look))
        ));
        assert!(matches!(inbox.take(), Some(Message::Open)));
        mesh.post(ShardId(0), Message::Look).unwrap();
        drop(inbox);
        assert!(matches!(mesh.post(ShardId(0), Message::Open), Err(PostError::Gone)));
    }

    #[test]
    fn only_a_sleeper_is_woken_and_only_once() {
        let mesh = Mesh::new(1).unwrap();
        let inbox = mesh.inbox(ShardId(0)).unwrap();
        assert!(!mesh.post(ShardId(0), Message::Open).unwrap(), "awake");
        assert!(!inbox.may_sleep(), "mail is there");
        inbox.take().unwrap();
        assert!(inbox.may_sleep());
        assert!(mesh.post(ShardId(0), Message::Open).unwrap(), "asleep");
        assert!(!mesh.post(ShardId(0), Message::Open).unwrap(), "woken already");
    }

    #[test]
    fn no_wake_up_is_lost_between_two_threads() {
        const ROUNDS: u64 = 20_000;
        let mesh = Mesh::new(1).unwrap();
        let inbox = mesh.inbox(ShardId(0)).unwrap();
        let poster = thread::spawn({
            let mesh = Arc::clone(&mesh);
            move || (0..ROUNDS).all(|_| mesh.post_waiting(ShardId(0), Message::Open))
        });
        let mut taken = 0;
        while taken < ROUNDS {
            if inbox.may_sleep() {
                // Blocks for good if a wake-up is lost.
                let mut ready = [rustix::event::PollFd::new(
                    &inbox.station().wake,
                    rustix::event::PollFlags::IN,
                )];
                rustix::event::poll(&mut ready, None).unwrap();
                rustix::io::read(&inbox.station().wake, &mut [0; 8]).unwrap();
                inbox.woke();
            }
            while inbox.take().is_some() {
                taken += 1;
            }
        }
        assert!(poster.join().unwrap());
    }

    #[test]
    fn the_last_shard_stays_at_the_common_port() {
        let mesh = Mesh::new(2).unwrap();
        mesh.join_common_port();
        mesh.join_common_port();
        assert!(mesh.may_leave_common_port());
        assert!(!mesh.may_leave_common_port());
    }
}
