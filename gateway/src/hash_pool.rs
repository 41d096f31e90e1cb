//! A bounded place for password hashes: so many run, so many wait, the next is told that it is busy.
//!
//! Keeps the event loop free: without it a flood of logins would stop health pages and other requests.

use std::sync::Arc;

use tokio::sync::Semaphore;

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
        }
    }

    /// How many wait or run now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_max - self.waiting.available_permits()
    }

    /// Runs one. A caller that gives up while it waits leaves the queue; what runs is run to its end.
    ///
    /// # Errors
    /// [`Full`]: nothing was run.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Full> {
        let _place = self.waiting.try_acquire().map_err(|_| Full)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Full)?;
        let work = move || {
            let value = work();
            drop(turn);
            value
        };
        // An error means that the runtime is being torn down: as good as full.
        tokio::task::spawn_blocking(work).await.map_err(|_| Full)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn beyond_its_bound_it_says_so_at_once_and_recovers() {
        let pool = HashPool::with_waiting(1, 3);
        let (release, released) = mpsc::channel::<()>();
        let held = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(move || released.recv().is_ok()).await }
        });
        while pool.waiting() < 1 {
            tokio::task::yield_now().await;
        }
        let queued: Vec<_> = (0..2)
            .map(|number| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.run(move || number).await })
            })
            .collect();
        while pool.waiting() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(|| ()).await, Err(Full));
        release.send(()).unwrap();
        assert_eq!(held.await.unwrap(), Ok(true));
        for (number, result) in queued.into_iter().enumerate() {
            assert_eq!(result.await.unwrap(), Ok(number));
        }
        assert_eq!(pool.run(|| 7).await, Ok(7));
        assert_eq!(pool.waiting(), 0);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue() {
        let pool = HashPool::with_waiting(1, 2);
        let (release, released) = mpsc::channel::<()>();
        let held = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(move || released.recv().is_ok()).await }
        });
        while pool.waiting() < 1 {
            tokio::task::yield_now().await;
        }
        let impatient = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|| ()).await }
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
