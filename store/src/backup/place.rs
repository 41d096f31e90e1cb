//! The directory that a restore goes to: nobody may have it open, and what was there is kept aside.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{FILES, sync};
use crate::error::{Error, Result};

/// Connections that hold the old files, so that nobody opens them until they are replaced.
pub(super) struct Held(#[expect(dead_code, reason = "held for its locks alone")] Vec<Connection>);

/// Refuses a directory that has something in it, unless that is to be replaced.
pub(super) fn ensure_empty(data: &Path, is_forced: bool) -> Result<()> {
    let is_empty =
        fs::read_dir(data).map_or_else(|_| !data.exists(), |mut all| all.next().is_none());
    if is_empty || is_forced {
        return Ok(());
    }
    Err(Error::refused(format!(
        "{} is not empty: name another directory, or say --force to put its files aside",
        data.display()
    )))
}

/// Makes sure that no process has the files of a directory open, and keeps it so.
pub(super) fn hold(data: &Path) -> Result<Held> {
    let mut held = Vec::new();
    for (name, _) in FILES {
        let path = data.join(name);
        if path.is_file() {
            held.extend(hold_one(&path)?);
        }
    }
    Ok(Held(held))
}

/// A file that is no database any more cannot be held, and is replaced because of that.
fn hold_one(path: &Path) -> Result<Option<Connection>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let held = Connection::open_with_flags(path, flags).and_then(|sql| {
        sql.busy_timeout(std::time::Duration::ZERO)?;
        // A file leaves this mode for its last connection only. Its WAL ends with that, so that none is left over to be
        // taken for the new file's.
        sql.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0))
            .map(drop)?;
        sql.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(sql)
    });
    match held {
        Ok(sql) => Ok(Some(sql)),
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => match Error::from(error) {
            Error::Busy(text) => Err(Error::refused(format!(
                "{} is in use: stop the node and the gateway first ({text})",
                path.display()
            ))),
            refused @ Error::Refused(_) => Err(refused),
        },
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// Puts the old files, with whatever belongs to them, into a directory of their own. Gives it, if there was anything.
pub(super) fn put_aside(data: &Path, now_ms: u64) -> Result<Option<PathBuf>> {
    let aside = data.join(format!("replaced-{now_ms}"));
    let mut is_made = false;
    for (name, _) in FILES {
        for suffix in ["-wal", "-shm", "-journal", ""] {
            let file = format!("{name}{suffix}");
            let path = data.join(&file);
            if !path.exists() {
                continue;
            }
            if !is_made {
                fs::create_dir(&aside)?;
                is_made = true;
            }
            fs::rename(&path, aside.join(&file))?;
        }
    }
    if is_made {
        sync(&aside)?;
    }
    Ok(is_made.then_some(aside))
}
