//! What all gateways and verification servers of a system have to agree on for minutes: how often somebody has done
//! something, and which codes are outstanding.
//!
//! Keys are texts and everything ends by itself, so that a Redis can hold it for many processes: each operation here is
//! one short script there. Nothing here is worth a disk: losing all of it costs a mail and some patience.
//! Never holds a code, only its digest. Never grants what it cannot count: where the Redis is away, it says so.

mod args;
mod limit;
mod memory;
mod rate;
mod redis;
#[cfg(test)]
mod shared_tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use balancer::redis::{BadRedis, Link, RedisUrl};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry as Page;

pub(crate) use args::Digester;
pub use args::SharedArgs;
pub use limit::Limit;
use limit::Limits;
pub(crate) use memory::CodeVerdict;
use memory::{CodesFull, Memory};
pub use rate::Rate;
use redis::Redis;

/// Not now: as often as may be already. The time after which it may be done once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) Duration);

/// Where it is held gives no answer: what was asked for is not granted, and worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Away;

/// Why something may not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// See [`Wait`].
    Wait(Wait),
    /// See [`Away`].
    Away,
}

/// Why a code is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotKept {
    /// As many are outstanding as may be.
    Full,
    /// See [`Away`].
    Away,
}

/// Where it is held.
enum Place {
    /// In this process: for one gateway, or for one verification server and one gateway.
    Memory(Mutex<Memory>),
    /// In a Redis: for as many of both as there are.
    Redis(Redis),
}

/// The shared state.
pub(crate) struct Shared {
    place: Place,
    limits: Limits,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
    forgotten: Counter,
    codes_full: Counter,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.place, self.sizes()) {
            (Place::Redis(redis), _) => write!(f, "Shared({redis:?})"),
            (Place::Memory(_), sizes) => write!(f, "Shared({sizes:?} subjects and codes)"),
        }
    }
}

impl Shared {
    /// Held in this process.
    pub(crate) fn in_memory() -> Self {
        Self::at(Place::Memory(Mutex::new(Memory::new(Instant::now()))))
    }

    /// Held in a Redis, which need not be there yet.
    ///
    /// # Errors
    /// See [`BadRedis`].
    pub(crate) fn in_redis(url: &RedisUrl) -> Result<Self, BadRedis> {
        Ok(Self::at(Place::Redis(Redis(Link::new(url)?))))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            limits: Limits::default(),
            refused: Family::default(),
            forgotten: Counter::default(),
            codes_full: Counter::default(),
        }
    }

    /// Whether the last question got no answer.
    pub(crate) fn is_failing(&self) -> bool {
        match &self.place {
            Place::Memory(_) => false,
            Place::Redis(redis) => redis.0.is_failing(),
        }
    }

    /// Has these bounds count from now on, and the usual ones for the rest.
    pub(crate) fn set_limits(&self, limits: &[Limit]) {
        self.limits.set(limits);
    }

    /// Does it once more, if it may be done.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(crate) async fn take(&self, rate: &Rate, subject: &str) -> Result<(), Refusal> {
        let rate = &self.limits.now(rate);
        let taken = match &self.place {
            Place::Memory(memory) => {
                let mut memory = lock(memory);
                let taken = memory.take(Instant::now(), rate, &rate.key(subject));
                self.forgotten.inc_by(memory.take_forgotten());
                taken.map_err(Refusal::Wait)
            }
            Place::Redis(redis) => redis.take(rate, subject).await,
        };
        taken.inspect_err(|refusal| self.count(rate, *refusal))
    }

    /// Whether it may be done, without doing it.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(crate) async fn peek(&self, rate: &Rate, subject: &str) -> Result<(), Refusal> {
        let rate = &self.limits.now(rate);
        let open = match &self.place {
            Place::Memory(memory) => {
                lock(memory).peek(Instant::now(), rate, &rate.key(subject)).map_err(Refusal::Wait)
            }
            Place::Redis(redis) => redis.peek(rate, subject).await,
        };
        open.inspect_err(|refusal| self.count(rate, *refusal))
    }

    /// What was taken last does not count after all. It does where this cannot be noted.
    pub(crate) async fn give_back(&self, rate: &Rate, subject: &str) {
        let rate = &self.limits.now(rate);
        match &self.place {
            Place::Memory(memory) => lock(memory).give_back(rate, &rate.key(subject)),
            Place::Redis(redis) => redis.give_back(rate, subject).await,
        }
    }

    /// Nothing that was taken counts any more. It does where this cannot be noted.
    pub(crate) async fn forget(&self, rate: &Rate, subject: &str) {
        match &self.place {
            Place::Memory(memory) => lock(memory).forget(&rate.key(subject)),
            Place::Redis(redis) => redis.forget(rate, subject).await,
        }
    }

    /// Keeps a code's digest for its time; an earlier one of the same subject is void.
    ///
    /// # Errors
    /// See [`NotKept`].
    pub(crate) async fn put_code(&self, subject: &str, digest: [u8; 32]) -> Result<(), NotKept> {
        match &self.place {
            Place::Memory(memory) => {
                lock(memory).put_code(Instant::now(), subject, digest).map_err(|CodesFull| {
                    self.codes_full.inc();
                    NotKept::Full
                })
            }
            Place::Redis(redis) => {
                redis.put_code(subject, digest).await.map_err(|Away| NotKept::Away)
            }
        }
    }

    /// Compares a digest with the one that is kept; a wrong one uses up an attempt, a right one nothing.
    ///
    /// # Errors
    /// See [`Away`].
    pub(crate) async fn try_code(
        &self,
        subject: &str,
        digest: [u8; 32],
    ) -> Result<CodeVerdict, Away> {
        match &self.place {
            Place::Memory(memory) => Ok(lock(memory).try_code(Instant::now(), subject, digest)),
            Place::Redis(redis) => redis.try_code(subject, digest).await,
        }
    }

    /// Uses a code up. Whether there was one: of two at the same time one is told so.
    ///
    /// # Errors
    /// See [`Away`].
    pub(crate) async fn drop_code(&self, subject: &str) -> Result<bool, Away> {
        match &self.place {
            Place::Memory(memory) => Ok(lock(memory).drop_code(Instant::now(), subject)),
            Place::Redis(redis) => redis.drop_code(subject).await,
        }
    }

    /// How many subjects of rates and how many codes this process holds, expired ones included; `None` if a Redis does.
    pub(crate) fn sizes(&self) -> Option<(usize, usize)> {
        match &self.place {
            Place::Memory(memory) => Some(lock(memory).sizes()),
            Place::Redis(_) => None,
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
        if let Place::Redis(redis) = &self.place {
            redis.0.register(page);
        }
    }

    fn count(&self, rate: &Rate, refusal: Refusal) {
        if matches!(refusal, Refusal::Wait(_)) {
            self.refused.get_or_create(&[("bound", rate.name)]).inc();
        }
    }
}

/// Held for one step, never across an await.
fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}
