//! What the store's thread tells the admin port: how long commits take, and what is wrong. Plain numbers behind a lock
//! that is held for a copy.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::stats::LagHistogram;

/// The figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// How long batches took, from their arrival at the store's thread to their answer.
    pub latency: LagHistogram,
    /// Batches that failed as a whole.
    pub failures: u64,
    /// Why the last batch failed, unless one has succeeded since.
    pub fault: Option<String>,
}

/// Shared by the store's thread, which writes, and the control thread, which reads.
#[derive(Clone, Debug, Default)]
pub struct StoreHealth(Arc<Mutex<StoreFigures>>);

impl StoreHealth {
    /// A batch was answered.
    pub fn note(&self, took: Duration, fault: Option<String>) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        figures.latency.record(took);
        figures.failures += u64::from(fault.is_some());
        figures.fault = fault;
    }

    /// The figures now.
    #[must_use]
    pub fn figures(&self) -> StoreFigures {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
