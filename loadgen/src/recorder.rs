//! Latencies and rates of one engine thread: histograms by class of message, and a series by second.
//!
//! A message belongs to the measured phase if it was *due* in it, whenever it was answered. Histograms merge by
//! addition; percentiles are never averaged. Owns no clock: times are nanoseconds after the start of the run.

use std::ops::Range;

use hdrhistogram::Histogram;

use crate::outcome::{Class, Second};

/// The longest latency that is told apart, in nanoseconds: what is above counts as this. Two minutes are longer than any
/// phase's patience.
pub const LATENCY_NS_MAX: u64 = 120_000_000_000;

/// Significant decimal digits: 0.1 % resolution at 37 x 1,024 counters per histogram.
const DIGITS: u8 = 3;

/// Seconds that the series keeps: a day. Later ones are added to the last.
pub const SECONDS_MAX: usize = 86_400;

const SECOND_NS: u64 = 1_000_000_000;

/// An empty histogram with the bounds that all of a run's have.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS)
        .expect("the bounds are in order and the digits are at most five")
}

/// A kind of message with figures of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassKind {
    /// To one user.
    Private,
    /// To a room.
    Room,
}

impl ClassKind {
    /// The class's name in reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Room => "room",
        }
    }
}

/// The moments of one message that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// When it was due.
    pub intended_ns: u64,
    /// When it was sent.
    pub sent_ns: u64,
    /// When the acknowledgement was read.
    pub acked_ns: u64,
}

/// One thread's figures.
#[derive(Debug)]
pub struct Recorder {
    measured: Range<u64>,
    classes: [Class; 2],
    send_gaps: Histogram<u64>,
    last_send_ns: Option<u64>,
    series: Vec<Second>,
    /// Sends due in the measured phase.
    pub intended: u64,
    /// Sends made of those.
    pub sent: u64,
    /// Acknowledgements of those.
    pub acked: u64,
    /// Deliveries of those.
    pub delivered: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        let class = || Class {
            lag: histogram(),
            service: histogram(),
            response: histogram(),
            delivery: histogram(),
        };
        Self {
            measured: u64::MAX..u64::MAX,
            classes: [class(), class()],
            send_gaps: histogram(),
            last_send_ns: None,
            series: Vec::new(),
            intended: 0,
            sent: 0,
            acked: 0,
            delivered: 0,
        }
    }
}

impl Recorder {
    /// Says which intended times are measured.
    pub fn set_measured(&mut self, measured: Range<u64>) {
        self.measured = measured;
    }

    /// The measured phase ended before its time.
    pub fn end_measured(&mut self, at_ns: u64) {
        self.measured.end = self.measured.end.min(at_ns);
    }

    /// Which intended times are measured.
    #[must_use]
    pub const fn measured(&self) -> &Range<u64> {
        &self.measured
    }

    fn second(&mut self, at_ns: u64) -> &mut Second {
        let at = ((at_ns / SECOND_NS) as usize).min(SECONDS_MAX - 1);
        while self.series.len() <= at {
            // Connections are a level, not a count: a quiet second has as many as the one before.
            let connections = self.series.last().map_or(0, |second| second.connections);
            self.series.push(Second { connections, ..Second::default() });
        }
        &mut self.series[at]
    }

    /// How many connections there are now.
    pub fn connections(&mut self, at_ns: u64, count: u64) {
        self.second(at_ns).connections = count;
    }

    /// A send was due.
    pub fn due(&mut self, intended_ns: u64) {
        self.second(intended_ns).intended += 1;
        self.intended += u64::from(self.measured.contains(&intended_ns));
    }

    /// A message was sent.
    pub fn sent(&mut self, kind: ClassKind, intended_ns: u64, sent_ns: u64) {
        self.second(sent_ns).sent += 1;
        if !self.measured.contains(&intended_ns) {
            return;
        }
        self.sent += 1;
        record(&mut self.classes[kind as usize].lag, sent_ns.saturating_sub(intended_ns));
        if let Some(last) = self.last_send_ns.replace(sent_ns) {
            record(&mut self.send_gaps, sent_ns.saturating_sub(last));
        }
    }

    /// A message was acknowledged.
    pub fn acked(&mut self, kind: ClassKind, times: Acknowledged) {
        self.second(times.acked_ns).acked += 1;
        if !self.measured.contains(&times.intended_ns) {
            return;
        }
        self.acked += 1;
        let class = &mut self.classes[kind as usize];
        record(&mut class.service, times.acked_ns.saturating_sub(times.sent_ns));
        let response = times.acked_ns.saturating_sub(times.intended_ns);
        record(&mut class.response, response);
        self.second(times.intended_ns).response.record(response);
    }

    /// A message reached one recipient.
    pub fn delivered(&mut self, kind: ClassKind, intended_ns: u64, at_ns: u64) {
        self.second(at_ns).delivered += 1;
        if !self.measured.contains(&intended_ns) {
            return;
        }
        self.delivered += 1;
        record(&mut self.classes[kind as usize].delivery, at_ns.saturating_sub(intended_ns));
    }

