//! Calling the balancer: one lazily opened connection, a deadline on every call, a pause after a failed one.
//!
//! Never blocks a caller beyond its deadline, and never hammers a balancer that is down: during the pause calls fail
//! at once with [`CallError::Unreachable`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Response, Status};
use wire::{Epoch, UserId};

pub use crate::ends::SessionEnd;
use crate::limits::{RETRY_PAUSE_MAX, RETRY_PAUSE_MIN};
use crate::proto;
use crate::proto::balancer_client::BalancerClient;
use crate::tls::Trust;

/// Where a user may open a session, and with what.
#[derive(Clone, PartialEq, Eq)]
pub struct Placed {
    /// The node's name.
    pub node: String,
    /// Where it is reached.
    pub host: String,
    /// The port of the shard where the user lives.
    pub port: u16,
    /// The login token, raw. Whoever has it can open the session: it is not logged.
    pub token: Vec<u8>,
    /// For how long the token is good, about.
    pub expires_in: Duration,
}

impl std::fmt::Debug for Placed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { node, host, port, expires_in, token: _ } = self;
        write!(f, "Placed {{ {node} at {host}:{port}, for {expires_in:?} }}")
    }
}

/// What a node learns from registering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How long it lasts without a report.
    pub duration: Duration,
    /// How often to report.
    pub report_interval: Duration,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The lease runs anew.
    Renewed,
    /// The lease is not known: register again.
    RegisterAgain,
    /// A later start of a node with this name holds it.
    Superseded,
}

/// The answer to a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// What became of it.
    pub outcome: ReportOutcome,
    /// Sessions that the node is to end, if it has them. They come again with every report until they are confirmed.
    pub ends: Vec<SessionEnd>,
    /// What the next reports are to say in `ends_done` once all of these are ended.
    pub ends_number: u64,
}

/// Why a call gave no answer to work with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection, or a recent attempt failed. Try again later.
    #[error(
        "the balancer cannot be reached: is it running at the address given with --balancer? ({0})"
    )]
    Unreachable(String),
    /// It did not answer in time.
    #[error("the balancer did not answer within the deadline")]
    Deadline,
    /// It has just started. Try again.
    #[error("{0}")]
    Learning(String),
    /// No node takes logins.
    #[error("{0}")]
    NoNode(String),
    /// A bound is reached: all nodes are full, or there are too many nodes.
    #[error("{0}")]
    Full(String),
    /// A later start of a node with this name holds the lease.
    #[error("{0}")]
    Superseded(String),
    /// Sessions of this epoch were ended meanwhile.
    #[error("{0}")]
    Ended(String),
    /// It will never be granted as it was asked.
    #[error("the balancer refused the call: {0}")]
    Refused(String),
}

/// What was given for the address of a gRPC server is none.
#[derive(Debug, thiserror::Error)]
#[error("{url:?} is no address of a server ({reason}): write {example}")]
pub struct BadUrl {
    url: String,
    reason: String,
    example: String,
}

/// A connection to a gRPC server, opened when it is needed and kept alive; inside TLS if there are authorities to trust.
/// Must be called within a tokio runtime.
///
/// # Errors
/// See [`BadUrl`].
pub fn channel(url: &str, trust: &Trust, connect_timeout: Duration) -> Result<Channel, BadUrl> {
    let bad = |reason: &str, example: &str| BadUrl {
        url: url.to_owned(),
        reason: reason.to_owned(),
        example: example.to_owned(),
    };
    let trust = trust.config().map_err(|error| bad(&error.to_string(), "a file that is one"))?;
    let scheme = if trust.is_some() { "https" } else { "http" };
    let form = format!("{scheme}://HOST:PORT");
    let (said, rest) = match url.split_once("://") {
        Some((said, rest)) => (Some(said), rest),
        None => (None, url),
    };
    let meant = format!("{scheme}://{rest}");
    // What was meant is shown only if it would be taken.
    let example = if is_address(&meant, scheme) { &meant } else { &form };
    match said {
        None => return Err(bad("it has no scheme", example)),
        Some(said) if said == scheme => {}
        Some("https") => return Err(bad("https needs --tls-ca: whom to trust", example)),
        Some("http") => return Err(bad("with --tls-ca it begins with https", example)),
        Some(_) => return Err(bad("its scheme is neither http nor https", example)),
    }
    if !is_address(url, scheme) {
        return Err(bad("it does not name a host and a port", &form));
    }
    let unusable = |error: tonic::transport::Error| bad(&error.to_string(), &form);
    let mut endpoint = Endpoint::from_shared(url.to_owned()).map_err(unusable)?;
    if let Some(trust) = trust {
        endpoint = endpoint.tls_config(trust).map_err(unusable)?;
    }
    Ok(endpoint
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .connect_lazy())
}

