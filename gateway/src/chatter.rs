//! The requests of Chatter: the same accounts under its paths, its fields and its numbers.

use serde::{Deserialize, Serialize};

use crate::clients::Client;
use crate::password::Secret;
use crate::register::Applicant;
use crate::routes::App;
use crate::status::Status;
use crate::{login, register};

/// `/get_varifycode` and `/get_verifycode`: asks for a code.
#[derive(Debug, Deserialize)]
pub(crate) struct Varify {
    email: String,
}

/// A code is on its way.
#[derive(Serialize)]
pub(crate) struct VarifyAnswer {
    error: u16,
    email: String,
    /// Empty but in development: Chatter's clients look for the field.
    code: String,
}

/// Sends a code.
pub(crate) async fn get_varifycode(
    app: &App,
    client: &Client,
    asked: Varify,
) -> Result<VarifyAnswer, Status> {
    let sent = register::send_code(app, client, &asked.email).await?;
    Ok(VarifyAnswer { error: 0, email: asked.email, code: sent.code.unwrap_or_default() })
}

/// `/register`: asks for an account.
#[derive(Debug, Deserialize)]
pub(crate) struct Registration {
    user: String,
    email: String,
    password: Secret,
    code: Option<String>,
}

/// The account is made.
#[derive(Serialize)]
pub(crate) struct RegistrationAnswer {
    error: u16,
    user: String,
    message: &'static str,
}

/// Makes an account.
pub(crate) async fn register(
    app: &App,
    client: &Client,
    asked: Registration,
) -> Result<RegistrationAnswer, Status> {
    let Registration { user, email, password, code } = asked;
    let applicant = Applicant { username: user.clone(), email, password, code };
    register::register(app, client, applicant).await?;
    Ok(RegistrationAnswer { error: 0, user, message: "register success" })
}

/// `/login`: asks whether this is the password.
#[derive(Debug, Deserialize)]
pub(crate) struct Login {
    user: String,
    password: Secret,
}

/// It is. As in Chatter, this opens no session: `/trylogin_server` gives the token for one.
#[derive(Serialize)]
pub(crate) struct LoginAnswer {
    error: u16,
    user: String,
    email: String,
    message: &'static str,
}

/// Checks a password.
pub(crate) async fn login(app: &App, client: &Client, asked: Login) -> Result<LoginAnswer, Status> {
    let account = login::check(app, client, asked.user, asked.password).await?;
    Ok(LoginAnswer {
        error: 0,
        user: account.username,
        email: account.email,
        message: "login success",
    })
}
