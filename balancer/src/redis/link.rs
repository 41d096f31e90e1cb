//! Calling a Redis: one connection for all calls, opened when it is needed, a deadline on every call, a pause after a
//! failed one.
//!
//! Never blocks a caller beyond its deadline, and never hammers a Redis that is down: during the pause calls fail at
//! once with [`Away::Paused`]. A call that found its connection broken is made again on a new one, once: every step on
//! shared state can be taken twice without harm to anybody but who asked for it.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, RedisError, Script, ScriptInvocation,
    ServerErrorKind, ToRedisArgs,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry as Page;

use super::{BadRedis, RedisUrl};
use crate::client::Breaker;
use crate::limits::REDIS_DEADLINE;

/// Why a call gave no answer to work with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    /// No connection, or it broke.
    #[error(
        "{place} cannot be reached: is it running at the address given with --redis? ({reason})"
    )]
    Unreachable {
        /// Which Redis.
        place: String,
        /// What the network said.
        reason: String,
    },
    /// It did not answer in time.
    #[error(
        "{0} did not answer in time: is it running at the address given with --redis, or overloaded?"
    )]
    Late(String),
    /// A recent call failed, and the pause after it is not over.
    #[error("{0} gave no answer a moment ago: is it running at the address given with --redis?")]
    Paused(String),
    /// It answered that it cannot do it: out of memory, a replica, loading, no permission.
    #[error("{place} refused a step: {reason}")]
    Refused {
        /// Which Redis.
        place: String,
        /// What it said.
        reason: String,
    },
}

impl Away {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Late(_) => "late",
            Self::Paused(_) => "paused",
            Self::Refused { .. } => "refused",
        }
    }
}

/// A handle to a Redis; clones share one connection.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    deadline: Duration,
    client: Client,
    /// As it is shown: without a password.
    place: String,
    open: Mutex<Open>,
    breaker: Mutex<Breaker>,
    /// Held by who opens a connection, so that a thousand calls open one.
    opening: tokio::sync::Mutex<()>,
    faults: Family<[(&'static str, &'static str); 1], Counter>,
}

/// The connection, and the number of those there were.
#[derive(Default)]
struct Open {
    conn: Option<MultiplexedConnection>,
    number: u64,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.0.place)
    }
}

impl Link {
    /// Names a Redis. Opens nothing yet: a server starts, and says that it is busy, while there is none.
    ///
    /// # Errors
    /// See [`BadRedis`].
    pub fn new(url: &RedisUrl) -> Result<Self, BadRedis> {
        Self::with_deadline(url, REDIS_DEADLINE)
    }

    /// The same with another deadline than [`REDIS_DEADLINE`].
    ///
    /// # Errors
    /// See [`BadRedis`].
    pub fn with_deadline(url: &RedisUrl, deadline: Duration) -> Result<Self, BadRedis> {
        Ok(Self(Arc::new(Inner {
            deadline,
            client: url.client()?,
            place: url.to_string(),
            open: Mutex::default(),
            breaker: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            faults: Family::default(),
        })))
    }

    /// Whether the last call got no answer. For health pages.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        lock(&self.0.breaker).is_failing()
    }

    /// Shows on a page what went wrong.
    pub fn register(&self, page: &mut Page) {
        page.register(
            "redis_faults",
            "Calls of Redis without an answer to work with; paused: not made because one had failed a moment before",
            self.0.faults.clone(),
        );
    }

    /// Takes one step on keys of one hash tag.
    ///
    /// # Errors
    /// See [`Away`].
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        args: impl ToRedisArgs,
    ) -> Result<T, Away> {
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(*key);
        }
        call.arg(args);
        self.call(&call).await
    }

    async fn call<T: FromRedisValue>(&self, step: &ScriptInvocation<'_>) -> Result<T, Away> {
        let place = || self.0.place.clone();
        let used = AtomicU64::new(0);
        let done = if lock(&self.0.breaker).is_closed(Instant::now()) {
            match tokio::time::timeout(self.0.deadline, self.attempt(step, &used)).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => {
                    if is_broken(&error) || is_elsewhere(&error) {
                        self.forget(used.load(Relaxed));
                    }
                    Err(self.sort(&error))
                }
                Err(_) => {
                    // Behind a frozen host a connection would be silent for minutes after it has gone.
                    self.forget(used.load(Relaxed));
                    Err(Away::Late(place()))
                }
            }
        } else {
            Err(Away::Paused(place()))
        };
        self.note(done.as_ref().err());
        done
    }

    /// Once, and on a new connection once more if the old one turns out to be broken. `used`: the number of the last one.
    async fn attempt<T: FromRedisValue>(
        &self,
        step: &ScriptInvocation<'_>,
        used: &AtomicU64,
    ) -> Result<T, RedisError> {
        let (mut conn, number) = self.connection().await?;
        used.store(number, Relaxed);
        match step.invoke_async(&mut conn).await {
            Err(error) if is_broken(&error) => {
                self.forget(number);
                let (mut conn, number) = self.connection().await?;
                used.store(number, Relaxed);
                step.invoke_async(&mut conn).await
            }
            done => done,
        }
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), RedisError> {
        let ready = || {
            let open = lock(&self.0.open);
            open.conn.clone().map(|conn| (conn, open.number))
        };
        if let Some(ready) = ready() {
            return Ok(ready);
        }
        let _turn = self.0.opening.lock().await;
        if let Some(ready) = ready() {
            return Ok(ready); // Somebody else has opened it meanwhile.
        }
        // The deadline of the call is the only one.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let conn = self.0.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut open = lock(&self.0.open);
        open.number += 1;
        open.conn = Some(conn.clone());
        Ok((conn, open.number))
    }

    /// Forgets a connection unless it is another one by now.
    fn forget(&self, number: u64) {
        let mut open = lock(&self.0.open);
        if open.number == number {
            open.conn = None;
        }
    }

    fn sort(&self, error: &RedisError) -> Away {
        let (place, reason) = (self.0.place.clone(), error.to_string());
        if is_broken(error) || error.kind() == ErrorKind::AuthenticationFailed {
            Away::Unreachable { place, reason }
        } else {
            Away::Refused { place, reason }
        }
    }

    /// Counts, opens and closes the breaker, and says when it begins to fail and when that is over.
    fn note(&self, away: Option<&Away>) {
        if let Some(away) = away {
            self.0.faults.get_or_create(&[("kind", away.kind())]).inc();
        }
        let was_failing = {
            let mut breaker = lock(&self.0.breaker);
            let was_failing = breaker.is_failing();
            match away {
                // It may be this step only that it refuses, and the pause would be everybody's.
                Some(Away::Paused(_) | Away::Refused { .. }) => {}
                Some(Away::Unreachable { .. } | Away::Late(_)) => {
                    breaker.note(Instant::now(), false);
                }
                None => breaker.note(Instant::now(), true),
            }
            was_failing
        };
        match away {
            None if was_failing => tracing::info!(redis = self.0.place, "Redis answers again"),
            Some(error @ Away::Refused { .. }) => tracing::error!(%error, "Redis is of no use"),
            Some(error @ (Away::Unreachable { .. } | Away::Late(_))) if !was_failing => {
                tracing::error!(%error, "Redis is away: trying again until it is back");
            }
            None | Some(_) => {}
        }
    }
}

/// Whether it is the connection that failed, and not the step.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal()
}

/// Whether another server is the right one by now: the same name may lead to it.
fn is_elsewhere(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, ClusterDown, MasterDown, Moved, ReadOnly};
    matches!(error.kind(), ErrorKind::Server(Ask | ClusterDown | MasterDown | Moved | ReadOnly))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
