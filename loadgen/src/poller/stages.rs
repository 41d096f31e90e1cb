//! The run from its first connection to its last goodbye.

use std::io;
use std::sync::atomic::Ordering;

use super::Poller;
use super::clock::{Used, nanos};
use super::conn::Stage;
use super::limits::{
    GOODBYE_STALL_NS, GRANTS_ASKED_MAX, INTERRUPTED_NS, LEAVING_MAX, SLEEP_NS_MAX, STARTED_PER_TURN,
};
use crate::outcome::Window;
use crate::plan::Phase;

/// When things were, and what they cost.
#[derive(Debug, Default)]
pub(super) struct Course {
    pub(super) ramp_ns: u64,
    /// Connections that were ready at the end of the ramp.
    pub(super) established: u32,
    pub(super) load_begin_ns: u64,
    pub(super) measured_ns: u64,
    pub(super) used: Used,
    pub(super) spin_ns: u64,
    pub(super) window: Window,
    /// By index, whether a connection was not there at the end, so that not everything can have reached it.
    pub(super) excused: Vec<bool>,
    pub(super) is_interrupted: bool,
}

impl Poller<'_> {
    pub(super) fn run(&mut self) -> io::Result<()> {
        if self.ramp()? && self.prime()? {
            self.load()?;
            self.drain()?;
        }
        let absent = self.conns.iter().map(|conn| conn.stage != Stage::Ready);
        self.course.excused = absent.collect();
        self.log_out()
    }

    pub(super) fn enter_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.watch.established.store(self.established, Ordering::Relaxed);
        self.watch.enter(phase);
    }

    /// Whether somebody outside has asked for the end.
    pub(super) fn is_stopped(&mut self) -> bool {
        self.course.is_interrupted |= self.watch.stop.load(Ordering::Relaxed);
        self.course.is_interrupted
    }

    /// Connects everybody. `false` if not all of them came: nothing moved for too long, somebody was given up, or it was
    /// stopped.
    fn ramp(&mut self) -> io::Result<bool> {
        self.enter_phase(Phase::Ramp);
        let (target, pace) = (self.plan.connections, self.plan.ramp_per_s);
        let begin_ns = self.clock.now_ns();
        let patience_ns = nanos(self.plan.ramp_stall_max);
        let (mut begun, mut most, mut most_ns) = (0u32, 0, begin_ns);
        let end_ns = loop {
            let now_ns = self.clock.now_ns();
            if self.established > most {
                (most, most_ns) = (self.established, now_ns);
            }
            let is_stalled = now_ns - most_ns > patience_ns;
            if is_stalled {
                let words = "no answer before the ramp was given up".to_owned();
                self.login_failures.add(words, u64::from(target - self.established));
            }
            if is_stalled || self.established + self.gone >= target || self.is_stopped() {
                break now_ns;
            }
            // A cast beyond the range gives its end.
            let due = (((now_ns - begin_ns) as f64 / 1e9 * pace) as u32).saturating_add(1);
            let last = due.min(target).min(begun.saturating_add(STARTED_PER_TURN));
            while begun < last && self.asked < GRANTS_ASKED_MAX {
                self.ask(begun, now_ns);
                begun += 1;
            }
            let next_ns = begin_ns + (f64::from(begun) / pace * 1e9) as u64;
            self.turn(if begun < target { next_ns } else { now_ns + SLEEP_NS_MAX })?;
        };
        self.course.ramp_ns = end_ns - begin_ns;
        self.course.established = self.established;
        self.course.load_begin_ns = end_ns;
        Ok(self.established == target && !self.course.is_interrupted)
    }

    /// The load: first to warm up, then measured.
    fn load(&mut self) -> io::Result<()> {
        if self.plan.options.reconnect {
            self.follow_from_the_start();
        }
        let begin_ns = self.clock.now_ns();
        let measured_ns = begin_ns + nanos(self.plan.warmup);
        let end_ns = measured_ns + nanos(self.plan.duration);
        self.course.load_begin_ns = begin_ns;
        self.recorder.set_measured(measured_ns..end_ns);
        self.talk.begin(begin_ns, end_ns);
        if measured_ns > begin_ns {
            self.enter_phase(Phase::Warmup);
            self.begin_churn(begin_ns);
            self.turn_until(measured_ns)?;
        }
        self.enter_phase(Phase::Measured);
        self.begin_churn(measured_ns);
        let (used, spin_ns, before) = (Used::now(), self.spin_ns, self.counts()?);
        self.turn_until(end_ns)?;
        while !self.must_end_load() && !self.talk.is_over(self.clock.now_ns()) {
            self.turn(end_ns)?; // What was due just before the end.
        }
        self.course.window = self.counts()?.since(&before);
        self.course.used = Used::now().since(used);
        self.course.spin_ns = self.spin_ns - spin_ns;
        let over_ns = self.clock.now_ns();
        self.course.measured_ns = over_ns.min(end_ns).saturating_sub(measured_ns);
        self.recorder.end_measured(over_ns);
        self.talk.end();
        Ok(())
    }

    /// Everybody who is there leaves for the first time, if that is the load.
    fn begin_churn(&mut self, now_ns: u64) {
        if self.is_churning() {
            (0..self.plan.connections).for_each(|index| self.come_again(index, now_ns));
        }
    }

    /// Everything counted so far, and what the server has used so far, if its process is known.
    fn counts(&self) -> io::Result<Window> {
        let (now_ns, server) = (self.clock.now_ns(), self.plan.options.server_pid);
        Window::up_to(now_ns, self.ledger.totals(), self.logins, server)
    }

    fn must_end_load(&mut self) -> bool {
        self.overflows > 0 || self.is_stopped()
    }

    fn turn_until(&mut self, end_ns: u64) -> io::Result<()> {
        while self.clock.now_ns() < end_ns && !self.must_end_load() {
            self.turn(end_ns)?;
        }
        Ok(())
    }

    /// Waits for the last answers and deliveries.
    fn drain(&mut self) -> io::Result<()> {
        self.enter_phase(Phase::Drain);
        let begin_ns = self.clock.now_ns();
        loop {
            let patience_ns =
                if self.is_stopped() { INTERRUPTED_NS } else { nanos(self.plan.drain_max) };
            let end_ns = begin_ns + patience_ns.min(nanos(self.plan.drain_max));
            if self.has_settled() || self.clock.now_ns() >= end_ns {
                return Ok(());
            }
            self.turn(end_ns)?;
        }
    }

    /// Whether every message has its answers and has reached everybody.
    pub(super) fn has_settled(&self) -> bool {
        self.unanswered.len() == 0 && self.ledger.outstanding() == 0
    }

    /// Logs everybody out at a bounded pace and waits for the goodbyes, as long as they come.
    fn log_out(&mut self) -> io::Result<()> {
        self.enter_phase(Phase::Close);
        if !self.plan.logout || self.established == 0 {
            return Ok(());
        }
        let begin_ns = self.clock.now_ns();
        let count = self.conns.len() as u32;
        let (mut next, mut left, mut moved_ns) = (0, u32::MAX, begin_ns);
        loop {
            let now_ns = self.clock.now_ns();
            if self.established + self.leaving < left {
                (left, moved_ns) = (self.established + self.leaving, now_ns);
            }
            let is_hurried = self.is_stopped() && now_ns - begin_ns >= INTERRUPTED_NS;
            let is_over = next == count && self.leaving == 0;
            if is_over || is_hurried || now_ns - moved_ns >= GOODBYE_STALL_NS {
                break;
            }
            let last = count.min(next.saturating_add(STARTED_PER_TURN));
            while next < last && self.leaving < LEAVING_MAX {
                self.say_goodbye(next, now_ns);
                next += 1;
            }
            let has_more = next < count && self.leaving < LEAVING_MAX;
            self.turn(if has_more { now_ns } else { moved_ns + GOODBYE_STALL_NS })?;
        }
        if self.leaving > 0 {
            let left = u64::from(self.leaving + self.established);
            self.disconnects.add("no goodbye after the logout".to_owned(), left);
        }
        Ok(())
    }

    fn say_goodbye(&mut self, index: u32, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        if conn.stage != Stage::Ready {
            return;
        }
        let _ = conn.session.logout(now_ns / 1_000_000, &mut conn.out); // A ready session takes it.
        conn.stage = Stage::Leaving;
        self.established -= 1;
        self.leaving += 1;
        self.list(index);
    }
}
