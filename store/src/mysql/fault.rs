//! What went wrong with a statement, and what follows from it.

use mysql_async::Error as Driver;

use crate::error::Error;

/// A result of a statement.
pub(crate) type Done<T> = Result<T, Fault>;

/// Why a statement, or getting a connection, did not work.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server's word, or the connection's.
    Driver(Box<Driver>),
    /// Nothing came back in time: what became of the statement is not known.
    Late,
    /// What the database says cannot be, unless somebody else is changing it right now.
    Stale(&'static str),
    /// The answer of the store is clear already.
    Clear(Error),
}

/// What follows from a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Another transaction was in the way: the same one may pass right away.
    Again,
    /// The connection is of no use any more.
    Broken,
    /// Something that may pass.
    Busy,
    /// Something that does not pass by itself.
    Refused,
}

impl From<Driver> for Fault {
    fn from(error: Driver) -> Self {
        Self::Driver(Box::new(error))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Clear(error)
    }
}

impl Fault {
    /// What follows from it.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Driver(error) => match &**error {
                Driver::Server(error) => of_server(error.code).0,
                Driver::Io(_) | Driver::Driver(_) | Driver::Other(_) | Driver::Url(_) => {
                    Class::Broken
                }
            },
            Self::Late => Class::Broken,
            Self::Stale(_) => Class::Again,
            Self::Clear(error) if error.is_busy() => Class::Busy,
            Self::Clear(_) => Class::Refused,
        }
    }

    /// Whether the connection was gone before anything was sent over it, as one is that a server has closed for being
    /// idle: then nothing speaks against another one at once.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Driver(_)) && self.class() == Class::Broken
    }

    /// The server's number of the error, if it said one.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Driver(error) => match &**error {
                Driver::Server(error) => Some(error.code),
                Driver::Io(_) | Driver::Driver(_) | Driver::Other(_) | Driver::Url(_) => None,
            },
            Self::Late | Self::Stale(_) | Self::Clear(_) => None,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Driver(error) => match *error {
                Driver::Server(error) => {
                    let (class, advice) = of_server(error.code);
                    let text = format!("{} ({}; {advice})", error.message, error.code);
                    if class == Class::Refused { Self::refused(text) } else { Self::busy(text) }
                }
                error @ (Driver::Io(_) | Driver::Driver(_) | Driver::Other(_) | Driver::Url(_)) => {
                    Self::busy(format!("{error} (look whether the database server runs)"))
                }
            },
            Fault::Late => Self::busy(
                "the database server does not answer in time (look at its load and its disk)",
            ),
            Fault::Stale(text) => Self::busy(text),
            Fault::Clear(error) => error,
        }
    }
}

/// Two rows with the same unique key.
pub(crate) const DUPLICATE: u16 = 1062;
/// There is no such table.
pub(crate) const NO_TABLE: u16 = 1146;

/// What an error of the server means, and what to do about it.
const fn of_server(code: u16) -> (Class, &'static str) {
    match code {
        // A duplicate is somebody else's row, written between our look and our write: the next look finds it.
        DUPLICATE | 1020 | 1205 | 1213 => (Class::Again, "another transaction is in the way"),
        1021 | 1030 | 1114 | 3019 => (Class::Busy, "make room on the disk of the database server"),
        1290 | 1792 | 1836 => (Class::Busy, "the database is read-only: make it writable"),
        1461 => (Class::Broken, "raise max_prepared_stmt_count"),
        1040 | 1203 | 1226 => (Class::Broken, "raise the number of connections the server takes"),
        1053 | 1077 | 1079 | 1080 | 1152 | 1158..=1161 | 1184 | 1317 | 1927 | 3024 | 3169 => {
            (Class::Broken, "the connection or the statement was ended: it is tried again")
        }
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698 => {
            (Class::Refused, "give the user of the URL all rights on its database")
        }
        1049 => (Class::Refused, "create the database with CREATE DATABASE, or name another one"),
        1153 | 1301 => (Class::Refused, "raise max_allowed_packet"),
        NO_TABLE | 1054 => (Class::Refused, "the tables were changed by hand: restore a backup"),
        _ => (Class::Refused, "report this with the log"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16) -> Fault {
        let (message, state) = ("words".to_owned(), "HY000".to_owned());
        Fault::from(Driver::Server(mysql_async::ServerError { code, message, state }))
    }

    #[test]
    fn a_fault_says_whether_to_wait_or_to_act() {
        for (fault, class) in [
            (server(1213), Class::Again),
            (server(DUPLICATE), Class::Again),
            (server(1114), Class::Busy),
            (server(1927), Class::Broken),
            (server(1045), Class::Refused),
            (server(1064), Class::Refused),
            (Fault::Late, Class::Broken),
            (Fault::Clear(Error::busy("x")), Class::Busy),
        ] {
            assert_eq!(fault.class(), class, "{fault:?}");
            let is_busy = Error::from(fault).is_busy();
            assert_eq!(is_busy, class != Class::Refused, "{class:?}");
        }
    }
}
