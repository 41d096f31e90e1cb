//! One connection to the database: made with settings that keep the promise of durability, made again after it broke.
//!
//! Owns every connection setting, and how long anything may take. Blocks: the runtime that drives the connection runs on
//! the caller's thread, within each call. Must never use a connection again whose last statement has no known end.

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Value};
use tokio::runtime::Runtime;

use super::fault::{Class, Done, Fault};
use super::options::MysqlOptions;
use super::schema;
use super::statement::Rows;
use crate::contract::LinkStats;
use crate::error::{Error, Result};
use crate::limits;

/// How a transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// To write: every statement sees what is committed by then, and what is locked stays as it is seen.
    Write,
    /// To read: everything as it was at one moment.
    Snapshot,
}

/// A connection that is made again after it broke.
#[derive(Debug)]
pub(crate) struct Link {
    options: MysqlOptions,
    runtime: Runtime,
    open: Option<Open>,
    /// Set while no connection could be made: when to try again, after how long a pause, and why.
    refused: Option<(Instant, Duration, String)>,
    stats: LinkStats,
}

#[derive(Debug)]
struct Open {
    conn: Conn,
    /// Bytes of values in one statement: well below what the server takes.
    bytes_max: usize,
}

/// An open connection, for some statements.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    runtime: &'a Runtime,
    open: &'a mut Open,
    patience: Duration,
}

