//! What an answer says went wrong, with the numbers of both seed systems, so that their clients work unchanged.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::shared::{Refusal, Wait};

/// Whose numbers an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The distributed system's: 0 to 18.
    Dims,
    /// Chatter's: 1001 to 1009.
    Chatter,
}

/// Why a request was not granted. The number is `error` in the answer; the text is for people.
///
/// | DIMS | Chatter | HTTP | when |
/// |---|---|---|---|
/// | 0 | 0 | 200 | granted |
/// | 1 | 1001 | 200 | the body is no JSON object with the fields asked for |
/// | 1 | 1001 | 413 | it is longer than 4,096 bytes |
/// | 1 | 1001 | 408 | it did not come within 5 s |
/// | 2 | 1009 | 503 | busy: too many requests wait, or this took too long. Try again |
/// | 2 | 1009 | 429 | this client has asked too often. Try again after `Retry-After` seconds |
/// | 2 | 1002 | 429 | a verification code was sent to this address a moment ago, or too many lately |
/// | 2 | 1002 | 503 | the verification code could not be sent. Try again |
/// | 3 | 1002 | 200 | the balancer cannot be reached, or is still learning its nodes; or the verification server cannot be reached |
/// | 10 | - | 200 | no chat node takes logins, or all are full |
/// | 12 | 1009 | 503 | the Redis that counts attempts and keeps codes gives no answer, so nothing is granted. Try again |
/// | 12 | 1004 | 200 | no verification code for this address: none was asked for, it is too old, used, or too many were wrong |
/// | 13 | 1005 | 200 | the verification code is wrong |
/// | 14 | 1006 | 200 | not registered: the username or the e-mail address is taken |
/// | 14 | 1009 | 503 | the store is failing. Try again |
/// | 15 | 1003 | 200 | a field breaks its rule, the text says which; or no account has this username with this e-mail address |
/// | 16 | - | 200 | no account has this username with this e-mail address |
/// | 17 | 1008 | 200 | no such account, or a wrong password: never said which |
/// | 18 | - | 200 | the password was right but changed during the login. Log in again |
/// | 18 | 1009 | 429 | too many wrong passwords, or wrong codes, for this account or from this client. Try again after `Retry-After` seconds |
///
/// Chatter's 1007 (no such user) is never used: 1008 says both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No JSON object with the fields asked for.
    JsonParse,
    /// The body is longer than a request may be.
    TooLong,
    /// The body did not come in time.
    TooSlow,
    /// Too many requests wait, or this one took too long.
    Busy,
    /// This client has asked too often. Seconds to wait.
    TooMany(u32),
    /// The balancer gave no answer.
    BalancerUnreachable,
    /// The verification server gave no answer.
    VerifierUnreachable,
    /// No node takes logins.
    NoChatNode,
    /// A code was made for the address a moment ago, or too many lately. Seconds to wait.
    CodeTooSoon(u32),
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
    /// What is shared with other gateways gives no answer: nothing is granted that could not be counted.
    SharedAway,
    /// A field breaks its rule.
    Invalid(&'static str),
    /// No account has this username with this e-mail address, said to who has shown that the address is his.
    Mismatch,
    /// No account has this username with this e-mail address, said to whoever asks.
    NoAccount,
    /// No such account, or a wrong password.
    Credentials,
    /// Too many wrong passwords or codes. Seconds to wait.
    Locked(u32),
    /// The password changed between check and login.
    Overtaken,
}

/// Why a bound does not let somebody do something: `wait` if he has to.
pub(crate) fn refused(refusal: Refusal, wait: fn(u32) -> Status) -> Status {
    match refusal {
        Refusal::Wait(span) => wait(seconds(span)),
        Refusal::Away => Status::SharedAway,
    }
}

/// Seconds of a wait, for people: never zero.
pub(crate) fn seconds(Wait(span): Wait) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

