//! Sees to it that sessions of a changed password end: tells the balancer, again until every node has confirmed it.
//!
//! Never keeps a request waiting for nodes, and never forgets one because the balancer was down for a moment.

use std::collections::HashMap;
use std::time::Instant;

use balancer::client::Client;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Page;
use tokio::sync::mpsc;
use wire::{Epoch, UserId};

use crate::limits::{ENDS_FOLLOW_INTERVAL, ENDS_FOLLOWED_FOR, ENDS_FOLLOWED_MAX};

/// Ends sessions.
#[derive(Debug)]
pub(crate) struct Ender {
    balancer: Client,
    open: mpsc::Sender<(UserId, Epoch)>,
    tally: Tally,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    waiting: Gauge,
    full: Counter,
    lapsed: Counter,
}

impl Ender {
    /// Must be made within a tokio runtime.
    pub(crate) fn new(balancer: Client) -> Self {
        let (open, opened) = mpsc::channel(ENDS_FOLLOWED_MAX);
        let tally = Tally::default();
        tokio::spawn(follow(balancer.clone(), opened, tally.clone()));
        Self { balancer, open, tally }
    }

    /// Ends a user's sessions of lower epochs than this.
    pub(crate) async fn end(&self, user: UserId, below: Epoch) {
        // Asked once at once: where all is well the nodes hear of it before the client has its answer.
        if matches!(self.balancer.end_sessions(user, below).await, Ok(0)) {
            return;
        }
        if self.open.try_send((user, below)).is_err() {
            self.tally.full.inc();
            tracing::error!(
                user = user.0,
                "sessions of a changed password may stay open: too many wait for the balancer"
            );
        }
    }

    pub(crate) fn register(&self, page: &mut Page) {
        let Tally { waiting, full, lapsed } = self.tally.clone();
        page.register(
            "session_ends_waiting",
            "Changed passwords whose older sessions some node has not confirmed to have ended",
            waiting,
        );
        page.register(
            "session_ends_full",
            "Changed passwords whose older sessions may stay open because too many were waiting",
            full,
        );
        page.register(
            "session_ends_lapsed",
            "Changed passwords whose older sessions some node never confirmed to have ended",
            lapsed,
        );
    }
}

/// Asks the balancer about all that is open until it says that no node is waited for.
async fn follow(balancer: Client, mut opened: mpsc::Receiver<(UserId, Epoch)>, tally: Tally) {
    let mut open = HashMap::<UserId, (Epoch, Instant)>::new();
    loop {
        if open.is_empty() {
            let Some((user, below)) = opened.recv().await else { return };
            open.insert(user, (below, Instant::now()));
        } else {
            tokio::time::sleep(ENDS_FOLLOW_INTERVAL).await;
            if opened.is_closed() && opened.is_empty() {
                return; // The gateway has ended; what is open lives on in the balancer.
            }
        }
        // What does not fit stays in the channel, whose bound its senders are told of.
        while open.len() < ENDS_FOLLOWED_MAX
            && let Ok((user, below)) = opened.try_recv()
        {
            open.insert(user, (below, Instant::now()));
        }
        for (user, (below, begun)) in open.clone() {
            let is_done = matches!(balancer.end_sessions(user, below).await, Ok(0));
            let is_over = begun.elapsed() >= ENDS_FOLLOWED_FOR;
            if is_over && !is_done {
                tally.lapsed.inc();
                tracing::error!(user = user.0, "some node never confirmed that it ended sessions");
            }
            if is_done || is_over {
                open.remove(&user);
            }
        }
        tally.waiting.set(i64::try_from(open.len()).unwrap_or(i64::MAX));
    }
}
