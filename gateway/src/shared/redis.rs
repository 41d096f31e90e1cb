//! The shared state in a Redis: each operation is one short script on one key.
//!
//! A key is its own hash tag, so that a cluster spreads them, and holds the digest of its subject: no name and no address
//! stands in a Redis. Each ends by itself, as soon as what it says is over; time is the Redis's own.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use balancer::redis::{Link, Script};
use sha2::{Digest, Sha256};

use super::{Away, CodeVerdict, Rate, Refusal, Wait};
use crate::limits::{CODE_ATTEMPTS_MAX, CODE_TTL};

macro_rules! step {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("steps/", $file))));
    };
}

step!(TAKE, "take.lua");
step!(PEEK, "peek.lua");
step!(GIVE_BACK, "give_back.lua");
step!(FORGET, "forget.lua");
step!(PUT_CODE, "put_code.lua");
step!(TRY_CODE, "try_code.lua");

/// Bytes of a subject's digest that are in its key: nobody finds two subjects that share them for a given one.
const SUBJECT_BYTES: usize = 16;

/// What a step is told that needs to be told nothing.
const NOTHING: &[&str] = &[];

/// The state behind one connection.
#[derive(Debug)]
pub(super) struct Redis(pub(super) Link);

impl Redis {
    pub(super) async fn take(&self, rate: &Rate, subject: &str) -> Result<(), Refusal> {
        self.ask(&TAKE, rate, subject).await
    }

    pub(super) async fn peek(&self, rate: &Rate, subject: &str) -> Result<(), Refusal> {
        self.ask(&PEEK, rate, subject).await
    }

    async fn ask(&self, step: &Script, rate: &Rate, subject: &str) -> Result<(), Refusal> {
        let args = (micros(rate.interval()), micros(rate.ahead_max()));
        let wait = self.0.run::<u64>(step, &[&rate_key(rate, subject)], args).await;
        match wait.map_err(|_| Refusal::Away)? {
            0 => Ok(()),
            wait => Err(Refusal::Wait(Wait(Duration::from_micros(wait)))),
        }
    }

    /// A Redis that is away keeps what was taken: who waits too long is better than who guesses too often.
    pub(super) async fn give_back(&self, rate: &Rate, subject: &str) {
        let key = rate_key(rate, subject);
        let _ = self.0.run::<u64>(&GIVE_BACK, &[&key], micros(rate.interval())).await;
    }

    /// As above.
    pub(super) async fn forget(&self, rate: &Rate, subject: &str) {
        let _ = self.0.run::<u64>(&FORGET, &[&rate_key(rate, subject)], NOTHING).await;
    }

    pub(super) async fn put_code(&self, subject: &str, digest: [u8; 32]) -> Result<(), Away> {
        let life = u64::try_from(CODE_TTL.as_millis()).unwrap_or(u64::MAX);
        let args = (digest.as_slice(), CODE_ATTEMPTS_MAX, life);
        self.0.run::<u64>(&PUT_CODE, &[&code_key(subject)], args).await.map_err(|_| Away)?;
        Ok(())
    }

    pub(super) async fn try_code(
        &self,
        subject: &str,
        digest: [u8; 32],
    ) -> Result<CodeVerdict, Away> {
        let tried = self.0.run::<u64>(&TRY_CODE, &[&code_key(subject)], digest.as_slice()).await;
        Ok(match tried.map_err(|_| Away)? {
            0 => CodeVerdict::Right,
            1 => CodeVerdict::Wrong,
            _ => CodeVerdict::Unknown,
        })
    }

    pub(super) async fn drop_code(&self, subject: &str) -> Result<bool, Away> {
        let dropped = self.0.run::<u64>(&FORGET, &[&code_key(subject)], NOTHING).await;
        Ok(dropped.map_err(|_| Away)? > 0)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn rate_key(rate: &Rate, subject: &str) -> String {
    key("rate", &rate.key(subject))
}

fn code_key(subject: &str) -> String {
    key("code", subject)
}

fn key(kind: &str, subject: &str) -> String {
    let mut key = format!("ringline:{{{kind}:");
    for byte in &Sha256::digest(subject.as_bytes())[..SUBJECT_BYTES] {
        let _ = write!(key, "{byte:02x}"); // A String takes everything.
    }
    key.push('}');
    key
}
