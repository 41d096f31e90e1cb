//! Where the database is, from a URL. The password in it is shown nowhere.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use mysql_async::{Opts, OptsBuilder};

use crate::error::{Error, Result};
use crate::limits;

/// How a URL looks.
const SHAPE: &str = "write it like mysql://USER:PASSWORD@HOST:3306/DATABASE, with %40 for an @ in the \
                     password, ?socket=/PATH for a Unix socket, and ?require_ssl=true or ?ca=/PATH for TLS";

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
        let (url, ca) = without_ca(url);
        let opts = Opts::from_url(&url)
            .map_err(|error| Error::refused(format!("no URL of a database ({error}): {SHAPE}")))?;
        if opts.db_name().is_none_or(str::is_empty) {
            return Err(Error::refused(format!("the URL names no database: {SHAPE}")));
        }
        let mut ssl = opts.ssl_opts().cloned();
        if let Some(ca) = ca {
            let roots = std::fs::read(&ca).map_err(|error| {
                Error::refused(format!(
                    "cannot read the certificates of ca={}: {error}",
                    ca.display()
                ))
            })?;
            // Whoever names an authority means that one alone.
            let named = ssl.unwrap_or_default().with_root_certs(vec![roots.into()]);
            ssl = Some(named.with_disable_built_in_roots(true));
        }
        let opts = OptsBuilder::from_opts(opts)
            .ssl_opts(ssl)
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

    /// Whether what is said to the server, the password's proof included, can be read or answered by others on the way: it
    /// is on another machine, and TLS with a certificate that is checked is not asked for.
    pub(crate) fn is_exposed(&self) -> bool {
        let host = self.opts.ip_or_hostname();
        let is_near = self.opts.socket().is_some()
            || host.eq_ignore_ascii_case("localhost")
            || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let is_checked = self.opts.ssl_opts().is_some_and(|ssl| !ssl.accept_invalid_certs());
        !is_near && !is_checked
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

/// Takes `ca=FILE` out of a URL's parameters: the others are the driver's.
fn without_ca(url: &str) -> (String, Option<PathBuf>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (mut ca, mut rest) = (None, Vec::new());
    for parameter in query.split('&') {
        match parameter.strip_prefix("ca=") {
            Some(file) => ca = Some(PathBuf::from(OsString::from_vec(decoded(file)))),
            None => rest.push(parameter),
        }
    }
    let mark = if rest.is_empty() { "" } else { "?" };
    (format!("{base}{mark}{}", rest.join("&")), ca)
}

/// The bytes of a text with `%2f` and the like; what is none of these stays as it is.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'%').map(|digits| u8::from_str_radix(digits, 16));
        match byte {
            Some(Ok(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            Some(Err(_)) | None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
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
    fn a_server_elsewhere_is_reached_inside_tls_or_counts_as_exposed() {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = folder.path().join("c a.pem");
        std::fs::write(&ca, "no certificate is looked at before one connects").expect("a file");
        let ca = ca.display().to_string().replace(' ', "%20");
        for (rest, is_exposed) in [
            ("127.0.0.1/r", false),
            ("[::1]:3307/r", false),
            ("localhost/r", false),
            ("10.0.0.5/r", true),
            ("db.example.org/r", true),
            ("db.example.org/r?require_ssl=true", false),
            ("db.example.org/r?require_ssl=false", true),
            ("db.example.org/r?require_ssl=true&verify_identity=false", false),
            // Anybody may answer.
            ("db.example.org/r?require_ssl=true&verify_ca=false", true),
            (&format!("db.example.org/r?ca={ca}"), false),
            (&format!("db.example.org/r?require_ssl=true&ca={ca}"), false),
            ("db.example.org/r?socket=/tmp/s", false),
        ] {
            let options = MysqlOptions::from_url(&format!("mysql://chat:s3cret@{rest}"));
            assert_eq!(options.expect(rest).is_exposed(), is_exposed, "{rest}");
        }
        let missing = MysqlOptions::from_url("mysql://chat:s3cret@db/r?ca=/nowhere/ca.pem");
        let words = missing.expect_err("no such file").to_string();
        assert!(words.contains("/nowhere/ca.pem") && !words.contains("s3cret"), "{words}");
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
