//! The admin port's pages. Also the way in which the other servers show theirs ([`metrics_page`]).

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry as Page;

use crate::metrics::Seen;

/// The balancer's pages.
pub(crate) fn router(page: Page, seen: Seen) -> Router {
    let page = Arc::new(page);
    let health = {
        let seen = seen.clone();
        async move || {
            seen.look().await;
            health(&seen)
        }
    };
    let figures = async move || {
        seen.look().await;
        metrics_page(&page)
    };
    Router::new().route("/healthz", get(health)).route("/metrics", get(figures))
}

fn health(seen: &Seen) -> Response {
    if seen.is_failing() {
        let reasons = serde_json::json!({ "reasons": ["the Redis gives no answer"] });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(reasons)).into_response();
    }
    "ok\n".into_response()
}

/// Answers a scrape with everything that is registered.
pub fn metrics_page(page: &Page) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, page) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], body).into_response()
        }
        Err(fmt) => (StatusCode::INTERNAL_SERVER_ERROR, fmt.to_string()).into_response(),
    }
}
