//! What all gateways and verification servers of a system have to agree on for minutes: how often somebody has done
//! something, and which codes are outstanding.
//!
//! Keys are texts and everything ends by itself, so that a Redis can hold it for many processes: each operation here is
//! one command or one short script there. Nothing here is worth a disk: losing all of it costs a mail and some patience.
//! Never holds a code, only its digest.

mod memory;
mod rate;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry as Page;

use memory::Memory;
pub(crate) use memory::{CodeVerdict, CodesFull};
pub use rate::Rate;

/// Not now: as often as may be already. The time after which it may be done once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) Duration);

/// Where it is held.
enum Place {
    /// In this process: for one gateway, or for one verification server and one gateway.
    Memory(Mutex<Memory>),
}

/// The shared state.
pub(crate) struct Shared {
    place: Place,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
    forgotten: Counter,
    codes_full: Counter,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (subjects, codes) = self.sizes();
        write!(f, "Shared({subjects} subjects, {codes} codes)")
    }
}

impl Shared {
    /// Held in this process.
    pub(crate) fn in_memory() -> Self {
        Self {
            place: Place::Memory(Mutex::new(Memory::new(Instant::now()))),
            refused: Family::default(),
            forgotten: Counter::default(),
            codes_full: Counter::default(),
        }
    }

    /// Does it once more, if it may be done.
    ///
    /// # Errors
    /// See [`Wait`].
    pub(crate) async fn take(&self, rate: &Rate, subject: &str) -> Result<(), Wait> {
        let taken = match &self.place {
            Place::Memory(memory) => {
                let mut memory = lock(memory);
                let taken = memory.take(Instant::now(), rate, &rate.key(subject));
                self.forgotten.inc_by(memory.take_forgotten());
                taken
            }
        };
        taken.inspect_err(|_| self.count(rate))
    }

    /// Whether it may be done, without doing it.
    ///
    /// # Errors
    /// See [`Wait`].
    pub(crate) async fn peek(&self, rate: &Rate, subject: &str) -> Result<(), Wait> {
        let open = match &self.place {
            Place::Memory(memory) => lock(memory).peek(Instant::now(), rate, &rate.key(subject)),
        };
        open.inspect_err(|_| self.count(rate))
    }

    /// What was taken last does not count after all.
    pub(crate) async fn give_back(&self, rate: &Rate, subject: &str) {
        match &self.place {
            Place::Memory(memory) => lock(memory).give_back(rate, &rate.key(subject)),
        }
    }

    /// Nothing that was taken counts any more.
    pub(crate) async fn forget(&self, rate: &Rate, subject: &str) {
        match &self.place {
            Place::Memory(memory) => lock(memory).forget(&rate.key(subject)),
        }
    }

    /// Keeps a code's digest for its time; an earlier one of the same subject is void.
    ///
    /// # Errors
    /// See [`CodesFull`].
    pub(crate) async fn put_code(&self, subject: &str, digest: [u8; 32]) -> Result<(), CodesFull> {
        let put = match &self.place {
            Place::Memory(memory) => lock(memory).put_code(Instant::now(), subject, digest),
        };
        put.inspect_err(|CodesFull| {
            self.codes_full.inc();
        })
    }

    /// Compares a digest with the one that is kept; a wrong one uses up an attempt, a right one nothing.
    pub(crate) async fn try_code(&self, subject: &str, digest: [u8; 32]) -> CodeVerdict {
        match &self.place {
            Place::Memory(memory) => lock(memory).try_code(Instant::now(), subject, digest),
        }
    }

    /// Uses a code up. Whether there was one: of two at the same time one is told so.
    pub(crate) async fn drop_code(&self, subject: &str) -> bool {
        match &self.place {
            Place::Memory(memory) => lock(memory).drop_code(Instant::now(), subject),
        }
    }

    /// How many subjects of rates and how many codes are held, expired ones included.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        match &self.place {
            Place::Memory(memory) => lock(memory).sizes(),
        }
    }

    /// Shows on a page how often each bound was hit.
    pub(crate) fn register(&self, page: &mut Page) {
        page.register(
            "rate_refusals",
            "Requests refused because a client, an account or an address had done as much as it may, by bound",
            self.refused.clone(),
        );
        page.register(
            "rate_subjects_forgotten",
            "Subjects of rates forgotten before their time because too many were remembered",
            self.forgotten.clone(),
        );
        page.register(
            "codes_full",
            "Verification codes not made because as many as may be were outstanding",
            self.codes_full.clone(),
        );
    }

    fn count(&self, rate: &Rate) {
        self.refused.get_or_create(&[("bound", rate.name)]).inc();
    }
}

/// Held for one step, never across an await.
fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}