impl Status {
    /// The number in the answer's `error`.
    #[must_use]
    pub const fn number(self, dialect: Dialect) -> u16 {
        let (dims, chatter) = match self {
            Self::JsonParse | Self::TooLong | Self::TooSlow => (1, 1001),
            Self::Busy | Self::TooMany(_) => (2, 1009),
            Self::CodeTooSoon(_) | Self::NotDelivered => (2, 1002),
            Self::BalancerUnreachable | Self::VerifierUnreachable => (3, 1002),
            Self::NoChatNode => (10, 1002),
            Self::CodeUnknown => (12, 1004),
            Self::SharedAway => (12, 1009),
            Self::CodeWrong => (13, 1005),
            Self::UsernameTaken | Self::EmailTaken => (14, 1006),
            Self::StoreFault => (14, 1009),
            Self::Invalid(_) | Self::Mismatch => (15, 1003),
            Self::NoAccount => (16, 1007),
            Self::Credentials => (17, 1008),
            Self::Locked(_) | Self::Overtaken => (18, 1009),
        };
        match dialect {
            Dialect::Dims => dims,
            Dialect::Chatter => chatter,
        }
    }

    /// The HTTP status, 200 wherever the seed systems' clients look into the body only, and after how many seconds it is
    /// worth trying again.
    const fn http(self) -> (StatusCode, Option<u32>) {
        match self {
            Self::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, None),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, None),
            Self::CodeTooSoon(wait) | Self::TooMany(wait) | Self::Locked(wait) => {
                (StatusCode::TOO_MANY_REQUESTS, Some(wait))
            }
            Self::Busy | Self::StoreFault | Self::SharedAway | Self::NotDelivered => {
                (StatusCode::SERVICE_UNAVAILABLE, Some(1))
            }
            Self::JsonParse
            | Self::BalancerUnreachable
            | Self::VerifierUnreachable
            | Self::NoChatNode
            | Self::CodeUnknown
            | Self::CodeWrong
            | Self::UsernameTaken
            | Self::EmailTaken
            | Self::Invalid(_)
            | Self::Mismatch
            | Self::NoAccount
            | Self::Credentials
            | Self::Overtaken => (StatusCode::OK, None),
        }
    }

    /// For people.
    const fn text(self) -> &'static str {
        match self {
            Self::JsonParse => "send a JSON object with the fields of this request, each a text",
            Self::TooLong => "the request is longer than 4096 bytes",
            Self::TooSlow => "the request did not come in time",
            Self::Busy => "busy: try again in a moment",
            Self::TooMany(_) => "too many requests: try again later",
            Self::BalancerUnreachable => {
                "the balancer cannot be reached, so no chat node could be chosen: try again in a moment"
            }
            Self::VerifierUnreachable => {
                "the verification server cannot be reached: try again in a moment"
            }
            Self::NoChatNode => "no chat node takes logins now: try again later",
            Self::CodeTooSoon(_) => {
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
            Self::SharedAway => {
                "busy: attempts and codes cannot be looked up now: try again in a moment"
            }
            Self::Invalid(rule) => rule,
            Self::Mismatch | Self::NoAccount => {
                "no account has this username with this e-mail address"
            }
            Self::Credentials => "wrong username or password",
            Self::Locked(_) => "too many wrong attempts: try again later",
            Self::Overtaken => "the password was changed: log in again",
        }
    }

    /// The answer.
    pub(crate) fn response(self, dialect: Dialect) -> Response {
        let body = json!({ "error": self.number(dialect), "message": self.text() });
        let (http, retry_after) = self.http();
        let mut response = (http, Json(body)).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::TooLong | Self::TooSlow) {
            // What is left of the body is not read.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_is_never_told_too_short() {
        assert_eq!(seconds(Wait(Duration::from_millis(1))), 1);
        assert_eq!(seconds(Wait(Duration::from_millis(1_500))), 2);
        assert_eq!(seconds(Wait(Duration::MAX)), u32::MAX);
        let response = Status::Locked(7).response(Dialect::Dims);
        assert_eq!(response.headers()[RETRY_AFTER], "7");
    }
}
