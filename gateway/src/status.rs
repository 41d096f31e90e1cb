//! What an answer says went wrong, with the numbers of the seed system, so that its clients work unchanged.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request was not granted. The number is `error` in the answer; the text is for people.
///
/// | number | HTTP | when |
/// |---|---|---|
/// | 0 | 200 | granted |
/// | 1 | 200 | the body is no JSON object with the fields asked for (413 if it is too long) |
/// | 2 | 503 | busy: too many requests wait, or this took too long. Try again |
/// | 2 | 429 | a verification code was sent to this address a moment ago |
/// | 2 | 503 | the verification code could not be delivered. Try again |
/// | 3 | 200 | the balancer cannot be reached, or is still learning its nodes. Try again |
/// | 10 | 200 | no chat node takes logins, or all are full |
/// | 12 | 200 | no verification code for this address: none was asked for, it is too old, or too many were wrong |
/// | 13 | 200 | the verification code is wrong |
/// | 14 | 200 | not registered: the username or the e-mail address is taken (503: the store is failing. Try again) |
/// | 15 | 200 | a field breaks its rule; the text says which |
/// | 17 | 200 | no such account, or a wrong password: never said which |
/// | 18 | 200 | the password was right but changed during the login. Log in again |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No JSON object with the fields asked for.
    JsonParse,
    /// The body is longer than a request may be.
    TooLong,
    /// Too many requests wait, or this one took too long.
    Busy,
    /// The balancer gave no answer.
    BalancerUnreachable,
    /// No node takes logins.
    NoChatNode,
    /// A code was made for the address a moment ago.
    CodeTooSoon,
    /// The code could not be delivered.
    NotDelivered,
    /// No code is outstanding for the address.
    CodeUnknown,
    /// The code is wrong.
    CodeWrong,
    /// The username is taken.
    UsernameTaken,
    /// The e-mail address is taken.
    EmailTaken,
    /// The store is failing.
    StoreFault,
    /// A field breaks its rule.
    Invalid(&'static str),
    /// No such account, or a wrong password.
    Credentials,
    /// The password changed between check and login.
    Overtaken,
}

impl Status {
    /// The number in the answer's `error`.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::JsonParse | Self::TooLong => 1,
            Self::Busy | Self::CodeTooSoon | Self::NotDelivered => 2,
            Self::BalancerUnreachable => 3,
            Self::NoChatNode => 10,
            Self::CodeUnknown => 12,
            Self::CodeWrong => 13,
            Self::UsernameTaken | Self::EmailTaken | Self::StoreFault => 14,
            Self::Invalid(_) => 15,
            Self::Credentials => 17,
            Self::Overtaken => 18,
        }
    }

    /// The HTTP status: 200 wherever the seed system's clients look into the body only.
    const fn http(self) -> StatusCode {
        match self {
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::CodeTooSoon => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::StoreFault | Self::NotDelivered => StatusCode::SERVICE_UNAVAILABLE,
            Self::JsonParse
            | Self::BalancerUnreachable
            | Self::NoChatNode
            | Self::CodeUnknown
            | Self::CodeWrong
            | Self::UsernameTaken
            | Self::EmailTaken
            | Self::Invalid(_)
            | Self::Credentials
            | Self::Overtaken => StatusCode::OK,
        }
    }

    /// For people.
    const fn text(self) -> &'static str {
        match self {
            Self::JsonParse => "send a JSON object with the fields of this request, each a text",
            Self::TooLong => "the request is longer than 4096 bytes",
            Self::Busy => "busy: try again in a moment",
            Self::BalancerUnreachable => "no chat node could be chosen: try again in a moment",
            Self::NoChatNode => "no chat node takes logins now: try again later",
            Self::CodeTooSoon => {
                "a verification code was sent a moment ago: look for it before asking again"
            }
            Self::NotDelivered => "the verification code could not be sent: try again later",
            Self::CodeUnknown => {
                "no verification code is outstanding for this address: ask for a new one"
            }
            Self::CodeWrong => "the verification code is wrong",
            Self::UsernameTaken => "the username is taken",
            Self::EmailTaken => "the e-mail address has an account",
            Self::StoreFault => "the accounts cannot be written now: try again in a moment",
            Self::Invalid(rule) => rule,
            Self::Credentials => "wrong username or password",
            Self::Overtaken => "the password was changed: log in again",
        }
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.number(), "message": self.text() });
        let mut response = (self.http(), Json(body)).into_response();
        if self.http() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
