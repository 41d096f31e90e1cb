//! The desk behind gRPC: its own protocol for gateways, and the methods of both seed systems.

use std::sync::Arc;
use std::time::Duration;

use balancer::grpc::Front;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::proto::codes_server::{Codes, CodesServer, SERVICE_NAME as CODES};
use super::proto::seeds::varify_service_server::{
    SERVICE_NAME as VARIFY, VarifyService, VarifyServiceServer,
};
use super::proto::seeds::verification_service_server::{
    SERVICE_NAME as VERIFICATION, VerificationService, VerificationServiceServer,
};
use super::proto::seeds::{
    GetVarifyReq, GetVarifyRsp, GetVerificationRequest, GetVerificationResponse,
};
use super::proto::{
    CheckRequest, CheckResponse, CheckVerdict, ConsumeRequest, ConsumeResponse, DESCRIPTORS,
    SendOutcome, SendRequest, SendResponse,
};
use super::{CheckError, Desk, SendError};
use crate::limits::{VERIFY_MESSAGE_BYTES_MAX, VERIFY_SEND_DEADLINE};
use crate::shared::Wait;

/// The seeds' numbers.
mod seed_error {
    /// A code is on its way.
    pub(super) const NONE: i32 = 0;
    /// None could be kept.
    pub(super) const NOT_KEPT: i32 = 1;
    /// Anything else.
    pub(super) const OTHER: i32 = 2;
}

/// What a caller is told where the desk cannot work.
const AWAY: &str = "what keeps the codes gives no answer: try again in a moment";

/// All services of a desk, with health and reflection.
pub(crate) async fn front(desk: Arc<Desk>) -> anyhow::Result<Front> {
    let service = Service(desk);
    let routes = Routes::new(
        CodesServer::new(service.clone()).max_decoding_message_size(VERIFY_MESSAGE_BYTES_MAX),
    )
    .add_service(
        VerificationServiceServer::new(service.clone())
            .max_decoding_message_size(VERIFY_MESSAGE_BYTES_MAX),
    )
    .add_service(
        VarifyServiceServer::new(service).max_decoding_message_size(VERIFY_MESSAGE_BYTES_MAX),
    );
    let names = &[CODES, VERIFICATION, VARIFY];
    Front::new(routes, names, &[DESCRIPTORS], VERIFY_SEND_DEADLINE).await
}

#[derive(Clone, Debug)]
struct Service(Arc<Desk>);

impl Service {
    /// A code for a seed's gateway: its number, the code in development, and a text for people.
    async fn send_for_seed(&self, email: &str) -> (i32, String, String) {
        match self.0.send(email).await {
            Ok(sent) => (seed_error::NONE, sent.code.unwrap_or_default(), String::new()),
            Err(error) => {
                let (number, text) = match error {
                    SendError::TooSoon(_) => (
                        seed_error::NOT_KEPT,
                        "a verification code was sent a moment ago: look for it before asking again",
                    ),
                    SendError::Busy => {
                        (seed_error::NOT_KEPT, "too many codes are outstanding: try again later")
                    }
                    SendError::Away => (seed_error::NOT_KEPT, AWAY),
                    SendError::Invalid(rule) => (seed_error::OTHER, rule),
                    SendError::NotDelivered | SendError::Unreachable => {
                        (seed_error::OTHER, "the verification code could not be sent")
                    }
                };
                (number, String::new(), text.to_owned())
            }
        }
    }
}

#[tonic::async_trait]
impl Codes for Service {
    async fn send(&self, request: Request<SendRequest>) -> Result<Response<SendResponse>, Status> {
        let mut answer = SendResponse::default();
        let outcome = match self.0.send(&request.into_inner().email).await {
            Ok(sent) => {
                answer.code = sent.code.unwrap_or_default();
                SendOutcome::Sent
            }
            Err(SendError::Invalid(rule)) => return Err(Status::invalid_argument(rule)),
            Err(SendError::TooSoon(wait)) => {
                answer.retry_after_ms = whole_ms(wait);
                SendOutcome::TooSoon
            }
            Err(SendError::Busy) => SendOutcome::Busy,
            Err(SendError::Away) => return Err(Status::unavailable(AWAY)),
            Err(SendError::NotDelivered | SendError::Unreachable) => SendOutcome::NotDelivered,
        };
        answer.outcome = outcome.into();
        Ok(Response::new(answer))
    }

    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let CheckRequest { email, code } = request.into_inner();
        let mut answer = CheckResponse::default();
        let verdict = match self.0.check(&email, &code).await {
            Ok(()) => CheckVerdict::Right,
            Err(CheckError::Wrong) => CheckVerdict::Wrong,
            Err(CheckError::Unknown | CheckError::Unreachable) => CheckVerdict::Unknown,
            Err(CheckError::Away) => return Err(Status::unavailable(AWAY)),
            Err(CheckError::TooMany(wait)) => {
                answer.retry_after_ms = whole_ms(wait);
                CheckVerdict::TooMany
            }
        };
        answer.verdict = verdict.into();
        Ok(Response::new(answer))
    }

    async fn consume(
        &self,
        request: Request<ConsumeRequest>,
    ) -> Result<Response<ConsumeResponse>, Status> {
        match self.0.consume(&request.into_inner().email).await {
            Err(CheckError::Away) => Err(Status::unavailable(AWAY)),
            consumed => Ok(Response::new(ConsumeResponse { was_there: consumed.is_ok() })),
        }
    }
}

#[tonic::async_trait]
impl VerificationService for Service {
    async fn get_verification_code(
        &self,
        request: Request<GetVerificationRequest>,
    ) -> Result<Response<GetVerificationResponse>, Status> {
        let email = request.into_inner().email;
        let (error, code, text) = self.send_for_seed(&email).await;
        // This answer has no field for a code: in development it is the message.
        let message = if text.is_empty() { code } else { text };
        Ok(Response::new(GetVerificationResponse { error, email, message }))
    }
}

#[tonic::async_trait]
impl VarifyService for Service {
    async fn get_varify_code(
        &self,
        request: Request<GetVarifyReq>,
    ) -> Result<Response<GetVarifyRsp>, Status> {
        let email = request.into_inner().email;
        let (error, code, _) = self.send_for_seed(&email).await;
        Ok(Response::new(GetVarifyRsp { error, email, code }))
    }
}

fn whole_ms(Wait(span): Wait) -> u64 {
    u64::try_from(span.max(Duration::from_millis(1)).as_millis()).unwrap_or(u64::MAX)
}
