//! The same work as the store's, in plain statements, so that a schema or a setting can be tried in a line.
//!
//! It keeps what the store keeps (dense places, client message ids that are found again, forgetting the expired) and
//! leaves out what costs nothing here: answers to retries and conflicts.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, Statement, TransactionBehavior, params_from_iter, types::ToSqlOutput};
use wire::ConversationId;

use crate::load::Said;
use crate::variant::{Checkpoint, Layout, Settings, Subject, Sync};

const RETRY_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// A message with its place.
#[derive(Clone, Copy)]
struct Placed<'a> {
    said: &'a Said,
    conversation: i64,
    seq: i64,
}

pub(crate) struct Raw {
    sql: Connection,
    settings: Settings,
    heads: HashMap<ConversationId, (i64, i64)>,
    next_row: i64,
    /// Up to where expired numbers were forgotten: a message's row, or the last number looked at.
    swept: (i64, i64),
    later: Later,
    helper: Option<Helper>,
}

/// The other thread of `Sync::Piped` and `Checkpoint::Aside`.
struct Helper {
    work: Option<Sender<()>>,
    done: Receiver<()>,
    outstanding: usize,
    thread: Option<JoinHandle<()>>,
}

impl Raw {
    pub(crate) fn open(path: &Path, settings: Settings) -> Self {
        let sql = Connection::open(path).expect("a new file");
        sql.set_prepared_statement_cache_capacity(64);
        let set = |pragma: &str, value: &str| {
            sql.execute_batch(&format!("PRAGMA {pragma} = {value}")).expect("a pragma");
        };
        set("page_size", &settings.page_bytes.to_string());
        set("journal_mode", "WAL");
        set("synchronous", if settings.sync == Sync::Full { "FULL" } else { "NORMAL" });
        set("cache_size", &format!("-{}", settings.cache_bytes / 1_024));
        set("mmap_size", &settings.mmap_bytes.to_string());
        set("temp_store", settings.temp_store);
        let pages = match settings.checkpoint {
            Checkpoint::Auto(pages) => pages,
            Checkpoint::Aside(pages) => 4 * pages,
        };
        set("wal_autocheckpoint", &pages.to_string());
        sql.execute_batch(schema(settings.layout)).expect("the schema");
        let log = path.with_extension("sqlite-wal");
        let helper = match (settings.sync, settings.checkpoint) {
            (Sync::Piped, _) => {
                let log = File::open(log).expect("the log");
                Some(Helper::start(move || log.sync_data().expect("synced")))
            }
            (_, Checkpoint::Aside(pages)) => {
                let other = Connection::open(path).expect("a second connection");
                Some(Helper::start(move || move_pages(&other, &log, settings.page_bytes, pages)))
            }
            (Sync::Full | Sync::Normal, Checkpoint::Auto(_)) => None,
        };
        Self {
            sql,
            settings,
            heads: HashMap::new(),
            next_row: 1,
            swept: (0, 0),
            later: Later::default(),
            helper,
        }
    }
}

/// Moves pages if the log has so many that were written since it began again.
fn move_pages(sql: &Connection, log: &Path, page_bytes: u32, pages: u32) {
    let bytes = std::fs::metadata(log).map_or(0, |log| log.len());
    if bytes > u64::from(pages) * u64::from(page_bytes) {
        sql.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).expect("a checkpoint");
    }
}

impl Helper {
    fn start(mut step: impl FnMut() + Send + 'static) -> Self {
        let (work, orders) = channel();
        let (say, done) = channel();
        let thread = std::thread::spawn(move || {
            while orders.recv().is_ok() {
                step();
                let _ = say.send(()); // Nobody waits any more.
            }
        });
        Self { work: Some(work), done, outstanding: 0, thread: Some(thread) }
    }

    /// Hands over the next step, when at most `most` are under way.
    fn order(&mut self, most: usize) {
        while self.done.try_recv().is_ok() {
            self.outstanding -= 1;
        }
        while self.outstanding > most {
            self.done.recv().expect("the other thread works");
            self.outstanding -= 1;
        }
        self.work.as_ref().expect("still open").send(()).expect("the other thread works");
        self.outstanding += 1;
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // Its panic has been printed.
        }
    }
}

