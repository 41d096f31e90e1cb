//! A login: check the password, count the login, ask for a place.

use std::time::Instant;

use balancer::client::{CallError, Client as Balancer, Placed, jittered};
use store::Account;
use wire::{Epoch, UserId};

use crate::clients::Client;
use crate::limits::{
    PLACE_DEADLINE, PLACE_PAUSE_MAX, PLACE_PAUSE_MIN, UNREACHABLE_PATIENCE, USERNAME_BYTES_MAX,
    WRONG_PASSWORDS_PER_ACCOUNT,
};
use crate::password::Secret;
use crate::routes::App;
use crate::status::{Status, refused};

/// The account whose password this is. Work, answer and lock-out are the same whether or not there is such an account.
pub(crate) async fn check(
    app: &App,
    client: &Client,
    username: String,
    password: Secret,
) -> Result<Account, Status> {
    if username.len() > USERNAME_BYTES_MAX {
        return Err(Status::Credentials);
    }
    let name = username.to_ascii_lowercase();
    // Who is locked out anyway does not stand in the line for hashes.
    app.may_fail(client).await?;
    let locked = |refusal| refused(refusal, Status::Locked);
    app.shared.peek(&WRONG_PASSWORDS_PER_ACCOUNT, &name).await.map_err(locked)?;
    let account = app.accounts.find(username).await?;
    let turn = app.turn().await?;
    app.may_fail(client).await?;
    // Taken before and given back after a right one: guesses at the same time cannot all slip through.
    app.shared.take(&WRONG_PASSWORDS_PER_ACCOUNT, &name).await.map_err(locked)?;
    let record = account.as_ref().map(|account| account.phc.clone());
    let is_right =
        app.hash(turn, move |hasher| hasher.is_right(&password, record.as_deref())).await;
    let is_right = match is_right {
        Ok(is_right) => is_right,
        Err(status) => {
            app.shared.give_back(&WRONG_PASSWORDS_PER_ACCOUNT, &name).await;
            return Err(status);
        }
    };
    let (true, Some(account)) = (is_right, account) else {
        app.failed(client).await?;
        return Err(Status::Credentials);
    };
    app.shared.forget(&WRONG_PASSWORDS_PER_ACCOUNT, &name).await;
    Ok(account)
}

/// Checks a password and chooses a chat node, in which the session's token is good.
pub(crate) async fn log_in(
    app: &App,
    client: &Client,
    username: String,
    password: Secret,
) -> Result<(UserId, Placed), Status> {
    let account = check(app, client, username, password).await?;
    let epoch = app.accounts.raise_epoch(account.user, account.phc).await?;
    let placed = place(&app.balancer, account.user, epoch.ok_or(Status::Overtaken)?).await?;
    Ok((account.user, placed))
}

/// Asks until there is an answer: a balancer that restarts, or that is still learning its nodes, costs a login some
/// time but does not fail it. One that is down fails it soon.
async fn place(balancer: &Balancer, user: UserId, epoch: Epoch) -> Result<Placed, Status> {
    let begun = Instant::now();
    let mut pause = PLACE_PAUSE_MIN;
    loop {
        let error = match balancer.place(user, epoch).await {
            Ok(placed) => return Ok(placed),
            Err(error) => error,
        };
        let patience = match error {
            CallError::Learning(_) => PLACE_DEADLINE,
            CallError::Unreachable(_) => UNREACHABLE_PATIENCE,
            // Tried once for as long as a call may take: the client decides whether it goes on.
            CallError::Deadline => return Err(Status::BalancerUnreachable),
            CallError::NoNode(_) | CallError::Full(_) => return Err(Status::NoChatNode),
            CallError::Ended(_) => return Err(Status::Overtaken),
            CallError::Superseded(_) | CallError::Refused(_) => {
                tracing::error!(%error, "the balancer refused a placement");
                return Err(Status::BalancerUnreachable);
            }
        };
        if begun.elapsed() + pause >= patience {
            return Err(Status::BalancerUnreachable);
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(PLACE_PAUSE_MAX);
    }
}
