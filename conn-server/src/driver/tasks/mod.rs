//! What the drivers on runtimes share: a task per connection, one per listener, one for the wake-up, and one for the turn,
//! all on the shard's thread around one host.
//!
//! A runtime runs tasks in the order in which they were woken. So a turn is: completions wake tasks; the first of them
//! begins the host's turn and wakes the turn's task, which thereby stands behind all others; that one ends the turn and
//! wakes the tasks that have something to send; their sends are submitted together when the runtime waits again.
//!
//! A connection waits for readiness, which pins no buffer, and receives into the shard's one buffer. Its task ends in one
//! way: the socket is shut down both ways, which ends its receive and its send; then it is closed, and only then the core
//! hears `handle_closed`. No future with an operation in flight is ever dropped, since neither runtime can take one back.

mod accept;
mod connection;
mod core;
mod lent;
mod slots;
mod turn;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use chat::ConnKey;

use self::accept::{Accepts, accept, listeners};
use self::core::Core;
pub(super) use self::lent::{Slice, Vector};
use self::turn::{turns, wake};
use crate::host::{End, Host};
use crate::limits::{RING_COMPLETIONS_MAX, RUNTIME_SUBMISSIONS};
use crate::listener::ShardListeners;

/// What a runtime has to offer. Resolved when compiled: no trait object.
pub(super) trait Runtime: Sized + 'static {
    /// Times that it enters the kernel for a turn, at the least: it does not tell how often it does.
    const ENTERS_PER_TURN: u64;

    /// A connected socket.
    type Stream: 'static;
    /// A listening socket.
    type Listener: 'static;
    /// A timer.
    type Sleep: Future<Output = ()>;

    /// Runs a task, after those that are ready now.
    fn spawn(task: impl Future<Output = ()> + 'static);

    /// Takes a descriptor over.
    fn stream(file: OwnedFd) -> io::Result<Self::Stream>;

    /// Takes a descriptor over.
    fn listener(file: OwnedFd) -> io::Result<Self::Listener>;

    /// The descriptor.
    fn file(stream: &Self::Stream) -> BorrowedFd<'_>;

    /// Completes when a receive would not wait: there are bytes, a FIN or an error.
    fn readable(stream: &Self::Stream) -> impl Future<Output = io::Result<()>>;

    /// Sends a slice, or as much of it as the socket takes, through the ring.
    fn send(
        stream: &Self::Stream,
        slice: Slice,
    ) -> impl Future<Output = (io::Result<usize>, Slice)>;

    /// Sends several slices, or as much of them as the socket takes, through the ring.
    fn send_vectored(
        stream: &Self::Stream,
        vector: Box<Vector>,
    ) -> impl Future<Output = (io::Result<usize>, Box<Vector>)>;

    /// Accepts one connection. At most one accept of a listener is in flight.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Has the accept in flight end soon; it may still succeed, and the cancel may miss it.
    fn cancel_accept(listener: &Self::Listener);

    /// A timer.
    fn sleep(until: Instant) -> Self::Sleep;

    /// Sets a timer anew.
    fn reset(sleep: Pin<&mut Self::Sleep>, until: Instant);
}

/// Completions that a shard's ring has to have room for: a readiness and a send of each connection, and a few more. The
/// kernel's own bound is enough for 32,000 connections at once.
pub(super) fn completions(connections: u32) -> u32 {
    let in_flight = connections.saturating_mul(2).saturating_add(64).min(RING_COMPLETIONS_MAX);
    in_flight.next_power_of_two().max(2 * RUNTIME_SUBMISSIONS)
}

/// What all tasks of a shard share.
pub(super) struct Tasks {
    core: RefCell<Core>,
    /// Tasks that have not ended, but the turn's.
    running: Cell<usize>,
    /// The shard is over: every task is to end.
    is_over: Cell<bool>,
    has_panicked: Cell<bool>,
    end: Cell<Option<End>>,
    main: Cell<Option<Waker>>,
}

impl Tasks {
    /// Around a host. The caller keeps one share until the runtime is gone: its memory is lent to the kernel.
    pub(super) fn new(host: Host, gate: ShardListeners) -> Rc<Self> {
        Rc::new(Self {
            core: RefCell::new(Core::new(host, Accepts::new(gate))),
            running: Cell::new(0),
            is_over: Cell::new(false),
            has_panicked: Cell::new(false),
            end: Cell::new(None),
            main: Cell::new(None),
        })
    }

    /// A connection's task takes a step: introduces itself, and does what needs no waiting.
    fn step(&self, key: ConnKey, socket: BorrowedFd<'_>, task: &Waker) {
        let mut core = self.core.borrow_mut();
        if let Some(slot) = core.slots.of(key) {
            slot.task.get_or_insert_with(|| task.clone());
        }
        core.on_woken(key, socket);
    }

    fn call_main(&self) {
        if let Some(main) = self.main.take() {
            main.wake();
        }
    }
}

/// Counts a task while it runs, and tells when one panics: a runtime may catch that and go on without it.
struct Running<'t>(&'t Tasks);

impl<'t> Running<'t> {
    fn new(tasks: &'t Tasks) -> Self {
        tasks.running.set(tasks.running.get() + 1);
        Self(tasks)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Self(tasks) = self;
        tasks.running.set(tasks.running.get() - 1);
        if tasks.is_over.get()
            && let Ok(core) = tasks.core.try_borrow()
            && let Some(turn) = &core.turn
        {
            turn.wake_by_ref();
        }
        if std::thread::panicking() {
            tasks.has_panicked.set(true);
            tasks.call_main();
        }
    }
}

/// Runs one shard until it is over: the future that the runtime is entered with. `ready` is called when everything is set
/// up.
///
/// # Errors
/// If a descriptor cannot be made.
///
/// # Panics
/// If a task did.
pub(super) async fn run<R: Runtime>(
    tasks: &Rc<Tasks>,
    from: ShardListeners,
    ready: impl FnOnce(),
) -> io::Result<End> {
    let both = listeners::<R>(&from)?;
    drop(from);
    let bell = tasks.core.borrow().host.inbox().wake_fd().try_clone_to_owned()?;
    R::spawn(wake::<R>(Rc::clone(tasks), R::stream(bell)?));
    for (index, listener) in both.into_iter().enumerate() {
        R::spawn(accept::<R>(Rc::clone(tasks), index, listener));
    }
    R::spawn(turns::<R>(Rc::clone(tasks)));
    ready();
    let end = poll_fn(|cx| {
        assert!(!tasks.has_panicked.get(), "a task of the shard panicked");
        tasks.main.set(Some(cx.waker().clone()));
        tasks.end.get().map_or(Poll::Pending, Poll::Ready)
    });
    Ok(end.await)
}
