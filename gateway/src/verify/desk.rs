//! Codes: made at random, sent, kept as a keyed digest, good for a short time and a few attempts.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use prometheus_client::registry::Registry as Page;
use sha2::Sha256;

use super::{CheckError, SendError, Sent};
use crate::limits::{CODE_RESEND, CODE_TRIES, CODES_PER_ADDRESS};
use crate::mail::Mailer;
use crate::shared::{CodeVerdict, Shared};
use crate::validate;

/// Digits of a code.
const DIGITS: usize = 6;

/// Makes and compares codes.
pub(crate) struct Desk {
    shared: Arc<Shared>,
    mailer: Mailer,
    /// So that six digits cannot be found by trying all of them against a leaked table.
    key: [u8; 64],
    /// Whether codes are in answers: development only.
    shows_codes: bool,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shared, mailer, shows_codes, key: _ } = self;
        write!(f, "Desk {{ {shared:?}, {mailer:?}, shows codes: {shows_codes} }}")
    }
}

impl Desk {
    /// A desk with a key of its own.
    ///
    /// # Errors
    /// No randomness.
    pub(crate) fn new(
        shared: Arc<Shared>,
        mailer: Mailer,
        shows_codes: bool,
    ) -> anyhow::Result<Self> {
        let mut key = [0; 64];
        getrandom::fill(&mut key)?;
        Ok(Self { shared, mailer, key, shows_codes })
    }

    /// As [`super::Verifier::send`].
    pub(crate) async fn send(&self, email: &str) -> Result<Sent, SendError> {
        validate::email(email).map_err(SendError::Invalid)?;
        let subject = email.to_ascii_lowercase();
        let random = getrandom::u64().map_err(|_| SendError::Busy)?;
        self.shared.take(&CODES_PER_ADDRESS, &subject).await.map_err(SendError::TooSoon)?;
        if let Err(wait) = self.shared.take(&CODE_RESEND, &subject).await {
            self.shared.give_back(&CODES_PER_ADDRESS, &subject).await;
            return Err(SendError::TooSoon(wait));
        }
        // 2^64 is so much larger than a million that no code is noticeably likelier than another.
        let code = format!("{:0DIGITS$}", random % 10_u64.pow(DIGITS as u32));
        let sent = self.hand_over(email, &subject, &code).await;
        if sent.is_err() {
            // Nobody has it: the next request need not wait.
            self.shared.give_back(&CODES_PER_ADDRESS, &subject).await;
            self.shared.give_back(&CODE_RESEND, &subject).await;
        }
        sent
    }

    async fn hand_over(&self, email: &str, subject: &str, code: &str) -> Result<Sent, SendError> {
        let digest = self.digest(subject, code);
        self.shared.put_code(subject, digest).await.map_err(|_| SendError::Busy)?;
        if let Err(error) = self.mailer.deliver(email, code).await {
            tracing::error!(error = format!("{error:#}"), "a verification code was not delivered");
            self.shared.drop_code(subject).await;
            return Err(SendError::NotDelivered);
        }
        Ok(Sent { code: self.shows_codes.then(|| code.to_owned()) })
    }

    /// As [`super::Verifier::check`].
    pub(crate) async fn check(&self, email: &str, code: &str) -> Result<(), CheckError> {
        let subject = email.to_ascii_lowercase();
        // Taken before and given back after a right one: guesses at the same time cannot all slip through.
        self.shared.take(&CODE_TRIES, &subject).await.map_err(CheckError::TooMany)?;
        let verdict = self.shared.try_code(&subject, self.digest(&subject, code)).await;
        match verdict {
            CodeVerdict::Wrong => Err(CheckError::Wrong),
            CodeVerdict::Right | CodeVerdict::Unknown => {
                // Where there is no code nothing was guessed.
                self.shared.give_back(&CODE_TRIES, &subject).await;
                if verdict == CodeVerdict::Right { Ok(()) } else { Err(CheckError::Unknown) }
            }
        }
    }

    /// As [`super::Verifier::consume`].
    pub(crate) async fn consume(&self, email: &str) -> Result<(), CheckError> {
        let was_there = self.shared.drop_code(&email.to_ascii_lowercase()).await;
        if was_there { Ok(()) } else { Err(CheckError::Unknown) }
    }

