//! Mails on their way: so many wait, few are sent at a time, and what a mail server cannot take now is tried again.
//!
//! Never keeps a caller waiting for a mail server, and never holds a mail for longer than its code is of use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use balancer::client::jittered;
use lettre::transport::smtp;
use lettre::{AsyncTransport, Message};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Page;
use tokio::sync::Semaphore;

use super::smtp::Transport;
use crate::limits::{
    MAIL_ATTEMPT_TIMEOUT, MAIL_DRAIN_TIMEOUT, MAIL_LIFE, MAIL_PAUSE_MAX, MAIL_PAUSE_MIN,
    MAIL_SENDERS, MAILS_MAX,
};

/// When an attempt that failed is repeated.
#[derive(Clone, Copy, Debug)]
struct Patience {
    first: Duration,
    longest: Duration,
    life: Duration,
}

/// The queue. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    transport: Transport,
    patience: Patience,
    places: Arc<Semaphore>,
    senders: Arc<Semaphore>,
    tally: Tally,
}

/// What became of mails.
#[derive(Clone, Debug, Default)]
struct Tally {
    mails: Family<[(&'static str, &'static str); 1], Counter>,
    attempts_failed: Counter,
    waiting: Gauge,
    failing: Gauge,
}

/// How an attempt failed.
enum Failure {
    /// It may go better later.
    Passing(String),
    /// It never will.
    Final(String),
}

impl Queue {
    /// An empty queue for a mail server. Must be called within a tokio runtime.
    pub(super) fn new(transport: Transport) -> Self {
        let patience = Patience { first: MAIL_PAUSE_MIN, longest: MAIL_PAUSE_MAX, life: MAIL_LIFE };
        Self::with_patience(transport, patience)
    }

    fn with_patience(transport: Transport, patience: Patience) -> Self {
        Self {
            transport,
            patience,
            places: Arc::new(Semaphore::new(MAILS_MAX)),
            senders: Arc::new(Semaphore::new(MAIL_SENDERS)),
            tally: Tally::default(),
        }
    }

    /// Takes a mail over.
    ///
    /// # Errors
    /// As many wait as may.
    pub(super) fn post(&self, letter: Message) -> anyhow::Result<()> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.tally.end("refused_full");
            anyhow::bail!("{MAILS_MAX} mails wait for the mail server: is it slow, or down?");
        };
        self.tally.waiting.inc();
        let queue = self.clone();
        tokio::spawn(async move {
            queue.see_to(&letter).await;
            queue.tally.waiting.dec();
            drop(place);
        });
        Ok(())
    }

    /// Tries until the mail is handed over, refused for good, or too old.
    async fn see_to(&self, letter: &Message) {
        let Patience { first, longest, life } = self.patience;
        let begun = Instant::now();
        let mut pause = first;
        loop {
            let done = self.attempt(letter).await;
            self.tally.failing.set(done.is_err().into());
            let why = match done {
                Ok(()) => return self.tally.end("sent"),
                Err(Failure::Final(why)) => {
                    tracing::error!(why, "a mail was refused by the mail server");
                    return self.tally.end("refused");
                }
                Err(Failure::Passing(why)) => why,
            };
            self.tally.attempts_failed.inc();
            let pause_now = jittered(pause);
            if begun.elapsed() + pause_now > life {
                tracing::error!(why, "a mail was given up: its code would come too late");
                return self.tally.end("too_late");
            }
            tracing::warn!(why, again_in_ms = pause_now.as_millis(), "a mail was not handed over");
            tokio::time::sleep(pause_now).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn attempt(&self, letter: &Message) -> Result<(), Failure> {
        // The semaphore is never closed; without a turn there would be one sender more, no more.
        let _turn = self.senders.acquire().await;
        let text = letter.formatted();
        let sending = self.transport.send_raw(letter.envelope(), &text);
        match tokio::time::timeout(MAIL_ATTEMPT_TIMEOUT, sending_to(sending)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::Passing("the mail server did not answer in time".to_owned())),
        }
    }

    /// Waits until nothing is on its way, but not for long: what waits for another attempt then is lost, and its person
    /// asks for another code.
    pub(super) async fn drain(&self) {
        let all = u32::try_from(MAILS_MAX).unwrap_or(u32::MAX);
        let empty = tokio::time::timeout(MAIL_DRAIN_TIMEOUT, self.places.acquire_many(all));
        if empty.await.is_err() {
            let left = self.tally.waiting.get();
            tracing::warn!(left, "mails with verification codes were not handed over at the end");
        }
    }

    pub(super) fn register(&self, page: &mut Page) {
        let Tally { mails, attempts_failed, waiting, failing } = self.tally.clone();
        page.register(
            "mails",
            "Mails with verification codes by what became of them; refused_full: not taken because too many waited, \
             too_late: given up because the code was about to end",
            mails,
        );
        page.register(
            "mail_attempts_failed",
            "Attempts to hand a mail over that failed and could be repeated",
            attempts_failed,
        );
        page.register("mails_waiting", "Mails that wait or are being handed over", waiting);
        page.register("mail_failing", "1 if the last attempt to hand a mail over failed", failing);
    }
}

impl Tally {
    fn end(&self, outcome: &'static str) {
        self.mails.get_or_create(&[("outcome", outcome)]).inc();
    }
}

async fn sending_to(
    sending: impl Future<Output = Result<smtp::response::Response, smtp::Error>>,
) -> Result<(), Failure> {
    match sending.await {
        Ok(_) => Ok(()),
        // A 5xx answer will be the same tomorrow; so will a client that cannot speak as the server wants.
        Err(error) if error.is_permanent() || error.is_client() => {
            Err(Failure::Final(format!("{:#}", anyhow::Error::from(error))))
        }
        Err(error) => Err(Failure::Passing(format!("{:#}", anyhow::Error::from(error)))),
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
