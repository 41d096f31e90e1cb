//! A bounded place for password hashes: so many run, so many wait, the next is told that it is busy.
//!
//! Keeps the event loop free: without it a flood of logins would stop health pages and other requests.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::HASHES_WAITING_MAX;

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Runs hashes on the runtime's blocking threads.
#[derive(Clone, Debug)]
pub(crate) struct HashPool {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    waiting_max: usize,
    /// How often it was full.
    pub(crate) full: Counter,
}

impl HashPool {
    /// So many at a time.
    pub(crate) fn new(threads: usize) -> Self {
        Self::with_waiting(threads, HASHES_WAITING_MAX)
    }

    fn with_waiting(threads: usize, waiting_max: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(threads)),
            waiting: Arc::new(Semaphore::new(waiting_max)),
            waiting_max,
            full: Counter::default(),
        }
    }

    /// How many wait or run now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_max - self.waiting.available_permits()
    }

    /// Waits for a turn. A caller that gives up while it waits leaves the queue.
    ///
    /// # Errors
    /// [`Full`]: too many wait.
    pub(crate) async fn turn(&self) -> Result<Turn, Full> {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            self.full.inc();
            return Err(Full);
        };
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Full)?;
        Ok(Turn { running, _place: place })
    }
}

/// The right to run one hash now.
#[derive(Debug)]
pub(crate) struct Turn {
    running: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Turn {
    /// Runs it, to its end even if the caller gives up.
    ///
    /// # Errors
    /// [`Full`]: the runtime is being torn down.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Full> {
        let Self { running, _place } = self;
        let work = move || {
            let value = work();
            drop(running);
            value
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Full)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    async fn run<T: Send + 'static>(
        pool: &HashPool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Full> {
        pool.turn().await?.run(work).await
    }

    #[tokio::test]
    async fn beyond_its_bound_it_says_so_at_once_and_recovers() {
        let pool = HashPool::with_waiting(1, 3);
        let (release, released) = mpsc::channel::<()>();
        let held = tokio::spawn({
            let pool = pool.clone();
            async move { run(&pool, move || released.recv().is_ok()).await }
        });
        while pool.waiting() < 1 {
            tokio::task::yield_now().await;
        }
        let queued: Vec<_> = (0..2)
            .map(|number| {
                let pool = pool.clone();
                tokio::spawn(async move { run(&pool, move || number).await })
            })
            .collect();
        while pool.waiting() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(run(&pool, || ()).await, Err(Full));
        assert_eq!(pool.full.get(), 1);
        release.send(()).unwrap();
        assert_eq!(held.await.unwrap(), Ok(true));
        for (number, result) in queued.into_iter().enumerate() {
            assert_eq!(result.await.unwrap(), Ok(number));
        }
        assert_eq!(run(&pool, || 7).await, Ok(7));
        assert_eq!(pool.waiting(), 0);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue() {
        let pool = HashPool::with_waiting(1, 2);
        let (release, released) = mpsc::channel::<()>();
        let held = tokio::spawn({
            let pool = pool.clone();
            async move { run(&pool, move || released.recv().is_ok()).await }
        });
        while pool.waiting() < 1 {
            tokio::task::yield_now().await;
        }
        let impatient = tokio::spawn({
            let pool = pool.clone();
            async move { run(&pool, || ()).await }
        });
        while pool.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        impatient.abort();
        assert!(impatient.await.unwrap_err().is_cancelled());
        assert_eq!(pool.waiting(), 1);
        release.send(()).unwrap();
        assert_eq!(held.await.unwrap(), Ok(true));
    }
}
