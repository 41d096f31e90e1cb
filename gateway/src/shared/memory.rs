//! The shared state in this process's memory: two bounded tables.
//!
//! Pure: time is an argument. A table that is full forgets what is over before it refuses or forgets anything else.

use std::collections::HashMap;
use std::time::Instant;

use super::{Rate, Wait};
use crate::limits::{
    CODE_ATTEMPTS_MAX, CODE_TTL, CODES_MAX, SUBJECTS_MAX, SUBJECTS_SAMPLED, SWEEP_INTERVAL,
};

/// What became of a digest that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeVerdict {
    /// It is the one that is kept.
    Right,
    /// It is another one.
    Wrong,
    /// None is kept for the subject, or none any more.
    Unknown,
}

/// As many codes are outstanding as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodesFull;

struct Code {
    digest: [u8; 32],
    until: Instant,
    attempts_left: u8,
}

/// Both tables.
pub(super) struct Memory {
    /// When each subject has all of its burst back.
    subjects: HashMap<String, Instant>,
    codes: HashMap<String, Code>,
    subjects_swept: Instant,
    codes_swept: Instant,
    forgotten: u64,
}

impl Memory {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            subjects: HashMap::new(),
            codes: HashMap::new(),
            subjects_swept: now,
            codes_swept: now,
            forgotten: 0,
        }
    }

    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.subjects.len(), self.codes.len())
    }

    /// Subjects forgotten before their time since this was last asked.
    pub(super) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    pub(super) fn take(&mut self, now: Instant, rate: &Rate, key: &str) -> Result<(), Wait> {
        if let Some(full) = self.subjects.get_mut(key) {
            rate.check(now, *full)?;
            *full = rate.after(now, *full);
            return Ok(());
        }
        if self.subjects.len() >= SUBJECTS_MAX {
            self.make_room(now);
        }
        self.subjects.insert(key.to_owned(), rate.after(now, now));
        Ok(())
    }

    pub(super) fn peek(&self, now: Instant, rate: &Rate, key: &str) -> Result<(), Wait> {
        self.subjects.get(key).map_or(Ok(()), |full| rate.check(now, *full))
    }

    pub(super) fn give_back(&mut self, rate: &Rate, key: &str) {
        if let Some(full) = self.subjects.get_mut(key)
            && let Some(before) = rate.before(*full)
        {
            *full = before;
        }
    }

    pub(super) fn forget(&mut self, key: &str) {
        self.subjects.remove(key);
    }

    pub(super) fn put_code(
        &mut self,
        now: Instant,
        subject: &str,
        digest: [u8; 32],
    ) -> Result<(), CodesFull> {
        if self.codes.len() >= CODES_MAX && !self.codes.contains_key(subject) {
            if is_due(&mut self.codes_swept, now) {
                self.codes.retain(|_, code| code.until > now);
            }
            if self.codes.len() >= CODES_MAX {
                return Err(CodesFull);
            }
        }
        let code = Code { digest, until: now + CODE_TTL, attempts_left: CODE_ATTEMPTS_MAX };
        self.codes.insert(subject.to_owned(), code);
        Ok(())
    }

    pub(super) fn try_code(
        &mut self,
        now: Instant,
        subject: &str,
        digest: [u8; 32],
    ) -> CodeVerdict {
        let Some(code) = self.codes.get_mut(subject) else { return CodeVerdict::Unknown };
        if code.until <= now || code.attempts_left == 0 {
            return CodeVerdict::Unknown;
        }
        // How long comparing takes tells a guesser nothing: digests are keyed, so nobody can choose how far they agree.
        if code.digest == digest {
            return CodeVerdict::Right;
        }
        code.attempts_left -= 1;
        CodeVerdict::Wrong
    }

    pub(super) fn drop_code(&mut self, now: Instant, subject: &str) -> bool {
        self.codes.remove(subject).is_some_and(|code| code.until > now)
    }

    /// Forgets those that may do all again that they may; if that is nobody, one of those that have done least.
    fn make_room(&mut self, now: Instant) {
        if is_due(&mut self.subjects_swept, now) {
            self.subjects.retain(|_, full| *full > now);
        }
        if self.subjects.len() >= SUBJECTS_MAX {
            // The order of a hash table is as good as chance, and each forgotten one makes it another.
            let sample = self.subjects.iter().take(SUBJECTS_SAMPLED);
            if let Some(key) = sample.min_by_key(|(_, full)| **full).map(|(key, _)| key.clone()) {
                self.subjects.remove(&key);
                self.forgotten += 1;
            }
        }
    }
}

