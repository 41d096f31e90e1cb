//! How a Redis is named on a command line, without its password being shown anywhere.

use std::convert::Infallible;
use std::fmt::{self, Debug, Display};
use std::str::FromStr;

use ::redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// What was given for the address of a Redis is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--redis is no address of a Redis ({0}): write redis://HOST:PORT, redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss://... \
     for one inside TLS, or unix:///PATH"
)]
pub struct BadRedis(String);

/// Where a Redis is: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, the same with `rediss` for TLS, or `unix:///PATH`.
///
/// Reading it never fails, because whatever reports a word that cannot be read repeats it, and there may be a password in
/// it. [`super::Link::new`] says what is wrong instead. Nor is the password in what is shown of it.
#[derive(Clone)]
pub struct RedisUrl(Result<ConnectionInfo, BadRedis>);

impl FromStr for RedisUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(read(text)))
    }
}

/// The text is not repeated: what is wrong with it may be the password.
fn read(text: &str) -> Result<ConnectionInfo, BadRedis> {
    let bad = |reason: &str| BadRedis(reason.to_owned());
    let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
    if !matches!(scheme, "redis" | "rediss" | "unix") {
        return Err(bad("its scheme is not redis, rediss or unix"));
    }
    if rest.contains(['?', '#']) {
        return Err(bad("it has a part that begins with ? or #: in a password, write %3F and %23"));
    }
    if scheme != "unix" && rest.starts_with('/') {
        return Err(bad("it names no host"));
    }
    text.into_connection_info()
        .map_err(|error| bad(error.detail().unwrap_or_else(|| error.category())))
}

impl RedisUrl {
    /// Whether there is a password in it.
    ///
    /// # Errors
    /// See [`BadRedis`].
    pub fn has_password(&self) -> Result<bool, BadRedis> {
        let info = self.0.as_ref().map_err(Clone::clone)?;
        Ok(info.redis_settings().password().is_some())
    }

    /// What connects to it.
    pub(super) fn client(&self) -> Result<Client, BadRedis> {
        let info = self.0.clone()?;
        Client::open(info).map_err(|error| BadRedis(error.category().to_owned()))
    }
}

impl Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(info) = &self.0 else { return f.write_str("no address of a Redis") };
        match info.addr() {
            ConnectionAddr::Tcp(host, port) => write!(f, "redis://{host}:{port}"),
            ConnectionAddr::TcpTls { host, port, .. } => write!(f, "rediss://{host}:{port}"),
            ConnectionAddr::Unix(path) => write!(f, "unix://{}", path.display()),
            _ => f.write_str("redis"),
        }?;
        match info.redis_settings().db() {
            0 => Ok(()),
            database => write!(f, "/{database}"),
        }
    }
}

impl Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RedisUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_redis_is_shown_without_who_calls_it() {
        for (said, shown) in [
            ("redis://:geheim@cache.example:7000/2", "redis://cache.example:7000/2"),
            ("redis://chat:geheim@cache.example", "redis://cache.example:6379"),
            ("rediss://chat:geheim@10.0.0.1:6380", "rediss://10.0.0.1:6380"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ] {
            let url = url(said);
            assert!(url.client().is_ok(), "{said}");
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
        }
    }

    #[test]
    fn what_is_none_is_refused_without_being_repeated() {
        for said in [
            "",
            "geheim",
            "mysql://chat:geheim@host",
            "redis://chat:geheim",
            "redis://:geheim@host/database",
            "redis://:ge#heim@host",
            "redis://host?password=geheim",
            "redis://:geheim@host:99999",
            "redis:///geheim",
        ] {
            let error = url(said).client().err().map(|error| error.to_string());
            let error = error.unwrap_or_else(|| panic!("{said} was taken"));
            assert!(error.contains("write redis://HOST:PORT"), "{error}");
            assert!(!error.contains("geheim") && !format!("{:?}", url(said)).contains("geheim"));
        }
    }
}
