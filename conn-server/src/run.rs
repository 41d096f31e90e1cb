//! The node as a process: store, shards and control thread, put together from the arguments, and ended in order.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use balancer::config::Configured;
use balancer::launch;
use balancer::proto::{NodeState, RegisterRequest};
use balancer::tls::Acceptor;
use chat::{Durability, Limits, ProxyHeaders};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::args::{Args, LIVE};
use crate::control::{Control, ControlSeat, StoreWatch, Subject};
use crate::front::{Front, FrontSeat};
use crate::process::ProcessFigures;
use crate::registration::Stage;
use crate::retain;
use crate::server::{Node, NodeError, NodeHandle, NodeInfo, Outcome, ServerConfig, shards};
use crate::signals::SignalWatch;
use crate::store_lane::{OpenStore, StorePace, StoreService};

/// A running node with everything around it.
#[derive(Debug)]
pub struct Running {
    node: Node,
    store: Option<StoreService>,
    control: Control,
    front: Option<Front>,
    about: Arc<Mutex<Value>>,
    has_balancer: bool,
    ready: Value,
}

impl Running {
    /// Starts a node. When this returns it serves, and the balancer, if it can be reached, knows it.
    ///
    /// # Errors
    /// Whatever of it fails, and what to do about it.
    pub fn start(args: &Args) -> anyhow::Result<Self> {
        let mut config = args.config()?;
        let host = if args.balancer.is_some() { args.host()? } else { String::new() };
        let front_seat = FrontSeat::open(args)?;
        let tls_address = front_seat.as_ref().map(FrontSeat::address).transpose()?;
        let seat = ControlSeat::new(args.admin, args.balancer.as_deref(), &args.trust)?;
        let mut store_name = "memory";
        let open_store = match config.durability {
            Durability::None => None,
            Durability::Commit | Durability::Relaxed => {
                let place = args.place()?;
                let mut backend = place.messages();
                let retention = retain::retention(args.retain, args.retain_bytes);
                ensure!(
                    backend.set_retention(retention) || !retention.is_limited(),
                    "--retain-bytes is for --store sqlite, whose file it looks at: say --retain here"
                );
                store_name = backend.name();
                let mut opened = OpenStore::open(backend)
                    .with_context(|| format!("cannot open the store in {place}"))?;
                config.message_id_bases = opened.lease_id_blocks(shards(&config)?)?;
                Some(opened)
            }
        };
        let (node, lane) = Node::start(&config)?;
        let handle = node.handle();
        let store = match (open_store, lane) {
            (Some(store), Some(lane)) => {
                let pace = StorePace {
                    commit_interval: args.commit_interval,
                    revoke_window: args.revoke_window,
                };
                Some(store.serve(lane, handle.clock(), pace)?)
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => bail!("the store and the shards disagree (a bug)"),
        };
        let rss_start_bytes = ProcessFigures::read().context("cannot read /proc/self")?.rss_bytes;
        let store_watch = store
            .as_ref()
            .map(|store| StoreWatch { monitor: store.monitor(), stall: config.store_stall });
        let info = handle.info();
        let ready = json!({
            "ready": "node",
            "name": config.name,
            "chat": info.address.to_string(),
            "admin": seat.address()?.to_string(),
            "tls": tls_address.map(|address| address.to_string()),
            "io": info.driver.kind.label(),
            "shards": info.sizing.shards,
            "incarnation": info.incarnation,
        });
        let (stage, stages) = watch::channel(Stage::Serving);
        let has_header = config.proxy_headers != ProxyHeaders::Refused;
        let front = front_seat
            .map(|seat| seat.start(info.address, has_header, &stages))
            .transpose()
            .context("cannot start the TLS threads")?;
        let about = Arc::new(Mutex::new(about(&config, info, store_name, rss_start_bytes)));
        let subject = Subject {
            about: Arc::clone(&about),
            registration: registration(&config, info, host, tls_address),
            node: handle.clone(),
            store: store_watch,
            front: front.as_ref().map(Front::figures),
        };
        let control = seat.start(subject, stage).context("cannot start the control thread")?;
        let has_balancer = args.balancer.is_some();
        Ok(Self { node, store, control, front, about, has_balancer, ready })
    }

    /// Waits until the balancer knows the node, if there is one: a short while at most.
    pub fn wait_registered(&self) -> bool {
        let is_registered = self.control.wait_started();
        if !is_registered && self.has_balancer {
            tracing::warn!("not registered at the balancer yet: serving, and trying on");
        }
        is_registered
    }

    /// The line that says that the node serves.
    #[must_use]
    pub const fn ready(&self) -> &Value {
        &self.ready
    }

    /// Talks to the shards.
    #[must_use]
    pub fn handle(&self) -> NodeHandle {
        self.node.handle()
    }

    /// The certificate of the TLS front, which can be read again; `None` without one.
    #[must_use]
    pub fn tls(&self) -> Option<Acceptor> {
        self.front.as_ref().map(Front::tls)
    }

    /// What a drain has to call first, so that the balancer hears of it at once.
    pub fn drain_switch(&self) -> impl Fn() + Send + use<> {
        self.control.drain_switch()
    }

    /// Waits until the shards have ended, commits what they left, deregisters.
    ///
    /// # Errors
    /// A shard failed, the drain's time was over before all connections were, or the node was told to end at once.
    pub fn wait(self) -> anyhow::Result<()> {
        let Self { node, store, control, front, .. } = self;
        let outcome = node.join();
        // A shard that stands still never lets go of the store: what was acknowledged is committed all the same.
        let is_stuck = matches!(outcome, Err(NodeError::Stuck(_)));
        if let Some(store) = store.filter(|_| !is_stuck) {
            store.join();
        }
        control.end();
        if let Some(front) = front {
            front.join();
        }
        match outcome? {
            Outcome::Drained => Ok(()),
            Outcome::Cut { connections } => {
                bail!(
                    "the drain's time was over with {connections} connections open: give --drain-timeout more"
                )
            }
            Outcome::Aborted => bail!("ended at once, as told"),
        }
    }
}

/// Runs a node until SIGTERM or SIGINT, which drains it; a second one ends it at once.
///
/// # Errors
/// As [`Running::start`] and [`Running::wait`].
pub fn run(config: impl Into<Configured<Args>>) -> anyhow::Result<()> {
    let (args, mut reloader) = config.into().into_parts(LIVE);
    launch::begin(c"rl-node");
    // A table that grows by a page must not cost two megabytes: with huge pages a shard of 17,000 idle sessions takes
    // three times the memory. Best effort: without it everything works.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let running = Running::start(&args)?;
    let (handle, tls, about) = (running.handle(), running.tls(), Arc::clone(&running.about));
    let (hangup, hangups) = mpsc::sync_channel(1);
    // A thread of its own: a shard that stands still may keep it waiting, and the next signal must not.
    thread::Builder::new().name("rl-reload".to_owned()).spawn(move || {
        while hangups.recv().is_ok() {
            reloader.reload(|new| {
                let limits = new.limits()?;
                handle.set_limits(limits);
                show(&mut about.lock().unwrap_or_else(PoisonError::into_inner), &limits);
                Ok(())
            });
            launch::reload_certificate(tls.as_ref());
        }
    })?;
    let on_hangup = move || {
        // One that waits already reads what is new for this one, too.
        let _ = hangup.try_send(());
    };
    let signals = SignalWatch::start(running.handle(), running.drain_switch(), on_hangup)
        .context("cannot listen for signals")?;
    running.wait_registered();
    launch::announce(running.ready())?;
    tracing::info!(?args, "serving");
    let ended = running.wait();
    drop(signals);
    ended
}

/// Limits that have changed, for /info.
fn show(about: &mut Value, limits: &Limits) {
    about["connections_max"] = limits.connections_max.into();
    about["body_bytes_max"] = limits.body_bytes_max.into();
    about["heartbeat_interval_ms"] = whole_ms(limits.heartbeat_interval).into();
    about["heartbeat_timeout_ms"] = whole_ms(limits.heartbeat_timeout).into();
    about["heartbeats_per_s_max"] = limits.heartbeats_per_s_max.into();
}

fn whole_ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The part of /info that changes with the limits only.
fn about(
    config: &ServerConfig,
    info: &NodeInfo,
    store: &'static str,
    rss_start_bytes: u64,
) -> Value {
    let durability = match config.durability {
        Durability::Commit => "commit",
        Durability::Relaxed => "relaxed",
        Durability::None => "none",
    };
    json!({
        "name": config.name,
        "pid": std::process::id(),
        "incarnation": info.incarnation,
        "chat": info.address.to_string(),
        "shards": info.sizing.shards,
        "shard_ports": info.shard_ports,
        "io": info.driver.kind.label(),
        "io_flags": info.driver.flags,
        "io_reason": info.driver.reason,
        "durability": durability,
        "store": store,
        "connections_max": connections_max(info),
        "body_bytes_max": config.body_bytes_max,
        "rss_start_bytes": rss_start_bytes,
        "heartbeat_interval_ms": whole_ms(config.heartbeat_interval),
        "heartbeat_timeout_ms": whole_ms(config.heartbeat_timeout),
        "heartbeats_per_s_max": config.heartbeats_per_s_max,
    })
}

/// Connections that the shards take in all.
fn connections_max(info: &NodeInfo) -> u64 {
    u64::from(info.sizing.connections_per_shard) * u64::from(info.sizing.shards)
}

/// How the node presents itself to the balancer; load, clock and state come with each call.
fn registration(
    config: &ServerConfig,
    info: &NodeInfo,
    host: String,
    tls: Option<SocketAddr>,
) -> RegisterRequest {
    // Behind TLS there is one port for all shards.
    let port_of = |port: u16| u32::from(tls.map_or(port, |tls| tls.port()));
    RegisterRequest {
        name: config.name.clone(),
        host,
        base_port: port_of(info.address.port()),
        shard_ports: info.shard_ports.iter().map(|&port| port_of(port)).collect(),
        incarnation: info.incarnation,
        mono_ms: 0,
        // What was planned, not the slack on top of it, which is for uneven shards.
        capacity: config.connections.into(),
        load: None,
        state: NodeState::Serving.into(),
        returning: false,
    }
}