/// Whether this is `SCHEME://HOST:PORT` and nothing more.
fn is_address(url: &str, scheme: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some(scheme)
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.port_u16().is_some_and(|port| port != 0)
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
    })
}

/// A handle to the balancer; clones share one connection.
#[derive(Clone, Debug)]
pub struct Client {
    grpc: BalancerClient<Channel>,
    deadline: Duration,
    breaker: Arc<Mutex<Breaker>>,
}

impl Client {
    /// Names the balancer (`http://HOST:PORT`) and the deadline of each call. Opens nothing yet. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// See [`BadUrl`].
    pub fn new(url: &str, deadline: Duration) -> Result<Self, BadUrl> {
        Self::trusting(url, &Trust::default(), deadline)
    }

    /// The same, inside TLS if there are authorities to trust: the balancer's certificate must be signed by one of them and
    /// be for the host of `https://HOST:PORT`.
    ///
    /// # Errors
    /// See [`BadUrl`].
    pub fn trusting(url: &str, trust: &Trust, deadline: Duration) -> Result<Self, BadUrl> {
        let channel = channel(url, trust, deadline)?;
        let breaker = Arc::new(Mutex::new(Breaker::default()));
        Ok(Self { grpc: BalancerClient::new(channel), deadline, breaker })
    }

