//! The requests of the distributed seed system: its fields, its spelling, numbers as texts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::clients::Client;
use crate::password::Secret;
use crate::register::Applicant;
use crate::routes::App;
use crate::status::Status;
use crate::{login, register, reset};

/// `/get_verification`: asks for a code.
#[derive(Debug, Deserialize)]
pub(crate) struct Verification {
    email: String,
}

/// A code is on its way.
#[derive(Serialize)]
pub(crate) struct VerificationAnswer {
    error: u16,
    email: String,
    /// Only ever there in development.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

/// Sends a code.
pub(crate) async fn get_verification(
    app: &App,
    client: &Client,
    asked: Verification,
) -> Result<VerificationAnswer, Status> {
    let sent = register::send_code(app, client, &asked.email).await?;
    Ok(VerificationAnswer { error: 0, email: asked.email, code: sent.code })
}

/// `/post_registration`: asks for an account. `cpatcha` is how the seed system spells it; both may be there.
#[derive(Debug, Deserialize)]
pub(crate) struct Registration {
    username: String,
    password: Secret,
    email: String,
    cpatcha: Option<String>,
    captcha: Option<String>,
}

/// The account is made. The password is not sent back, unlike in the seed system.
#[derive(Serialize)]
pub(crate) struct RegistrationAnswer {
    error: u16,
    username: String,
    email: String,
    uuid: String,
}

/// Makes an account.
pub(crate) async fn post_registration(
    app: &App,
    client: &Client,
    asked: Registration,
) -> Result<RegistrationAnswer, Status> {
    let Registration { username, password, email, cpatcha, captcha } = asked;
    let applicant = Applicant {
        username: username.clone(),
        email: email.clone(),
        password,
        code: captcha.or(cpatcha),
    };
    let user = register::register(app, client, applicant).await?;
    Ok(RegistrationAnswer { error: 0, username, email, uuid: user.0.to_string() })
}

/// `/check_accountexists`: asks whether an account has this username and this e-mail address.
#[derive(Debug, Deserialize)]
pub(crate) struct Existence {
    username: String,
    email: String,
}

/// It has.
#[derive(Serialize)]
pub(crate) struct ExistenceAnswer {
    error: u16,
    username: String,
    email: String,
}

/// Says whether there is such an account.
pub(crate) async fn check_accountexists(
    app: &App,
    client: &Client,
    asked: Existence,
) -> Result<ExistenceAnswer, Status> {
    let Existence { username, email } = asked;
    reset::exists(app, client, &username, &email).await?;
    Ok(ExistenceAnswer { error: 0, username, email })
}

/// `/reset_password`: gives an account a new password. The code is what the seed system does not ask for.
#[derive(Debug, Deserialize)]
pub(crate) struct Reset {
    username: String,
    email: String,
    password: Secret,
    cpatcha: Option<String>,
    captcha: Option<String>,
}

/// It is done.
#[derive(Serialize)]
pub(crate) struct ResetAnswer {
    error: u16,
}

/// Changes a password.
pub(crate) async fn reset_password(
    app: &App,
    client: &Client,
    asked: Reset,
) -> Result<ResetAnswer, Status> {
    let Reset { username, email, password, cpatcha, captcha } = asked;
    let code = captcha.or(cpatcha).ok_or(Status::JsonParse)?;
    reset::reset(app, client, username, &email, password, &code).await?;
    Ok(ResetAnswer { error: 0 })
}

/// `/trylogin_server`: asks where to log in.
#[derive(Debug, Deserialize)]
pub(crate) struct Login {
    username: String,
    password: Secret,
}

/// Where, and with what.
#[derive(Serialize)]
pub(crate) struct LoginAnswer {
    error: u16,
    uuid: String,
    host: String,
    port: String,
    token: String,
}

/// Logs somebody in.
pub(crate) async fn trylogin_server(
    app: &App,
    client: &Client,
    asked: Login,
) -> Result<LoginAnswer, Status> {
    let (user, placed) = login::log_in(app, client, asked.username, asked.password).await?;
    Ok(LoginAnswer {
        error: 0,
        uuid: user.0.to_string(),
        host: placed.host,
        port: placed.port.to_string(),
        token: URL_SAFE_NO_PAD.encode(placed.token),
    })
}
