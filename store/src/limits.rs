//! Every bound of the stores, with its reason.

use std::time::Duration;

/// How long a statement waits for a lock that another connection holds, before the answer is `Busy`. Long enough for
/// somebody's short read in a shell, short enough that a stalled file is noticed at once.
pub const BUSY_TIMEOUT: Duration = Duration::from_millis(200);

/// How long the profiles of a batch wait for the accounts' file: some commits of the gateways, and little for the messages of
/// the batch, which wait meanwhile.
pub const PROFILES_PATIENCE: Duration = Duration::from_millis(25);

/// WAL pages after which a commit also moves them into the database: 16,384 pages of 4 KiB are 64 MiB, so that hot pages
/// are moved once for many commits, and a restart after a crash has little to replay.
pub const WAL_PAGES: u32 = 16_384;

/// What the WAL file is cut back to once all of it was moved: twice its usual size; only a long read makes it larger.
pub const WAL_BYTES_KEPT: u64 = 2 * WAL_PAGES as u64 * PAGE_BYTES;

/// The database page: the size that file systems and SSDs write whole.
pub const PAGE_BYTES: u64 = 4_096;

/// Page cache of one writing connection: the hot index pages of some hundred thousand conversations.
pub const WRITE_CACHE_BYTES: u64 = 32 << 20;

/// Page cache of one reading connection: pages of history are seldom read twice.
pub const READ_CACHE_BYTES: u64 = 8 << 20;

/// Prepared statements per connection: all that this crate has.
pub const STATEMENTS_MAX: usize = 112;

/// Conversations whose last `seq` a writer remembers (some 48 bytes each, 12 MiB in all); beyond it forgets them all and
/// reads again, one index look-up each.
pub const HEADS_MAX: usize = 256 * 1024;

/// How long a retry of the same client message id is known.
pub const RETRY_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// Messages whose index entries are written together, in the order of the index. With 65,536 of them some thousand busy
/// conversations share pages well; twice as many are in memory at most, some 10 MiB, and read again at the start.
pub const PIECE_MESSAGES: usize = 65_536;

/// Index entries that a batch writes beside each record that it adds: more than one, so that a piece is done before the
/// next one is full, and few, so that no batch waits much longer than another.
pub const INDEXED_PER_RECORD: usize = 2;

/// Expired client message ids that a batch looks for beside each record that it adds. Looking and removing take turns, so
/// that with four and [`INDEXED_PER_RECORD`] more than one is removed per record.
pub const EXPIRED_PER_RECORD: usize = 4;

/// Rows that retention looks at or removes with a commit beside each record that it adds: a message that goes is looked
/// at, loses a place, perhaps a client message id, and its row. So more go than come, and a commit with many records is
/// not held up for much longer than the records take.
pub const TRIMMED_PER_RECORD: usize = 6;

/// Rows that retention handles with a commit however few its records are: some 100 µs, so that a file which was kept for
/// ever shrinks under a light load too.
pub const TRIMMED_PER_COMMIT: usize = 64;

/// Rows that retention handles in a step while nobody writes: who comes meanwhile waits for some ms.
pub const TRIMMED_PER_IDLE_STEP: usize = 2_048;

/// What a message takes of the file beside its text: its row's other numbers and its index entries.
pub const TRIMMED_ROW_BYTES: u64 = 64;

/// Retention by size goes on below its limit by this part of it, so that it works on pieces and rests between them.
pub const TRIMMED_AHEAD_PART: u64 = 32;

/// Messages that have gone before a reader sweeps them out of what it remembers: the sweep looks at all of it.
pub const RECENT_SWEEP: i64 = 4_096;

/// Senders whose highest client message id a writer remembers (some 40 bytes each); beyond it forgets them all and asks
/// the index again, one look-up each.
pub const SENDERS_MAX: usize = 256 * 1024;

