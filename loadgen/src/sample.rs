//! An outcome in which nothing is wrong, for tests that spoil one thing of it.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::heat::Heat;
use crate::outcome::{Class, LedgerTotals, Outcome, Second};

/// Ten seconds of 10,000 messages a second between 1,000 connections, all well, then altered.
pub(crate) fn outcome(alter: impl FnOnce(&mut Outcome)) -> Outcome {
    let second = |t| Second {
        t,
        intended: 10_000,
        sent: 10_000,
        acked: 10_000,
        delivered: 10_000,
        connections: 1_000,
        response: Heat::default(),
    };
    let mut outcome = Outcome {
        window: crate::outcome::Window::default(),
        target: 1_000,
        established: 1_000,
        ramp: Duration::from_secs(1),
        disconnects: BTreeMap::new(),
        login_failures: BTreeMap::new(),
        measured: Duration::from_secs(10),
        intended: 100_000,
        sent: 100_000,
        acked: 100_000,
        delivered: 100_000,
        classes: BTreeMap::from([("private".to_owned(), class(1_000))]),
        send_gaps: constant(100_000),
        ledger: LedgerTotals {
            sent: 120_000,
            acked: 120_000,
            delivered: 120_000,
            ..LedgerTotals::default()
        },
        violations: Vec::new(),
        series: (0..10).map(second).collect(),
        engine_cpu: Duration::from_secs(4),
        engine_spin: Duration::from_secs(1),
        engine_runqueue: Duration::from_millis(10),
        gaps_pulled: 0,
        heartbeats: 100,
        enobufs: 0,
        send_queue_overflows: 0,
        beats: crate::outcome::Beats::default(),
        idle: None,
        closing: Duration::ZERO,
        interrupted: false,
    };
    alter(&mut outcome);
    outcome
}

/// A class whose latencies lie evenly below `most_us`.
pub(crate) fn class(most_us: u64) -> Class {
    Class {
        lag: even(20),
        service: even(most_us),
        response: even(most_us + 20),
        delivery: even(most_us * 2),
    }
}

/// 100,000 samples, evenly from 1 to `most_us` microseconds.
pub(crate) fn even(most_us: u64) -> Histogram<u64> {
    let mut histogram = empty();
    (0..100_000).for_each(|n| histogram.record((n % most_us + 1) * 1_000).unwrap());
    histogram
}

/// 100,000 samples of one value in nanoseconds.
pub(crate) fn constant(ns: u64) -> Histogram<u64> {
    let mut histogram = empty();
    histogram.record_n(ns, 100_000).unwrap();
    histogram
}

fn empty() -> Histogram<u64> {
    Histogram::new(3).unwrap()
}
