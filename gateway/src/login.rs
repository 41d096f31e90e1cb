//! A login: check the password, count the login, ask for a place.

use std::time::Instant;

use balancer::client::{CallError, Client, Placed, jittered};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use wire::{Epoch, UserId};

use crate::limits::{PLACE_DEADLINE, PLACE_PAUSE_MAX, PLACE_PAUSE_MIN, USERNAME_BYTES_MAX};
use crate::password::Secret;
use crate::routes::App;
use crate::status::Status;

/// What is asked.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    username: String,
    password: Secret,
}

/// What is answered. Numbers are texts, as in the seed system.
#[derive(Serialize)]
pub(crate) struct Answer {
    error: u16,
    uuid: String,
    host: String,
    port: String,
    token: String,
}

/// Logs somebody in.
pub(crate) async fn login(app: &App, request: Request) -> Result<Answer, Status> {
    let Request { username, password } = request;
    if username.len() > USERNAME_BYTES_MAX {
        return Err(Status::Credentials);
    }
    let account = app.accounts.find(username).await?;
    let (user, record) = account.map(|account| (account.user, account.phc)).unzip();
    let (is_right, record) = app
        .hash(move |hasher| {
            let is_right = hasher.is_right(&password, record.as_deref());
            (is_right, record)
        })
        .await?;
    let (true, Some(user), Some(record)) = (is_right, user, record) else {
        return Err(Status::Credentials);
    };
    let epoch = app.accounts.raise_epoch(user, record).await?.ok_or(Status::Overtaken)?;
    let placed = place(&app.balancer, user, epoch).await?;
    Ok(Answer {
        error: 0,
        uuid: user.0.to_string(),
        host: placed.host,
        port: placed.port.to_string(),
        token: URL_SAFE_NO_PAD.encode(placed.token),
    })
}

/// Asks until there is an answer: a balancer that restarts, or that is still learning its nodes, costs a login some
/// time but does not fail it.
async fn place(balancer: &Client, user: UserId, epoch: Epoch) -> Result<Placed, Status> {
    let deadline = Instant::now() + PLACE_DEADLINE;
    let mut pause = PLACE_PAUSE_MIN;
    loop {
        let error = match balancer.place(user, epoch).await {
            Ok(placed) => return Ok(placed),
            Err(error) => error,
        };
        let status = match error {
            CallError::Learning(_) | CallError::Unreachable(_) => None,
            // Tried once for as long as a call may take: the client decides whether it goes on.
            CallError::Deadline => Some(Status::BalancerUnreachable),
            CallError::NoNode(_) | CallError::Full(_) => Some(Status::NoChatNode),
            CallError::Superseded(_) | CallError::Refused(_) => {
                tracing::error!(%error, "the balancer refused a placement");
                Some(Status::BalancerUnreachable)
            }
        };
        if let Some(status) = status {
            return Err(status);
        }
        if Instant::now() + pause >= deadline {
            return Err(Status::BalancerUnreachable);
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(PLACE_PAUSE_MAX);
    }
}
