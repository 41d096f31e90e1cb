//! The node's control thread: one small tokio runtime for the admin port and the lease at the balancer.
//!
//! Everything here may be slow, absent or attacked without a shard noticing.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use balancer::client::Client;
use balancer::http;
use balancer::proto::{Load, RegisterRequest};
use balancer::tls::Trust;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::admin::{self, Observatory};
use crate::front::Figures;
use crate::limits::{BALANCER_DEADLINE, CONTROL_END_TIMEOUT};
use crate::registration::{Registration, Stage, wait_registered};
use crate::server::NodeHandle;
use crate::store_lane::StoreMonitor;

/// What the control thread works with: everything that can be refused is refused before the node starts.
#[derive(Debug)]
pub(crate) struct ControlSeat {
    runtime: Runtime,
    listener: TcpListener,
    balancer: Option<Client>,
}

impl ControlSeat {
    /// Opens the admin port and checks the balancer's address.
    ///
    /// # Errors
    /// The port is taken, the address is none.
    pub(crate) fn new(
        admin: SocketAddr,
        balancer: Option<&str>,
        trust: &Trust,
    ) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let listener = http::listen(admin)
            .with_context(|| format!("cannot listen on {admin}: choose another --admin port"))?;
        let client = |url| Client::trusting(url, trust, BALANCER_DEADLINE);
        let balancer = balancer.map(client).transpose()?;
        drop(entered);
        Ok(Self { runtime, listener, balancer })
    }

    /// The admin port.
    ///
    /// # Errors
    /// The socket is broken.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// No thread can be had.
    pub(crate) fn start(
        self,
        subject: Subject,
        stage: watch::Sender<Stage>,
    ) -> io::Result<Control> {
        let stage_seen = stage.subscribe();
        let (started, is_started) = mpsc::channel();
        let (ended, is_ended) = mpsc::channel();
        let thread = thread::Builder::new().name("rl-control".to_owned()).spawn(move || {
            let Self { runtime, listener, balancer } = self;
            runtime.block_on(serve(listener, balancer, subject, stage_seen, started));
            let _ = ended.send(()); // Nobody waits any more.
        })?;
        Ok(Control { stage, thread, is_started, is_ended })
    }
}

/// The store as seen from here.
#[derive(Clone, Debug)]
pub(crate) struct StoreWatch {
    /// Its figures.
    pub(crate) monitor: StoreMonitor,
    /// A commit that takes longer is a stall.
    pub(crate) stall: Duration,
}

/// What the control thread tells of.
#[derive(Debug)]
pub(crate) struct Subject {
    /// The node.
    pub(crate) node: NodeHandle,
    /// The part of /info that changes with the limits only.
    pub(crate) about: Arc<Mutex<Value>>,
    /// How it presents itself to the balancer.
    pub(crate) registration: RegisterRequest,
    /// Its TLS front's counters, if it has one.
    pub(crate) front: Option<Figures>,
    /// Its store, if it has one.
    pub(crate) store: Option<StoreWatch>,
}

/// The running control thread.
#[derive(Debug)]
pub(crate) struct Control {
    stage: watch::Sender<Stage>,
    thread: thread::JoinHandle<()>,
    is_started: Receiver<bool>,
    is_ended: Receiver<()>,
}

impl Control {
    /// Waits until the node is registered, or for a short while in vain; `true` if it is, or need not be.
    pub(crate) fn wait_started(&self) -> bool {
        self.is_started.recv().unwrap_or(false)
    }

    /// A way to say that the node drains.
    pub(crate) fn drain_switch(&self) -> impl Fn() + Send + use<> {
        let stage = self.stage.clone();
        move || {
            stage.send_if_modified(|stage| {
                let is_news = *stage == Stage::Serving;
                if is_news {
                    *stage = Stage::Draining;
                }
                is_news
            });
        }
    }

    /// The node has ended: deregisters, closes the admin port, waits for the thread.
    pub(crate) fn end(self) {
        let _ = self.stage.send(Stage::Ended); // It has ended by itself.
        match self.is_ended.recv_timeout(CONTROL_END_TIMEOUT) {
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                if self.thread.join().is_err() {
                    tracing::error!(
                        "the control thread panicked (a bug: please report it with the log)"
                    );
                }
            }
            // The process ends without it: what it has left to do is to be polite.
            Err(mpsc::RecvTimeoutError::Timeout) => {
                tracing::warn!("the control thread does not end in time");
            }
        }
    }
}

async fn serve(
    listener: TcpListener,
    balancer: Option<Client>,
    subject: Subject,
    stage: watch::Receiver<Stage>,
    started: Sender<bool>,
) {
    let Subject { node, about, registration, front, store } = subject;
    let has_balancer = balancer.is_some();
    let (is_registered, registered_seen) = watch::channel(false);
    let observatory = Arc::new(Observatory {
        node,
        about,
        front,
        stage: stage.clone(),
        is_registered: balancer.as_ref().map(|_| registered_seen.clone()),
        store,
        last_load: Mutex::new(Load::default()),
    });
    let mut until_ended = stage.clone();
    let admin = http::serve(
        listener,
        admin::router(Arc::clone(&observatory)),
        http::Bounds::ADMIN,
        async {
            // An error says the same: the node is gone.
            let _ = until_ended.wait_for(|stage| *stage == Stage::Ended).await;
        },
    );
    let lease = async {
        match balancer {
            Some(client) => {
                Registration::new(client, registration, observatory, stage, is_registered)
                    .run()
                    .await;
            }
            None => drop(is_registered),
        }
    };
    let first = async {
        let is_started = !has_balancer || wait_registered(registered_seen).await;
        let _ = started.send(is_started); // Nobody waits any more.
    };
    tokio::join!(admin, lease, first);
}
