//! The first violations with all that is known of them, for the report: the rest is only counted.

use std::fmt;

use wire::{ConversationId, Seq, UserId};

use super::Arrival;
use crate::stamp::{Stamp, StampError};

/// Violations that are kept: enough to see a pattern, few enough to read.
pub const VIOLATIONS_MAX: usize = 20;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Lost,
    Duplicate,
    Reordered,
    Corrupt,
    Misrouted,
}

/// One violation; its `Display` is one line with all that is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    kind: Kind,
    receiver: u32,
    stamp: Option<Stamp>,
    /// Stream, sender and number of a message that never came.
    lost: Option<(u32, u32, u32)>,
    /// What the node said of a message that came: conversation, place, sender.
    event: Option<(ConversationId, Seq, UserId)>,
    at_ns: u64,
    error: Option<StampError>,
}

#[derive(Debug, Default)]
pub(super) struct Violations {
    kept: Vec<Violation>,
}

impl Violations {
    fn keep(&mut self, violation: Violation) {
        if self.kept.len() < VIOLATIONS_MAX {
            self.kept.push(violation);
        }
    }

    pub(super) fn seen(&mut self, kind: Kind, arrival: &Arrival<'_>, stamp: Option<Stamp>) {
        self.keep(Violation {
            kind,
            receiver: arrival.receiver,
            stamp,
            lost: None,
            event: Some((arrival.conversation, arrival.seq, arrival.from)),
            at_ns: arrival.at_ns,
            error: None,
        });
    }

    pub(super) fn corrupt(&mut self, arrival: &Arrival<'_>, error: StampError) {
        self.seen(Kind::Corrupt, arrival, None);
        if let Some(last) = self.kept.last_mut()
            && last.event == Some((arrival.conversation, arrival.seq, arrival.from))
        {
            last.error = Some(error);
        }
    }

    pub(super) fn lost(&mut self, stream: u32, sender: u32, receiver: u32, seq: u32) {
        self.keep(Violation {
            kind: Kind::Lost,
            receiver,
            stamp: None,
            lost: Some((stream, sender, seq)),
            event: None,
            at_ns: 0,
            error: None,
        });
    }

    pub(super) fn into_vec(self) -> Vec<Violation> {
        self.kept
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::Duplicate => "duplicate",
            Self::Reordered => "reordered",
            Self::Corrupt => "corrupt",
            Self::Misrouted => "misrouted",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: receiver {}", self.kind, self.receiver)?;
        if let Some((stream, sender, seq)) = self.lost {
            write!(f, ", never got message {seq} of sender {sender} in stream {stream}")?;
        }
        if let Some(stamp) = self.stamp {
            write!(
                f,
                ", message {} of sender {} in stream {}, due at {:.6} s",
                stamp.seq,
                stamp.sender,
                stamp.stream,
                stamp.intended_ns as f64 / 1e9
            )?;
        }
        if let Some((conversation, seq, from)) = self.event {
            write!(
                f,
                ", from user {} as {} of conversation {}/{} at {:.6} s",
                from.0,
                seq.0,
                conversation.first,
                conversation.second,
                self.at_ns as f64 / 1e9
            )?;
        }
        match self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}
