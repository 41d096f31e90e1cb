//! The gRPC service: checks what came, asks the registry, counts, logs state changes.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};
use wire::token::TokenKey;
use wire::{Epoch, UserId};

use crate::convert;
use crate::ends::{EndsFull, SessionEnd};
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::proto::balancer_server::Balancer;
use crate::proto::{
    DeregisterRequest, DeregisterResponse, DrainRequest, DrainResponse, EndSessionsRequest,
    EndSessionsResponse, ListNodesRequest, ListNodesResponse, PlaceRequest, PlaceResponse,
    RegisterRequest, RegisterResponse, ReportAnswer, ReportRequest, ReportResponse,
};
use crate::redis::Away;
use crate::registry::{PlaceError, RegisterError, Renewal};

/// One balancer's state behind its service.
#[derive(Debug)]
pub(crate) struct Service {
    keeper: Arc<Keeper>,
    metrics: Arc<Metrics>,
    key: TokenKey,
    report_interval: Duration,
}

impl Service {
    pub(crate) const fn new(
        keeper: Arc<Keeper>,
        metrics: Arc<Metrics>,
        key: TokenKey,
        report_interval: Duration,
    ) -> Self {
        Self { keeper, metrics, key, report_interval }
    }
}

/// Whoever keeps the registry gives no answer. Sessions are not touched by that, and whoever asks again is answered as
/// soon as it is back.
fn unavailable(away: &Away) -> Status {
    Status::unavailable(format!("the registry of nodes cannot be asked: {away}"))
}

#[tonic::async_trait]
impl Balancer for Service {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let node = convert::registration(request.into_inner())
            .inspect_err(|_| self.metrics.registered("invalid"))?;
        let (name, incarnation, returning) = (node.name.clone(), node.incarnation, node.returning);
        let outcome = self.keeper.register(node).await;
        let outcome = outcome.map_err(|away| {
            self.metrics.registered("away");
            unavailable(&away)
        });
        match outcome? {
            Ok(()) => {
                let lease = self.keeper.settings().lease;
                self.metrics.registered("taken");
                tracing::info!(node = name, incarnation, returning, "a node registered");
                Ok(Response::new(RegisterResponse {
                    lease_ms: whole_ms(lease),
                    report_interval_ms: whole_ms(self.report_interval),
                }))
            }
            Err(error @ RegisterError::Superseded) => {
                self.metrics.registered("superseded");
                Err(Status::already_exists(error.to_string()))
            }
            Err(error @ RegisterError::TooMany) => {
                self.metrics.registered("too_many");
                Err(Status::resource_exhausted(error.to_string()))
            }
        }
    }

    async fn report(
        &self,
        request: Request<ReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let sent = request.into_inner();
        let report = convert::report(&sent).inspect_err(|_| self.metrics.reported("invalid"))?;
        let reported = self.keeper.report(report).await;
        let (renewal, told) = reported.map_err(|away| {
            self.metrics.reported("away");
            unavailable(&away)
        })?;
        let (answer, outcome) = match renewal {
            Renewal::Renewed => (ReportAnswer::Renewed, "renewed"),
            Renewal::Unknown => (ReportAnswer::RegisterAgain, "unknown"),
            Renewal::Superseded => (ReportAnswer::Superseded, "superseded"),
        };
        self.metrics.reported(outcome);
        Ok(Response::new(ReportResponse {
            answer: answer.into(),
            ends: told.ends.iter().map(convert::session_end).collect(),
            ends_number: told.number,
        }))
    }

    async fn drain(
        &self,
        request: Request<DrainRequest>,
    ) -> Result<Response<DrainResponse>, Status> {
        let DrainRequest { name, incarnation } = request.into_inner();
        let found = self.keeper.drain(&name, incarnation).await;
        let found = found.map_err(|away| unavailable(&away))?;
        tracing::info!(node = name, incarnation, found, "a node is to drain");
        Ok(Response::new(DrainResponse { found }))
    }

    async fn deregister(
        &self,
        request: Request<DeregisterRequest>,
    ) -> Result<Response<DeregisterResponse>, Status> {
        let DeregisterRequest { name, incarnation } = request.into_inner();
        let found = self.keeper.deregister(&name, incarnation).await;
        let found = found.map_err(|away| unavailable(&away))?;
        tracing::info!(node = name, incarnation, found, "a node left");
        Ok(Response::new(DeregisterResponse { found }))
    }

    async fn place(
        &self,
        request: Request<PlaceRequest>,
    ) -> Result<Response<PlaceResponse>, Status> {
        let PlaceRequest { user_id, epoch } = request.into_inner();
        if user_id == 0 {
            self.metrics.placed("invalid");
            return Err(Status::invalid_argument("user_id: not zero"));
        }
        let placed = self.keeper.place(UserId(user_id), Epoch(epoch)).await;
        let placed = placed.map_err(|away| {
            self.metrics.placed("away");
            unavailable(&away)
        });
        match placed? {
            Ok(placement) => {
                let ttl = self.keeper.settings().token_ttl;
                self.metrics.placed("placed");
                let token = self.key.mint(&placement.token, &placement.node);
                Ok(Response::new(PlaceResponse {
                    node: placement.node,
                    host: placement.host,
                    port: placement.port.into(),
                    token: token.to_vec(),
                    expires_in_ms: whole_ms(ttl),
                }))
            }
            Err(error @ PlaceError::Learning) => {
                self.metrics.placed("learning");
                Err(Status::unavailable(error.to_string()))
            }
            Err(error @ PlaceError::NoNode) => {
                self.metrics.placed("no_node");
                Err(Status::not_found(error.to_string()))
            }
            Err(error @ PlaceError::Full) => {
                self.metrics.placed("full");
                Err(Status::resource_exhausted(error.to_string()))
            }
            Err(error @ PlaceError::Ended) => {
                self.metrics.placed("ended");
                Err(Status::failed_precondition(error.to_string()))
            }
        }
    }

    async fn end_sessions(
        &self,
        request: Request<EndSessionsRequest>,
    ) -> Result<Response<EndSessionsResponse>, Status> {
        let EndSessionsRequest { user_id, below_epoch } = request.into_inner();
        if user_id == 0 {
            self.metrics.ended("invalid");
            return Err(Status::invalid_argument("user_id: not zero"));
        }
        let end = SessionEnd { user: UserId(user_id), below: Epoch(below_epoch) };
        let posted = self.keeper.end_sessions(end).await;
        let posted = posted.map_err(|away| {
            self.metrics.ended("away");
            unavailable(&away)
        });
        match posted? {
            Ok(waiting) => {
                self.metrics.ended("posted");
                let nodes_waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
                tracing::info!(user_id, below_epoch, nodes_waiting, "sessions are to end");
                Ok(Response::new(EndSessionsResponse { nodes_waiting }))
            }
            Err(error @ EndsFull) => {
                self.metrics.ended("full");
                Err(Status::resource_exhausted(error.to_string()))
            }
        }
    }

    async fn list_nodes(
        &self,
        _request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let seen = self.keeper.look().await.map_err(|away| unavailable(&away))?;
        Ok(Response::new(ListNodesResponse { nodes: seen.nodes }))
    }
}

fn whole_ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
