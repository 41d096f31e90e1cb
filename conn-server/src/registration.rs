//! The node's lease at the balancer: takes it, renews it with load reports, gives it up.
//!
//! A balancer that is down costs the node nothing: it serves on and keeps trying. Runs on the control runtime; shards are
//! only ever asked for snapshots.

use std::future::Future;
use std::time::Duration;

use balancer::client::{CallError, Client, Lease, ReportOutcome, Reported, SessionEnd, jittered};
use balancer::proto::{Load, NodeState, RegisterRequest, ReportRequest};
use tokio::sync::watch;

use crate::limits::{REGISTER_AT_START, REGISTER_RETRY};

/// What a node tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// What it carries.
    pub(crate) load: Load,
    /// Its clock.
    pub(crate) mono_ms: u64,
}

/// Where a registration gets its figures from.
pub(crate) trait Source {
    /// The figures now.
    fn vitals(&self) -> impl Future<Output = Vitals> + Send;

    /// Ends sessions. `false` if not all of it was taken: it will be asked for again.
    fn end_sessions(&self, ends: &[SessionEnd]) -> bool;
}

/// Where a node is between start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Takes logins.
    Serving,
    /// Finishes what it has.
    Draining,
    /// Has ended.
    Ended,
}

/// Keeps one node registered.
#[derive(Debug)]
pub(crate) struct Registration<S> {
    client: Client,
    /// What does not change; load, clock and state are filled in.
    node: RegisterRequest,
    source: S,
    stage: watch::Receiver<Stage>,
    is_registered: watch::Sender<bool>,
    /// Whether this start of the node has held a lease before.
    is_returning: bool,
    /// The number of the last answer whose sessions were ended.
    ends_done: u64,
    /// What was last logged, so that each change is logged once.
    trouble: Option<CallError>,
}

impl<S: Source> Registration<S> {
    /// A registration that has not begun.
    pub(crate) fn new(
        client: Client,
        node: RegisterRequest,
        source: S,
        stage: watch::Receiver<Stage>,
        is_registered: watch::Sender<bool>,
    ) -> Self {
        let (is_returning, ends_done, trouble) = (false, 0, None);
        Self { client, node, source, stage, is_registered, is_returning, ends_done, trouble }
    }

    /// Registers, reports and drains until the node ends, then deregisters.
    pub(crate) async fn run(mut self) {
        while *self.stage.borrow() != Stage::Ended {
            match self.register().await {
                Ok(lease) => self.hold(lease).await,
                Err(error) => {
                    self.note(Some(error));
                    self.pause(jittered(REGISTER_RETRY)).await;
                }
            }
        }
        if let Err(error) = self.client.deregister(&self.node.name, self.node.incarnation).await {
            tracing::warn!(%error, "the balancer was not told that this node ends: its lease will lapse");
        }
    }

    /// Reports until the lease is lost or the node ends.
    async fn hold(&mut self, lease: Lease) {
        let mut missed = 0;
        while *self.stage.borrow_and_update() != Stage::Ended {
            match self.report().await {
                Ok(ReportOutcome::Renewed) => {
                    missed = 0;
                    self.note(None);
                }
                Ok(ReportOutcome::RegisterAgain | ReportOutcome::Superseded) => break,
                // The lease may still run, and a balancer that was restarted says so itself.
                Err(error) => {
                    missed += 1;
                    self.note(Some(error));
                }
            }
            // Without a report for the lease's time the balancer has let the node go, if it lives.
            let is_held = lease.report_interval * missed < lease.duration;
            let _ = self.is_registered.send(is_held); // Nobody looks any more.
            self.pause(lease.report_interval).await;
        }
        let _ = self.is_registered.send(false); // Nobody looks any more.
    }

    async fn register(&mut self) -> Result<Lease, CallError> {
        let Vitals { load, mono_ms } = self.source.vitals().await;
        let request = RegisterRequest {
            load: Some(load),
            mono_ms,
            state: self.state().into(),
            returning: self.is_returning,
            ..self.node.clone()
        };
        let lease = self.client.register(request).await?;
        self.is_returning = true;
        self.ends_done = 0;
        tracing::info!(lease_ms = lease.duration.as_millis(), "registered at the balancer");
        self.trouble = None;
        Ok(lease)
    }

    /// Reports, and ends the sessions that the answer names. They are confirmed by the next report.
    async fn report(&mut self) -> Result<ReportOutcome, CallError> {
        let Vitals { load, mono_ms } = self.source.vitals().await;
        let report = ReportRequest {
            name: self.node.name.clone(),
            incarnation: self.node.incarnation,
            mono_ms,
            load: Some(load),
            state: self.state().into(),
            ends_done: self.ends_done,
        };
        let Reported { outcome, ends, ends_number } = self.client.report(report).await?;
        if self.source.end_sessions(&ends) {
            self.ends_done = ends_number;
        }
        Ok(outcome)
    }

    fn state(&self) -> NodeState {
        match *self.stage.borrow() {
            Stage::Serving => NodeState::Serving,
            Stage::Draining | Stage::Ended => NodeState::Draining,
        }
    }

    /// Waits, but not beyond a change of stage: the balancer is to know of a drain at once.
    async fn pause(&mut self, span: Duration) {
        tokio::select! {
            () = tokio::time::sleep(span) => {}
            changed = self.stage.changed() => {
                if changed.is_err() {
                    // The node is gone without a word; nothing but the loop's own pace is left to wait for.
                    tokio::time::sleep(span).await;
                }
            }
        }
    }

    /// Logs trouble when it begins, when it changes and when it is over.
    fn note(&mut self, trouble: Option<CallError>) {
        // By kind: the words differ from attempt to attempt.
        let kind = |trouble: &Option<CallError>| trouble.as_ref().map(std::mem::discriminant);
        if kind(&self.trouble) == kind(&trouble) {
            return;
        }
        match &trouble {
            Some(error) => tracing::warn!(%error, "no lease at the balancer for now; serving on"),
            None => tracing::info!("the balancer gets reports again"),
        }
        self.trouble = trouble;
    }
}

/// Waits until the node is registered, for a short while: so that a login right after the node's start finds it.
pub(crate) async fn wait_registered(mut is_registered: watch::Receiver<bool>) -> bool {
    let wait = is_registered.wait_for(|is_registered| *is_registered);
    matches!(tokio::time::timeout(REGISTER_AT_START, wait).await, Ok(Ok(_)))
}
