//! Heartbeats: when they are due, sending them, and how punctually they are answered.
//!
//! Punctuality is counted from the moment that a heartbeat was due, not from its sending: a generator that is late finds
//! itself in it, as a client's user would.

use std::io;

use hdrhistogram::Histogram;

use super::Engine;
use super::conn::State;
use super::limits::{BEAT_LATE_MS, BEATS_PER_CLOCK, LEAVING_MAX};
use super::send_pool::Writer;
use super::tally::Reason;
use crate::outcome::Beats;
use crate::plan::Phase;
use crate::recorder::histogram;
use crate::schedule::mix;

/// What became of a run's heartbeats.
#[derive(Debug)]
pub(super) struct BeatLog {
    ramp: Histogram<u64>,
    hold: Histogram<u64>,
    /// When everybody was there.
    hold_ms: u32,
    unanswered: u64,
    interval_ms: Option<(u32, u32)>,
}

impl Default for BeatLog {
    fn default() -> Self {
        let (ramp, hold) = (histogram(), histogram());
        Self { ramp, hold, hold_ms: u32::MAX, unanswered: 0, interval_ms: None }
    }
}

impl BeatLog {
    /// A welcome told an interval.
    pub(super) fn told(&mut self, interval_ms: u32) {
        let (least, most) = self.interval_ms.unwrap_or((interval_ms, interval_ms));
        self.interval_ms = Some((least.min(interval_ms), most.max(interval_ms)));
    }

    /// The ramp is over.
    pub(super) const fn everybody_is_there(&mut self, now_ns: u64) {
        self.hold_ms = millis(now_ns);
    }

    fn record(&mut self, due_ms: u32, now_ns: u64) {
        let times = if due_ms >= self.hold_ms { &mut self.hold } else { &mut self.ramp };
        let late_ns = now_ns.saturating_sub(u64::from(due_ms) * 1_000_000);
        times.saturating_record(late_ns.max(1));
    }

    pub(super) fn into_beats(self) -> Beats {
        let found = |times: Histogram<u64>| (!times.is_empty()).then_some(times);
        Beats {
            punctuality: found(self.hold),
            ramp_punctuality: found(self.ramp),
            unanswered: self.unanswered,
            interval_ms: self.interval_ms,
        }
    }
}

/// The last moment of a rhythm that has come: at `first_ms`, and then once an interval.
fn rhythm(first_ms: u32, interval_ms: u64, now_ms: u64) -> u64 {
    let first_ms = u64::from(first_ms);
    let rounds = now_ms.saturating_sub(first_ms).checked_div(interval_ms).unwrap_or(0);
    first_ms + rounds * interval_ms
}

/// Milliseconds of a run, of which there are at most days.
const fn millis(ns: u64) -> u32 {
    (ns / 1_000_000) as u32
}