    /// Lets mails that are on their way be handed over, for a while.
    pub(crate) async fn drain(&self) {
        self.mailer.drain().await;
    }

    /// Shows on a page what is counted here, the shared state's counts excepted.
    pub(crate) fn register(&self, page: &mut Page) {
        self.mailer.register(page);
    }

    fn digest(&self, subject: &str, code: &str) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&self.key.into());
        mac.update(subject.as_bytes());
        mac.update(b"\0"); // An address cannot hold it: nothing can move from one part to the other.
        mac.update(code.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CODE_ATTEMPTS_MAX;

    const BOB: &str = "bob@example.org";

    fn desk(mailer: Mailer) -> Desk {
        Desk::new(Arc::new(Shared::in_memory()), mailer, true).unwrap()
    }

    async fn code(desk: &Desk, email: &str) -> String {
        desk.send(email).await.unwrap().code.unwrap()
    }

    fn other(code: &str) -> &'static str {
        if code == "000000" { "000001" } else { "000000" }
    }

    #[tokio::test]
    async fn a_code_is_good_for_its_address_in_any_case_until_it_is_used() {
        let desk = desk(Mailer::Log);
        let code = code(&desk, BOB).await;
        assert!(code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
        assert_eq!(desk.check(BOB, &code).await, Ok(()));
        assert_eq!(desk.check("BOB@Example.org", &code).await, Ok(()), "not used up by a check");
        assert_eq!(desk.check("eve@example.org", &code).await, Err(CheckError::Unknown));
        assert_eq!(desk.consume(BOB).await, Ok(()));
        assert_eq!(desk.consume(BOB).await, Err(CheckError::Unknown));
        assert_eq!(desk.check(BOB, &code).await, Err(CheckError::Unknown));
    }

    #[tokio::test]
    async fn an_address_gets_another_code_after_a_while_only() {
        let desk = desk(Mailer::Log);
        code(&desk, BOB).await;
        assert!(matches!(desk.send("Bob@example.org").await, Err(SendError::TooSoon(_))));
        assert!(desk.send("eve@example.org").await.is_ok(), "nobody else is held up");
        assert!(matches!(desk.send("no address").await, Err(SendError::Invalid(_))));
    }

    #[tokio::test]
    async fn a_code_that_was_not_delivered_is_void_and_the_next_need_not_wait() {
        let desk = desk(Mailer::Missing);
        assert_eq!(desk.send(BOB).await, Err(SendError::NotDelivered));
        assert_eq!(desk.send(BOB).await, Err(SendError::NotDelivered));
        assert_eq!(desk.shared.sizes().1, 0);
    }

    #[tokio::test]
    async fn guesses_are_bounded_for_a_code_and_over_all_codes_of_an_address() {
        let desk = desk(Mailer::Log);
        let first = code(&desk, BOB).await;
        for _ in 0..CODE_ATTEMPTS_MAX {
            assert_eq!(desk.check(BOB, other(&first)).await, Err(CheckError::Wrong));
        }
        assert_eq!(desk.check(BOB, &first).await, Err(CheckError::Unknown), "void");
        desk.shared.forget(&CODE_RESEND, BOB).await;
        let second = code(&desk, BOB).await;
        for _ in 0..CODE_ATTEMPTS_MAX {
            assert_eq!(desk.check(BOB, other(&second)).await, Err(CheckError::Wrong));
        }
        desk.shared.forget(&CODE_RESEND, BOB).await;
        let third = code(&desk, BOB).await;
        let held = desk.check(BOB, &third).await;
        assert!(matches!(held, Err(CheckError::TooMany(_))), "{held:?}");
    }

    #[tokio::test]
    async fn outside_development_nobody_is_shown_a_code() {
        let shared = Arc::new(Shared::in_memory());
        let desk = Desk::new(shared, Mailer::Log, false).unwrap();
        assert_eq!(desk.send(BOB).await, Ok(Sent { code: None }));
    }

    #[test]
    fn nothing_that_is_kept_is_the_code_or_can_be_found_without_the_key() {
        let (one, two) = (desk(Mailer::Log), desk(Mailer::Log));
        let digest = one.digest(BOB, "123456");
        assert!(!digest.windows(6).any(|part| part == b"123456"));
        assert_ne!(digest, two.digest(BOB, "123456"));
        assert_ne!(digest, one.digest("eve@example.org", "123456"));
    }
}