/// Bytes of text in one page of messages: a page ends early beyond it (after one message at least), so that a reader who
/// asks for 256 long texts does not make the node queue more than a connection may.
pub const PAGE_TEXT_BYTES_MAX: usize = 1 << 20;

/// What a probe of the disk writes: as much as a message may be long, its row and its place in the indexes.
pub const PROBE_BYTES: u32 = 64 * 1024;

/// The first pause before the disk is probed after a failure, where nothing else would find out that it works again.
pub const PROBE_PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest pause between two probes: how long a health page stays red after the disk works again.
pub const PROBE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Message ids in one leased block: 2^42 at a million per second last 50 days, and an unfinished block wastes nothing
/// that anybody misses.
pub const ID_BLOCK_BITS: u32 = 42;

/// Blocks that ids of 63 bits have room for: two million starts of shards, of which the upper half is drawn, not leased.
pub const ID_BLOCKS_MAX: u64 = 1 << (63 - ID_BLOCK_BITS);

/// Pages that a backup copies at a time: a MiB, a few ms of a disk's work, so that a commit waits for no more than that.
pub const BACKUP_STEP_PAGES: i32 = 256;

/// Pause of a backup after each step: most of the disk's time is left to the node, and a GiB takes some ten seconds.
pub const BACKUP_PAUSE: Duration = Duration::from_millis(5);

/// What may be written while a backup is taken before it stops pausing: the WAL keeps all of it until then.
pub const BACKUP_WAL_BYTES: u64 = 256 << 20;

/// Steps of a backup in a row that meet somebody's lock before it gives up: some ten seconds.
pub const BACKUP_BUSY_MAX: u32 = 2_000;

/// The longest manifest that is read: two files have 300 bytes.
pub const MANIFEST_BYTES_MAX: u64 = 4_096;

/// What is read at a time to be copied or summed.
pub const COPY_BYTES: usize = 1 << 20;

/// Requests waiting for the accounts thread: at some 10,000 per second this is less than half a second of waiting;
/// beyond it a login is told `busy` rather than to wait longer than people do.
pub const ACCOUNT_REQUESTS_MAX: usize = 4_096;

/// Requests in one group commit of the accounts thread: bounds the time under the write lock to some 10 ms.
pub const ACCOUNT_GROUP_MAX: usize = 1_024;

/// Accounts in one transaction of a bulk provision: few enough that other writers wait less than [`BUSY_TIMEOUT`].
pub const PROVISION_CHUNK: usize = 4_096;

/// The longest username, e-mail address and password record that the store takes, in bytes. The gateway validates more
/// narrowly; this only keeps a mistake there from filling the disk.
pub const ACCOUNT_TEXT_BYTES_MAX: usize = 512;

/// Bytes of one page of a service's answer, unless one item is longer: a page of messages' bound.
pub const ANSWER_PAGE_BYTES_MAX: usize = 128 * 1024;

/// Friends, and requests, that a session is told of at its start: a screenful and some; it asks for the rest.
pub const ME_ITEMS_MAX: u16 = 32;

/// Letters of a name that is shown.
pub const NICKNAME_CHARS_MAX: usize = 50;

/// Friends of one user: beyond what people have, below what makes a list slow.
pub const FRIENDS_MAX: i64 = 5_000;

/// Friend requests that wait for one user: more would not be answered anyway.
pub const REQUESTS_WAITING_MAX: i64 = 1_000;

/// Friend requests of one user that nobody has answered: whoever makes so many is advertising.
pub const REQUESTS_MADE_MAX: i64 = 200;

/// Groups that one user may be in: as many as rooms that a session may enter.
pub const GROUPS_PER_USER_MAX: i64 = 64;

/// A user who is in so many groups is taken into more by friends only: so strangers, who need nobody's consent, cannot fill the
/// list, and three quarters of it are left for what the user wants.
pub const GROUPS_BY_STRANGERS_MAX: i64 = 16;

const _: () = assert!(GROUPS_BY_STRANGERS_MAX < GROUPS_PER_USER_MAX);

