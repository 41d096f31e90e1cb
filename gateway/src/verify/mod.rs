//! Verification of e-mail addresses: a code is made, sent, compared, used up.
//!
//! `desk` does it; `service` puts it behind gRPC, with the methods of both seed systems; `remote` asks a verification
//! server of its own. A code is in a mail and, as a keyed digest, in the shared state: nowhere else, and in no answer
//! unless the server runs for development.

mod desk;
mod remote;
mod server;
mod service;

use std::sync::Arc;

pub(crate) use desk::Desk;
pub(crate) use remote::Remote;
pub use server::{Args as VerifyArgs, Bound as VerifyBound, run as run_verify};
pub(crate) use service::front;

use crate::shared::Wait;

/// The messages and services of `proto/verification.proto` and `proto/seeds.proto`, generated.
#[allow(
    missing_docs,
    unreachable_pub,
    unnameable_types,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    reason = "generated code"
)]
pub mod proto {
    tonic::include_proto!("ringline.verification.v1");

    /// What the seed systems' gateways call.
    pub mod seeds {
        tonic::include_proto!("message");
    }

    /// The descriptors of both files, encoded: for reflection.
    pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("verification");
}

/// A code is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The code; only ever there in development.
    pub(crate) code: Option<String>,
}

/// Why no code is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// The address breaks a rule, which this is.
    Invalid(&'static str),
    /// One was made for this address a moment ago, or too many lately.
    TooSoon(Wait),
    /// As many codes are outstanding as may be.
    Busy,
    /// What is shared gives no answer: nobody knows whether one may be made.
    Away,
    /// It could not be handed over for delivery.
    NotDelivered,
    /// The verification server gives no answer.
    Unreachable,
}

/// Why a code was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckError {
    /// None is outstanding for the address.
    Unknown,
    /// It is another one.
    Wrong,
    /// Too many were wrong for this address lately.
    TooMany(Wait),
    /// What is shared gives no answer: nobody knows which code it is.
    Away,
    /// The verification server gives no answer.
    Unreachable,
}

/// Where codes are made and compared.
#[derive(Clone, Debug)]
pub(crate) enum Verifier {
    /// In this process.
    Here(Arc<Desk>),
    /// By a verification server.
    There(Remote),
}

impl Verifier {
    /// Makes a code and sends it to its address; an earlier one is void.
    pub(crate) async fn send(&self, email: &str) -> Result<Sent, SendError> {
        match self {
            Self::Here(desk) => desk.send(email).await,
            Self::There(remote) => remote.send(email).await,
        }
    }

    /// Compares a code without using it up, so that a username that is taken does not cost another mail.
    pub(crate) async fn check(&self, email: &str, code: &str) -> Result<(), CheckError> {
        match self {
            Self::Here(desk) => desk.check(email, code).await,
            Self::There(remote) => remote.check(email, code).await,
        }
    }

    /// Uses a code up. Of two who do it at the same time, one is told [`CheckError::Unknown`].
    pub(crate) async fn consume(&self, email: &str) -> Result<(), CheckError> {
        match self {
            Self::Here(desk) => desk.consume(email).await,
            Self::There(remote) => remote.consume(email).await,
        }
    }

    /// Whether the last question to a verification server got no answer.
    pub(crate) fn is_failing(&self) -> bool {
        match self {
            Self::Here(_) => false,
            Self::There(remote) => remote.is_failing(),
        }
    }
}
