//! Passwords: what they are hashed to and how they are checked. Blocking and costly on purpose: `hash_pool` runs it.
//!
//! Owns the cost policy. A record carries its own parameters, so that cheap load-test accounts and real ones live in one
//! table.

use anyhow::{anyhow, ensure};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use serde::Deserialize;

use crate::limits::{HASH_MEMORY_KIB_MAX, HASH_PASSES_MAX, PASSWORD_BYTES_MAX};

/// A password as it came: never shown, never written.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How new records are made.
#[derive(Clone, Debug)]
pub(crate) struct Hasher {
    argon2: Argon2<'static>,
    /// Of a password that nobody has: checked when there is no account, so that the answer takes as long.
    decoy: String,
}

impl Hasher {
    /// argon2id with this much memory and so many passes, one lane.
    ///
    /// # Errors
    /// Parameters that argon2 does not have or that [`Self::is_right`] would refuse.
    pub(crate) fn new(memory_kib: u32, passes: u32) -> anyhow::Result<Self> {
        ensure!(
            memory_kib <= HASH_MEMORY_KIB_MAX && passes <= HASH_PASSES_MAX,
            "a password hash may take at most {HASH_MEMORY_KIB_MAX} KiB and {HASH_PASSES_MAX} passes"
        );
        let params = Params::new(memory_kib, passes, Params::DEFAULT_P_COST, None)
            .map_err(|error| anyhow!("bad argon2 parameters: {error}"))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut nobody = [0; 32];
        getrandom::fill(&mut nobody)?;
        let decoy = hash(&argon2, &nobody)?;
        Ok(Self { argon2, decoy })
    }

    /// The cheapest that argon2id has: for load-test accounts, whose passwords protect nothing.
    ///
    /// # Errors
    /// No randomness.
    pub(crate) fn cheap() -> anyhow::Result<Self> {
        Self::new(Params::MIN_M_COST, Params::MIN_T_COST)
    }

    /// The record of a new password.
    ///
    /// # Errors
    /// No randomness or no memory.
    pub(crate) fn record(&self, password: &Secret) -> anyhow::Result<String> {
        hash(&self.argon2, password.expose().as_bytes())
    }

    /// Whether a password is the one of a record; without a record the same work and `false`.
    pub(crate) fn is_right(&self, password: &Secret, record: Option<&str>) -> bool {
        let password = password.expose().as_bytes();
        // Nobody has a longer one, and hashing it would be work for the asking.
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let Ok(parsed) = PasswordHash::new(record.unwrap_or(&self.decoy)) else { return false };
        let Ok(params) = Params::try_from(&parsed) else { return false };
        let is_bounded =
            params.m_cost() <= HASH_MEMORY_KIB_MAX && params.t_cost() <= HASH_PASSES_MAX;
        is_bounded && self.argon2.verify_password(password, &parsed).is_ok() && record.is_some()
    }
}

fn hash(argon2: &Argon2<'_>, password: &[u8]) -> anyhow::Result<String> {
    let record = argon2
        .hash_password(password)
        .map_err(|error| anyhow!("cannot hash a password: {error}"))?;
    Ok(record.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_record_names_its_parameters_and_fits_its_password_only() {
        let hasher = Hasher::cheap().unwrap();
        let record = hasher.record(&secret("correct horse")).unwrap();
        assert!(record.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{record}");
        assert_ne!(record, hasher.record(&secret("correct horse")).unwrap(), "salted");
        assert!(hasher.is_right(&secret("correct horse"), Some(&record)));
        assert!(!hasher.is_right(&secret("correct Horse"), Some(&record)));
        assert!(!hasher.is_right(&secret(""), Some(&record)));
    }

    #[test]
    fn any_hasher_checks_a_record_by_the_records_own_parameters() {
        let record = Hasher::cheap().unwrap().record(&secret("correct horse")).unwrap();
        let other = Hasher::new(64, 2).unwrap();
        assert!(other.is_right(&secret("correct horse"), Some(&record)));
        assert!(!other.is_right(&secret("wrong horse"), Some(&record)));
    }

    #[test]
    fn without_an_account_nothing_is_right() {
        let hasher = Hasher::cheap().unwrap();
        assert!(!hasher.is_right(&secret("correct horse"), None));
    }

    #[test]
    fn a_hostile_record_costs_nothing() {
        let hasher = Hasher::cheap().unwrap();
        let record = hasher.record(&secret("correct horse")).unwrap();
        for bad in [
            record.replace("m=8", "m=4194304"),
            record.replace("t=1", "t=4000000"),
            record.replace("$argon2id$", "$md5$"),
            record[..record.len() - 3].to_owned(),
            String::new(),
            "correct horse".to_owned(),
        ] {
            assert!(!hasher.is_right(&secret("correct horse"), Some(&bad)), "{bad}");
        }
        assert!(Hasher::new(HASH_MEMORY_KIB_MAX + 1, 1).is_err());
        assert!(Hasher::new(1, 1).is_err());
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", secret("correct horse")), "Secret(..)");
    }
}
