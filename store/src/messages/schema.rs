//! The schema of `messages.sqlite`, version by version. A released script is never edited: a change is a new one.

use crate::database::Schema;

/// The messages' file.
pub(super) const MESSAGES: Schema = Schema {
    name: "messages",
    // "RLms"
    application_id: 0x524c_6d73,
    migrations: &[VERSION_1, VERSION_2, VERSION_3],
};

/// Messages lie in the order of their arrival, so that a group commit fills pages one after another; what is found by
/// another order (a conversation's `seq`, a sender's client message id) are small index rows.
const VERSION_1: &str = "
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
";

/// The index of places is a table of its own, as that of client message ids, so that both may lag behind the messages and
/// be written in large sorted pieces: `indexed` is the last message that is in both. The last `seq` of a conversation is
/// not written anywhere: the index and the messages after `indexed` give it, so that nothing can disagree with it.
const VERSION_2: &str = "
CREATE TABLE places (
    conversation INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    message      INTEGER NOT NULL,
    PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO places SELECT conversation, seq, id FROM messages ORDER BY conversation, seq;
CREATE TABLE messages_2 (
    id                INTEGER PRIMARY KEY,
    conversation      INTEGER NOT NULL,
    seq               INTEGER NOT NULL,
    message_id        INTEGER NOT NULL,
    sender            INTEGER NOT NULL,
    client_message_id INTEGER NOT NULL,
    unix_ms           INTEGER NOT NULL,
    body              BLOB NOT NULL
) STRICT;
INSERT INTO messages_2 SELECT id, conversation, seq, message_id, sender, client_message_id, unix_ms, body
    FROM messages ORDER BY id;
DROP TABLE messages;
ALTER TABLE messages_2 RENAME TO messages;
INSERT INTO counters SELECT 'indexed', coalesce(max(id), 0) FROM messages;
";

/// What people know of each other, and what they have read. It lies beside the messages so that one transaction can write
/// both. Users are numbers of the accounts' file, which is attached for reading. A group's row is its room's number, less
/// where groups begin.
const VERSION_3: &str = "
CREATE TABLE friend_requests (
    to_user   INTEGER NOT NULL,
    from_user INTEGER NOT NULL,
    alias     TEXT NOT NULL,
    note      TEXT NOT NULL,
    unix_ms   INTEGER NOT NULL,
    PRIMARY KEY (to_user, from_user)
) STRICT, WITHOUT ROWID;
CREATE INDEX friend_requests_by_asker ON friend_requests (from_user);
CREATE TABLE friends (
    user_id INTEGER NOT NULL,
    friend  INTEGER NOT NULL,
    alias   TEXT NOT NULL,
    unix_ms INTEGER NOT NULL,
    PRIMARY KEY (user_id, friend)
) STRICT, WITHOUT ROWID;
CREATE TABLE chat_groups (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT NOT NULL,
    unix_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE group_members (
    group_id INTEGER NOT NULL REFERENCES chat_groups (id),
    user_id  INTEGER NOT NULL,
    role     INTEGER NOT NULL,
    unix_ms  INTEGER NOT NULL,
    PRIMARY KEY (group_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_by_user ON group_members (user_id, group_id);
CREATE TABLE read_cursors (
    conversation_1 INTEGER NOT NULL,
    conversation_2 INTEGER NOT NULL,
    user_id        INTEGER NOT NULL,
    seq            INTEGER NOT NULL,
    PRIMARY KEY (conversation_1, conversation_2, user_id)
) STRICT, WITHOUT ROWID;
";
