//! The admin port: /healthz, /metrics and /info.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use balancer::client::SessionEnd;
use balancer::proto::Load;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::control::StoreWatch;
use crate::front::Figures;
use crate::limits::SNAPSHOT_TIMEOUT;
use crate::metrics::Scrape;
use crate::process::ProcessFigures;
use crate::registration::{Source, Stage, Vitals};
use crate::server::NodeHandle;
use crate::stats::ShardSnapshot;

/// What the pages and the reports are made of.
#[derive(Debug)]
pub(crate) struct Observatory {
    pub(crate) node: NodeHandle,
    /// The part of /info that changes with the limits only.
    pub(crate) about: Arc<Mutex<Value>>,
    /// `None` without a TLS front.
    pub(crate) front: Option<Figures>,
    pub(crate) stage: watch::Receiver<Stage>,
    /// `None` without a balancer.
    pub(crate) is_registered: Option<watch::Receiver<bool>>,
    /// `None` without a store.
    pub(crate) store: Option<StoreWatch>,
    /// What was last reported: stands in while a shard is too busy to answer.
    pub(crate) last_load: Mutex<Load>,
}

impl Observatory {
    /// Every shard's snapshot, of those that answer in time.
    pub(crate) async fn snapshots(&self) -> Vec<ShardSnapshot> {
        let (sender, mut answers) = mpsc::unbounded_channel();
        self.node.request_snapshots(move |snapshot| {
            let _ = sender.send(*snapshot); // Nobody waits any more: the answer is late.
        });
        let mut snapshots = Vec::new();
        let _ = tokio::time::timeout(SNAPSHOT_TIMEOUT, async {
            // Ends early when every shard has answered or dropped its question.
            while let Some(snapshot) = answers.recv().await {
                snapshots.push(snapshot);
            }
        })
        .await; // Late shards are missing from what was gathered.
        snapshots.sort_by_key(|snapshot| snapshot.shard);
        snapshots
    }

    /// Why this node should get no logins; empty if it is well.
    async fn ailments(&self) -> Vec<String> {
        let snapshots = self.snapshots().await;
        let mut reasons = Vec::new();
        let is_draining = snapshots.iter().any(|shard| shard.is_draining);
        if is_draining || *self.stage.borrow() != Stage::Serving {
            reasons.push("draining".to_owned());
        }
        let silent = usize::from(self.node.info().sizing.shards).saturating_sub(snapshots.len());
        if silent > 0 {
            reasons.push(format!("{silent} shards do not answer"));
        }
        if snapshots.iter().any(|shard| shard.gauges.store_stalled != 0) {
            reasons.push("the store stalls: new messages are refused as busy".to_owned());
        }
        if let Some(store) = &self.store {
            let store_reasons = store.monitor.report().reasons(store.stall);
            reasons.extend(store_reasons.into_iter().map(|reason| format!("the store: {reason}")));
        }
        reasons
    }
}

impl Source for Arc<Observatory> {
    async fn vitals(&self) -> Vitals {
        let snapshots = self.snapshots().await;
        let mut last_load = self.last_load.lock().unwrap_or_else(PoisonError::into_inner);
        // A sum without a shard would be believed: logins would be sent here that do not fit.
        if snapshots.len() == usize::from(self.node.info().sizing.shards) {
            *last_load = Load::default();
            for shard in snapshots {
                last_load.sessions += shard.gauges.sessions;
                last_load.connections += shard.gauges.connections;
                last_load.logins_total += shard.chat.logins;
            }
        }
        let load = *last_load;
        drop(last_load);
        Vitals { load, mono_ms: self.node.clock().mono().as_ms() }
    }

    fn end_sessions(&self, ends: &[SessionEnd]) -> bool {
        let users: Vec<_> = ends.iter().map(|end| (end.user, end.below)).collect();
        users.is_empty() || self.node.end_sessions(&users)
    }
}

/// The pages.
pub(crate) fn router(observatory: Arc<Observatory>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .route("/info", get(info))
        .with_state(observatory)
}

async fn healthz(State(observatory): State<Arc<Observatory>>) -> Response {
    let reasons = observatory.ailments().await;
    if reasons.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "reasons": reasons }))).into_response()
    }
}

async fn metrics(State(observatory): State<Arc<Observatory>>) -> Response {
    let shards = observatory.snapshots().await;
    let is_registered = observatory.is_registered.as_ref().map(|watch| *watch.borrow());
    let store = observatory.store.as_ref().map(|store| store.monitor.report());
    let process = ProcessFigures::read().ok();
    let front = observatory.front.as_ref();
    Scrape { shards, store, process, is_registered }.into_response(front)
}

async fn info(State(observatory): State<Arc<Observatory>>) -> Json<Value> {
    let mut about = observatory.about.lock().unwrap_or_else(PoisonError::into_inner).clone();
    about["mono_ms"] = observatory.node.clock().mono().as_ms().into();
    Json(about)
}
