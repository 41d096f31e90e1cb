//! The admin port's pages. Also the way in which the other servers show theirs ([`metrics_page`]).

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry as Page;

/// The balancer's pages.
pub(crate) fn router(page: Page) -> Router {
    let page = Arc::new(page);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(async move || metrics_page(&page)))
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
