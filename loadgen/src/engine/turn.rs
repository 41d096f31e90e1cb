//! One turn of the loop: do what is due, submit, wait or spin, handle completions.

use std::io;
use std::time::Duration;

use super::Engine;
use super::conn::State;
use super::limits::{COMPLETIONS_PER_TURN, GRANT_POLL_NS, SLEEP_NS_MAX, SPIN_NS, STARTS_PER_TURN};
use super::timers::Alarm;
use super::traffic::Entry;

impl Engine<'_> {
    /// One turn; sleeps until `wake_ns` at the latest.
    pub(super) fn turn(&mut self, wake_ns: u64) -> io::Result<()> {
        let now_ns = self.clock.now_ns();
        self.ring_alarms(now_ns)?;
        self.beat(now_ns)?;
        self.take_grants(now_ns)?;
        let is_eager = self.speak();
        self.flush()?;
        let due_ns = self.speech.next_due_ns();
        self.exchange(is_eager, due_ns, wake_ns)?;
        self.feed_starved()?;
        self.publish();
        Ok(())
    }

    fn ring_alarms(&mut self, now_ns: u64) -> io::Result<()> {
        for _ in 0..STARTS_PER_TURN {
            match self.timers.pop(now_ns) {
                None => break,
                Some(Alarm::Dial { index }) => {
                    if self.conns[index as usize].state == State::Absent {
                        self.ask(index, now_ns);
                    }
                }
                Some(Alarm::Retry { sender, message }) => self.retry(sender, message, now_ns),
                Some(Alarm::Repair { index }) => {
                    self.conns[index as usize].has_repair_timer = false;
                    if self.conns[index as usize].state == State::Ready {
                        self.enter(index, Entry::Timeout, now_ns)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Submits what is queued, waits for completions if there is time, and handles them.
    fn exchange(&mut self, is_eager: bool, due_ns: Option<u64>, wake_ns: u64) -> io::Result<()> {
        let now_ns = self.clock.now_ns();
        let has_more = !self.to_flush.is_empty() || !self.found.is_empty();
        let has_work = is_eager || has_more || self.rings.has_completions();
        let sleep_ns = if has_work { 0 } else { self.sleep_ns(now_ns, due_ns, wake_ns) };
        if sleep_ns > 0 {
            self.rings.submit_and_wait(Duration::from_nanos(sleep_ns))?;
        } else {
            self.rings.submit()?;
        }
        let handled = self.handle_completions(due_ns)?;
        let is_close = due_ns.is_some_and(|due_ns| due_ns.saturating_sub(SPIN_NS) <= now_ns);
        if handled == 0 && sleep_ns == 0 && !has_work && is_close {
            self.spin(due_ns.unwrap_or(now_ns))?;
        }
        Ok(())
    }

    /// How long to sleep: not into the time in which a due send is spun for.
    fn sleep_ns(&self, now_ns: u64, due_ns: Option<u64>, wake_ns: u64) -> u64 {
        let mut until_ns = wake_ns.min(now_ns + SLEEP_NS_MAX);
        if let Some(due_ns) = due_ns {
            until_ns = until_ns.min(due_ns.saturating_sub(SPIN_NS));
        }
        if let Some(alarm_ns) = self.timers.next_ns() {
            until_ns = until_ns.min(alarm_ns);
        }
        if let Some(beat_ms) = self.wheel.next_ms() {
            until_ns = until_ns.min(beat_ms * 1_000_000);
        }
        if self.asked > 0 {
            until_ns = until_ns.min(now_ns + GRANT_POLL_NS);
        }
        until_ns.saturating_sub(now_ns)
    }

    /// Waits for a due send without sleeping, since waking up takes longer than what is left. Ends early when
    /// something arrives.
    fn spin(&mut self, due_ns: u64) -> io::Result<()> {
        let start_ns = self.clock.now_ns();
        let mut now_ns = start_ns;
        while now_ns < due_ns && !self.rings.has_completions() {
            if self.rings.wants_enter() {
                break;
            }
            std::hint::spin_loop();
            now_ns = self.clock.now_ns();
        }
        self.tally.spin_ns += now_ns - start_ns;
        self.rings.submit()
    }

    /// Handles what has completed, until that is done, a bound is reached or a send is due. Returns how many.
    fn handle_completions(&mut self, due_ns: Option<u64>) -> io::Result<usize> {
        let mut handled = 0;
        for ring in 0..self.rings.len() {
            handled += self.handle_ring(ring, due_ns)?;
        }
        Ok(handled)
    }

    fn handle_ring(&mut self, ring: usize, due_ns: Option<u64>) -> io::Result<usize> {
        let mut handled = 0;
        // A few at a time: those that are taken out of the ring must be handled, due send or not.
        while handled < COMPLETIONS_PER_TURN {
            let mut reaped = std::mem::take(&mut self.reaped);
            self.rings.ring(ring).reap(8, &mut reaped);
            let count = reaped.len();
            // One moment for all of them: they were there when they were reaped. A clock costs as much as a message.
            let now_ns = self.clock.now_ns();
            for completion in reaped.drain(..) {
                self.on_completion(ring, completion, now_ns)?;
            }
            self.reaped = reaped;
            handled += count;
            if count == 0 || due_ns.is_some_and(|due_ns| due_ns <= now_ns) {
                break;
            }
        }
        Ok(handled)
    }

    fn publish(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let totals = self.ledger.totals();
        self.watch.established.store(self.established, Relaxed);
        self.watch.sent.store(totals.sent, Relaxed);
        self.watch.acked.store(totals.acked, Relaxed);
        self.watch.delivered.store(totals.delivered, Relaxed);
    }
}