const fn schema(layout: Layout) -> &'static str {
    match layout {
        Layout::Arrival | Layout::Lagging => {
            "CREATE TABLE conversations (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, second INTEGER NOT NULL,
                                         UNIQUE (first, second)) STRICT;
             CREATE INDEX conversations_by_second ON conversations (second, first) WHERE second <> 0;
             CREATE TABLE messages (id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, seq INTEGER NOT NULL,
                                    message_id INTEGER NOT NULL, sender INTEGER NOT NULL,
                                    client_message_id INTEGER NOT NULL, unix_ms INTEGER NOT NULL,
                                    body BLOB NOT NULL, UNIQUE (conversation, seq)) STRICT;
             CREATE TABLE retries (sender INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
                                   message INTEGER NOT NULL, PRIMARY KEY (sender, client_message_id))
                                  STRICT, WITHOUT ROWID;"
        }
        Layout::Bare => {
            "CREATE TABLE conversations (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, second INTEGER NOT NULL,
                                         UNIQUE (first, second)) STRICT;
             CREATE INDEX conversations_by_second ON conversations (second, first) WHERE second <> 0;
             CREATE TABLE messages (id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, seq INTEGER NOT NULL,
                                    message_id INTEGER NOT NULL, sender INTEGER NOT NULL,
                                    client_message_id INTEGER NOT NULL, unix_ms INTEGER NOT NULL,
                                    body BLOB NOT NULL) STRICT;
             CREATE TABLE places (place INTEGER PRIMARY KEY, message INTEGER NOT NULL) STRICT;
             CREATE TABLE retries (sender INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
                                   message INTEGER NOT NULL, PRIMARY KEY (sender, client_message_id))
                                  STRICT, WITHOUT ROWID;"
        }
        Layout::Tail => {
            "CREATE TABLE conversations (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, second INTEGER NOT NULL,
                                         UNIQUE (first, second)) STRICT;
             CREATE INDEX conversations_by_second ON conversations (second, first) WHERE second <> 0;
             CREATE TABLE tail_0 (id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, seq INTEGER NOT NULL,
                                  message_id INTEGER NOT NULL, sender INTEGER NOT NULL,
                                  client_message_id INTEGER NOT NULL, unix_ms INTEGER NOT NULL,
                                  body BLOB NOT NULL) STRICT;
             CREATE TABLE tail_1 (id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, seq INTEGER NOT NULL,
                                  message_id INTEGER NOT NULL, sender INTEGER NOT NULL,
                                  client_message_id INTEGER NOT NULL, unix_ms INTEGER NOT NULL,
                                  body BLOB NOT NULL) STRICT;
             CREATE TABLE messages (place INTEGER PRIMARY KEY, message_id INTEGER NOT NULL,
                                    sender INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
                                    unix_ms INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
             CREATE TABLE retries (sender INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
                                   message INTEGER NOT NULL, unix_s INTEGER NOT NULL,
                                   PRIMARY KEY (sender, client_message_id)) STRICT, WITHOUT ROWID;"
        }
        Layout::Clustered => {
            "CREATE TABLE conversations (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, second INTEGER NOT NULL,
                                         UNIQUE (first, second)) STRICT;
             CREATE INDEX conversations_by_second ON conversations (second, first) WHERE second <> 0;
             CREATE TABLE messages (conversation INTEGER NOT NULL, seq INTEGER NOT NULL,
                                    message_id INTEGER NOT NULL, sender INTEGER NOT NULL,
                                    client_message_id INTEGER NOT NULL, unix_ms INTEGER NOT NULL,
                                    body BLOB NOT NULL, PRIMARY KEY (conversation, seq)) STRICT, WITHOUT ROWID;
             CREATE TABLE retries (sender INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
                                   message INTEGER NOT NULL, unix_s INTEGER NOT NULL,
                                   PRIMARY KEY (sender, client_message_id)) STRICT, WITHOUT ROWID;"
        }
        Layout::Place => {
            "CREATE TABLE conversations (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, second INTEGER NOT NULL,
                                         UNIQUE (first, second)) STRICT;
             CREATE INDEX conversations_by_second ON conversations (second, first) WHERE second <> 0;
             CREATE TABLE messages (place INTEGER PRIMARY KEY, message_id INTEGER NOT NULL,
                                    sender INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
                                    unix_ms INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
             CREATE TABLE retries (sender INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
                                   message INTEGER NOT NULL, unix_s INTEGER NOT NULL,
                                   PRIMARY KEY (sender, client_message_id)) STRICT, WITHOUT ROWID;"
        }
    }
}

