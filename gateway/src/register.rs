//! A registration: prove the e-mail address, then make the account.

use std::time::{SystemTime, UNIX_EPOCH};

use store::{NewAccount, Taken};
use wire::UserId;

use crate::clients::Client;
use crate::limits::CODES_PER_CLIENT;
use crate::password::Secret;
use crate::routes::App;
use crate::status::{Status, refused, seconds};
use crate::validate;
use crate::verify::{CheckError, SendError, Sent};

/// Who wants an account.
#[derive(Debug)]
pub(crate) struct Applicant {
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) password: Secret,
    pub(crate) code: Option<String>,
}

/// Makes a code and sends it to its address, whether or not anybody has an account there: the answer tells nothing.
pub(crate) async fn send_code(app: &App, client: &Client, email: &str) -> Result<Sent, Status> {
    validate::email(email).map_err(Status::Invalid)?;
    let bounded = app.take(&CODES_PER_CLIENT, client).await;
    bounded.map_err(|refusal| refused(refusal, Status::TooMany))?;
    app.verifier.send(email).await.map_err(|error| match error {
        SendError::Invalid(rule) => Status::Invalid(rule),
        SendError::TooSoon(wait) => Status::CodeTooSoon(seconds(wait)),
        SendError::Busy => Status::Busy,
        SendError::Away => Status::SharedAway,
        SendError::NotDelivered => Status::NotDelivered,
        SendError::Unreachable => Status::VerifierUnreachable,
    })
}

/// Makes an account.
pub(crate) async fn register(
    app: &App,
    client: &Client,
    applicant: Applicant,
) -> Result<UserId, Status> {
    let Applicant { username, email, password, code } = applicant;
    validate::username(&username).map_err(Status::Invalid)?;
    validate::email(&email).map_err(Status::Invalid)?;
    validate::password(password.expose(), &username, &email).map_err(Status::Invalid)?;
    if !app.skips_verification {
        check_code(app, client, &email, &code.ok_or(Status::JsonParse)?).await?;
    }
    let phc = record(app, password).await?;
    let account = NewAccount { username, email, phc, created_unix_ms: unix_ms() };
    let email = account.email.clone();
    let user = app.accounts.register(account).await?.map_err(|taken| match taken {
        Taken::Username => Status::UsernameTaken,
        Taken::Email => Status::EmailTaken,
    })?;
    if !app.skips_verification {
        // Nobody can register this address again, so a code that stays for want of an answer does no harm.
        let _ = app.verifier.consume(&email).await;
    }
    Ok(user)
}

/// Compares a code with the one that was sent; a wrong one counts against the client too.
pub(crate) async fn check_code(
    app: &App,
    client: &Client,
    email: &str,
    code: &str,
) -> Result<(), Status> {
    app.may_fail(client).await?;
    let checked = app.verifier.check(email, code).await;
    if matches!(checked, Err(CheckError::Wrong | CheckError::Unknown)) {
        app.failed(client).await?;
    }
    checked.map_err(status)
}

/// What a code that was not accepted is answered with.
pub(crate) fn status(error: CheckError) -> Status {
    match error {
        CheckError::Unknown => Status::CodeUnknown,
        CheckError::Wrong => Status::CodeWrong,
        CheckError::TooMany(wait) => Status::Locked(seconds(wait)),
        CheckError::Away => Status::SharedAway,
        CheckError::Unreachable => Status::VerifierUnreachable,
    }
}

/// The record of a new password.
pub(crate) async fn record(app: &App, password: Secret) -> Result<String, Status> {
    let turn = app.turn().await?;
    app.hash(turn, move |hasher| hasher.record(&password)).await?.map_err(|error| {
        tracing::error!(%error, "a password was not hashed");
        Status::Busy
    })
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
