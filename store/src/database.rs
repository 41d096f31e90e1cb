//! One SQLite file: opened with settings that keep the promise of durability, checked, and migrated.
//!
//! Owns every connection setting. Must never offer one under which a finished commit could be lost.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::{Error, Result, is_broken};
use crate::limits;

/// The messages' file in a data directory.
pub const MESSAGES_FILE: &str = "messages.sqlite";

/// The accounts' file in a data directory.
pub const ACCOUNTS_FILE: &str = "accounts.sqlite";

/// Where a database is and what it may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file. Its directory is made if it is missing.
    pub path: PathBuf,
    /// How many bytes the database may have (the WAL, which is bounded too, comes on top); `None`: as the disk has.
    /// Beyond it the store is full: `Busy`, until something is removed or the limit is raised.
    pub bytes_max: Option<u64>,
    /// How long a call waits for a lock of another connection before it is `Busy`.
    pub busy_timeout: Duration,
    /// WAL pages after which a commit also moves them into the database.
    pub wal_pages: u32,
    /// Another file that is attached for reading: the accounts, for what needs names. It must be there.
    pub attached: Option<PathBuf>,
    /// Messages whose index entries are written together. They are found in memory until then, and read again at the
    /// start: more of them cost memory and time there, and save writing.
    pub piece_messages: usize,
}

impl Options {
    /// The defaults for a file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            bytes_max: None,
            busy_timeout: limits::BUSY_TIMEOUT,
            wal_pages: limits::WAL_PAGES,
            attached: None,
            piece_messages: limits::PIECE_MESSAGES,
        }
    }

    /// The messages of a data directory.
    #[must_use]
    pub fn messages(data: &Path) -> Self {
        Self::new(data.join(MESSAGES_FILE))
    }

    /// The same, with the accounts of the directory at hand.
    #[must_use]
    pub fn messages_with_accounts(data: &Path) -> Self {
        Self { attached: Some(data.join(ACCOUNTS_FILE)), ..Self::messages(data) }
    }

    /// The accounts of a data directory.
    #[must_use]
    pub fn accounts(data: &Path) -> Self {
        Self::new(data.join(ACCOUNTS_FILE))
    }
}

/// What a file is for: SQLite keeps the number in its header, so that one file is never taken for the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema {
    /// For messages to people.
    pub(crate) name: &'static str,
    /// `PRAGMA application_id`.
    pub(crate) application_id: i32,
    /// One script per version, ever appended to: `user_version` counts how many a file has had.
    pub(crate) migrations: &'static [&'static str],
}

/// A connection that is opened again after it broke.
#[derive(Debug)]
pub(crate) struct Link {
    options: Options,
    access: Access,
    connection: Option<Connection>,
}

#[derive(Clone, Copy, Debug)]
enum Access {
    Write(Schema),
    Read,
}

impl Link {
    /// Opens for writing: makes and migrates the file as needed.
    pub(crate) fn write(options: &Options, schema: Schema) -> Result<Self> {
        Self::open(options, Access::Write(schema))
    }

    /// Opens a file that a writer has made, for reading only.
    pub(crate) fn read(options: &Options) -> Result<Self> {
        Self::open(options, Access::Read)
    }

    fn open(options: &Options, access: Access) -> Result<Self> {
        let mut link = Self { options: options.clone(), access, connection: None };
        link.connection()?;
        Ok(link)
    }

    /// The connection; a new one if the last one broke.
    pub(crate) fn connection(&mut self) -> Result<&mut Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => match self.access {
                Access::Write(schema) => open_for_writing(&self.options, schema)?,
                Access::Read => open_for_reading(&self.options)?,
            },
        };
        Ok(self.connection.insert(connection))
    }

    /// Runs `work` and, if it fails, leaves no transaction open; a broken connection is thrown away.
    pub(crate) fn run<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let connection = self.connection()?;
        let result = work(connection);
        // `Transaction` rolls back when it is dropped; where that failed the connection must not live on with it.
        let is_open = !connection.is_autocommit();
        result.map_err(|error| {
            if is_open || is_broken(&error) {
                self.connection = None;
            }
            Error::from(error)
        })
    }

    /// Finds out whether the disk takes writes: writes some bytes into the file's `probe` table, removes them, and
    /// commits that.
    pub(crate) fn probe(&mut self) -> Result<()> {
        self.run(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT INTO probe (bytes) VALUES (zeroblob(?1))",
                [limits::PROBE_BYTES],
            )?;
            transaction.execute("DELETE FROM probe", [])?;
            transaction.commit()
        })
    }

    /// Changes the byte limit of the open file, and of those opened later.
    pub(crate) fn set_bytes_max(&mut self, bytes_max: Option<u64>) -> Result<()> {
        self.options.bytes_max = bytes_max;
        let limit = pages_max(bytes_max);
        self.run(|connection| limit_pages(connection, limit))
    }
}

