//! Verification codes: made at random, kept only as a keyed hash, good for a short time and a few attempts.
//!
//! Pure: time and randomness are arguments. The table is bounded; it forgets the expired before it refuses.

use std::collections::HashMap;
use std::time::Instant;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::limits::{CODE_ATTEMPTS_MAX, CODE_RESEND_AFTER, CODE_TTL, CODES_MAX};

/// Digits of a code.
const DIGITS: usize = 6;

/// Why no code was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IssueError {
    /// The last one for this address was made a moment ago.
    TooSoon,
    /// As many codes are outstanding as may be.
    Full,
}

/// Why a code was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckError {
    /// None is outstanding for the address.
    Unknown,
    /// It is another one.
    Wrong,
}

struct Entry {
    mac: [u8; 32],
    made: Instant,
    attempts_left: u8,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.made) >= CODE_TTL
    }
}

/// The codes outstanding, by address. Addresses differ only beyond the case of ASCII letters.
pub(crate) struct Codes {
    /// So that six digits cannot be found by trying all of them against a leaked table.
    key: [u8; 64],
    entries: HashMap<String, Entry>,
}

impl std::fmt::Debug for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Codes({} outstanding)", self.entries.len())
    }
}

impl Codes {
    /// An empty table with a random key.
    pub(crate) fn new(key: [u8; 64]) -> Self {
        Self { key, entries: HashMap::new() }
    }

    /// How many there are, expired ones that nobody asked for included.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Makes a code for an address; an earlier one is void.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub(crate) fn issue(
        &mut self,
        now: Instant,
        email: &str,
        random: u64,
    ) -> Result<String, IssueError> {
        let email = email.to_ascii_lowercase();
        let known = self.entries.get(&email);
        if known.is_some_and(|entry| now.saturating_duration_since(entry.made) < CODE_RESEND_AFTER)
        {
            return Err(IssueError::TooSoon);
        }
        if known.is_none() && self.entries.len() >= CODES_MAX {
            self.entries.retain(|_, entry| !entry.is_over(now));
            if self.entries.len() >= CODES_MAX {
                return Err(IssueError::Full);
            }
        }
        // 2^64 is so much larger than a million that no code is noticeably likelier than another.
        let code = format!("{:0DIGITS$}", random % 10_u64.pow(DIGITS as u32));
        let mac = self.mac(&email, &code).finalize().into_bytes().into();
        self.entries.insert(email, Entry { mac, made: now, attempts_left: CODE_ATTEMPTS_MAX });
        Ok(code)
    }

    /// Checks a code without using it up, so that a username that is taken does not cost another mail.
    ///
    /// # Errors
    /// See [`CheckError`]; after [`CODE_ATTEMPTS_MAX`] wrong ones the code is void.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        email: &str,
        code: &str,
    ) -> Result<(), CheckError> {
        let email = email.to_ascii_lowercase();
        let tried = self.mac(&email, code);
        let entry = self.entries.get_mut(&email).ok_or(CheckError::Unknown)?;
        if entry.is_over(now) || entry.attempts_left == 0 {
            return Err(CheckError::Unknown);
        }
        tried.verify_slice(&entry.mac).map_err(|_| {
            entry.attempts_left -= 1;
            CheckError::Wrong
        })
    }

    /// Uses a code up.
    pub(crate) fn consume(&mut self, email: &str) {
        self.entries.remove(&email.to_ascii_lowercase());
    }

    fn mac(&self, email: &str, code: &str) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&self.key.into());
        mac.update(email.as_bytes());
        mac.update(b"\0"); // An address cannot hold it: nothing can move from one part to the other.
        mac.update(code.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOB: &str = "bob@example.org";

    #[test]
    fn a_code_is_good_for_its_address_until_it_is_used() {
        let (mut codes, now) = (Codes::new([7; 64]), Instant::now());
        let code = codes.issue(now, BOB, 12_345_000_042).unwrap();
        assert_eq!(code, "000042");
        assert_eq!(codes.check(now, BOB, &code), Ok(()));
        assert_eq!(codes.check(now, "BOB@Example.org", &code), Ok(()), "not used up by a check");
        assert_eq!(codes.check(now, "eve@example.org", &code), Err(CheckError::Unknown));
        codes.consume(BOB);
        assert_eq!(codes.check(now, BOB, &code), Err(CheckError::Unknown));
    }

    #[test]
    fn it_ends_after_its_time() {
        let (mut codes, now) = (Codes::new([7; 64]), Instant::now());
        let code = codes.issue(now, BOB, 5).unwrap();
        let last = now + CODE_TTL - Duration::from_millis(1);
        assert_eq!(codes.check(last, BOB, &code), Ok(()));
        assert_eq!(codes.check(now + CODE_TTL, BOB, &code), Err(CheckError::Unknown));
    }

    #[test]
    fn guessing_voids_it() {
        let (mut codes, now) = (Codes::new([7; 64]), Instant::now());
        let code = codes.issue(now, BOB, 5).unwrap();
        for _ in 0..CODE_ATTEMPTS_MAX {
            assert_eq!(codes.check(now, BOB, "999999"), Err(CheckError::Wrong));
        }
        assert_eq!(codes.check(now, BOB, &code), Err(CheckError::Unknown));
        assert_eq!(codes.issue(now, BOB, 6), Err(IssueError::TooSoon));
        let code = codes.issue(now + CODE_RESEND_AFTER, BOB, 6).unwrap();
        assert_eq!(codes.check(now + CODE_RESEND_AFTER, BOB, &code), Ok(()));
    }

    #[test]
    fn the_table_is_bounded_and_makes_room_from_the_expired() {
        let (mut codes, now) = (Codes::new([7; 64]), Instant::now());
        for index in 0..CODES_MAX {
            codes.issue(now, &format!("u{index}@example.org"), 1).unwrap();
        }
        assert_eq!(codes.issue(now, BOB, 1), Err(IssueError::Full));
        assert!(codes.issue(now + CODE_TTL, BOB, 1).is_ok());
        assert_eq!(codes.len(), 1);
    }

    #[test]
    fn nothing_that_is_kept_or_shown_is_the_code() {
        let mut codes = Codes::new([7; 64]);
        let code = codes.issue(Instant::now(), BOB, 123_456).unwrap();
        let kept = codes.entries[BOB].mac;
        assert!(!kept.windows(6).any(|part| part == code.as_bytes()));
        assert!(!format!("{codes:?}").contains(&code));
    }
}
