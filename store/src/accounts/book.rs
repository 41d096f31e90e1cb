//! The accounts within a transaction, whatever backend it is of, and what gives such transactions.

use std::fmt::Debug;

use wire::{Epoch, UserId};

use super::{Account, NewAccount, Registered, Taken};
use crate::error::Result;

/// Something failed in a transaction. Why is kept by the transaction, which is rolled back and says it at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed;

/// What a step of a transaction gives.
pub(crate) type Step<T> = std::result::Result<T, Failed>;

/// The accounts within a transaction.
pub(crate) trait Book {
    /// Makes accounts and their profiles. Gives one result for each, in order.
    fn register(&mut self, accounts: &[NewAccount]) -> Step<Vec<Registered>>;
    /// Counts a login, under the password record that was checked.
    fn raise_epoch(&mut self, user: UserId, checked_phc: &str) -> Step<Option<Epoch>>;
    /// Gives an account a new password record, and raises its epoch.
    fn set_password(&mut self, user: UserId, phc: &str) -> Step<Option<Epoch>>;
    /// The account with this username.
    fn find(&mut self, username: &str) -> Step<Option<Account>>;
    /// The account with this e-mail address.
    fn find_by_email(&mut self, email: &str) -> Step<Option<Account>>;
    /// What of the two is taken.
    fn taken(&mut self, username: &str, email: &str) -> Step<Option<Taken>>;
    /// Whether there is such an account.
    fn exists(&mut self, user: UserId) -> Step<bool>;
    /// How many accounts there are.
    fn count(&mut self) -> Step<u64>;
}

/// What is done in a transaction. It may be done twice: what the first time gave counts for nothing then.
pub(crate) type Work<'a> = &'a mut dyn FnMut(&mut dyn Book) -> Step<()>;

/// A connection to accounts.
pub(crate) trait Base: Debug + Send {
    /// Does `work` in one transaction, which is on the disk when this returns.
    fn write(&mut self, work: Work<'_>) -> Result<()>;
    /// Does `work`, which changes nothing.
    fn read(&mut self, work: Work<'_>) -> Result<()>;
    /// Finds out whether the store takes writes.
    fn probe(&mut self) -> Result<()>;
}