/// An insert of so many messages.
fn insert(layout: Layout, tail: usize, rows: usize) -> String {
    let table = if layout == Layout::Tail { TAILS[tail] } else { "messages" };
    let (columns, values) = match layout {
        Layout::Arrival | Layout::Lagging | Layout::Bare | Layout::Tail => (
            "id, conversation, seq, message_id, sender, client_message_id, unix_ms, body",
            "(?, ?, ?, ?, ?, ?, ?, ?)",
        ),
        Layout::Clustered => (
            "conversation, seq, message_id, sender, client_message_id, unix_ms, body",
            "(?, ?, ?, ?, ?, ?, ?)",
        ),
        Layout::Place => {
            ("place, message_id, sender, client_message_id, unix_ms, body", "(?, ?, ?, ?, ?, ?)")
        }
    };
    format!("INSERT OR ROLLBACK INTO {table} ({columns}) VALUES {}", vec![values; rows].join(", "))
}

impl Subject for Raw {
    fn append(&mut self, batch: &[Said], body: &[u8]) {
        let Self { sql, settings, heads, next_row, swept, later, helper } = self;
        let transaction = sql
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .expect("a lock that nobody else has");
        let mut placed = Vec::with_capacity(batch.len());
        {
            let mut add_conversation = transaction
                .prepare_cached("INSERT INTO conversations (first, second) VALUES (?1, ?2)")
                .expect("a statement");
            let first_row = *next_row;
            for said in batch {
                let key = said.conversation;
                let (conversation, seq) = heads.entry(key).or_insert_with(|| {
                    let numbers = (key.first.cast_signed(), key.second.cast_signed());
                    (add_conversation.insert(numbers).expect("a new row"), 0)
                });
                *seq += 1;
                placed.push(Placed { said, conversation: *conversation, seq: *seq });
                *next_row += 1;
            }
            if settings.layout.is_deferred() {
                later.work(&transaction, settings.layout, 2 * batch.len());
                later.note(&placed, first_row);
            } else if settings.retries {
                remember(&transaction, *settings, &placed, first_row);
            }
            if settings.sorted {
                placed.sort_unstable_by_key(|placed| (placed.conversation, placed.seq));
            }
            write(&transaction, *settings, later.tail, &placed, first_row, body);
            if settings.retries && !settings.layout.is_deferred() {
                *swept = forget(&transaction, settings.layout, batch, *swept);
            }
        }
        transaction.commit().expect("a disk that works");
        if let Some(helper) = helper {
            // A pipeline of two: one batch is synced while another is written.
            helper.order(1);
        }
    }
}

const TAILS: [&str; 2] = ["tail_0", "tail_1"];

/// What is put in order later, in large sorted pieces, so that neighbours share pages.
#[derive(Default)]
struct Later {
    /// Since the last piece was begun: row, place, sender, number, seconds.
    recent: Vec<[i64; 5]>,
    /// Sorted by place, what is left of the piece.
    places: Vec<[i64; 5]>,
    /// Sorted by sender and number.
    numbers: Vec<[i64; 5]>,
    known: HashMap<(i64, i64), i64>,
    /// The table that takes what comes in.
    tail: usize,
}

/// Messages in a piece.
const PIECE: usize = 65_536;

