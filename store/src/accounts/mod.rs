//! Accounts: who may log in, with what password record, and how often they have.
//!
//! Owns `accounts.sqlite`, or the tables of the same content in a MySQL database. Never sees a password: hashing and checking are the gateway's, who hands over PHC strings.

pub(crate) mod book;
pub(crate) mod schema;
mod service;
mod sqlite;

use book::{Base, Book, Step};
use wire::{Epoch, UserId};

use crate::database::{Link, Options};
use crate::error::{Error, Result};
use crate::limits;
use crate::mysql::{self, MysqlOptions};

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

/// The accounts, on the caller's thread. [`AccountsService`] is the same behind a queue, for thousands of logins
/// per second.
#[derive(Debug)]
pub struct Accounts {
    base: Box<dyn Base>,
}

impl Accounts {
    /// Opens the file; makes and migrates it as needed.
    ///
    /// # Errors
    /// `Refused` for a file of another kind or of a newer version, `Busy` if the disk or a lock is in the way.
    pub fn open(options: &Options) -> Result<Self> {
        Ok(Self { base: Box::new(Link::write(options, schema::ACCOUNTS)?) })
    }

    /// Connects to a database that speaks the MySQL protocol; makes and migrates its tables as needed.
    ///
    /// # Errors
    /// `Busy` if the server cannot be reached, `Refused` if it does not let us in or its tables are a newer version's.
    pub fn open_mysql(options: &MysqlOptions) -> Result<Self> {
        Ok(Self { base: Box::new(mysql::Accounts::open(options)?) })
    }

    /// Makes an account and its profile, in one transaction that is on the disk when this returns.
    ///
    /// # Errors
    /// As [`Error`] says; then nothing was made.
    pub fn register(&mut self, account: &NewAccount) -> Result<Registered> {
        check(account)?;
        let made = self.write(|book| book.register(std::slice::from_ref(account)))?;
        made.into_iter().next().ok_or_else(|| Error::busy("nothing was registered"))
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
            results.extend(self.write(|book| book.register(chunk))?);
        }
        Ok(results)
    }

    /// The account with this username.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn find(&mut self, username: &str) -> Result<Option<Account>> {
        self.read(|book| book.find(username))
    }

    /// The account with this e-mail address.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn find_by_email(&mut self, email: &str) -> Result<Option<Account>> {
        self.read(|book| book.find_by_email(email))
    }

    /// What of a username and an e-mail address is taken, if either is.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn taken(&mut self, username: &str, email: &str) -> Result<Option<Taken>> {
        self.read(|book| book.taken(username, email))
    }

    /// Whether there is an account with this number.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn exists(&mut self, user: UserId) -> Result<bool> {
        self.read(|book| book.exists(user))
    }

    /// How many accounts there are.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn count(&mut self) -> Result<u64> {
        self.read(|book| book.count())
    }

    /// Counts a login: raises the epoch and gives the new one, but only if the password record is still the one that was
    /// checked. `None`: the password has changed meanwhile, or the account is gone.
    ///
    /// # Errors
    /// As [`Error`] says; then the epoch is as it was.
    pub fn raise_epoch(&mut self, user: UserId, checked_phc: &str) -> Result<Option<Epoch>> {
        self.write(|book| book.raise_epoch(user, checked_phc))
    }

    /// Gives an account a new password record and raises its epoch, in one transaction: whoever checked the old record
    /// can log in with it no more, and every session of a lower epoch than the one given is of the old password. `None`:
    /// there is no such account.
    ///
    /// # Errors
    /// As [`Error`] says; then record and epoch are as they were.
    pub fn set_password(&mut self, user: UserId, phc: &str) -> Result<Option<Epoch>> {
        check_text(phc)?;
        self.write(|book| book.set_password(user, phc))
    }

    fn write<T>(&mut self, mut work: impl FnMut(&mut dyn Book) -> Step<T>) -> Result<T> {
        one(|once| self.base.write(once), &mut work)
    }

    fn read<T>(&mut self, mut work: impl FnMut(&mut dyn Book) -> Step<T>) -> Result<T> {
        one(|once| self.base.read(once), &mut work)
    }
}

/// Carries what `work` gives out of a transaction.
fn one<T>(
    run: impl FnOnce(book::Work<'_>) -> Result<()>,
    work: &mut impl FnMut(&mut dyn Book) -> Step<T>,
) -> Result<T> {
    let mut value = None;
    run(&mut |book| {
        value = Some(work(book)?);
        Ok(())
    })?;
    value.ok_or_else(|| Error::busy("not worked on"))
}

/// Keeps absurd accounts off the disk.
fn check(account: &NewAccount) -> Result<()> {
    [&account.username, &account.email, &account.phc]
        .into_iter()
        .try_for_each(|t| check_text(t))?;
    if i64::try_from(account.created_unix_ms).is_ok() {
        Ok(())
    } else {
        Err(Error::refused("an account with a time that is out of bounds"))
    }
}

/// Keeps absurd texts off the disk.
fn check_text(text: &str) -> Result<()> {
    if text.len() <= limits::ACCOUNT_TEXT_BYTES_MAX {
        Ok(())
    } else {
        Err(Error::refused("an account with a text that is out of bounds"))
    }
}