fn open_for_writing(options: &Options, schema: Schema) -> Result<Connection> {
    make_file(&options.path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&options.path, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(limits::STATEMENTS_MAX);
    connection.pragma_update(None, "page_size", limits::PAGE_BYTES.cast_signed())?;
    check_kind(&connection, options, schema)?;
    set_durable(&connection, options)?;
    settle(&connection)?;
    connection.pragma_update(None, "cache_size", cache_kib(limits::WRITE_CACHE_BYTES))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    limit_pages(&connection, pages_max(options.bytes_max))?;
    migrate(&mut connection, options, schema)?;
    attach(&connection, options)?;
    Ok(connection)
}

fn open_for_reading(options: &Options) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&options.path, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(limits::STATEMENTS_MAX);
    connection.pragma_update(None, "cache_size", cache_kib(limits::READ_CACHE_BYTES))?;
    attach(&connection, options)?;
    Ok(connection)
}

/// Attaches the other file for reading only: so a transaction that writes here takes no lock there.
fn attach(connection: &Connection, options: &Options) -> Result<()> {
    let Some(path) = &options.attached else { return Ok(()) };
    // The signs that mean something in the address of a file.
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    connection.execute("ATTACH DATABASE ?1 AS attached", [format!("file:{path}?mode=ro")])?;
    Ok(())
}

/// Makes an empty file for its owner only, and its directory entry durable, before SQLite sees it.
fn make_file(path: &Path) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    std::fs::create_dir_all(directory)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            File::open(directory)?.sync_all()?;
            if let Ok(parent) = File::open(directory.join("..")) {
                parent.sync_all()?;
            }
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::busy(format!("{}: {error}", path.display()))),
    }
}

/// Refuses a file of another kind, and one that a newer version has written.
fn check_kind(connection: &Connection, options: &Options, schema: Schema) -> Result<()> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version = user_version(connection)?;
    let path = options.path.display();
    if id != schema.application_id && (id, version) != (0, 0) {
        return Err(Error::refused(format!(
            "{path} is not a Ringline {} file: name another data directory",
            schema.name
        )));
    }
    if version > schema.migrations.len() {
        return Err(Error::refused(format!(
            "{path} has schema version {version}, this program knows up to {}: use the newer program, or restore a backup",
            schema.migrations.len()
        )));
    }
    Ok(())
}

/// Every commit is one fsync of the WAL; each setting is read back, because SQLite does not refuse what it cannot do.
fn set_durable(connection: &Connection, options: &Options) -> Result<()> {
    // The row comes before the switch is committed, so the statement must be run to its end, and the file be read once,
    // before the answer to a second question can be believed.
    connection.pragma(None, "journal_mode", "WAL", |_| Ok(()))?;
    let _: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if mode != "wal" || synchronous != 2 {
        return Err(Error::refused(format!(
            "{} cannot be made durable (journal_mode {mode}, synchronous {synchronous}): use a local file system",
            options.path.display()
        )));
    }
    // Writing through a mapping is not SQLite's way, but a mapped read of a file that an I/O error cut short is SIGBUS.
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(())).or_else(no_row_is_fine)?;
    connection.pragma_update_and_check(
        None,
        "wal_autocheckpoint",
        options.wal_pages,
        |_| Ok(()),
    )?;
    connection.pragma_update_and_check(
        None,
        "journal_size_limit",
        limits::WAL_BYTES_KEPT.cast_signed(),
        |_| Ok(()),
    )?;
    Ok(())
}

/// Makes everything that can be read durable. What an earlier process or a connection that broke had written but not
/// synced may be readable all the same; a retry that is found in it would be acknowledged without a sync of its own, and
/// a power failure could take it. So it is moved into the database, which syncs it, before anything is served.
fn settle(connection: &Connection) -> Result<()> {
    let is_busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))?;
    if is_busy {
        return Err(Error::busy("another connection holds the file: end whatever has it open"));
    }
    Ok(())
}

