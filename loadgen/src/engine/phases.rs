//! The run from its first connection to its last goodbye: ramp, warm-up, measured, drain, close.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Engine;
use super::clock::ThreadCost;
use super::conn::State;
use super::limits::{
    ARRIVING_MAX, ASKED_MAX, CLOSE_STALL_NS_MAX, INTERRUPTED_DRAIN_NS, LEAVING_MAX, SLEEP_NS_MAX,
    STARTS_PER_TURN,
};
use super::send_pool::Writer;
use crate::outcome::{IdleCost, Window};
use crate::plan::Phase;

/// What the phases found, beside what the recorder has.
#[derive(Debug, Default)]
pub(super) struct Span {
    pub(super) ramp_ns: u64,
    /// Connections ready at the end of the ramp.
    pub(super) established: u32,
    pub(super) load_start_ns: u64,
    pub(super) measured_ns: u64,
    pub(super) cost: ThreadCost,
    pub(super) spin_ns: u64,
    pub(super) window: Window,
    pub(super) idle: Option<IdleCost>,
    pub(super) closing_ns: u64,
    /// Which connections cannot be expected to have everything, by index: those that were not there at the end.
    pub(super) excused: Vec<bool>,
    pub(super) is_interrupted: bool,
}

impl Engine<'_> {
    pub(super) fn run_phases(&mut self) -> io::Result<()> {
        let is_up = self.ramp()?;
        if is_up && self.prime()? && self.keep_quiet()? {
            self.load()?;
            self.drain()?;
        }
        self.span.excused = self.conns.iter().map(|conn| conn.state != State::Ready).collect();
        self.close_all()
    }

    pub(super) fn enter_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.publish_now();
        self.watch.enter(phase);
    }

    fn publish_now(&self) {
        self.watch.established.store(self.established, Ordering::Relaxed);
    }

    /// Whether somebody outside has asked for the end.
    pub(super) fn is_stopped(&mut self) -> bool {
        let is_stopped = self.watch.stop.load(Ordering::Relaxed);
        self.span.is_interrupted |= is_stopped;
        is_stopped
    }

    /// Connects everybody. `false` if that failed: nothing moved for too long, somebody was given up, or it was stopped.
    fn ramp(&mut self) -> io::Result<bool> {
        self.enter_phase(Phase::Ramp);
        let start_ns = self.clock.now_ns();
        let target = self.plan.connections;
        let pace = self.plan.ramp_per_s;
        let stall_ns = nanos(self.plan.ramp_stall_max);
        let (mut begun, mut best, mut best_ns) = (0, 0, start_ns);
        loop {
            let now_ns = self.clock.now_ns();
            if self.established > best {
                (best, best_ns) = (self.established, now_ns);
            }
            let is_stalled = now_ns.saturating_sub(best_ns) > stall_ns;
            if is_stalled {
                let key = "no answer before the ramp was given up".to_owned();
                let missing = u64::from(target - self.established);
                *self.tally.login_failures.entry(key).or_default() += missing;
            }
            let is_hopeless = self.established + self.gone >= target;
            if self.established == target || is_hopeless || is_stalled || self.is_stopped() {
                break;
            }
            let due = ((now_ns - start_ns) as f64 / 1e9 * pace) as u64 + 1;
            let due = u32::try_from(due).unwrap_or(u32::MAX).min(target);
            for _ in 0..STARTS_PER_TURN {
                // More than can be asked for at once would only go round the timers.
                if begun >= due || self.asked >= ASKED_MAX || self.arriving >= ARRIVING_MAX {
                    break;
                }
                self.ask(begun, now_ns);
                begun += 1;
            }
            let next_ns = start_ns + (f64::from(begun) / pace * 1e9) as u64;
            // Whoever must wait for others is woken by their completions.
            let may_begin = begun < target && self.arriving < ARRIVING_MAX;
            let wake_ns = if may_begin { next_ns } else { now_ns + SLEEP_NS_MAX };
            self.turn(wake_ns)?;
        }
        self.span.ramp_ns = self.clock.now_ns() - start_ns;
        self.span.established = self.established;
        self.span.load_start_ns = self.clock.now_ns();
        self.beats.everybody_is_there(self.span.load_start_ns);
        Ok(self.established == target && !self.span.is_interrupted)
    }

    /// Warm-up and the measured phase.
    fn load(&mut self) -> io::Result<()> {
        if self.plan.options.reconnect {
            self.set_cursors();
        }
        let start_ns = self.clock.now_ns();
        let measured_ns = start_ns + nanos(self.plan.warmup);
        let end_ns = measured_ns + nanos(self.plan.duration);
        self.span.load_start_ns = start_ns;
        self.recorder.set_measured(measured_ns..end_ns);
        self.speech.begin(start_ns, end_ns);
        if !self.plan.warmup.is_zero() {
            self.enter_phase(Phase::Warmup);
            self.begin_churn(start_ns)?;
            self.run_until(measured_ns)?;
        }
        self.enter_phase(Phase::Measured);
        self.begin_churn(measured_ns)?;
        let (cost, spin_ns) = (ThreadCost::now(), self.tally.spin_ns);
        let begin = self.window_mark()?;
        self.run_until(end_ns)?;
        while !self.has_ended_early() && !self.speech.is_over(self.clock.now_ns()) {
            self.turn(end_ns)?; // The last sends that are due.
        }
        let end = self.window_mark()?;
        self.span.window = end.since(&begin);
        self.span.cost = ThreadCost::now().since(cost);
        self.span.spin_ns = self.tally.spin_ns - spin_ns;
        let over_ns = self.clock.now_ns();
        self.span.measured_ns = over_ns.min(end_ns).saturating_sub(measured_ns);
        self.recorder.end_measured(over_ns);
        self.speech.stop();
        Ok(())
    }

    fn window_mark(&self) -> io::Result<Window> {
        let (now_ns, server) = (self.clock.now_ns(), self.plan.options.server_pid);
        Window::up_to(now_ns, self.ledger.totals(), self.tally.logins, server)
    }

    fn has_ended_early(&mut self) -> bool {
        self.is_stopped() || self.tally.overflows > 0
    }

    pub(super) fn run_until(&mut self, end_ns: u64) -> io::Result<()> {
        while self.clock.now_ns() < end_ns && !self.has_ended_early() {
            self.turn(end_ns)?;
        }
        Ok(())
    }

    /// Waits for the last answers and deliveries.
    fn drain(&mut self) -> io::Result<()> {
        self.enter_phase(Phase::Drain);
        let start_ns = self.clock.now_ns();
        let mut end_ns = start_ns + nanos(self.plan.drain_max);
        while self.clock.now_ns() < end_ns && !self.is_drained() {
            if self.is_stopped() {
                end_ns = end_ns.min(start_ns + INTERRUPTED_DRAIN_NS);
            }
            self.turn(end_ns)?;
        }
        Ok(())
    }

    pub(super) fn is_drained(&self) -> bool {
        self.flights.len() == 0 && self.ledger.outstanding() == 0
    }

    /// Logs a connection out, if it is there.
    pub(super) fn log_out(&mut self, index: u32, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        if conn.state != State::Ready {
            return;
        }
        let mut writer = Writer { pool: &mut self.pool, out: &mut conn.out };
        // A ready session takes its logout.
        conn.session.logout(now_ns / 1_000_000, &mut writer);
        conn.state = State::LoggingOut;
        self.established -= 1;
        self.leaving += 1;
        self.list(index);
    }

    /// Logs everybody out and waits for the goodbyes, or for the end of patience.
    fn close_all(&mut self) -> io::Result<()> {
        self.note_unanswered_beats();
        self.enter_phase(Phase::Close);
        if !self.plan.logout || self.established == 0 {
            return self.hang_up();
        }
        let start_ns = self.clock.now_ns();
        let mut end_ns = start_ns + CLOSE_STALL_NS_MAX;
        let (mut next, mut left) = (0, self.established + self.leaving);
        loop {
            let now_ns = self.clock.now_ns();
            if self.established + self.leaving < left {
                left = self.established + self.leaving;
                end_ns = now_ns + CLOSE_STALL_NS_MAX;
            }
            let is_over = next == self.conns.len() && self.leaving == 0;
            let is_urgent = self.is_stopped() && now_ns >= start_ns + INTERRUPTED_DRAIN_NS;
            if is_over || is_urgent || now_ns >= end_ns {
                break;
            }
            for _ in 0..STARTS_PER_TURN {
                if self.leaving >= LEAVING_MAX {
                    break;
                }
                if next == self.conns.len() {
                    break;
                }
                self.log_out(next as u32, now_ns);
                next += 1;
            }
            let may_go_on = next < self.conns.len() && self.leaving < LEAVING_MAX;
            self.turn(if may_go_on { now_ns } else { end_ns })?;
        }
        self.span.closing_ns = self.clock.now_ns() - start_ns;
        if self.leaving > 0 {
            let key = "no goodbye after the logout".to_owned();
            self.tally.disconnects.insert(key, u64::from(self.leaving + self.established));
        }
        Ok(())
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}
