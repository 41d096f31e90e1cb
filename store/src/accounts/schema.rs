//! The schema of `accounts.sqlite`, version by version. A released script is never edited: a change is a new one.

use crate::database::Schema;

/// The accounts' file.
pub(crate) const ACCOUNTS: Schema = Schema {
    name: "accounts",
    // "RLac"
    application_id: 0x524c_6163,
    migrations: &[VERSION_1, VERSION_2],
};

/// Numbers are never used twice (AUTOINCREMENT). Names differ only if they differ beyond the case of ASCII letters, so
/// that nobody can pass as somebody else by a capital.
const VERSION_1: &str = "
CREATE TABLE accounts (
    user_id         INTEGER PRIMARY KEY AUTOINCREMENT,
    username        TEXT NOT NULL UNIQUE COLLATE NOCASE,
    email           TEXT NOT NULL UNIQUE COLLATE NOCASE,
    phc             TEXT NOT NULL,
    session_epoch   INTEGER NOT NULL,
    created_unix_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE profiles (
    user_id     INTEGER PRIMARY KEY REFERENCES accounts (user_id),
    nickname    TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    avatar      TEXT NOT NULL DEFAULT '',
    sex         INTEGER NOT NULL DEFAULT 0
) STRICT;
";

/// Where probes of the disk are written.
const VERSION_2: &str = "CREATE TABLE probe (bytes BLOB NOT NULL) STRICT;";
