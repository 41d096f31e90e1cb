-- A file as the first version of the schema made it, with three messages.
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1380740467;
PRAGMA user_version = 1;
CREATE TABLE conversations (
    id     INTEGER PRIMARY KEY,
    first  INTEGER NOT NULL,
    second INTEGER NOT NULL,
    UNIQUE (first, second)
) STRICT;
CREATE INDEX conversations_by_second ON conversations (second, first) WHERE second <> 0;
CREATE TABLE messages (
    id                INTEGER PRIMARY KEY,
    conversation      INTEGER NOT NULL,
    seq               INTEGER NOT NULL,
    message_id        INTEGER NOT NULL,
    sender            INTEGER NOT NULL,
    client_message_id INTEGER NOT NULL,
    unix_ms           INTEGER NOT NULL,
    body              BLOB NOT NULL,
    UNIQUE (conversation, seq)
) STRICT;
CREATE TABLE retries (
    sender            INTEGER NOT NULL,
    client_message_id INTEGER NOT NULL,
    message           INTEGER NOT NULL,
    PRIMARY KEY (sender, client_message_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE probe (
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('retries_purged', 0), ('id_blocks', 0);
INSERT INTO conversations VALUES (1, 1, 2), (2, 3, 4);
INSERT INTO messages VALUES
    (1, 1, 1, 1000001, 1, 1, 86400000000, CAST('one' AS BLOB)),
    (2, 2, 1, 3000001, 3, 1, 86400000000, CAST('other' AS BLOB)),
    (3, 1, 2, 1000002, 1, 2, 86400000000, CAST('two' AS BLOB));
INSERT INTO retries VALUES (1, 1, 1), (3, 1, 2), (1, 2, 3);
