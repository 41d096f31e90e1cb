//! The arguments that say where the shared state is. The gateway and the verification server have the same.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use balancer::key;
use balancer::redis::RedisUrl;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Limit, Shared};

/// What a key file is used for here, so that it gives other keys for other uses.
const PURPOSE: &[u8] = b"ringline verification codes";

/// Where verification codes, and how often somebody has done something, are remembered.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SharedArgs {
    /// A Redis that remembers verification codes, rates and lock-outs for all gateways and verification servers that name
    /// the same; else each remembers its own. rediss:// is inside TLS, unix:///PATH is on this machine. Others can read
    /// arguments in the process list: set the variable where there is a password
    #[arg(
        long,
        value_name = "redis://USER:PASSWORD@HOST:PORT/DATABASE",
        env = "RINGLINE_REDIS",
        hide_env_values = true
    )]
    pub redis: Option<RedisUrl>,

    /// The key that codes in a Redis are digested with, so that who can read it there finds none: at least 32 bytes, raw
    /// or as hexadecimal digits, the same wherever codes are made and compared. Needed with --redis where this is done
    #[arg(long, value_name = "FILE", requires = "redis")]
    pub code_key_file: Option<PathBuf>,

    /// Another bound than the usual one: so many at once, and one more after each such time. The names are those of the
    /// metric rate_refusals and of the page of limits. Servers that share a Redis should have the same. Read again at
    /// SIGHUP; several may be given
    #[arg(long, value_name = "NAME=COUNT/TIME", value_delimiter = ',')]
    pub limit: Vec<Limit>,
}

impl SharedArgs {
    /// The shared state.
    pub(crate) fn shared(&self) -> anyhow::Result<Shared> {
        let shared = match &self.redis {
            Some(url) => Shared::in_redis(url)?,
            None => Shared::in_memory(),
        };
        shared.set_limits(&self.limit);
        Ok(shared)
    }

    /// What digests codes: comparable wherever they are.
    pub(crate) fn digester(&self, is_development: bool) -> anyhow::Result<Digester> {
        ensure!(
            self.redis.is_none() || self.code_key_file.is_some(),
            "--redis needs --code-key-file, the same for all that make and compare codes: \
             `head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n'` makes one"
        );
        match &self.code_key_file {
            Some(path) => Digester::load(path, is_development).context("--code-key-file"),
            None => Digester::random(),
        }
    }
}

/// Digests codes with a key, so that six digits cannot be found by trying all of them against a leaked table.
pub(crate) struct Digester {
    key: [u8; 32],
}

impl Digester {
    /// With a key of its own.
    ///
    /// # Errors
    /// No randomness.
    pub(crate) fn random() -> anyhow::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self { key })
    }

    fn load(path: &Path, is_development: bool) -> anyhow::Result<Self> {
        Ok(Self { key: hmac(&key::read(path, is_development)?, &[PURPOSE]) })
    }

    /// The digest of a subject's code.
    pub(crate) fn digest(&self, subject: &str, code: &str) -> [u8; 32] {
        // An address cannot hold a zero: nothing can move from one part to the other.
        hmac(&self.key, &[subject.as_bytes(), b"\0", code.as_bytes()])
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes any key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: &str = "bob@example.org";

    #[test]
    fn nothing_that_is_kept_is_the_code_or_can_be_found_without_the_key() {
        let (one, two) = (Digester::random().unwrap(), Digester::random().unwrap());
        let digest = one.digest(BOB, "123456");
        assert!(!digest.windows(6).any(|part| part == b"123456"));
        assert_ne!(digest, two.digest(BOB, "123456"));
        assert_ne!(digest, one.digest("eve@example.org", "123456"));
    }

    #[test]
    fn who_has_the_same_file_finds_the_same_digest_and_it_is_needed_with_a_redis() {
        let dir = tempfile::tempdir().unwrap();
        let [file, other] = ["one.key", "two.key"].map(|name| dir.path().join(name));
        key::create(&file).unwrap();
        key::create(&other).unwrap();
        let redis = "redis://:geheim@127.0.0.1:1".parse().ok();
        let with = |file: &PathBuf| {
            let args = SharedArgs {
                redis: redis.clone(),
                code_key_file: Some(file.clone()),
                limit: Vec::new(),
            };
            args.digester(false).unwrap().digest(BOB, "123456")
        };
        assert_eq!(with(&file), with(&file));
        assert_ne!(with(&file), with(&other));
        let args = SharedArgs { redis, ..SharedArgs::default() };
        let error = args.digester(false).err().unwrap().to_string();
        assert!(error.contains("--code-key-file"), "{error}");
        assert!(!format!("{args:?}").contains("geheim"));
    }
}
