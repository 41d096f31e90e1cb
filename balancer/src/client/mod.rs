//! Calling the balancer, or one of several that share a registry: a lazily opened connection to each, a deadline on every
//! call, a pause after a failed one.
//!
//! Never blocks a caller beyond its deadline, however many balancers are tried within it, and never hammers one that is
//! down: during the pause it is passed over, and if there is no other calls fail at once with [`CallError::Unreachable`].

mod breaker;
mod channel;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use wire::{Epoch, UserId};

pub use self::breaker::{Breaker, jittered};
pub use self::channel::{BadUrl, channel};
pub use crate::ends::SessionEnd;
use crate::limits::BALANCERS_MAX;
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
    /// It has just started, or whoever keeps its registry gives no answer; the text says which. Try again.
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

/// A handle to the balancer, or to several that share a registry; clones share the connections.
#[derive(Clone, Debug)]
pub struct Client {
    ways: Arc<[Way]>,
    /// The one that answered last: it is asked as long as it answers.
    current: Arc<AtomicUsize>,
    deadline: Duration,
}

/// The way to one balancer.
#[derive(Debug)]
struct Way {
    grpc: BalancerClient<Channel>,
    breaker: Mutex<Breaker>,
}

impl Way {
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Names the balancer (`http://HOST:PORT`), or several with commas between them, and the deadline of each call. Opens
    /// nothing yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`BadUrl`].
    pub fn new(urls: &str, deadline: Duration) -> Result<Self, BadUrl> {
        Self::trusting(urls, &Trust::default(), deadline)
    }

    /// The same, inside TLS if there are authorities to trust: a balancer's certificate must be signed by one of them and
    /// be for the host of `https://HOST:PORT`.
    ///
    /// # Errors
    /// See [`BadUrl`].
    pub fn trusting(urls: &str, trust: &Trust, deadline: Duration) -> Result<Self, BadUrl> {
        let way = |url: &str| {
            let grpc = BalancerClient::new(channel(url.trim(), trust, deadline)?);
            Ok(Way { grpc, breaker: Mutex::default() })
        };
        let ways = urls.split(',').map(way).collect::<Result<Arc<[Way]>, _>>()?;
        if ways.len() > BALANCERS_MAX {
            return Err(BadUrl::too_many(urls));
        }
        Ok(Self { ways, current: Arc::default(), deadline })
    }

    /// Whether the last call of each balancer failed for want of an answer. For health pages.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.ways.iter().all(|way| way.breaker().is_failing())
    }

    /// A node takes a lease.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn register(&self, node: proto::RegisterRequest) -> Result<Lease, CallError> {
        let lease = self
            .call(|mut grpc, request| async move { grpc.register(request).await }, node)
            .await?;
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
        let answer = self
            .call(|mut grpc, request| async move { grpc.report(request).await }, report)
            .await?;
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
        let request = proto::EndSessionsRequest { user_id: user.0, below_epoch: below.0 };
        let answer = self
            .call(|mut grpc, request| async move { grpc.end_sessions(request).await }, request)
            .await?;
        Ok(answer.nodes_waiting)
    }

    /// No more logins for a node; incarnation zero: whichever holds the lease. `false`: no such node.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn drain(&self, name: &str, incarnation: u64) -> Result<bool, CallError> {
        let request = proto::DrainRequest { name: name.to_owned(), incarnation };
        Ok(self
            .call(|mut grpc, request| async move { grpc.drain(request).await }, request)
            .await?
            .found)
    }

    /// A node leaves. `false`: it was not known.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn deregister(&self, name: &str, incarnation: u64) -> Result<bool, CallError> {
        let request = proto::DeregisterRequest { name: name.to_owned(), incarnation };
        Ok(self
            .call(|mut grpc, request| async move { grpc.deregister(request).await }, request)
            .await?
            .found)
    }

    /// Asks where a user may open a session with this epoch.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::Learning`] is worth another try soon.
    pub async fn place(&self, user: UserId, epoch: Epoch) -> Result<Placed, CallError> {
        let request = proto::PlaceRequest { user_id: user.0, epoch: epoch.0 };
        let placed = self
            .call(|mut grpc, request| async move { grpc.place(request).await }, request)
            .await?;
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
        let request = proto::ListNodesRequest {};
        Ok(self
            .call(|mut grpc, request| async move { grpc.list_nodes(request).await }, request)
            .await?
            .nodes)
    }

    /// Asks the balancer that answered last, and the others if it gives no answer or cannot ask its registry. Each has its
    /// share of the deadline, which is put on the call for both sides: this one, should the balancer hang, and the balancer.
    async fn call<Q: Clone, A, F: Future<Output = Result<Response<A>, Status>>>(
        &self,
        rpc: impl Fn(BalancerClient<Channel>, Request<Q>) -> F,
        message: Q,
    ) -> Result<A, CallError> {
        let (begun, count) = (Instant::now(), self.ways.len());
        let first = self.current.load(Relaxed);
        let mut failure = None;
        for tried in 0..count {
            let at = (first + tried) % count;
            let way = &self.ways[at];
            if !way.breaker().is_closed(Instant::now()) {
                continue;
            }
            let left = self.deadline.saturating_sub(begun.elapsed());
            let share = left / u32::try_from(count - tried).unwrap_or(u32::MAX);
            let mut request = Request::new(message.clone());
            request.set_timeout(share);
            let answer = match tokio::time::timeout(share, rpc(way.grpc.clone(), request)).await {
                Ok(Ok(answer)) => Ok(answer.into_inner()),
                Ok(Err(status)) => Err(sort(&status)),
                Err(_) => Err(CallError::Deadline),
            };
            let is_down = matches!(answer, Err(CallError::Unreachable(_) | CallError::Deadline));
            way.breaker().note(Instant::now(), !is_down);
            match answer {
                // What it says itself says more than the silence of another.
                Err(error @ CallError::Learning(_)) => failure = Some(error),
                Err(error) if is_down => failure = failure.or(Some(error)),
                answer => {
                    if tried > 0 {
                        self.current.store(at, Relaxed);
                    }
                    return answer;
                }
            }
        }
        let paused = || CallError::Unreachable("the last attempt failed a moment ago".to_owned());
        Err(failure.unwrap_or_else(paused))
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
