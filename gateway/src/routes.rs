//! The paths, and what every request has in common: its bounds, its parsing, its counting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use balancer::client::Client;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::accounts::Accounts;
use crate::codes::Codes;
use crate::delivery::Delivery;
use crate::hash_pool::HashPool;
use crate::limits::{BODY_BYTES_MAX, REQUEST_TIMEOUT};
use crate::metrics::{Metrics, page};
use crate::password::Hasher;
use crate::status::Status;
use crate::{login, register};

/// What requests work with.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) accounts: Accounts,
    pub(crate) balancer: Client,
    pub(crate) codes: Mutex<Codes>,
    pub(crate) delivery: Delivery,
    pub(crate) hasher: Arc<Hasher>,
    pub(crate) pool: HashPool,
    pub(crate) metrics: Metrics,
    pub(crate) skips_verification: bool,
}

impl App {
    /// The codes; held for one step, never across an await.
    pub(crate) fn codes(&self) -> MutexGuard<'_, Codes> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hashes or checks a password off the event loop.
    pub(crate) async fn hash<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Hasher) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let hasher = Arc::clone(&self.hasher);
        let begun = Instant::now();
        let done = self.pool.run(move || work(&hasher)).await.map_err(|_| Status::Busy);
        self.metrics.hashed(begun.elapsed().as_secs_f64());
        done
    }

    /// Why this gateway cannot do its work; empty if it can.
    fn ailments(&self) -> Vec<String> {
        let store = self.accounts.fault().map(|error| error.to_string());
        let balancer =
            self.balancer.is_failing().then(|| "the balancer gives no answer".to_owned());
        store.into_iter().chain(balancer).collect()
    }
}

/// All paths of the gateway.
pub(crate) fn router(app: Arc<App>) -> Router {
    let page = Arc::new(page(&app));
    Router::new()
        .route("/trylogin_server", post(trylogin_server))
        .route("/post_registration", post(post_registration))
        .route("/get_verification", post(get_verification))
        .route("/healthz", get(healthz))
        .route("/metrics", get(async move || balancer::admin::metrics_page(&page)))
        .with_state(app)
}

async fn trylogin_server(State(app): State<Arc<App>>, body: Body) -> Response {
    answer(&app, "trylogin_server", body, login::login).await
}

async fn post_registration(State(app): State<Arc<App>>, body: Body) -> Response {
    answer(&app, "post_registration", body, register::register).await
}

async fn get_verification(State(app): State<Arc<App>>, body: Body) -> Response {
    answer(&app, "get_verification", body, register::send_code).await
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
    route: &'static str,
    body: Body,
    grant: impl AsyncFnOnce(&App, Q) -> Result<A, Status>,
) -> Response {
    let begun = Instant::now();
    let granted = tokio::time::timeout(REQUEST_TIMEOUT, async {
        let request = parse(body).await?;
        grant(app, request).await
    });
    let granted = granted.await.unwrap_or(Err(Status::Busy));
    let error = granted.as_ref().map_or_else(|status| status.number(), |_| 0);
    app.metrics.answered(route, error, begun.elapsed().as_secs_f64());
    match granted {
        Ok(answer) => Json(answer).into_response(),
        Err(status) => status.into_response(),
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
