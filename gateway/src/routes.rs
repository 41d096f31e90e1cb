//! The paths, and what every request has in common: its bounds, its parsing, its counting.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use balancer::client::Client as Balancer;
use balancer::http::Peer;
use prometheus_client::registry::Registry as Page;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::accounts::Accounts;
use crate::clients::{Client, Clients};
use crate::ender::Ender;
use crate::hash_pool::{HashPool, Turn};
use crate::limits::{BODY_BYTES_MAX, BODY_TIMEOUT, FAILURES_PER_CLIENT, REQUEST_TIMEOUT};
use crate::metrics::Metrics;
use crate::password::Hasher;
use crate::shared::{Rate, Refusal, Shared};
use crate::status::{Dialect, Status, refused};
use crate::verify::Verifier;
use crate::{chatter, dims};

/// What this gateway speaks, for people and for tools that test it.
const OPENAPI: &str = include_str!("../openapi.json");

/// What requests work with.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) accounts: Accounts,
    pub(crate) balancer: Balancer,
    pub(crate) ender: Ender,
    pub(crate) verifier: Verifier,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clients: Clients,
    pub(crate) hasher: Arc<Hasher>,
    pub(crate) pool: HashPool,
    pub(crate) metrics: Metrics,
    pub(crate) skips_verification: bool,
}

impl App {
    /// Waits for a turn to hash.
    pub(crate) async fn turn(&self) -> Result<Turn, Status> {
        let begun = Instant::now();
        let turn = self.pool.turn().await.map_err(|_| Status::Busy);
        self.metrics.hash_waited(begun.elapsed().as_secs_f64());
        turn
    }

    /// Hashes or checks a password off the event loop.
    pub(crate) async fn hash<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(&Hasher) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let hasher = Arc::clone(&self.hasher);
        let begun = Instant::now();
        let done = turn.run(move || work(&hasher)).await.map_err(|_| Status::Busy);
        self.metrics.hashed(begun.elapsed().as_secs_f64());
        done
    }

    /// Counts something that a client does, if it may do it.
    pub(crate) async fn take(&self, rate: &Rate, client: &Client) -> Result<(), Refusal> {
        if client.is_unlimited { Ok(()) } else { self.shared.take(rate, &client.network).await }
    }

    /// Whether a client may still try passwords and codes.
    pub(crate) async fn may_fail(&self, client: &Client) -> Result<(), Status> {
        if client.is_unlimited {
            return Ok(());
        }
        let open = self.shared.peek(&FAILURES_PER_CLIENT, &client.network).await;
        open.map_err(|refusal| refused(refusal, Status::Locked))
    }

    /// Counts a wrong password or code.
    ///
    /// # Errors
    /// It cannot be counted: then nobody is to be told that it was wrong.
    pub(crate) async fn failed(&self, client: &Client) -> Result<(), Status> {
        match self.take(&FAILURES_PER_CLIENT, client).await {
            // What is refused is counted already, by those that brought it so far.
            Ok(()) | Err(Refusal::Wait(_)) => Ok(()),
            Err(Refusal::Away) => Err(Status::SharedAway),
        }
    }

    /// Why this gateway cannot do its work; empty if it can.
    fn ailments(&self) -> Vec<String> {
        let store = self.accounts.fault().map(|error| error.to_string());
        let balancer =
            self.balancer.is_failing().then(|| "the balancer gives no answer".to_owned());
        let verifier = self
            .verifier
            .is_failing()
            .then(|| "the verification server gives no answer".to_owned());
        let shared = self.shared.is_failing().then(|| "the Redis gives no answer".to_owned());
        store.into_iter().chain(balancer).chain(verifier).chain(shared).collect()
    }
}

/// One path.
struct Route {
    path: &'static str,
    handler: MethodRouter<Arc<App>>,
}

/// A path that takes a JSON object and answers with one.
macro_rules! object {
    ($path:literal, $dialect:expr, $grant:path) => {
        Route {
            path: $path,
            handler: post(async |State(app): State<Arc<App>>, request: Request| {
                answer(&app, $path, $dialect, request, $grant).await
            }),
        }
    };
}

/// Every path of the gateway but those that show something.
fn objects() -> [Route; 9] {
    use Dialect::{Chatter, Dims};
    [
        object!("/get_verification", Dims, dims::get_verification),
        object!("/post_registration", Dims, dims::post_registration),
        object!("/check_accountexists", Dims, dims::check_accountexists),
        object!("/reset_password", Dims, dims::reset_password),
        object!("/trylogin_server", Dims, dims::trylogin_server),
        object!("/get_varifycode", Chatter, chatter::get_varifycode),
        object!("/get_verifycode", Chatter, chatter::get_varifycode),
        object!("/register", Chatter, chatter::register),
        object!("/login", Chatter, chatter::login),
    ]
}

/// What shows something.
fn pages(page: Arc<Page>) -> [Route; 3] {
    [
        Route { path: "/healthz", handler: get(healthz) },
        Route {
            path: "/metrics",
            handler: get(async move || balancer::admin::metrics_page(&page)),
        },
        Route {
            path: "/openapi.json",
            handler: get(async || ([(CONTENT_TYPE, "application/json")], OPENAPI)),
        },
    ]
}

/// All paths of the gateway.
pub(crate) fn router(app: Arc<App>, page: Page) -> Router {
    objects()
        .into_iter()
        .chain(pages(Arc::new(page)))
        .fold(Router::new(), |router, Route { path, handler }| router.route(path, handler))
        .with_state(app)
}

async fn healthz(State(app): State<Arc<App>>) -> Response {
    let reasons = app.ailments();
    if reasons.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "reasons": reasons }))).into_response()
    }
}

/// Reads, parses, grants or refuses, counts: within the time and the length that a request may take.
async fn answer<Q: DeserializeOwned, A: Serialize>(
    app: &App,
    path: &'static str,
    dialect: Dialect,
    request: Request,
    grant: impl AsyncFnOnce(&App, &Client, Q) -> Result<A, Status>,
) -> Response {
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    let granted = async {
        // Every request of the gateway's front has one.
        let Peer(peer) = *head.extensions.get::<Peer>().ok_or(Status::Busy)?;
        let asked = tokio::time::timeout(BODY_TIMEOUT, parse(body)).await;
        let asked = asked.unwrap_or(Err(Status::TooSlow))?;
        let client = app.clients.identify(peer, &head.headers);
        let granting = tokio::time::timeout(REQUEST_TIMEOUT, grant(app, &client, asked));
        granting.await.unwrap_or(Err(Status::Busy))
    };
    let granted = granted.await;
    let error = granted.as_ref().map_or_else(|status| status.number(dialect), |_| 0);
    app.metrics.answered(&path[1..], error, begun.elapsed().as_secs_f64());
    if let Err(status @ (Status::TooLong | Status::TooSlow)) = granted {
        app.metrics.body_refused(status);
    }
    match granted {
        Ok(answer) => Json(answer).into_response(),
        Err(status) => status.response(dialect),
    }
}

async fn parse<Q: DeserializeOwned>(body: Body) -> Result<Q, Status> {
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(Status::TooLong);
    }
    // Its other error is a broken connection, whose peer gets no answer anyway.
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| Status::TooLong)?;
    serde_json::from_slice(&bytes).map_err(|_| Status::JsonParse)
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
