//! Why connections ended and logins failed, in words, and what else the engine only counts.

use std::collections::BTreeMap;
use std::io;

use client::Broken;
use wire::{CloseReason, Reject};

use super::limits::REASONS_MAX;

/// Why a connection ended or did not come to be.
#[derive(Clone, Debug)]
pub(super) enum Reason {
    /// The peer finished sending, without a goodbye.
    Eof,
    /// An operation failed, with its error number.
    Failed(&'static str, i32),
    /// The node said goodbye, with this code, and how many milliseconds to stay away.
    Goodbye(u8, u32),
    /// The node refused a command that everything depends on.
    Rejected(u8),
    /// What came is not what a node sends.
    Broken(Broken),
    /// Nothing was heard for the heartbeat timeout.
    Silent,
    /// No grant.
    Grant(String),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Eof => f.write_str("end of stream without a goodbye"),
            Self::Failed(what, number) => {
                write!(f, "{what}: {}", io::Error::from_raw_os_error(*number).kind())
            }
            Self::Goodbye(code, _) => match CloseReason::from_code(*code) {
                Some(reason) => write!(f, "goodbye: {reason}"),
                None => write!(f, "goodbye: reason {code}"),
            },
            Self::Rejected(code) => match Reject::from_code(*code) {
                Some(reject) => write!(f, "rejected: {reject}"),
                None => write!(f, "rejected: reason {code}"),
            },
            Self::Broken(broken) => write!(f, "protocol: {broken}"),
            Self::Silent => f.write_str("silent for the heartbeat timeout"),
            Self::Grant(reason) => write!(f, "grant: {reason}"),
        }
    }
}

/// Counts by reason; further reasons than [`REASONS_MAX`] are counted together.
pub(super) fn count(counts: &mut BTreeMap<String, u64>, reason: &Reason) {
    let reason = reason.to_string();
    let is_new = !counts.contains_key(&reason);
    let reason = if is_new && counts.len() >= REASONS_MAX { "other".to_owned() } else { reason };
    *counts.entry(reason).or_default() += 1;
}

/// What is only counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) disconnects: BTreeMap<String, u64>,
    pub(super) login_failures: BTreeMap<String, u64>,
    pub(super) gaps: u64,
    /// Logins taken.
    pub(super) logins: u64,
    pub(super) heartbeats: u64,
    pub(super) enobufs: u64,
    pub(super) overflows: u64,
    /// Time spent spinning in front of due sends, in nanoseconds.
    pub(super) spin_ns: u64,
}
