//! One database, copied while others write it.
//!
//! The copy holds one read transaction from its beginning to its end: it is one state of the file, and a writer that
//! commits every other millisecond does not make it begin again. It never takes a lock that a writer waits for.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::Progress;
use crate::database::Schema;
use crate::error::{Error, Result};
use crate::limits;

/// Copies a database as it is at the beginning.
pub(super) fn copy(
    source: &Path,
    to: &Path,
    name: &'static str,
    tell: &mut dyn FnMut(Progress),
) -> Result<()> {
    let from = Connection::open_with_flags(
        source,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    from.busy_timeout(limits::BUSY_TIMEOUT)?;
    from.execute_batch("BEGIN")?;
    // The transaction takes its snapshot when it first reads.
    let _: i64 = from.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut copy = Connection::open(to)?;
    // Nobody needs half a copy: it is synced as a whole, or removed.
    copy.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    copy.pragma_update(None, "synchronous", "OFF")?;
    let wal = Wal::of(source);
    let backup = Backup::new(&from, &mut copy)?;
    let mut busy = 0;
    loop {
        let step = backup.step(limits::BACKUP_STEP_PAGES)?;
        let progress = backup.progress();
        let bytes = |pages: i32| u64::from(pages.max(0).unsigned_abs()) * limits::PAGE_BYTES;
        let all = bytes(progress.pagecount);
        tell(Progress { file: name, done: all - bytes(progress.remaining), all });
        if step == StepResult::Done {
            break;
        }
        busy = if step == StepResult::More { 0 } else { busy + 1 };
        if busy > limits::BACKUP_BUSY_MAX {
            return Err(Error::busy(format!("{}: another connection holds it", source.display())));
        }
        if busy > 0 || !wal.is_growing() {
            std::thread::sleep(limits::BACKUP_PAUSE);
        }
    }
    drop(backup);
    copy.close().map_err(|(_, error)| Error::from(error))?;
    super::sync(to)
}

/// The WAL of a file that is being copied.
struct Wal {
    path: PathBuf,
    begun_bytes: u64,
}

impl Wal {
    fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        let path = PathBuf::from(path);
        let begun_bytes = bytes_of(&path);
        Self { path, begun_bytes }
    }

    /// Whether so much was written since the copy began that it had better hurry.
    fn is_growing(&self) -> bool {
        bytes_of(&self.path).saturating_sub(self.begun_bytes) > limits::BACKUP_WAL_BYTES
    }
}

fn bytes_of(path: &Path) -> u64 {
    path.metadata().map_or(0, |file| file.len())
}

/// Makes sure that a copy is a whole database of its kind, without writing anything beside it.
pub(super) fn check(copy: &Path, schema: Schema) -> Result<()> {
    let sql = open_still(copy)?;
    let verdict: String = sql.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    let id: i32 = sql.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if verdict != "ok" || id != schema.application_id {
        return Err(Error::refused(format!(
            "the copy of the {} is damaged, and so the file may be: {verdict}",
            schema.name
        )));
    }
    Ok(())
}

/// Opens a file that nobody writes.
fn open_still(path: &Path) -> Result<Connection> {
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)?)
}