    /// Adds another thread's figures to these. Both must have been told the same measured phase.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.classes.iter_mut().zip(&other.classes) {
            add(&mut mine.lag, &theirs.lag);
            add(&mut mine.service, &theirs.service);
            add(&mut mine.response, &theirs.response);
            add(&mut mine.delivery, &theirs.delivery);
        }
        add(&mut self.send_gaps, &other.send_gaps);
        for (at, theirs) in other.series.iter().enumerate() {
            let mine = self.second(at as u64 * SECOND_NS);
            mine.intended += theirs.intended;
            mine.sent += theirs.sent;
            mine.acked += theirs.acked;
            mine.delivered += theirs.delivered;
            mine.connections += theirs.connections;
            mine.response.add(&theirs.response);
        }
        self.intended += other.intended;
        self.sent += other.sent;
        self.acked += other.acked;
        self.delivered += other.delivered;
    }

    /// The series, counted from the measured phase's beginning (or from `origin_ns` if there was none).
    #[must_use]
    pub fn series(&self, origin_ns: u64) -> Vec<Second> {
        let start = if self.measured.start == u64::MAX { origin_ns } else { self.measured.start };
        let origin = (start / SECOND_NS) as i64;
        let seconds = self.series.iter().enumerate();
        seconds.map(|(at, second)| Second { t: at as i64 - origin, ..second.clone() }).collect()
    }

    /// The figures of one class.
    #[must_use]
    pub const fn class(&self, kind: ClassKind) -> &Class {
        &self.classes[kind as usize]
    }

    /// Distances between consecutive sends of the measured phase.
    #[must_use]
    pub const fn send_gaps(&self) -> &Histogram<u64> {
        &self.send_gaps
    }
}

/// Zero is not in the histograms' range: what took less than a nanosecond took one.
fn record(histogram: &mut Histogram<u64>, value_ns: u64) {
    histogram.saturating_record(value_ns.max(1));
}

fn add(mine: &mut Histogram<u64>, theirs: &Histogram<u64>) {
    mine.add(theirs).expect("all histograms of a run have the same bounds");
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn recorder() -> Recorder {
        let mut recorder = Recorder::default();
        recorder.set_measured(1_000 * MS..3_000 * MS);
        recorder
    }

    fn acked(intended: u64, sent: u64, acked: u64) -> Acknowledged {
        Acknowledged { intended_ns: intended * MS, sent_ns: sent * MS, acked_ns: acked * MS }
    }

    #[test]
    fn a_late_send_makes_the_response_longer_than_the_service() {
        let mut recorder = recorder();
        recorder.sent(ClassKind::Private, 1_500 * MS, 1_600 * MS);
        recorder.acked(ClassKind::Private, acked(1_500, 1_600, 1_610));
        let class = recorder.class(ClassKind::Private);
        for (histogram, expected) in
            [(&class.lag, 100), (&class.service, 10), (&class.response, 110)]
        {
            assert!(histogram.equivalent(histogram.max(), expected * MS), "{}", histogram.max());
        }
    }

    #[test]
    fn what_was_due_outside_the_measured_phase_is_in_the_series_only() {
        let mut recorder = recorder();
        recorder.due(500 * MS);
        recorder.sent(ClassKind::Room, 500 * MS, 500 * MS);
        // Answered within the phase, but due before it.
        recorder.acked(ClassKind::Room, acked(500, 500, 1_500));
        recorder.delivered(ClassKind::Room, 3_000 * MS, 3_001 * MS);
        assert_eq!(
            (recorder.intended, recorder.sent, recorder.acked, recorder.delivered),
            (0, 0, 0, 0)
        );
        assert!(recorder.class(ClassKind::Room).response.is_empty());
        let series = recorder.series(0);
        let rows: Vec<_> =
            series.iter().map(|s| (s.t, s.intended, s.sent, s.acked, s.delivered)).collect();
        assert_eq!(rows, [(-1, 1, 1, 0, 0), (0, 0, 0, 1, 0), (1, 0, 0, 0, 0), (2, 0, 0, 0, 1)]);
    }

    #[test]
    fn merging_adds_counts_and_keeps_the_extremes() {
        let (mut one, mut other) = (recorder(), recorder());
        one.acked(ClassKind::Private, acked(1_000, 1_000, 1_001));
        other.acked(ClassKind::Private, acked(2_000, 2_000, 2_900));
        one.merge(&other);
        let response = &one.class(ClassKind::Private).response;
        assert_eq!((response.len(), one.acked), (2, 2));
        assert!(response.equivalent(response.max(), 900 * MS));
        assert_eq!(one.series(0)[2].acked, 1);
    }

    #[test]
    fn a_latency_beyond_the_bound_is_counted_at_the_bound() {
        let mut recorder = recorder();
        recorder.delivered(ClassKind::Private, 1_000 * MS, u64::MAX);
        assert_eq!(recorder.class(ClassKind::Private).delivery.len(), 1);
    }
}
