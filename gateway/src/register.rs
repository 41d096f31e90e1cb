//! A registration: prove the e-mail address, then make the account.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use store::{NewAccount, Taken};

use crate::codes::{CheckError, IssueError};
use crate::password::Secret;
use crate::routes::App;
use crate::status::Status;
use crate::validate;

/// Asks for a code.
#[derive(Debug, Deserialize)]
pub(crate) struct CodeRequest {
    email: String,
}

/// A code is on its way.
#[derive(Serialize)]
pub(crate) struct CodeAnswer {
    error: u16,
    email: String,
}

/// Asks for an account. `cpatcha` is how the seed system spells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    username: String,
    password: Secret,
    email: String,
    #[serde(alias = "captcha")]
    cpatcha: Option<String>,
}

/// The account is made. The password is not sent back, unlike in the seed system.
#[derive(Serialize)]
pub(crate) struct Answer {
    error: u16,
    username: String,
    email: String,
    uuid: String,
}

/// Makes a code and sends it to its address.
pub(crate) async fn send_code(app: &App, request: CodeRequest) -> Result<CodeAnswer, Status> {
    let CodeRequest { email } = request;
    validate::email(&email).map_err(Status::Invalid)?;
    let random = getrandom::u64().map_err(|_| Status::Busy)?;
    let code = app.codes().issue(Instant::now(), &email, random).map_err(|error| match error {
        IssueError::TooSoon => Status::CodeTooSoon,
        IssueError::Full => Status::Busy,
    })?;
    if let Err(error) = app.delivery.deliver(&email, &code).await {
        tracing::error!(%error, "a verification code was not delivered");
        app.codes().consume(&email); // Nobody has it; the next request need not wait.
        return Err(Status::NotDelivered);
    }
    Ok(CodeAnswer { error: 0, email })
}

/// Makes an account.
pub(crate) async fn register(app: &App, request: Request) -> Result<Answer, Status> {
    let Request { username, password, email, cpatcha } = request;
    validate::username(&username).map_err(Status::Invalid)?;
    validate::email(&email).map_err(Status::Invalid)?;
    validate::password(password.expose(), &username, &email).map_err(Status::Invalid)?;
    if !app.skips_verification {
        let code = cpatcha.as_deref().ok_or(Status::JsonParse)?;
        app.codes().check(Instant::now(), &email, code).map_err(|error| match error {
            CheckError::Unknown => Status::CodeUnknown,
            CheckError::Wrong => Status::CodeWrong,
        })?;
    }
    let record = app.hash(move |hasher| hasher.record(&password)).await?.map_err(|error| {
        tracing::error!(%error, "a password was not hashed");
        Status::Busy
    })?;
    let account = NewAccount {
        username: username.clone(),
        email: email.clone(),
        phc: record,
        created_unix_ms: unix_ms(),
    };
    let user = app.accounts.register(account).await?.map_err(|taken| match taken {
        Taken::Username => Status::UsernameTaken,
        Taken::Email => Status::EmailTaken,
    })?;
    app.codes().consume(&email);
    Ok(Answer { error: 0, username, email, uuid: user.0.to_string() })
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