    /// Whether the last call failed for want of an answer. For health pages.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.breaker().is_failing()
    }

    /// A node takes a lease.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn register(&self, node: proto::RegisterRequest) -> Result<Lease, CallError> {
        let mut grpc = self.grpc.clone();
        let lease = self.call(async |request| grpc.register(request).await, node).await?;
        Ok(Lease {
            duration: Duration::from_millis(lease.lease_ms),
            report_interval: Duration::from_millis(lease.report_interval_ms),
        })
    }

    /// A node renews its lease, and hears which sessions it is to end.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn report(&self, report: proto::ReportRequest) -> Result<Reported, CallError> {
        let mut grpc = self.grpc.clone();
        let answer = self.call(async |request| grpc.report(request).await, report).await?;
        let outcome = match answer.answer() {
            proto::ReportAnswer::Renewed => ReportOutcome::Renewed,
            // An answer of a later protocol: registering again is always safe.
            proto::ReportAnswer::RegisterAgain | proto::ReportAnswer::Unspecified => {
                ReportOutcome::RegisterAgain
            }
            proto::ReportAnswer::Superseded => ReportOutcome::Superseded,
        };
        let end = |end: &proto::SessionEnd| SessionEnd {
            user: UserId(end.user_id),
            below: Epoch(end.below_epoch),
        };
        let ends = answer.ends.iter().map(end).collect();
        Ok(Reported { outcome, ends, ends_number: answer.ends_number })
    }

    /// Ends a user's sessions of lower epochs than this, wherever they are. Gives the number of nodes that have not
    /// confirmed it yet: asking again tells whether they have.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::Full`] is worth another try soon.
    pub async fn end_sessions(&self, user: UserId, below: Epoch) -> Result<u32, CallError> {
        let mut grpc = self.grpc.clone();
        let request = proto::EndSessionsRequest { user_id: user.0, below_epoch: below.0 };
        let answer = self.call(async |request| grpc.end_sessions(request).await, request).await?;
        Ok(answer.nodes_waiting)
    }

    /// No more logins for a node; incarnation zero: whichever holds the lease. `false`: no such node.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn drain(&self, name: &str, incarnation: u64) -> Result<bool, CallError> {
        let mut grpc = self.grpc.clone();
        let request = proto::DrainRequest { name: name.to_owned(), incarnation };
        Ok(self.call(async |request| grpc.drain(request).await, request).await?.found)
    }

    /// A node leaves. `false`: it was not known.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn deregister(&self, name: &str, incarnation: u64) -> Result<bool, CallError> {
        let mut grpc = self.grpc.clone();
        let request = proto::DeregisterRequest { name: name.to_owned(), incarnation };
        Ok(self.call(async |request| grpc.deregister(request).await, request).await?.found)
    }

    /// Asks where a user may open a session with this epoch.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::Learning`] is worth another try soon.
    pub async fn place(&self, user: UserId, epoch: Epoch) -> Result<Placed, CallError> {
        let mut grpc = self.grpc.clone();
        let request = proto::PlaceRequest { user_id: user.0, epoch: epoch.0 };
        let placed = self.call(async |request| grpc.place(request).await, request).await?;
        let port = u16::try_from(placed.port)
            .map_err(|_| CallError::Refused("it named a port beyond 65535".to_owned()))?;
        Ok(Placed {
            node: placed.node,
            host: placed.host,
            port,
            token: placed.token,
            expires_in: Duration::from_millis(placed.expires_in_ms),
        })
    }

    /// Every node that holds a lease.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list_nodes(&self) -> Result<Vec<proto::NodeInfo>, CallError> {
        let mut grpc = self.grpc.clone();
        let request = proto::ListNodesRequest {};
        Ok(self.call(async |request| grpc.list_nodes(request).await, request).await?.nodes)
    }

    /// Puts the deadline on a call, both for this side (should the balancer hang) and for the balancer.
    async fn call<Q, A>(
        &self,
        rpc: impl AsyncFnOnce(Request<Q>) -> Result<Response<A>, Status>,
        message: Q,
    ) -> Result<A, CallError> {
        if !self.breaker().is_closed(Instant::now()) {
            return Err(CallError::Unreachable("the last attempt failed a moment ago".to_owned()));
        }
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        let answer = match tokio::time::timeout(self.deadline, rpc(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(sort(&status)),
            Err(_) => Err(CallError::Deadline),
        };
        let is_down = matches!(answer, Err(CallError::Unreachable(_) | CallError::Deadline));
        self.breaker().note(Instant::now(), !is_down);
        answer
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sort(status: &Status) -> CallError {
    // The transport's own failures carry their cause; what the balancer itself said does not.
    let is_ours = std::error::Error::source(status).is_some();
    let said = status.message().to_owned();
    if status.code() == Code::DeadlineExceeded || (is_ours && status.code() == Code::Cancelled) {
        CallError::Deadline
    } else if is_ours {
        CallError::Unreachable(causes(status))
    } else if status.code() == Code::Unavailable {
        CallError::Learning(said)
    } else if status.code() == Code::NotFound {
        CallError::NoNode(said)
    } else if status.code() == Code::ResourceExhausted {
        CallError::Full(said)
    } else if status.code() == Code::AlreadyExists {
        CallError::Superseded(said)
    } else if status.code() == Code::FailedPrecondition {
        CallError::Ended(said)
    } else {
        CallError::Refused(said)
    }
}

/// What the transport says, down to its last cause, each once: that is what an operator can do something about.
fn causes(status: &Status) -> String {
    let mut said = status.message().to_owned();
    let mut next = std::error::Error::source(status);
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        next = cause.source();
    }
    if said.contains("invalid peer certificate") {
        said.push_str("; is the authority that signed it in the file given with --tls-ca?");
    }
    said
}

/// Growing pauses between attempts. Pure: time is an argument.
#[derive(Debug, Default)]
pub struct Breaker {
    open_until: Option<Instant>,
    pause: Duration,
}

impl Breaker {
    /// Whether an attempt may be made.
    #[must_use]
    pub fn is_closed(&self, now: Instant) -> bool {
        self.open_until.is_none_or(|until| now >= until)
    }

    /// Whether the last attempt failed.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.open_until.is_some()
    }

    /// Notes how an attempt ended. Failures of attempts that were begun before the pause do not lengthen it: a hundred
    /// calls that fail together are one failure.
    pub fn note(&mut self, now: Instant, succeeded: bool) {
        if succeeded {
            *self = Self::default();
        } else if self.is_closed(now) {
            self.pause = (self.pause * 2).clamp(RETRY_PAUSE_MIN, RETRY_PAUSE_MAX);
            self.open_until = Some(now + self.pause);
        }
    }
}

/// A pause of roughly `span`, between half and all of it, so that many who wait do not come back at once.
#[must_use]
pub fn jittered(span: Duration) -> Duration {
    span.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_bound_and_a_success_ends_them() {
        let mut breaker = Breaker::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(breaker.is_closed(now));
            breaker.note(now, false);
            assert!(!breaker.is_closed(now));
            breaker.note(now, false);
            let until = breaker.open_until.unwrap();
            pauses.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        breaker.note(now, true);
        breaker.note(now, false);
        assert!(breaker.is_closed(now + RETRY_PAUSE_MIN));
    }
}