/// For how long making a group of the same name again gives the one that was just made, as long as nobody else is in it and
/// nothing was said there: who waits for an answer asks again within some seconds.
pub const GROUP_AGAIN_MS: u64 = 60_000;

/// Members of one group. What is said in it goes to each of them: 5,000 at one message a second keep a twentieth of a
/// processor busy.
pub const GROUP_MEMBERS_MAX: i64 = 5_000;

/// Conversations in one page of an inbox: what is unread is counted message by message, so a page looks at 6,400 rows at
/// most, which takes some milliseconds of the one thread that reads.
pub const INBOX_ITEMS_MAX: u16 = 64;

/// Prepared statements per connection to a MySQL server: all that the backend has, in all their sizes. The server bounds
/// them for all connections together, at 16,382 unless told otherwise.
pub const MYSQL_STATEMENTS_MAX: usize = 160;

/// Services that change something in one transaction: each is some statements of its own, during which what it has locked is
/// locked, so with some 200 µs each this bounds that to some 50 ms. What is beyond waits for the next transaction.
pub const MYSQL_CHANGES_MAX: usize = 64;

/// Rows in one statement: from here on a larger one saves next to nothing. A power of two, as its sizes are.
pub const MYSQL_ROWS_MAX: usize = 256;

/// Bytes of values in one statement, whatever the server would take: what is buffered for one.
pub const MYSQL_STATEMENT_BYTES_MAX: usize = 4 << 20;

/// The least `max_allowed_packet` of a server: four of the longest messages and some.
pub const MYSQL_PACKET_BYTES_MIN: usize = 1 << 20;

/// How long a statement may take before the server counts as one that does not answer. Longer than a lock is waited for,
/// shorter than people wait for an acknowledgement.
pub const MYSQL_PATIENCE: Duration = Duration::from_secs(3);

/// How long getting a connection may take.
pub const MYSQL_CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// How long saying goodbye to the server may take.
pub const MYSQL_GOODBYE: Duration = Duration::from_millis(200);

/// Seconds to wait for another transaction's row lock: the least that the server counts in. Transactions are short.
pub const MYSQL_ROW_LOCK_S: u32 = 1;

/// Seconds to wait for somebody who changes a table.
pub const MYSQL_TABLE_LOCK_S: u32 = 2;

/// How often a transaction is tried while others are in its way: each time somebody has got further.
pub const MYSQL_TRIES: u32 = 4;

/// Seconds to wait for another server that brings the tables up to date.
pub const MYSQL_MIGRATION_LOCK_S: u32 = 60;

/// How long one change of a table may take: all rows of a large one may have to be written again.
pub const MYSQL_MIGRATION_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Records after which expired client message ids are removed, and their number doubled the most that is removed then.
pub const MYSQL_SWEEP_RECORDS: u64 = 1_024;

/// The most client message ids that are removed at one time: some 20 ms.
pub const MYSQL_SWEEP_MAX: u64 = 8_192;

/// Conversations whose oldest message a step of retention looks at: some 5 ms.
pub const MYSQL_TRIM_LOOKS: u32 = 512;

/// Messages that a step of retention removes at most: some 20 ms.
pub const MYSQL_TRIM_ROWS: u64 = 2_048;

/// A round of retention begins no sooner after the last one than this part of what is kept: so late a message may go.
pub const MYSQL_TRIM_ROUND_PART: u64 = 24;

/// Nor later than this.
pub const MYSQL_TRIM_ROUND_MS: u64 = 60 * 60 * 1_000;

/// Connections that look accounts up at one time: a distant server answers each some hundred times a second.
pub const MYSQL_ACCOUNT_READERS: usize = 4;

/// How long a MariaDB of one's own may take to start: it makes all its files first.
pub const PRIVATE_START_MAX: Duration = Duration::from_secs(60);

/// The highest number that a profile may have for its user's sex.
pub const SEX_MAX: u8 = 127;