impl Link {
    /// Connects, and brings the tables up to date.
    pub(crate) fn open(options: &MysqlOptions) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut link = Self {
            options: options.clone(),
            runtime,
            open: None,
            refused: None,
            stats: LinkStats::default(),
        };
        link.once(schema::migrate)?;
        Ok(link)
    }

    /// How it has fared.
    pub(crate) const fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Runs statements that are each a transaction of their own. They may be run twice, if the first one finds that the
    /// connection is gone.
    pub(crate) fn once<T>(
        &mut self,
        mut work: impl FnMut(&mut Session<'_>) -> Done<T>,
    ) -> Result<T> {
        let had_one = self.open.is_some();
        let done = match self.with_session(&mut work) {
            Err(fault) if had_one && fault.is_gone() => self.with_session(&mut work),
            done => done,
        };
        done.map_err(Error::from)
    }

    /// Runs `work` in a transaction and commits it; runs it again, a few times, if another transaction was in the way.
    /// After an error nothing of it has happened, unless the connection broke during the commit.
    pub(crate) fn transact<T>(
        &mut self,
        begin: Begin,
        mut work: impl FnMut(&mut Session<'_>) -> Done<T>,
    ) -> Result<T> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.attempt(begin, &mut work) {
                Err(fault) if fault.class() == Class::Again && tries < limits::MYSQL_TRIES => {
                    self.stats.retried += 1;
                }
                done => return done.map_err(Error::from),
            }
        }
    }

    fn attempt<T>(
        &mut self,
        begin: Begin,
        work: &mut impl FnMut(&mut Session<'_>) -> Done<T>,
    ) -> Done<T> {
        let had_one = self.open.is_some();
        match self.with_session(&mut |sql| sql.begin(begin)) {
            // It may have been closed for being idle, or with its server, which is back.
            Err(fault) if had_one && fault.is_gone() => {
                self.with_session(&mut |sql| sql.begin(begin))?;
            }
            begun => begun?,
        }
        self.with_session(&mut |sql| {
            let value = work(sql)?;
            sql.run("COMMIT")?;
            Ok(value)
        })
        .inspect_err(|_| {
            let Some(open) = &mut self.open else { return };
            let (runtime, patience) = (&self.runtime, self.options.patience());
            if (Session { runtime, open, patience }).run("ROLLBACK").is_err() {
                self.open = None;
                self.stats.broken += 1;
            }
        })
    }

    fn with_session<T>(&mut self, work: &mut impl FnMut(&mut Session<'_>) -> Done<T>) -> Done<T> {
        self.connect()?;
        let Some(open) = &mut self.open else { return Err(Fault::Late) };
        let patience = self.options.patience();
        let done = work(&mut Session { runtime: &self.runtime, open, patience });
        if done.as_ref().is_err_and(|fault| fault.class() == Class::Broken) {
            // Nothing is said to the server: it may be what does not answer.
            self.open = None;
            self.stats.broken += 1;
        }
        done
    }

    /// Makes a connection if there is none; not too often.
    fn connect(&mut self) -> Done<()> {
        if self.open.is_some() {
            return Ok(());
        }
        if let Some((again_at, _, why)) = &self.refused
            && Instant::now() < *again_at
        {
            return Err(Error::busy(why.clone()).into());
        }
        match open(&self.runtime, &self.options) {
            Ok(open) => {
                (self.open, self.refused) = (Some(open), None);
                self.stats.made += 1;
                Ok(())
            }
            Err(fault) => {
                self.stats.refused += 1;
                let pause =
                    self.refused.as_ref().map_or(limits::PROBE_PAUSE_MIN, |(_, pause, _)| {
                        (*pause * 2).min(limits::PROBE_PAUSE_MAX)
                    });
                let error = match Error::from(fault) {
                    Error::Busy(text) => Error::Busy(format!("{}: {text}", self.options)),
                    Error::Refused(text) => Error::Refused(format!("{}: {text}", self.options)),
                };
                self.refused = Some((Instant::now() + pause, pause, error.to_string()));
                Err(error.into())
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(Open { conn, .. }) = self.open.take() else { return };
        // Only so that the server's log is not full of connections that ended without a word.
        let _ = wait(&self.runtime, limits::MYSQL_GOODBYE, conn.disconnect());
    }
}

impl Session<'_> {
    /// Sets how long a statement may take; gives what it was.
    pub(super) const fn set_patience(&mut self, patience: Duration) -> Duration {
        std::mem::replace(&mut self.patience, patience)
    }

    fn begin(&mut self, begin: Begin) -> Done<()> {
        match begin {
            Begin::Write => self.run("START TRANSACTION"),
            Begin::Snapshot => {
                self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
                self.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            }
        }
    }

    /// Runs a statement without arguments, unprepared.
    pub(super) fn run(&mut self, text: &str) -> Done<()> {
        wait(self.runtime, self.patience, self.open.conn.query_drop(text))
    }

    /// The number that a query without arguments gives.
    pub(super) fn number(&mut self, query: &str) -> Done<Option<i64>> {
        let found: Option<Option<i64>> =
            wait(self.runtime, self.patience, self.open.conn.query_first(query))?;
        Ok(found.flatten())
    }

    /// All rows of a query.
    pub(super) fn rows(&mut self, query: &str, arguments: Vec<Value>) -> Done<Vec<Row>> {
        let arguments = positional(arguments);
        wait(self.runtime, self.patience, self.open.conn.exec(query, arguments))
    }

    /// The first row of a query.
    pub(super) fn first(&mut self, query: &str, arguments: Vec<Value>) -> Done<Option<Row>> {
        let arguments = positional(arguments);
        wait(self.runtime, self.patience, self.open.conn.exec_first(query, arguments))
    }

    /// Changes rows; gives how many were there to be changed.
    pub(super) fn execute(&mut self, statement: &str, arguments: Vec<Value>) -> Done<u64> {
        let arguments = positional(arguments);
        wait(self.runtime, self.patience, self.open.conn.exec_drop(statement, arguments))?;
        Ok(self.open.conn.affected_rows())
    }

    /// The number that the last statement gave to a row, or with `LAST_INSERT_ID(...)`.
    pub(super) fn last_number(&self) -> u64 {
        self.open.conn.last_insert_id().unwrap_or_default()
    }

    /// Inserts rows, many at a time.
    pub(super) fn insert(&mut self, into: &str, mut rows: Rows, tail: &str) -> Done<()> {
        let bytes_max = self.open.bytes_max;
        while let Some((count, values)) = rows.next(bytes_max) {
            let statement = rows.text(into, count, tail);
            self.execute(&statement, values)?;
        }
        Ok(())
    }
}

fn positional(arguments: Vec<Value>) -> Params {
    if arguments.is_empty() { Params::Empty } else { Params::Positional(arguments) }
}

/// Drives `work` to its end on this thread, or gives up.
fn wait<T>(
    runtime: &Runtime,
    patience: Duration,
    work: impl Future<Output = mysql_async::Result<T>>,
) -> Done<T> {
    let done = runtime.block_on(async { tokio::time::timeout(patience, work).await });
    Ok(done.map_err(|_| Fault::Late)??)
}

/// Connects and settles how the two sides talk.
fn open(runtime: &Runtime, options: &MysqlOptions) -> Done<Open> {
    let mut conn = wait(runtime, limits::MYSQL_CONNECT_PATIENCE, Conn::new(options.opts()))?;
    let settings = [
        "SET NAMES utf8mb4".to_owned(),
        // What does not fit is refused, not cut.
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'"
            .to_owned(),
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
        format!(
            "SET SESSION autocommit = 1, innodb_lock_wait_timeout = {}, lock_wait_timeout = {}",
            limits::MYSQL_ROW_LOCK_S,
            limits::MYSQL_TABLE_LOCK_S
        ),
    ];
    for setting in settings {
        wait(runtime, limits::MYSQL_CONNECT_PATIENCE, conn.query_drop(setting))?;
    }
    let query = "SELECT @@max_allowed_packet, @@innodb_flush_log_at_trx_commit";
    let found = wait(runtime, limits::MYSQL_CONNECT_PATIENCE, conn.query_first(query))?;
    let (packet_bytes, flush): (usize, i64) =
        found.ok_or_else(|| Error::busy("the server does not tell its settings"))?;
    if flush != 1 {
        return Err(Error::refused(format!(
            "innodb_flush_log_at_trx_commit is {flush}, so that a commit could be lost: set it to 1"
        ))
        .into());
    }
    if packet_bytes < limits::MYSQL_PACKET_BYTES_MIN {
        return Err(Error::refused(format!(
            "max_allowed_packet is {packet_bytes}: set it to {} or more",
            limits::MYSQL_PACKET_BYTES_MIN
        ))
        .into());
    }
    Ok(Open { conn, bytes_max: (packet_bytes / 4).min(limits::MYSQL_STATEMENT_BYTES_MAX) })
}
