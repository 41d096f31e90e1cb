//! Asking a verification server: one lazily opened connection, a deadline on every call, a pause after a failed one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use balancer::client::{BadUrl, Breaker, channel};
use balancer::tls::Trust;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::proto::codes_client::CodesClient;
use super::proto::{CheckRequest, CheckVerdict, ConsumeRequest, SendOutcome, SendRequest};
use super::{CheckError, SendError, Sent};
use crate::limits::{
    CODE_RESEND, CODE_TRIES, VERIFY_CONNECT_TIMEOUT, VERIFY_DEADLINE, VERIFY_SEND_DEADLINE,
};
use crate::shared::Wait;

/// A handle to a verification server; clones share one connection.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    grpc: CodesClient<Channel>,
    breaker: Arc<Mutex<Breaker>>,
}

/// There was no answer to work with.
enum NoAnswer {
    /// None at all.
    Silence,
    /// The server cannot work now, and says so.
    Away,
}

impl From<NoAnswer> for SendError {
    fn from(no: NoAnswer) -> Self {
        match no {
            NoAnswer::Silence => Self::Unreachable,
            NoAnswer::Away => Self::Away,
        }
    }
}

impl From<NoAnswer> for CheckError {
    fn from(no: NoAnswer) -> Self {
        match no {
            NoAnswer::Silence => Self::Unreachable,
            NoAnswer::Away => Self::Away,
        }
    }
}

impl Remote {
    /// Names the server: `http://HOST:PORT`, or `https://HOST:PORT` for one that this gateway finds out to be the right one by
    /// whom it trusts. Opens nothing yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`BadUrl`].
    pub(crate) fn new(url: &str, trust: &Trust) -> Result<Self, BadUrl> {
        // The balancer may speak TLS and this server not: it can be on this machine.
        let nobody = Trust::default();
        let trust = if url.starts_with("https://") { trust } else { &nobody };
        let grpc = CodesClient::new(channel(url, trust, VERIFY_CONNECT_TIMEOUT)?);
        Ok(Self { grpc, breaker: Arc::default() })
    }

    /// Whether the last call failed for want of an answer.
    pub(crate) fn is_failing(&self) -> bool {
        self.breaker().is_failing()
    }

    /// As [`super::Verifier::send`].
    pub(crate) async fn send(&self, email: &str) -> Result<Sent, SendError> {
        crate::validate::email(email).map_err(SendError::Invalid)?;
        let mut grpc = self.grpc.clone();
        let request = SendRequest { email: email.to_owned() };
        let answer = self
            .call(async |request| grpc.send(request).await, request, VERIFY_SEND_DEADLINE)
            .await?;
        match answer.outcome() {
            SendOutcome::Sent => Ok(Sent { code: Some(answer.code).filter(|it| !it.is_empty()) }),
            SendOutcome::TooSoon => {
                Err(SendError::TooSoon(wait(answer.retry_after_ms, CODE_RESEND.interval())))
            }
            SendOutcome::Busy => Err(SendError::Busy),
            SendOutcome::NotDelivered | SendOutcome::Unspecified => Err(SendError::NotDelivered),
        }
    }

    /// As [`super::Verifier::check`].
    pub(crate) async fn check(&self, email: &str, code: &str) -> Result<(), CheckError> {
        let mut grpc = self.grpc.clone();
        let request = CheckRequest { email: email.to_owned(), code: code.to_owned() };
        let answer =
            self.call(async |request| grpc.check(request).await, request, VERIFY_DEADLINE).await?;
        match answer.verdict() {
            CheckVerdict::Right => Ok(()),
            CheckVerdict::Wrong => Err(CheckError::Wrong),
            CheckVerdict::Unknown | CheckVerdict::Unspecified => Err(CheckError::Unknown),
            CheckVerdict::TooMany => {
                Err(CheckError::TooMany(wait(answer.retry_after_ms, CODE_TRIES.interval())))
            }
        }
    }

    /// As [`super::Verifier::consume`].
    pub(crate) async fn consume(&self, email: &str) -> Result<(), CheckError> {
        let mut grpc = self.grpc.clone();
        let request = ConsumeRequest { email: email.to_owned() };
        let answer = self
            .call(async |request| grpc.consume(request).await, request, VERIFY_DEADLINE)
            .await?;
        if answer.was_there { Ok(()) } else { Err(CheckError::Unknown) }
    }

    /// Puts the deadline on a call, both for this side (should the server hang) and for the server.
    async fn call<Q, A>(
        &self,
        rpc: impl AsyncFnOnce(Request<Q>) -> Result<Response<A>, Status>,
        message: Q,
        deadline: Duration,
    ) -> Result<A, NoAnswer> {
        if !self.breaker().is_closed(Instant::now()) {
            return Err(NoAnswer::Silence);
        }
        let mut request = Request::new(message);
        request.set_timeout(deadline);
        let answer = match tokio::time::timeout(deadline, rpc(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => {
                tracing::warn!(code = ?status.code(), message = status.message(), "no code service");
                // The transport's own failures carry their cause; what the server itself said does not.
                let is_said = std::error::Error::source(&status).is_none();
                Err((status.code(), is_said))
            }
            Err(_) => {
                tracing::warn!("the verification server did not answer within the deadline");
                Err((Code::DeadlineExceeded, false))
            }
        };
        // What it refuses it has answered.
        let is_answer =
            matches!(answer, Ok(_) | Err((Code::InvalidArgument | Code::Unavailable, true)));
        self.breaker().note(Instant::now(), is_answer);
        answer.map_err(|error| match error {
            (Code::Unavailable, true) => NoAnswer::Away,
            _ => NoAnswer::Silence,
        })
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a server said, within what is sensible.
fn wait(retry_after_ms: u64, longest: Duration) -> Wait {
    Wait(Duration::from_millis(retry_after_ms).clamp(Duration::from_secs(1), longest))
}
