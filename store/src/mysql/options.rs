//! Where the database is, from a URL. The password in it is shown nowhere.

use std::fmt;
use std::time::Duration;

use mysql_async::{Opts, OptsBuilder};

use crate::error::{Error, Result};
use crate::limits;

/// How a URL looks.
const SHAPE: &str = "write it like mysql://USER:PASSWORD@HOST:3306/DATABASE, with %40 for an @ in the \
                     password, and ?socket=/PATH for a Unix socket";

/// A database that speaks the MySQL protocol.
#[derive(Clone, PartialEq, Eq)]
pub struct MysqlOptions {
    opts: Opts,
    patience: Duration,
    /// Messages older than this go, in milliseconds.
    age_ms: Option<u64>,
}

impl MysqlOptions {
    /// From a URL like `mysql://USER:PASSWORD@HOST:3306/DATABASE`.
    ///
    /// # Errors
    /// `Refused` if it is none; the text does not repeat it.
    pub fn from_url(url: &str) -> Result<Self> {
        let opts = Opts::from_url(url)
            .map_err(|error| Error::refused(format!("no URL of a database ({error}): {SHAPE}")))?;
        if opts.db_name().is_none_or(str::is_empty) {
            return Err(Error::refused(format!("the URL names no database: {SHAPE}")));
        }
        let opts = OptsBuilder::from_opts(opts)
            // An UPDATE that changes nothing has still found its row.
            .client_found_rows(true)
            .stmt_cache_size(Some(limits::MYSQL_STATEMENTS_MAX))
            // Only if the URL names a socket: otherwise every connection would be made twice.
            .prefer_socket(Some(false))
            .tcp_nodelay(true);
        Ok(Self { opts: opts.into(), patience: limits::MYSQL_PATIENCE, age_ms: None })
    }

    /// The same with another time that a statement may take before the answer is `Busy`.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How to copy the database while it is written: what the server's own programs are for.
    #[must_use]
    pub fn backup_advice(&self) -> String {
        let (reach, database) = (self.reach(), self.opts.db_name().unwrap_or_default());
        format!(
            "a database server is not copied file by file: run `mariadb-dump --single-transaction --hex-blob {reach} \
             {database} > FILE`, which sees one moment of it and holds nobody up (mysqldump takes the same words)"
        )
    }

    /// How to put such a copy back, and what must be done before a node uses it.
    #[must_use]
    pub fn restore_advice(&self) -> String {
        let (reach, database) = (self.reach(), self.opts.db_name().unwrap_or_default());
        format!(
            "a database server is not restored file by file: with nodes and gateways stopped, run `mariadb {reach} {database} \
             < FILE` into an empty database, then `UPDATE counters SET value = value + 8192 WHERE name = 'id_blocks'`: so \
             no message gets an id that was given after the copy was made"
        )
    }

    /// The words with which the server's own programs reach it; they ask for the password.
    fn reach(&self) -> String {
        let user = self.opts.user().unwrap_or_default();
        match self.opts.socket() {
            Some(socket) => format!("--socket={socket} --user={user} -p"),
            None => {
                let (host, port) = (self.opts.ip_or_hostname(), self.opts.tcp_port());
                format!("--host={host} --port={port} --user={user} -p")
            }
        }
    }

    /// Sets how long messages are kept.
    pub(crate) const fn set_age_ms(&mut self, age_ms: Option<u64>) {
        self.age_ms = age_ms;
    }

    pub(super) const fn age_ms(&self) -> Option<u64> {
        self.age_ms
    }

    pub(super) fn opts(&self) -> Opts {
        self.opts.clone()
    }

    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }
}

/// The URL without its password.
impl fmt::Display for MysqlOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opts = &self.opts;
        let database = opts.db_name().unwrap_or_default();
        write!(f, "mysql://{}@", opts.user().unwrap_or_default())?;
        match opts.socket() {
            Some(socket) => write!(f, "localhost/{database}?socket={socket}"),
            None => write!(f, "{}:{}/{database}", opts.ip_or_hostname(), opts.tcp_port()),
        }
    }
}

impl fmt::Debug for MysqlOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MysqlOptions({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let url = "mysql://chat:s3cr%40t@db.example.org:3307/ringline";
        let options = MysqlOptions::from_url(url).expect("a URL");
        assert_eq!(options.to_string(), "mysql://chat@db.example.org:3307/ringline");
        assert!(!format!("{options:?}").contains("s3cr"));
        let socket = MysqlOptions::from_url("mysql://root@localhost/r?socket=/tmp/s").expect("one");
        assert_eq!(socket.to_string(), "mysql://root@localhost/r?socket=/tmp/s");
    }

    #[test]
    fn what_is_no_url_is_refused_with_its_shape_and_without_the_password() {
        for bad in [
            "",
            "sqlite",
            "mysql://",
            "mysql://chat:s3cret@host",
            "mysql://chat:s3cret@host/",
            "http://chat:s3cret@host/db",
            "mysql://chat:s3cret@host:99999/db",
            "mysql://chat:s3cret@host/db?no_such=1",
        ] {
            let error = MysqlOptions::from_url(bad).expect_err(bad);
            let text = error.to_string();
            assert!(!error.is_busy() && text.contains("mysql://USER:"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}
