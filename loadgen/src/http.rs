//! HTTP to the gateway and to admin ports: one kept-alive client with a deadline on everything and a bound on every body.
//!
//! Never follows redirects and speaks no TLS: what it talks to stands beside it or behind a tunnel.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// The longest answer that is taken: a metrics page of hundreds of shards stays below it.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Idle connections are kept a little shorter than servers usually keep theirs.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// Why a request brought nothing, in words that can be counted by.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// No connection, or it broke.
    #[error("{0}")]
    Transport(String),
    /// An answer, but not 200.
    #[error("status {0}")]
    Status(StatusCode),
    /// An answer longer than what is taken, or one that broke off.
    #[error("answer unreadable: {0}")]
    Body(String),
}

/// The client. Cheap to clone: clones share their connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    /// A client that keeps up to `connections` idle connections. Needs a tokio runtime when it is used.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        let mut connector = HttpConnector::new();
        // Small requests on a kept-alive connection would otherwise wait for the peer's delayed acknowledgement.
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(connections)
            .pool_idle_timeout(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { client }
    }

    /// Fetches a page.
    ///
    /// # Errors
    /// Whatever kept a 200 with a readable body from coming within `deadline`.
    pub async fn fetch(&self, uri: &Uri, deadline: Duration) -> Result<Bytes, HttpError> {
        self.send(Method::GET, uri, Bytes::new(), deadline).await
    }

    /// Posts JSON and gives the answer's body.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub async fn post(
        &self,
        uri: &Uri,
        json: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, HttpError> {
        self.send(Method::POST, uri, json, deadline).await
    }

    async fn send(
        &self,
        method: Method,
        uri: &Uri,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, HttpError> {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let request = Request::builder()
            .method(method)
            .uri(uri.clone())
            .header(HOST, authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| HttpError::Transport(error.to_string()))?;
        let answer = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|error| HttpError::Transport(innermost(&error)))?;
            take(response).await
        };
        tokio::time::timeout(deadline, answer).await.unwrap_or(Err(HttpError::Deadline(deadline)))
    }
}

async fn take(response: Response<hyper::body::Incoming>) -> Result<Bytes, HttpError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| HttpError::Body(error.to_string()))?;
    if status == StatusCode::OK { Ok(body.to_bytes()) } else { Err(HttpError::Status(status)) }
}

/// The reason at the bottom: the layers above it only say that a request failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
