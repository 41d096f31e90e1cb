//! Accounts: who may log in, with what password record, and how often they have.
//!
//! Owns `accounts.sqlite`. Never sees a password: hashing and checking are the gateway's, who hands over PHC strings.

pub(crate) mod schema;
mod service;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};
use wire::{Epoch, UserId};

use crate::database::{Link, Options};
use crate::error::{Error, Result};
use crate::limits;

pub use service::{AccountsHandle, AccountsService};

/// An account to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// The name to log in with: unique, upper and lower ASCII letters being the same.
    pub username: String,
    /// The e-mail address: unique in the same way.
    pub email: String,
    /// The password record, a PHC string.
    pub phc: String,
    /// When, in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub user: UserId,
    /// The name as it was registered.
    pub username: String,
    /// The e-mail address as it was registered.
    pub email: String,
    /// The password record, a PHC string.
    pub phc: String,
    /// How many times it has logged in.
    pub epoch: Epoch,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// What an account cannot be made with, because another one has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Taken {
    /// The username.
    #[error("the username is taken")]
    Username,
    /// The e-mail address.
    #[error("the e-mail address is taken")]
    Email,
}

/// What became of a registration: the new account's number, or what is taken.
pub type Registered = std::result::Result<UserId, Taken>;

/// The accounts' file, on the caller's thread. [`AccountsService`] is the same behind a queue, for thousands of logins
/// per second.
#[derive(Debug)]
pub struct Accounts {
    link: Link,
}

impl Accounts {
    /// Opens the file; makes and migrates it as needed.
    ///
    /// # Errors
    /// `Refused` for a file of another kind or of a newer version, `Busy` if the disk or a lock is in the way.
    pub fn open(options: &Options) -> Result<Self> {
        Ok(Self { link: Link::write(options, schema::ACCOUNTS)? })
    }

    /// Makes an account and its profile, in one transaction that is on the disk when this returns.
    ///
    /// # Errors
    /// As [`Error`] says; then nothing was made.
    pub fn register(&mut self, account: &NewAccount) -> Result<Registered> {
        check(account)?;
        self.group(|sql| register(sql, account))
    }

    /// Makes many accounts, some thousands per transaction. Gives one result for each, in order; those that are taken
    /// stop nobody else.
    ///
    /// # Errors
    /// As [`Error`] says; accounts of earlier transactions stay made, so that calling again finds them taken.
    pub fn provision(&mut self, accounts: &[NewAccount]) -> Result<Vec<Registered>> {
        let mut results = Vec::with_capacity(accounts.len());
        for chunk in accounts.chunks(limits::PROVISION_CHUNK) {
            chunk.iter().try_for_each(check)?;
            let made: Vec<Registered> =
                self.group(|sql| chunk.iter().map(|account| register(sql, account)).collect())?;
            results.extend(made);
        }
        Ok(results)
    }

    /// The account with this username.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn find(&mut self, username: &str) -> Result<Option<Account>> {
        self.link.run(|sql| find(sql, username))
    }

    /// The account with this e-mail address.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn find_by_email(&mut self, email: &str) -> Result<Option<Account>> {
        self.link.run(|sql| find_by_email(sql, email))
    }

    /// What of a username and an e-mail address is taken, if either is.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn taken(&mut self, username: &str, email: &str) -> Result<Option<Taken>> {
        self.link.run(|sql| taken(sql, username, email))
    }

    /// Whether there is an account with this number.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn exists(&mut self, user: UserId) -> Result<bool> {
        self.link.run(|sql| exists(sql, user))
    }

    /// How many accounts there are.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn count(&mut self) -> Result<u64> {
        self.link.run(|sql| {
            sql.query_row("SELECT count(*) FROM accounts", [], |row| row.get::<_, i64>(0))
                .map(i64::cast_unsigned)
        })
    }

    /// Counts a login: raises the epoch and gives the new one, but only if the password record is still the one that was
    /// checked. `None`: the password has changed meanwhile, or the account is gone.
    ///
    /// # Errors
    /// As [`Error`] says; then the epoch is as it was.
    pub fn raise_epoch(&mut self, user: UserId, checked_phc: &str) -> Result<Option<Epoch>> {
        self.group(|sql| raise_epoch(sql, user, checked_phc))
    }

    /// Runs `work` in one transaction.
    fn group<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.link.run(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }
}

/// Keeps absurd texts off the disk.
fn check(account: &NewAccount) -> Result<()> {
    let longest = [&account.username, &account.email, &account.phc]
        .iter()
        .map(|text| text.len())
        .max()
        .unwrap_or(0);
    if longest <= limits::ACCOUNT_TEXT_BYTES_MAX && i64::try_from(account.created_unix_ms).is_ok() {
        Ok(())
    } else {
        Err(Error::refused("an account with a text or a time that is out of bounds"))
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
