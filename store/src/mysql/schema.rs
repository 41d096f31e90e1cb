//! The schema of the database, version by version. A released version is never edited: a change is a new one.
//!
//! The protocol commits each change of a table at once, so a version that was interrupted is run again from its first
//! statement: every statement must be one that may be run twice.

use super::fault::{Done, Fault, NO_TABLE};
use super::link::Session;
use crate::error::Error;
use crate::limits;

/// The versions.
const VERSIONS: &[&[&str]] = &[VERSION_1];

/// Names differ only if they differ beyond upper and lower case, as in the other backends; all else is compared byte by
/// byte. A conversation's row has its last `seq`, which is read and raised under a lock of that row. Messages lie in the
/// order in which they are read. A group's row is its room's number, less where groups begin.
const VERSION_1: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS accounts (
        user_id         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        username        VARCHAR(512) COLLATE utf8mb4_general_ci NOT NULL,
        email           VARCHAR(512) COLLATE utf8mb4_general_ci NOT NULL,
        phc             VARBINARY(512) NOT NULL,
        session_epoch   BIGINT NOT NULL,
        created_unix_ms BIGINT NOT NULL,
        UNIQUE KEY by_username (username),
        UNIQUE KEY by_email (email)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS profiles (
        user_id     BIGINT NOT NULL PRIMARY KEY,
        nickname    TEXT NOT NULL,
        description TEXT NOT NULL,
        avatar      TEXT NOT NULL,
        sex         TINYINT NOT NULL
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS conversations (
        id     BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        first  BIGINT NOT NULL,
        second BIGINT NOT NULL,
        head   BIGINT NOT NULL,
        UNIQUE KEY by_first (first, second),
        KEY by_second (second, first)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS messages (
        conversation      BIGINT NOT NULL,
        seq               BIGINT NOT NULL,
        message_id        BIGINT NOT NULL,
        sender            BIGINT NOT NULL,
        client_message_id BIGINT NOT NULL,
        unix_ms           BIGINT NOT NULL,
        body              MEDIUMBLOB NOT NULL,
        PRIMARY KEY (conversation, seq)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS retries (
        sender            BIGINT NOT NULL,
        client_message_id BIGINT NOT NULL,
        conversation      BIGINT NOT NULL,
        seq               BIGINT NOT NULL,
        unix_ms           BIGINT NOT NULL,
        PRIMARY KEY (sender, client_message_id),
        KEY by_time (unix_ms)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS friend_requests (
        to_user   BIGINT NOT NULL,
        from_user BIGINT NOT NULL,
        alias     TEXT NOT NULL,
        note      TEXT NOT NULL,
        unix_ms   BIGINT NOT NULL,
        PRIMARY KEY (to_user, from_user),
        KEY by_asker (from_user)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS friends (
        user_id BIGINT NOT NULL,
        friend  BIGINT NOT NULL,
        alias   TEXT NOT NULL,
        unix_ms BIGINT NOT NULL,
        PRIMARY KEY (user_id, friend)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS chat_groups (
        id      BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        name    TEXT NOT NULL,
        unix_ms BIGINT NOT NULL
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS group_members (
        group_id BIGINT NOT NULL,
        user_id  BIGINT NOT NULL,
        role     TINYINT NOT NULL,
        unix_ms  BIGINT NOT NULL,
        PRIMARY KEY (group_id, user_id),
        KEY by_user (user_id, group_id)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS read_cursors (
        conversation_1 BIGINT NOT NULL,
        conversation_2 BIGINT NOT NULL,
        user_id        BIGINT NOT NULL,
        seq            BIGINT NOT NULL,
        PRIMARY KEY (conversation_1, conversation_2, user_id)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS counters (
        name  VARCHAR(64) NOT NULL PRIMARY KEY,
        value BIGINT NOT NULL
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "INSERT IGNORE INTO counters VALUES ('id_blocks', 0)",
    "CREATE TABLE IF NOT EXISTS probe (
        id    BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        bytes MEDIUMBLOB NOT NULL
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
];

/// Brings the database up to date. Whoever else would do so meanwhile waits.
pub(super) fn migrate(sql: &mut Session<'_>) -> Done<()> {
    if version(sql)? == Some(VERSIONS.len()) {
        return Ok(());
    }
    let usual = sql.set_patience(limits::MYSQL_MIGRATION_PATIENCE);
    let done = hold_lock(sql).and_then(|()| {
        let done = migrate_alone(sql);
        let freed = sql.run("DO RELEASE_LOCK(CONCAT('ringline.', MD5(DATABASE())))");
        done.and(freed)
    });
    sql.set_patience(usual);
    done
}

/// Holds the lock of this database's schema: its name is the whole server's, so it has the database in it.
fn hold_lock(sql: &mut Session<'_>) -> Done<()> {
    let seconds = limits::MYSQL_MIGRATION_LOCK_S;
    let held =
        sql.number(&format!("SELECT GET_LOCK(CONCAT('ringline.', MD5(DATABASE())), {seconds})"))?;
    if held == Some(1) {
        return Ok(());
    }
    Err(Error::busy("another server is changing the tables: try again when it is done").into())
}

fn migrate_alone(sql: &mut Session<'_>) -> Done<()> {
    let done = match version(sql)? {
        Some(done) => done,
        None => {
            check_empty(sql)?;
            sql.run(
                "CREATE TABLE IF NOT EXISTS ringline_migrations (version INT NOT NULL PRIMARY KEY)
                 ENGINE = InnoDB",
            )?;
            0
        }
    };
    for (statements, version) in VERSIONS.iter().zip(1..).skip(done) {
        for statement in *statements {
            sql.run(statement)?;
        }
        sql.run(&format!("INSERT IGNORE INTO ringline_migrations VALUES ({version})"))?;
    }
    Ok(())
}

/// The database's version; `None` if it was never ours.
fn version(sql: &mut Session<'_>) -> Done<Option<usize>> {
    let found = sql.number("SELECT COALESCE(MAX(version), 0) FROM ringline_migrations");
    let version = match found {
        Err(fault) if fault.code() == Some(NO_TABLE) => return Ok(None),
        found => found?.and_then(|version| usize::try_from(version).ok()).unwrap_or(0),
    };
    if version <= VERSIONS.len() {
        return Ok(Some(version));
    }
    let known = VERSIONS.len();
    Err(Fault::from(Error::refused(format!(
        "the database has schema version {version}, this program knows up to {known}: use the newer program, or \
         restore a backup"
    ))))
}

/// Refuses a database that has somebody else's tables.
fn check_empty(sql: &mut Session<'_>) -> Done<()> {
    let tables = sql
        .number("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()")?;
    if tables == Some(0) {
        return Ok(());
    }
    Err(Error::refused("the database has tables that are not Ringline's: name an empty one").into())
}
