//! A forgotten password: is there such an account, and a new password for who has shown that its address is his.

use store::Account;

use crate::clients::Client;
use crate::limits::{LOOKUPS_PER_CLIENT, WRONG_PASSWORDS_PER_ACCOUNT};
use crate::password::Secret;
use crate::register::{check_code, record, status};
use crate::routes::App;
use crate::status::{Status, refused};
use crate::validate;

/// Whether an account has this username and this e-mail address. Which of the two nobody has is not said.
pub(crate) async fn exists(
    app: &App,
    client: &Client,
    username: &str,
    email: &str,
) -> Result<(), Status> {
    let bounded = app.take(&LOOKUPS_PER_CLIENT, client).await;
    bounded.map_err(|refusal| refused(refusal, Status::TooMany))?;
    // What breaks the rules nobody has, and asking the store for it would take no longer and no shorter.
    let found = app.accounts.find(username.to_owned()).await?;
    let is_theirs = found.is_some_and(|account| account.email.eq_ignore_ascii_case(email));
    if is_theirs { Ok(()) } else { Err(Status::NoAccount) }
}

/// Gives an account a new password and ends its sessions, wherever they are.
pub(crate) async fn reset(
    app: &App,
    client: &Client,
    username: String,
    email: &str,
    password: Secret,
    code: &str,
) -> Result<(), Status> {
    validate::username(&username).map_err(Status::Invalid)?;
    validate::email(email).map_err(Status::Invalid)?;
    validate::password(password.expose(), &username, email).map_err(Status::Invalid)?;
    check_code(app, client, email, code).await?;
    let account = app.accounts.find(username).await?;
    let account = account.filter(|account| account.email.eq_ignore_ascii_case(email));
    let Account { user, username, .. } = account.ok_or(Status::Mismatch)?;
    let record = record(app, password).await?;
    // Once: of two requests with the same code one changes the password.
    app.verifier.consume(email).await.map_err(status)?;
    let epoch = app.accounts.set_password(user, record).await?.ok_or(Status::Mismatch)?;
    tracing::info!(user = user.0, "a password was reset");
    // Who owns the mailbox is not locked out for somebody else's guesses.
    app.shared.forget(&WRONG_PASSWORDS_PER_ACCOUNT, &username.to_ascii_lowercase()).await;
    app.ender.end(user, epoch).await;
    Ok(())
}
