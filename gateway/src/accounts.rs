//! The accounts service of the store, awaited: its replies come from its own threads through one-shot channels.

use store::{Account, AccountsHandle, Error, NewAccount, Registered};
use tokio::sync::oneshot;
use wire::{Epoch, UserId};

use crate::status::Status;

/// A handle for async callers.
#[derive(Clone, Debug)]
pub(crate) struct Accounts(AccountsHandle);

impl Accounts {
    pub(crate) const fn new(handle: AccountsHandle) -> Self {
        Self(handle)
    }

    /// The account with this username.
    ///
    /// # Errors
    /// [`Status::Busy`] if too many ask, [`Status::StoreFault`] if the store fails.
    pub(crate) async fn find(&self, username: String) -> Result<Option<Account>, Status> {
        ask(|reply| self.0.find(username, reply)).await
    }

    /// Gives an account a new password and raises its epoch: sessions of a lower one are to end. `None`: the account is
    /// gone.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(crate) async fn set_password(
        &self,
        user: UserId,
        record: String,
    ) -> Result<Option<Epoch>, Status> {
        ask(|reply| self.0.set_password(user, record, reply)).await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(crate) async fn register(&self, account: NewAccount) -> Result<Registered, Status> {
        ask(|reply| self.0.register(account, reply)).await
    }

    /// Counts a login whose password was checked against this record: gives the session's epoch, or `None` if the
    /// record is another one by now.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(crate) async fn raise_epoch(
        &self,
        user: UserId,
        record: String,
    ) -> Result<Option<Epoch>, Status> {
        ask(|reply| self.0.raise_epoch(user, record, reply)).await
    }

    /// Why the last write failed, unless one has succeeded since.
    pub(crate) fn fault(&self) -> Option<Error> {
        self.0.fault()
    }
}

async fn ask<T: Send + 'static>(
    post: impl FnOnce(Box<dyn FnOnce(store::Result<T>) + Send>) -> store::Result<()>,
) -> Result<T, Status> {
    let (reply, answer) = oneshot::channel();
    post(Box::new(move |result| {
        let _ = reply.send(result); // The request was given up meanwhile.
    }))
    .map_err(|error| if error.is_busy() { Status::Busy } else { fault(&error) })?;
    match answer.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(fault(&error)),
        Err(_) => Err(Status::StoreFault), // The service stopped with the request in its queue.
    }
}

fn fault(error: &Error) -> Status {
    tracing::warn!(%error, "the accounts store failed");
    Status::StoreFault
}