/// Whether a table may be looked through again.
fn is_due(swept: &mut Instant, now: Instant) -> bool {
    let is_due = now.saturating_duration_since(*swept) >= SWEEP_INTERVAL;
    if is_due {
        *swept = now;
    }
    is_due
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: Rate = Rate::new("test", 2, Duration::from_secs(10));
    const BOB: &str = "bob@example.org";

    #[test]
    fn each_subject_has_its_own_burst_and_may_get_it_back() {
        let now = Instant::now();
        let mut memory = Memory::new(now);
        for key in ["a", "b"] {
            assert_eq!(memory.take(now, &RATE, key), Ok(()));
            assert_eq!(memory.take(now, &RATE, key), Ok(()));
            assert!(memory.take(now, &RATE, key).is_err());
        }
        assert!(memory.peek(now, &RATE, "a").is_err() && memory.peek(now, &RATE, "c").is_ok());
        memory.give_back(&RATE, "a");
        assert_eq!(memory.take(now, &RATE, "a"), Ok(()));
        assert!(memory.take(now, &RATE, "a").is_err());
        memory.forget("b");
        assert_eq!(memory.take(now, &RATE, "b"), Ok(()));
        assert_eq!(memory.sizes(), (2, 0), "a peek leaves nothing behind");
    }

    #[test]
    fn a_flood_of_subjects_is_bounded_and_does_not_free_who_is_held() {
        let now = Instant::now();
        let mut memory = Memory::new(now);
        for _ in 0..2 {
            memory.take(now, &RATE, "held").unwrap();
        }
        for index in 0..SUBJECTS_MAX + 1_000 {
            memory.take(now, &RATE, &format!("flood{index}")).unwrap();
        }
        assert_eq!(memory.sizes().0, SUBJECTS_MAX);
        assert_eq!(memory.take_forgotten(), 1_001);
        assert!(memory.take(now, &RATE, "held").is_err(), "who has done more is kept");
        let later = now + Duration::from_secs(60);
        memory.take(later, &RATE, "next").unwrap();
        assert_eq!(memory.sizes().0, 1, "all the others are over");
        assert_eq!(memory.take_forgotten(), 0);
    }

    #[test]
    fn a_code_is_good_for_its_subject_until_it_is_used() {
        let now = Instant::now();
        let mut memory = Memory::new(now);
        memory.put_code(now, BOB, [1; 32]).unwrap();
        assert_eq!(memory.try_code(now, BOB, [1; 32]), CodeVerdict::Right);
        assert_eq!(memory.try_code(now, BOB, [1; 32]), CodeVerdict::Right, "not used up by trying");
        assert_eq!(memory.try_code(now, "eve@example.org", [1; 32]), CodeVerdict::Unknown);
        assert!(memory.drop_code(now, BOB));
        assert!(!memory.drop_code(now, BOB), "of two at the same time one is told so");
        assert_eq!(memory.try_code(now, BOB, [1; 32]), CodeVerdict::Unknown);
    }

    #[test]
    fn a_code_ends_after_its_time_and_by_a_later_one() {
        let now = Instant::now();
        let mut memory = Memory::new(now);
        memory.put_code(now, BOB, [1; 32]).unwrap();
        let last = now + CODE_TTL - Duration::from_millis(1);
        assert_eq!(memory.try_code(last, BOB, [1; 32]), CodeVerdict::Right);
        assert_eq!(memory.try_code(now + CODE_TTL, BOB, [1; 32]), CodeVerdict::Unknown);
        assert!(!memory.drop_code(now + CODE_TTL, BOB));
        memory.put_code(now, BOB, [1; 32]).unwrap();
        memory.put_code(last, BOB, [2; 32]).unwrap();
        assert_eq!(memory.try_code(last, BOB, [1; 32]), CodeVerdict::Wrong);
        assert_eq!(memory.try_code(now + CODE_TTL, BOB, [2; 32]), CodeVerdict::Right);
    }

    #[test]
    fn guessing_voids_a_code() {
        let now = Instant::now();
        let mut memory = Memory::new(now);
        memory.put_code(now, BOB, [1; 32]).unwrap();
        for _ in 0..CODE_ATTEMPTS_MAX {
            assert_eq!(memory.try_code(now, BOB, [9; 32]), CodeVerdict::Wrong);
        }
        assert_eq!(memory.try_code(now, BOB, [1; 32]), CodeVerdict::Unknown);
        memory.put_code(now, BOB, [2; 32]).unwrap();
        assert_eq!(memory.try_code(now, BOB, [2; 32]), CodeVerdict::Right, "a new one is another");
    }

    #[test]
    fn codes_are_bounded_and_make_room_from_the_expired() {
        let now = Instant::now();
        let mut memory = Memory::new(now);
        for index in 0..CODES_MAX {
            memory.put_code(now, &format!("u{index}@example.org"), [1; 32]).unwrap();
        }
        assert_eq!(memory.put_code(now, BOB, [1; 32]), Err(CodesFull));
        assert_eq!(memory.put_code(now, "u7@example.org", [2; 32]), Ok(()), "in its place");
        assert_eq!(memory.put_code(now + CODE_TTL, BOB, [1; 32]), Ok(()));
        assert_eq!(memory.sizes().1, 1);
    }
}
