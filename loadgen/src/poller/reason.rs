//! Why connections ended and logins failed, in words, and how often each.

use std::collections::BTreeMap;
use std::fmt;

use client::Broken;
use rustix::io::Errno;
use wire::{CloseReason, Reject};

use super::limits::REASONS_MAX;

/// Why a connection ended, or did not come to be.
#[derive(Clone, Debug)]
pub(super) enum Reason {
    /// A call on its socket failed.
    Call(&'static str, Errno),
    /// The peer finished sending without a goodbye.
    Eof,
    /// The node said goodbye, with this code, and how long to stay away, in milliseconds.
    Goodbye(u8, u32),
    /// What came is no node's.
    Broken(Broken),
    /// The node refused a command without which nothing else can be done.
    Rejected(u8),
    /// Nothing was heard for the heartbeat timeout.
    Silent,
    /// There was no leave to log in.
    NoGrant(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(what, errno) => write!(f, "{what}: {}", errno.kind()),
            Self::Eof => f.write_str("end of stream without a goodbye"),
            Self::Goodbye(code, _) => match CloseReason::from_code(*code) {
                Some(known) => write!(f, "goodbye: {known}"),
                None => write!(f, "goodbye: reason {code}"),
            },
            Self::Broken(broken) => write!(f, "protocol: {broken}"),
            Self::Rejected(code) => match Reject::from_code(*code) {
                Some(known) => write!(f, "rejected: {known}"),
                None => write!(f, "rejected: reason {code}"),
            },
            Self::Silent => f.write_str("silent for the heartbeat timeout"),
            Self::NoGrant(why) => write!(f, "grant: {why}"),
        }
    }
}

/// How often each reason was given. Beyond [`REASONS_MAX`] different ones, new ones are counted together.
#[derive(Debug, Default)]
pub(super) struct Reasons(BTreeMap<String, u64>);

impl Reasons {
    pub(super) fn count(&mut self, reason: &Reason) {
        self.add(reason.to_string(), 1);
    }

    pub(super) fn add(&mut self, words: String, times: u64) {
        let is_known = self.0.contains_key(&words) || self.0.len() < REASONS_MAX;
        *self.0.entry(if is_known { words } else { "other".to_owned() }).or_default() += times;
    }

    pub(super) fn into_counts(self) -> BTreeMap<String, u64> {
        self.0
    }
}
