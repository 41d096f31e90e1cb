//! The accounts in their file.

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};
use wire::{Epoch, UserId};

use super::book::{Base, Book, Failed, Step, Work};
use super::{Account, NewAccount, Registered, Taken};
use crate::database::Link;
use crate::error::Result;

impl Base for Link {
    fn write(&mut self, work: Work<'_>) -> Result<()> {
        self.run(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            run(&transaction, work)?;
            transaction.commit()
        })
    }

    fn read(&mut self, work: Work<'_>) -> Result<()> {
        self.run(|connection| run(connection, work))
    }

    fn probe(&mut self) -> Result<()> {
        Self::probe(self)
    }
}

fn run(sql: &Connection, work: Work<'_>) -> rusqlite::Result<()> {
    let mut page = Page { sql, error: None };
    match (work(&mut page), page.error) {
        (Ok(()), None) => Ok(()),
        // A failure that was not kept is a mistake of ours, and must not be committed.
        (Ok(()) | Err(Failed), error) => Err(error.unwrap_or(rusqlite::Error::InvalidQuery)),
    }
}

struct Page<'a> {
    sql: &'a Connection,
    error: Option<rusqlite::Error>,
}

impl Page<'_> {
    fn kept<T>(&mut self, result: rusqlite::Result<T>) -> Step<T> {
        result.map_err(|error| {
            self.error = Some(error);
            Failed
        })
    }
}

impl Book for Page<'_> {
    fn register(&mut self, accounts: &[NewAccount]) -> Step<Vec<Registered>> {
        let registered = accounts.iter().map(|account| register(self.sql, account)).collect();
        self.kept(registered)
    }

    fn raise_epoch(&mut self, user: UserId, checked_phc: &str) -> Step<Option<Epoch>> {
        let raised = raise_epoch(self.sql, user, checked_phc);
        self.kept(raised)
    }

    fn set_password(&mut self, user: UserId, phc: &str) -> Step<Option<Epoch>> {
        let set = set_password(self.sql, user, phc);
        self.kept(set)
    }

    fn find(&mut self, username: &str) -> Step<Option<Account>> {
        let found = find(self.sql, username);
        self.kept(found)
    }

    fn find_by_email(&mut self, email: &str) -> Step<Option<Account>> {
        let found = find_by_email(self.sql, email);
        self.kept(found)
    }

    fn taken(&mut self, username: &str, email: &str) -> Step<Option<Taken>> {
        let found = taken(self.sql, username, email);
        self.kept(found)
    }

    fn exists(&mut self, user: UserId) -> Step<bool> {
        let found = exists(self.sql, user);
        self.kept(found)
    }

    fn count(&mut self) -> Step<u64> {
        let counted = self.sql.query_row("SELECT count(*) FROM accounts", [], |row| {
            row.get::<_, i64>(0).map(i64::cast_unsigned)
        });
        self.kept(counted)
    }
}

fn register(sql: &Connection, account: &NewAccount) -> rusqlite::Result<Registered> {
    let user: Option<i64> = sql
        .prepare_cached(
            "INSERT INTO accounts (username, email, phc, session_epoch, created_unix_ms)
             VALUES (?1, ?2, ?3, 0, ?4) ON CONFLICT DO NOTHING RETURNING user_id",
        )?
        .query_row(
            (
                &account.username,
                &account.email,
                &account.phc,
                account.created_unix_ms.cast_signed(),
            ),
            |row| row.get(0),
        )
        .optional()?;
    let Some(user) = user else {
        // One of the two must be there: nothing else conflicts.
        return Ok(Err(taken(sql, &account.username, &account.email)?.unwrap_or(Taken::Username)));
    };
    sql.prepare_cached("INSERT INTO profiles (user_id, nickname) VALUES (?1, ?2)")?
        .execute((user, &account.username))?;
    Ok(Ok(UserId(user.cast_unsigned())))
}

fn taken(sql: &Connection, username: &str, email: &str) -> rusqlite::Result<Option<Taken>> {
    if sql.prepare_cached("SELECT 1 FROM accounts WHERE username = ?1")?.exists([username])? {
        return Ok(Some(Taken::Username));
    }
    let is_taken =
        sql.prepare_cached("SELECT 1 FROM accounts WHERE email = ?1")?.exists([email])?;
    Ok(is_taken.then_some(Taken::Email))
}

fn exists(sql: &Connection, user: UserId) -> rusqlite::Result<bool> {
    sql.prepare_cached("SELECT 1 FROM accounts WHERE user_id = ?1")?.exists([user.0.cast_signed()])
}

fn find(sql: &Connection, username: &str) -> rusqlite::Result<Option<Account>> {
    sql.prepare_cached(
        "SELECT user_id, username, email, phc, session_epoch, created_unix_ms
         FROM accounts WHERE username = ?1",
    )?
    .query_row([username], account)
    .optional()
}

fn find_by_email(sql: &Connection, email: &str) -> rusqlite::Result<Option<Account>> {
    sql.prepare_cached(
        "SELECT user_id, username, email, phc, session_epoch, created_unix_ms
         FROM accounts WHERE email = ?1",
    )?
    .query_row([email], account)
    .optional()
}

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        user: UserId(row.get::<_, i64>(0)?.cast_unsigned()),
        username: row.get(1)?,
        email: row.get(2)?,
        phc: row.get(3)?,
        epoch: Epoch(row.get::<_, i64>(4)?.cast_unsigned()),
        created_unix_ms: row.get::<_, i64>(5)?.cast_unsigned(),
    })
}

fn raise_epoch(
    sql: &Connection,
    user: UserId,
    checked_phc: &str,
) -> rusqlite::Result<Option<Epoch>> {
    sql.prepare_cached(
        "UPDATE accounts SET session_epoch = session_epoch + 1
         WHERE user_id = ?1 AND phc = ?2 RETURNING session_epoch",
    )?
    .query_row((user.0.cast_signed(), checked_phc), |row| row.get::<_, i64>(0))
    .optional()
    .map(|epoch| epoch.map(|epoch| Epoch(epoch.cast_unsigned())))
}

fn set_password(sql: &Connection, user: UserId, phc: &str) -> rusqlite::Result<Option<Epoch>> {
    sql.prepare_cached(
        "UPDATE accounts SET phc = ?2, session_epoch = session_epoch + 1
         WHERE user_id = ?1 RETURNING session_epoch",
    )?
    .query_row((user.0.cast_signed(), phc), |row| row.get::<_, i64>(0))
    .optional()
    .map(|epoch| epoch.map(|epoch| Epoch(epoch.cast_unsigned())))
}
