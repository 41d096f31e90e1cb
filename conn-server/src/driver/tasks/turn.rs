//! The turn's task, the wake-up's, and the end of a shard.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::core::Next;
use super::slots::State;
use super::{Running, Runtime, Tasks};
use crate::clock::Clock;
use crate::limits::{TEARDOWN_STEP, TEARDOWN_TIMEOUT};

/// A timer that is set anew only if it would ring too late: most turns change nothing.
struct Alarm<'s, R: Runtime> {
    sleep: Pin<&'s mut R::Sleep>,
    at: Option<Instant>,
}

impl<R: Runtime> Alarm<'_, R> {
    fn set(&mut self, until: Instant) {
        if self.at.is_none_or(|at| until < at) {
            self.at = Some(until);
            R::reset(self.sleep.as_mut(), until);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.at.is_some() && self.sleep.as_mut().poll(cx).is_ready() {
            self.at = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// The turn's task.
pub(super) async fn turns<R: Runtime>(tasks: Rc<Tasks>) {
    let _running = Running::new(&tasks);
    let clock = Clock::start();
    let mut sleep = pin!(R::sleep(clock.system(clock.mono())));
    let mut alarm = Alarm::<R> { sleep: sleep.as_mut(), at: None };
    let end = loop {
        let next = tasks.core.borrow_mut().end_turn(R::ENTERS_PER_TURN);
        match next {
            Next::Over(end) => break end,
            Next::Soon => tasks.ring(),
            Next::Event => {
                if let Some(due) = tasks.core.borrow().host.due() {
                    alarm.set(due);
                }
            }
        }
        poll_fn(|cx| {
            let mut core = tasks.core.borrow_mut();
            core.turn.get_or_insert_with(|| cx.waker().clone());
            if core.is_in_turn { Poll::Ready(()) } else { alarm.poll(cx) }
        })
        .await;
    };
    end_tasks(&tasks, &mut alarm, clock).await;
    tasks.end.set(Some(end));
    tasks.call_main();
}

/// Has every other task end, and waits for it: only then has the kernel nothing of this shard, and its memory may be
/// freed.
async fn end_tasks<R: Runtime>(tasks: &Tasks, alarm: &mut Alarm<'_, R>, clock: Clock) {
    let start = clock.mono();
    tasks.is_over.set(true);
    while tasks.running.get() > 1 {
        tasks.tell_to_end();
        if clock.mono().since(start) > TEARDOWN_TIMEOUT {
            // Freeing memory that the kernel may still read would send it to strangers in silence.
            tracing::error!(
                tasks = tasks.running.get() - 1,
                "the runtime does not let go: ending the process"
            );
            std::process::abort();
        }
        alarm.at = None;
        alarm.set(clock.system(clock.mono() + TEARDOWN_STEP));
        poll_fn(|cx| {
            // The tasks that end begin turns, which wakes this one.
            if tasks.running.get() > 1 { alarm.poll(cx) } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// The wake-up's task.
pub(super) async fn wake<R: Runtime>(tasks: Rc<Tasks>, bell: R::Stream) {
    let _running = Running::new(&tasks);
    while !tasks.is_over.get() {
        // It cannot fail while the descriptor is open.
        let _ = R::readable(&bell).await;
        // Read, unlike by the drivers that wait for an edge: a poll is answered at once while the counter is not zero.
        let _ = rustix::io::read(R::file(&bell), &mut [0; 8]);
        let mut core = tasks.core.borrow_mut();
        core.host.counters.cqes += 1;
        core.host.counters.enters += 1;
        core.host.counters.wake_ups += 1;
        core.begin_turn();
    }
}

impl Tasks {
    /// Tells every task but the turn's, once more to those that have been told.
    fn tell_to_end(&self) {
        let mut core = self.core.borrow_mut();
        for slot in core.slots.each_open() {
            slot.set(State::ABORTED);
            slot.wake();
        }
        core.accepts.end();
        drop(core);
        self.ring();
    }

    /// Wakes this shard itself, through the kernel: a task that only called itself again would keep the runtime from
    /// looking there.
    fn ring(&self) {
        let mut core = self.core.borrow_mut();
        core.host.counters.enters += 1;
        // Fails only if the counter is full, and then it is not zero.
        let _ = rustix::io::write(core.host.inbox().wake_fd(), &1u64.to_ne_bytes());
    }
}
