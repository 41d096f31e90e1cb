//! What the engine found: raw figures, before anybody judges them.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::heat::Heat;
use crate::server_cost;

/// Latencies of one class of operation, in microseconds × 1,000 (nanoseconds).
#[derive(Clone, Debug)]
pub struct Class {
    /// Intended time to the moment of sending: the generator's own lateness.
    pub lag: Histogram<u64>,
    /// Sending to the acknowledgement.
    pub service: Histogram<u64>,
    /// Intended time to the acknowledgement.
    pub response: Histogram<u64>,
    /// Intended time to each delivery.
    pub delivery: Histogram<u64>,
}

/// What became of every message (loadgen's ledger): all of these but the first three must be zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerTotals {
    /// Messages sent.
    pub sent: u64,
    /// Messages acknowledged.
    pub acked: u64,
    /// Deliveries to recipients, each counted once.
    pub delivered: u64,
    /// Acknowledged, but a recipient never got it.
    pub lost: u64,
    /// Delivered again to the application (a repeated `seq` that the client half drops does not count).
    pub duplicate: u64,
    /// Delivered after a later one of the same conversation and sender.
    pub reordered: u64,
    /// The body differs from what was sent.
    pub corrupt: u64,
    /// Delivered to somebody that it was not for.
    pub misrouted: u64,
    /// Neither acknowledged nor delivered, or delivered without acknowledgement, when the run ended: not a violation.
    pub indeterminate: u64,
    /// Refused by the node (busy).
    pub refused: u64,
    /// From another run.
    pub foreign: u64,
}

/// One second of the run.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// Seconds since the measured phase began (negative: ramp and warm-up).
    pub t: i64,
    /// Sends that were due.
    pub intended: u64,
    /// Sends made.
    pub sent: u64,
    /// Acknowledgements.
    pub acked: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Connections established.
    pub connections: u64,
    /// Responses to what was due in this second, of the measured phase.
    pub response: Heat,
}

/// What happened between the two ends of the measured phase, whenever it was due, and what the server's process cost
/// meanwhile: for figures per processor second, which need counts and costs of the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// How long it was.
    pub length: Duration,
    /// Messages sent.
    pub sent: u64,
    /// Messages acknowledged.
    pub acked: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Logins taken.
    pub logins: u64,
    /// Processor time of the server, if its process is known.
    pub server_cpu: Option<Duration>,
    /// Time that its threads were runnable and waited for a processor, which somebody else had: with the time on the
    /// processor the share in which the server had work.
    pub server_waited: Option<Duration>,
}

/// How punctually heartbeats were answered: from the moment that each was due, so the generator's own lateness is in it.
#[derive(Clone, Debug, Default)]
pub struct Beats {
    /// From due to answered, in nanoseconds, of those due when everybody was there; nothing where it is not measured.
    pub punctuality: Option<Histogram<u64>>,
    /// The same of those due during the ramp.
    pub ramp_punctuality: Option<Histogram<u64>>,
    /// Sent, not answered and overdue when the logouts began. They are in `punctuality` with the time until then.
    pub unanswered: u64,
    /// The shortest and the longest interval that a welcome told, in milliseconds.
    pub interval_ms: Option<(u32, u32)>,
}

/// What silence cost the engine's thread.
#[derive(Clone, Copy, Debug)]
pub struct IdleCost {
    /// How long it lasted.
    pub length: Duration,
    /// Processor time of the engine's thread.
    pub cpu: Duration,
    /// Heartbeats sent meanwhile.
    pub heartbeats: u64,
}

impl Window {
    /// Everything up to a moment: a window is the difference of two such.
    ///
    /// # Errors
    /// When the server's process cannot be read.
    pub fn up_to(
        now_ns: u64,
        totals: &LedgerTotals,
        logins: u64,
        server: Option<u32>,
    ) -> io::Result<Self> {
        let cost = server.map(server_cost::cost).transpose().map_err(|error| {
            io::Error::new(error.kind(), format!("reading the server's processor time: {error}"))
        })?;
        Ok(Self {
            length: Duration::from_nanos(now_ns),
            sent: totals.sent,
            acked: totals.acked,
            delivered: totals.delivered,
            logins,
            server_cpu: cost.map(|cost| cost.cpu),
            server_waited: cost.map(|cost| cost.waited),
        })
    }

    /// What came since an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let apart = |now: Option<Duration>, then: Option<Duration>| {
            now.zip(then).map(|(now, then)| now.saturating_sub(then))
        };
        Self {
            length: self.length.saturating_sub(earlier.length),
            sent: self.sent - earlier.sent,
            acked: self.acked - earlier.acked,
            delivered: self.delivered - earlier.delivered,
            logins: self.logins - earlier.logins,
            server_cpu: apart(self.server_cpu, earlier.server_cpu),
            server_waited: apart(self.server_waited, earlier.server_waited),
        }
    }
}

/// Everything the engine measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Connections asked for.
    pub target: u32,
    /// Connections logged in at the end of the ramp.
    pub established: u32,
    /// How long the ramp took.
    pub ramp: Duration,
    /// Connections lost after they were established and before the end, by reason.
    pub disconnects: BTreeMap<String, u64>,
    /// Connects and logins that failed, by reason.
    pub login_failures: BTreeMap<String, u64>,
    /// The measured phase as it was.
    pub measured: Duration,
    /// Sends due in the measured phase.
    pub intended: u64,
    /// Sends made of those.
    pub sent: u64,
    /// Acknowledgements of those.
    pub acked: u64,
    /// Deliveries of those.
    pub delivered: u64,
    /// By class: `private`, `room`.
    pub classes: BTreeMap<String, Class>,
    /// Gaps between consecutive sends' submission, in nanoseconds (open loop).
    pub send_gaps: Histogram<u64>,
    /// The ledger over the whole run.
    pub ledger: LedgerTotals,
    /// The first violations, each as one line with all that is known about it.
    pub violations: Vec<String>,
    /// Second by second.
    pub series: Vec<Second>,
    /// Processor time of the engine's thread in the measured phase, spinning excluded.
    pub engine_cpu: Duration,
    /// Processor time of the engine's thread spent spinning in front of a due send.
    pub engine_spin: Duration,
    /// Time the engine's thread was runnable but waited for a processor, in the measured phase (schedstat).
    pub engine_runqueue: Duration,
    /// Gaps that the client half found and pulled.
    pub gaps_pulled: u64,
    /// Heartbeats sent.
    pub heartbeats: u64,
    /// Times the engine had no receive buffer (ENOBUFS).
    pub enobufs: u64,
    /// Sends that could not be queued because the cap on queued sends was reached: makes the run invalid.
    pub send_queue_overflows: u64,
    /// Counts and the server's cost between the ends of the measured phase.
    pub window: Window,
    /// How punctually heartbeats were answered.
    pub beats: Beats,
    /// What the silence before the load cost, if there was one.
    pub idle: Option<IdleCost>,
    /// From the first logout to the last goodbye.
    pub closing: Duration,
    /// Whether it was interrupted: figures are partial.
    pub interrupted: bool,
}