impl Engine<'_> {
    /// The first heartbeat comes at a random moment of the first interval, so that a ramp makes no waves.
    pub(super) fn start_heartbeats(&mut self, index: u32, now_ns: u64) {
        let now_ms = now_ns / 1_000_000;
        let conn = &mut self.conns[index as usize];
        conn.has_beaten = false;
        conn.is_beating = false;
        if let Some(due_ms) = conn.session.heartbeat_due_ms() {
            let interval_ms = due_ms.saturating_sub(now_ms).max(1);
            let first_ms = now_ms + mix(self.plan.seed ^ u64::from(index)) % interval_ms;
            conn.beat_due_ms = first_ms as u32;
            self.wheel.insert(index, first_ms);
        }
    }

    /// Sends the heartbeats that are due, until a message is.
    pub(super) fn beat(&mut self, now_ns: u64) -> io::Result<()> {
        let now_ms = now_ns / 1_000_000;
        if self.found.is_empty() && self.wheel.next_ms().is_some_and(|next_ms| next_ms <= now_ms) {
            self.wheel.turn(now_ms, &mut self.found);
        }
        for count in 1.. {
            let is_interrupted = count % BEATS_PER_CLOCK == 0
                && self.speech.next_due_ns().is_some_and(|due_ns| due_ns <= self.clock.now_ns());
            if is_interrupted {
                break;
            }
            let Some(index) = self.found.pop() else { break };
            let conn = &mut self.conns[index as usize];
            if conn.state != State::Ready {
                continue; // It goes in again when it is back.
            }
            // In the end nobody beats any more: whose turn it is leaves, so that nobody expires who waits to.
            if self.phase == Phase::Close {
                if self.leaving < LEAVING_MAX {
                    self.log_out(index, now_ns);
                } else {
                    self.wheel.insert(index, now_ms + 1_000);
                }
                continue;
            }
            if conn.session.is_silent(now_ms) {
                self.fail(index, &Reason::Silent, now_ns)?;
                continue;
            }
            self.beat_one(index, now_ms);
        }
        Ok(())
    }

    /// A connection's turn in the wheel has come: its heartbeat, unless something else was sent since the last.
    ///
    /// Heartbeats keep their rhythm: the next is due an interval after the last was *due*. Counted from the sending, a
    /// stall of this machine would leave everybody beating in one moment, for ever.
    fn beat_one(&mut self, index: u32, now_ms: u64) {
        let conn = &mut self.conns[index as usize];
        let interval_ms = u64::from(conn.session.heartbeat_interval_ms());
        let Some(due_ms) = conn.session.heartbeat_due_ms() else { return };
        let is_first = !std::mem::replace(&mut conn.has_beaten, true);
        let has_spoken = due_ms - interval_ms != u64::from(conn.beat_sent_ms);
        if !is_first && has_spoken && due_ms > now_ms {
            if !conn.is_beating {
                conn.beat_due_ms = (due_ms - interval_ms) as u32;
            }
            self.wheel.insert(index, due_ms);
            return;
        }
        let due_ms = rhythm(conn.beat_due_ms, interval_ms, now_ms);
        // The wheel may find somebody early whose due is beyond its reach.
        if is_first || due_ms > u64::from(conn.beat_due_ms) {
            let mut writer = Writer { pool: &mut self.pool, out: &mut conn.out };
            let is_sent = conn.session.heartbeat(now_ms, &mut writer);
            self.tally.heartbeats += u64::from(is_sent);
            conn.beat_sent_ms = now_ms as u32;
            // While one is not answered, what counts is how late that is.
            if !std::mem::replace(&mut conn.is_beating, true) {
                conn.beat_due_ms = due_ms as u32;
            }
        }
        self.wheel.insert(index, due_ms + interval_ms);
        self.list(index);
    }

    /// The node has answered a heartbeat.
    pub(super) fn on_beat_answered(&mut self, index: u32, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        if std::mem::replace(&mut conn.is_beating, false) {
            self.beats.record(conn.beat_due_ms, now_ns);
        }
    }

    /// Whoever waits for an answer when the logouts begin has waited so long at least.
    pub(super) fn note_unanswered_beats(&mut self) {
        let now_ns = self.clock.now_ns();
        for conn in self.conns.iter().filter(|conn| conn.is_beating) {
            let is_late = millis(now_ns).saturating_sub(conn.beat_due_ms) > BEAT_LATE_MS;
            if is_late && conn.state == State::Ready {
                self.beats.record(conn.beat_due_ms, now_ns);
                self.beats.unanswered += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn an_answer_counts_from_the_moment_it_was_due() {
        let mut log = BeatLog::default();
        log.record(1_000, 4 * S); // due in the ramp, answered three seconds late
        log.everybody_is_there(5 * S);
        log.record(4_999, 6 * S);
        log.record(5_000, 5 * S + 2_000_000);
        let beats = log.into_beats();
        let (ramp, hold) = (beats.ramp_punctuality.unwrap(), beats.punctuality.unwrap());
        assert_eq!((ramp.len(), hold.len()), (2, 1));
        assert!(ramp.equivalent(ramp.max(), 3 * S));
        assert!(hold.equivalent(hold.max(), 2_000_000));
    }

    #[test]
    fn a_late_heartbeat_does_not_shift_those_after_it() {
        assert_eq!(rhythm(500, 1_000, 400), 500);
        assert_eq!(rhythm(500, 1_000, 1_499), 500);
        assert_eq!(rhythm(500, 1_000, 1_500), 1_500);
        assert_eq!(rhythm(500, 1_000, 4_400), 3_500);
        assert_eq!(rhythm(500, 0, 4_400), 500);
    }

    #[test]
    fn a_run_without_heartbeats_has_no_punctuality() {
        assert!(BeatLog::default().into_beats().punctuality.is_none());
    }

    #[test]
    fn the_intervals_told_are_kept_as_their_ends() {
        let mut log = BeatLog::default();
        [30_000, 60_000, 45_000].into_iter().for_each(|interval_ms| log.told(interval_ms));
        assert_eq!(log.into_beats().interval_ms, Some((30_000, 60_000)));
    }
}
