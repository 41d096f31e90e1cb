//! Codes: made at random, sent, kept as a keyed digest, good for a short time and a few attempts.

use std::sync::Arc;

use prometheus_client::registry::Registry as Page;

use super::{CheckError, SendError, Sent};
use crate::limits::{CODE_RESEND, CODE_TRIES, CODES_PER_ADDRESS};
use crate::mail::Mailer;
use crate::shared::{Away, CodeVerdict, Digester, NotKept, Refusal, Shared};
use crate::validate;

/// Digits of a code.
const DIGITS: usize = 6;

/// Makes and compares codes.
pub(crate) struct Desk {
    shared: Arc<Shared>,
    mailer: Mailer,
    digester: Digester,
    /// Whether codes are in answers: development only.
    shows_codes: bool,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shared, mailer, shows_codes, digester: _ } = self;
        write!(f, "Desk {{ {shared:?}, {mailer:?}, shows codes: {shows_codes} }}")
    }
}

impl Desk {
    /// A desk.
    pub(crate) const fn new(
        shared: Arc<Shared>,
        mailer: Mailer,
        digester: Digester,
        shows_codes: bool,
    ) -> Self {
        Self { shared, mailer, digester, shows_codes }
    }

    /// As [`super::Verifier::send`].
    pub(crate) async fn send(&self, email: &str) -> Result<Sent, SendError> {
        validate::email(email).map_err(SendError::Invalid)?;
        let subject = email.to_ascii_lowercase();
        let random = getrandom::u64().map_err(|_| SendError::Busy)?;
        self.shared.take(&CODES_PER_ADDRESS, &subject).await.map_err(refused)?;
        if let Err(refusal) = self.shared.take(&CODE_RESEND, &subject).await {
            self.shared.give_back(&CODES_PER_ADDRESS, &subject).await;
            return Err(refused(refusal));
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
        let digest = self.digester.digest(subject, code);
        self.shared.put_code(subject, digest).await.map_err(|error| match error {
            NotKept::Full => SendError::Busy,
            NotKept::Away => SendError::Away,
        })?;
        if let Err(error) = self.mailer.deliver(email, code).await {
            tracing::error!(error = format!("{error:#}"), "a verification code was not delivered");
            let _ = self.shared.drop_code(subject).await; // Nobody has it, and it ends by itself.
            return Err(SendError::NotDelivered);
        }
        Ok(Sent { code: self.shows_codes.then(|| code.to_owned()) })
    }

    /// As [`super::Verifier::check`].
    pub(crate) async fn check(&self, email: &str, code: &str) -> Result<(), CheckError> {
        let subject = email.to_ascii_lowercase();
        // Taken before and given back after a right one: guesses at the same time cannot all slip through.
        self.shared.take(&CODE_TRIES, &subject).await.map_err(|refusal| match refusal {
            Refusal::Wait(wait) => CheckError::TooMany(wait),
            Refusal::Away => CheckError::Away,
        })?;
        let digest = self.digester.digest(&subject, code);
        let verdict = self.shared.try_code(&subject, digest).await;
        match verdict.map_err(|Away| CheckError::Away)? {
            CodeVerdict::Wrong => Err(CheckError::Wrong),
            verdict @ (CodeVerdict::Right | CodeVerdict::Unknown) => {
                // Where there is no code nothing was guessed.
                self.shared.give_back(&CODE_TRIES, &subject).await;
                if verdict == CodeVerdict::Right { Ok(()) } else { Err(CheckError::Unknown) }
            }
        }
    }

    /// As [`super::Verifier::consume`].
    pub(crate) async fn consume(&self, email: &str) -> Result<(), CheckError> {
        let was_there = self.shared.drop_code(&email.to_ascii_lowercase()).await;
        let was_there = was_there.map_err(|Away| CheckError::Away)?;
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
}

/// Why no code is made.
const fn refused(refusal: Refusal) -> SendError {
    match refusal {
        Refusal::Wait(wait) => SendError::TooSoon(wait),
        Refusal::Away => SendError::Away,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CODE_ATTEMPTS_MAX;

    const BOB: &str = "bob@example.org";

    fn desk(mailer: Mailer) -> Desk {
        let digester = Digester::random().unwrap();
        Desk::new(Arc::new(Shared::in_memory()), mailer, digester, true)
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
        assert_eq!(desk.shared.sizes().unwrap().1, 0);
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
        let desk = Desk::new(shared, Mailer::Log, Digester::random().unwrap(), false);
        assert_eq!(desk.send(BOB).await, Ok(Sent { code: None }));
    }
}
