//! What time it is for whoever keeps the registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where a told clock begins in a Redis, in microseconds: some moment of the past, since nobody may add to zero for ever.
const TOLD_BEGIN_US: u64 = 1_000_000_000_000_000;

/// A clock.
#[derive(Clone, Debug)]
pub enum Clock {
    /// This machine's, and where the registry is in a Redis that one's: the clocks of several balancers do not matter.
    Real,
    /// What a test says.
    Told(ToldClock),
}

/// A clock that stands until it is moved. Clones show the same.
#[derive(Clone, Debug)]
pub struct ToldClock {
    begin: Instant,
    micros: Arc<AtomicU64>,
}

impl ToldClock {
    /// One that stands at some moment.
    #[must_use]
    pub fn new() -> Self {
        Self { begin: Instant::now(), micros: Arc::default() }
    }

    /// Moves it on.
    pub fn advance(&self, span: Duration) {
        let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(span, Ordering::Relaxed);
    }

    fn micros(&self) -> u64 {
        self.micros.load(Ordering::Relaxed)
    }
}

impl Default for ToldClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    pub(super) fn now(&self) -> Instant {
        match self {
            Self::Real => Instant::now(),
            Self::Told(told) => told.begin + Duration::from_micros(told.micros()),
        }
    }

    /// What a step is told: nothing, unless it is a test's.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Real => String::new(),
            Self::Told(told) => (TOLD_BEGIN_US + told.micros()).to_string(),
        }
    }
}
