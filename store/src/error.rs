//! Why the store did not do it: what may pass, and what will not.
//!
//! The text is for the log of the operator, never for a peer.

use rusqlite::ErrorCode;

/// A result of the store.
pub type Result<T> = std::result::Result<T, Error>;

/// Why nothing was done. After any error the store is as it was before the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Full, locked, or an I/O error: worth another attempt later.
    #[error("store busy: {0}")]
    Busy(String),
    /// It will not work by trying again: somebody must act on the text.
    #[error("store refuses: {0}")]
    Refused(String),
}

impl Error {
    /// Whether another attempt later may succeed.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }

    /// A busy answer with its reason.
    pub(crate) fn busy(text: impl Into<String>) -> Self {
        Self::Busy(text.into())
    }

    /// A refusal with its reason and what to do.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error_code() else {
            return Self::Refused(error.to_string());
        };
        match classify(code) {
            Class::Busy(advice) => Self::Busy(format!("{error} ({advice})")),
            Class::Refused(advice) => Self::Refused(format!("{error} ({advice})")),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Busy(error.to_string())
    }
}

/// Whether a connection that gave this error is thrown away.
///
/// Not after an I/O error: this connection knows that the commit whose sync failed does not count and writes over it,
/// while a new one might find it in the page cache, hold it for committed, and nothing would ever bring it to the disk.
pub(crate) fn is_broken(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code().is_some_and(|code| {
        !matches!(
            code,
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
        )
    })
}

enum Class {
    Busy(&'static str),
    Refused(&'static str),
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign list that grows: what is not known to pass is refused"
)]
const fn classify(code: ErrorCode) -> Class {
    match code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => {
            Class::Busy("another connection holds the file: end whatever has it open")
        }
        ErrorCode::DiskFull => Class::Busy("make room, or raise the byte limit of the file"),
        ErrorCode::SystemIoFailure => Class::Busy(
            "look whether the disk is full, at the kernel log, and at the disk's health",
        ),
        ErrorCode::OutOfMemory => Class::Busy("free memory"),
        ErrorCode::OperationInterrupted
        | ErrorCode::OperationAborted
        | ErrorCode::SchemaChanged => Class::Busy("try again"),
        ErrorCode::ReadOnly => Class::Busy("make the file and its directory writable"),
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            Class::Busy("check that the directory exists and belongs to this user")
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Class::Refused(
            "the file is damaged: stop, copy it, run `PRAGMA integrity_check`, restore a backup",
        ),
        _ => Class::Refused("report this with the log"),
    }
}