impl Later {
    fn note(&mut self, placed: &[Placed<'_>], first_row: i64) {
        for (row, placed) in (first_row..).zip(placed) {
            let said = placed.said;
            let key = (said.from.0.cast_signed(), said.client_message_id.0.cast_signed());
            assert!(self.known.insert(key, row).is_none(), "every message is new");
            let seconds = (said.unix_ms / 1_000).cast_signed();
            self.recent.push([row, place(placed), key.0, key.1, seconds]);
        }
    }

    fn work(&mut self, sql: &Connection, layout: Layout, most: usize) {
        if self.places.is_empty() && self.numbers.is_empty() {
            if self.recent.len() < PIECE {
                return;
            }
            self.known.clear();
            self.places = std::mem::take(&mut self.recent);
            self.numbers.clone_from(&self.places);
            self.places.sort_unstable_by_key(|entry| std::cmp::Reverse(entry[1]));
            self.numbers.sort_unstable_by_key(|entry| std::cmp::Reverse((entry[2], entry[3])));
            if layout == Layout::Lagging {
                self.places.clear();
            }
            self.tail = 1 - self.tail;
        }
        let from = TAILS[1 - self.tail];
        let (add_place, add_number) = match layout {
            Layout::Bare | Layout::Lagging => (
                "INSERT INTO places VALUES (?2, ?1)".to_owned(),
                "INSERT INTO retries VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            ),
            Layout::Tail | Layout::Arrival | Layout::Clustered | Layout::Place => (
                format!(
                    "INSERT INTO messages SELECT ?2, message_id, sender, client_message_id, unix_ms, body
                     FROM {from} WHERE id = ?1"
                ),
                "INSERT INTO retries VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            ),
        };
        if !self.places.is_empty() {
            let mut add = sql.prepare_cached(&add_place).expect("a statement");
            let keep = self.places.len().saturating_sub(most);
            for [row, place, ..] in self.places.drain(keep..).rev() {
                assert_eq!(add.execute((row, place)).expect("written"), 1);
            }
            if self.places.is_empty() && layout == Layout::Tail {
                sql.execute(&format!("DELETE FROM {from}"), []).expect("deleted");
            }
        }
        let mut add = sql.prepare_cached(add_number).expect("a statement");
        let keep = self.numbers.len().saturating_sub(most);
        for [row, place, sender, number, seconds] in self.numbers.drain(keep..).rev() {
            let added = if layout == Layout::Tail {
                add.execute((sender, number, place, seconds))
            } else {
                add.execute((sender, number, row))
            };
            assert_eq!(added.expect("written"), 1);
        }
    }
}

fn remember(sql: &Connection, settings: Settings, placed: &[Placed<'_>], first_row: i64) {
    let statement = match settings.layout {
        Layout::Arrival | Layout::Lagging | Layout::Bare | Layout::Tail => {
            "INSERT INTO retries (sender, client_message_id, message) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING"
        }
        Layout::Clustered | Layout::Place => {
            "INSERT INTO retries (sender, client_message_id, message, unix_s) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET message = excluded.message, unix_s = excluded.unix_s
             WHERE unix_s < ?5"
        }
    };
    let mut add = sql.prepare_cached(statement).expect("a statement");
    for (row, placed) in (first_row..).zip(placed) {
        let said = placed.said;
        let (sender, number) = (said.from.0.cast_signed(), said.client_message_id.0.cast_signed());
        let seconds = (said.unix_ms / 1_000).cast_signed();
        let added = match settings.layout {
            Layout::Arrival | Layout::Lagging | Layout::Bare | Layout::Tail => {
                add.execute((sender, number, row))
            }
            Layout::Clustered | Layout::Place => {
                add.execute((sender, number, place(placed), seconds, seconds - 24 * 60 * 60))
            }
        };
        assert_eq!(added.expect("written"), 1, "every message is new");
    }
}

const fn place(placed: &Placed<'_>) -> i64 {
    placed.conversation << 32 | placed.seq
}

fn write(
    sql: &Connection,
    settings: Settings,
    tail: usize,
    placed: &[Placed<'_>],
    first_row: i64,
    body: &[u8],
) {
    let mut row = first_row;
    let (whole, rest) = placed.split_at(placed.len() / settings.rows * settings.rows);
    let mut add =
        sql.prepare_cached(&insert(settings.layout, tail, settings.rows)).expect("a statement");
    for group in whole.chunks(settings.rows) {
        execute(&mut add, settings.layout, group, row, body);
        row += settings.rows as i64;
    }
    let mut add = sql.prepare_cached(&insert(settings.layout, tail, 1)).expect("a statement");
    for group in rest.chunks(1) {
        execute(&mut add, settings.layout, group, row, body);
        row += 1;
    }
}

fn execute(
    add: &mut Statement<'_>,
    layout: Layout,
    group: &[Placed<'_>],
    first_row: i64,
    body: &[u8],
) {
    let values = (first_row..).zip(group).flat_map(|(row, placed)| {
        let key = match layout {
            Layout::Arrival | Layout::Lagging | Layout::Bare | Layout::Tail => {
                [Some(row), Some(placed.conversation), Some(placed.seq)]
            }
            Layout::Clustered => [None, Some(placed.conversation), Some(placed.seq)],
            Layout::Place => [None, None, Some(place(placed))],
        };
        let said = placed.said;
        let numbers = [said.message_id.0, said.from.0, said.client_message_id.0, said.unix_ms];
        key.into_iter()
            .flatten()
            .chain(numbers.map(u64::cast_signed))
            .map(ToSqlOutput::from)
            .chain([ToSqlOutput::from(body)])
    });
    add.execute(params_from_iter(values)).expect("written");
}

/// Forgets expired numbers, about twice as many as came; gives how far it came.
fn forget(sql: &Connection, layout: Layout, batch: &[Said], from: (i64, i64)) -> (i64, i64) {
    let Some(now) = batch.iter().map(|said| said.unix_ms).min() else { return from };
    let expired = now - RETRY_KEPT_MS;
    match layout {
        Layout::Arrival | Layout::Lagging | Layout::Bare | Layout::Tail => {
            forget_by_arrival(sql, expired, batch.len() * 2, from)
        }
        Layout::Clustered | Layout::Place => forget_by_sweep(sql, expired, batch.len() * 2, from),
    }
}

fn forget_by_arrival(sql: &Connection, expired: u64, most: usize, from: (i64, i64)) -> (i64, i64) {
    let mut next = sql
        .prepare_cached(
            "SELECT id, sender, client_message_id, unix_ms FROM messages WHERE id > ?1 ORDER BY id LIMIT 1",
        )
        .expect("a statement");
    let mut delete = sql
        .prepare_cached(
            "DELETE FROM retries WHERE sender = ?1 AND client_message_id = ?2 AND message = ?3",
        )
        .expect("a statement");
    let mut done = from.0;
    for _ in 0..most {
        let (id, sender, number, unix_ms): (i64, i64, i64, i64) = next
            .query_row([done], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .expect("a message of this batch at the latest");
        if unix_ms.cast_unsigned() >= expired {
            break;
        }
        delete.execute((sender, number, id)).expect("deleted");
        done = id;
    }
    (done, 0)
}

fn forget_by_sweep(sql: &Connection, expired: u64, most: usize, from: (i64, i64)) -> (i64, i64) {
    let last: Option<(i64, i64)> = sql
        .prepare_cached(
            "SELECT sender, client_message_id FROM retries WHERE (sender, client_message_id) > (?1, ?2)
             ORDER BY sender, client_message_id LIMIT 1 OFFSET ?3",
        )
        .expect("a statement")
        .query_row((from.0, from.1, most as i64 - 1), |row| Ok((row.get(0)?, row.get(1)?)))
        .ok();
    let to = last.unwrap_or((i64::MAX, i64::MAX));
    sql.prepare_cached(
        "DELETE FROM retries WHERE (sender, client_message_id) > (?1, ?2)
         AND (sender, client_message_id) <= (?3, ?4) AND unix_s < ?5",
    )
    .expect("a statement")
    .execute((from.0, from.1, to.0, to.1, (expired / 1_000).cast_signed()))
    .expect("deleted");
    last.unwrap_or((i64::MIN, i64::MIN))
}
