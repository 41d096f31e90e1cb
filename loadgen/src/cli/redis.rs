//! The words that say which Redis a local run uses.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use balancer::redis::RedisUrl;

/// Whether there is a Redis.
#[derive(Clone, Debug)]
pub enum RedisChoice {
    /// There is none.
    None,
    /// One of this run.
    Private,
    /// One that is there.
    At(Box<RedisAt>),
}

impl FromStr for RedisChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "none" => Self::None,
            "private" => Self::Private,
            url => {
                let Ok(checked) = url.parse();
                Self::At(Box::new(RedisAt { address: url.to_owned(), checked }))
            }
        })
    }
}

/// Where a Redis is, as it was typed.
#[derive(Clone)]
pub struct RedisAt {
    address: String,
    checked: RedisUrl,
}

impl fmt::Debug for RedisAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.checked, f)
    }
}

impl RedisAt {
    /// As a server is told.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it can be used here.
    ///
    /// # Errors
    /// It is no address, or has a password: reports say with which arguments they were made.
    pub fn check(&self) -> anyhow::Result<()> {
        let has_password = self.checked.has_password()?;
        anyhow::ensure!(
            !has_password,
            "reports have this program's arguments in them: name a Redis without a password, or say --redis private"
        );
        Ok(())
    }
}