/// A virtual file system without mappings answers `mmap_size` with no row.
fn no_row_is_fine(error: rusqlite::Error) -> rusqlite::Result<()> {
    if error == rusqlite::Error::QueryReturnedNoRows { Ok(()) } else { Err(error) }
}

/// Brings the file up to date, each version in a transaction of its own.
fn migrate(connection: &mut Connection, options: &Options, schema: Schema) -> Result<()> {
    loop {
        // Asked again under the write lock: another process may be migrating the same file.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = user_version(&transaction)?;
        let Some(script) = schema.migrations.get(version) else { return Ok(()) };
        transaction.execute_batch(script).map_err(|error| {
            let path = options.path.display();
            match Error::from(error) {
                Error::Busy(text) => Error::Busy(text),
                Error::Refused(text) => Error::refused(format!(
                    "{path}: migration to schema version {} failed: {text}",
                    version + 1
                )),
            }
        })?;
        transaction.pragma_update(None, "application_id", schema.application_id)?;
        transaction.pragma_update(None, "user_version", version.cast_signed() as i64 + 1)?;
        transaction.commit()?;
    }
}

fn user_version(connection: &Connection) -> Result<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    usize::try_from(version).map_err(|_| Error::refused(format!("schema version {version}")))
}

fn pages_max(bytes_max: Option<u64>) -> i64 {
    // SQLite's own largest count of pages.
    const PAGES_MAX: u64 = 0xffff_fffe;
    let pages = bytes_max.map_or(PAGES_MAX, |bytes| (bytes / limits::PAGE_BYTES).min(PAGES_MAX));
    i64::try_from(pages.max(1)).unwrap_or(i64::MAX)
}

fn limit_pages(connection: &Connection, pages: i64) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}

/// SQLite counts a cache in KiB when the number is negative.
fn cache_kib(bytes: u64) -> i64 {
    -i64::try_from(bytes / 1024).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Schema = Schema {
        name: "test",
        application_id: 7,
        migrations: &["CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1);"],
    };
    const SECOND: Schema = Schema {
        migrations: &[FIRST.migrations[0], "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 5;"],
        ..FIRST
    };

    const BROKEN: Schema = Schema {
        migrations: &[FIRST.migrations[0], "CREATE TABLE b (x INTEGER); SELECT nonsense;"],
        ..FIRST
    };

    fn options(directory: &tempfile::TempDir) -> Options {
        Options::new(directory.path().join("deep").join("test.sqlite"))
    }

    #[test]
    fn an_old_file_is_migrated_once_and_keeps_its_rows() {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(&directory);
        drop(Link::write(&options, FIRST).expect("a new file"));
        for _ in 0..2 {
            let mut link = Link::write(&options, SECOND).expect("migrated, then left alone");
            let sum: (i64, i64) = link
                .run(|sql| sql.query_row("SELECT x, y FROM a", [], |r| Ok((r.get(0)?, r.get(1)?))))
                .expect("the row");
            assert_eq!(sum, (1, 5));
        }
    }

    #[test]
    fn a_newer_file_is_refused_with_advice() {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(&directory);
        drop(Link::write(&options, SECOND).expect("a new file"));
        let error = Link::write(&options, FIRST).expect_err("too new");
        assert!(matches!(&error, Error::Refused(text) if text.contains("use the newer program")));
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(&directory);
        drop(Link::write(&options, FIRST).expect("a new file"));
        let other = Schema { application_id: 8, ..FIRST };
        let error = Link::write(&options, other).expect_err("another kind");
        assert!(matches!(&error, Error::Refused(text) if text.contains("not a Ringline")));
    }

    #[test]
    fn a_failing_migration_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(&directory);
        drop(Link::write(&options, FIRST).expect("a new file"));
        let error = Link::write(&options, BROKEN).expect_err("a broken script");
        assert!(matches!(&error, Error::Refused(text) if text.contains("schema version 2")));
        drop(Link::write(&options, SECOND).expect("still version one"));
    }

    #[test]
    fn the_file_and_its_wal_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(&directory);
        let _link = Link::write(&options, FIRST).expect("a new file");
        for name in ["test.sqlite", "test.sqlite-wal"] {
            let path = directory.path().join("deep").join(name);
            let mode = std::fs::metadata(path).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
