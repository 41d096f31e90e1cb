//! The node: builds listeners, mesh and pinned shard threads of a [`ServerConfig`], opens for clients when every shard is
//! ready, and waits for the shards to end.
//!
//! Everything around a node (metrics page, store, balancer registration) holds a [`NodeHandle`] or the [`StoreLane`].

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use chat::Durability;
use crossbeam::channel::{self, RecvTimeoutError};
use wire::ShardId;

use crate::clock::Clock;
pub use crate::config::{Pinning, ServerConfig};
use crate::driver::uring::UringIo;
use crate::driver::{DriverKind, DriverReport, choose, epoll, monoio, tokio_uring, uring};
pub use crate::handle::{NodeHandle, NodeInfo};
pub use crate::host::End;
use crate::host::Host;
use crate::limits::{END_GRACE, END_LOOK, START_TIMEOUT};
use crate::listener::{Listeners, shard_port};
use crate::mesh::{Mesh, Order, StoreLane, StoreSender};
use crate::sizing::{HostFacts, Sizing, plan};

/// Why a node did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The settings cannot be had on this host; the text says what to change.
    #[error("{0}")]
    Config(String),
    /// The system refused something.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What it said.
        error: io::Error,
    },
    /// A shard panicked: a bug. The others were ended.
    #[error("shard {0} panicked (a bug: please report it with the log)")]
    Panicked(u16),
    /// Shards did not end when they were told to. Their threads go on until the process ends.
    #[error(
        "shards {0:?} stand still and did not end as told: what was acknowledged is safe, their connections are cut; end \
         the process"
    )]
    Stuck(Vec<u16>),
}

impl NodeError {
    fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::System { what, error }
    }
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every connection was finished and the store has everything.
    Drained,
    /// The drain's deadline came first.
    Cut {
        /// Connections that were still open.
        connections: u32,
    },
    /// It was told to end at once.
    Aborted,
}

/// What is never said.
enum Never {}

/// A running node.
#[derive(Debug)]
pub struct Node {
    handle: NodeHandle,
    threads: Vec<thread::JoinHandle<io::Result<End>>>,
    /// Disconnected when every thread has ended.
    running: channel::Receiver<Never>,
}

/// One shard's settings on their way to its thread.
struct ShardSeat {
    chat: chat::Config,
    clock: Clock,
    mesh: Arc<Mesh>,
    store: Option<StoreSender>,
    driver: DriverKind,
    io: UringIo,
    core: Option<usize>,
}

/// The shards that a node of this configuration has on this host: what its message ids are leased for.
///
/// # Errors
/// As [`Node::start`] for a configuration that this host does not allow.
pub(crate) fn shards(config: &ServerConfig) -> Result<u16, NodeError> {
    size(config).map(|(_, sizing)| sizing.shards)
}

impl Node {
    /// Starts a node and, unless durability is `none`, gives out the store's end of the lane, which somebody must serve.
    /// When this returns, the node accepts.
    ///
    /// # Errors
    /// If the settings cannot be had, a port is taken, or a shard cannot set its driver up.
    pub fn start(config: &ServerConfig) -> Result<(Self, Option<StoreLane>), NodeError> {
        let (driver, sizing) = size(config)?;
        let is_nonblocking = driver.kind == DriverKind::Epoll;
        let listeners =
            Listeners::bind(config.listen, sizing.shards, config.sockets.clone(), is_nonblocking)
                .map_err(NodeError::system("opening the chat ports"))?;
        let mesh = Mesh::new(sizing.shards).map_err(NodeError::system("making wake-ups"))?;
        let (store, lane) = if config.durability == Durability::None {
            (None, None)
        } else {
            let (sender, lane) = StoreLane::new(&mesh);
            (Some(sender), Some(lane))
        };
        let address = listeners.address();
        let shard_ports = (0..sizing.shards)
            .map(|shard| shard_port(address.port(), shard))
            .collect::<io::Result<Vec<_>>>()
            .map_err(NodeError::system("naming the shards' ports"))?;
        tracing::info!(io = %driver.kind, flags = driver.flags, reason = driver.reason, shards = sizing.shards, %address, "starting");
        let info =
            NodeInfo { address, shard_ports, sizing, driver, incarnation: config.incarnation };
        let handle = NodeHandle {
            mesh: Arc::clone(&mesh),
            clock: Clock::start(),
            drain_timeout: config.drain_timeout,
            info: Arc::new(info),
        };
        let (runs, running) = channel::bounded(0);
        let mut node = Self { handle, threads: Vec::new(), running };
        let started = node.spawn(config, &listeners, store, runs);
        drop(listeners);
        match started {
            Ok(()) => Ok((node, lane)),
            Err(error) => {
                node.handle.abort();
                // Its own error is told; those of the others follow from it.
                let _ = node.join();
                Err(error)
            }
        }
    }

    /// Talks to the shards.
    #[must_use]
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Waits for all shards to end, which they do after a drain or an abort; for one that stands still no longer than
    /// about a second after the deadline.
    ///
    /// # Errors
    /// If a shard's driver failed, panicked or did not end; the other shards are ended then.
    pub fn join(self) -> Result<Outcome, NodeError> {
        let has_ended = self.wait_ended();
        let mut outcome = Outcome::Drained;
        let (mut failed, mut stuck) = (None, Vec::new());
        for (shard, thread) in (0u16..).zip(self.threads) {
            if !has_ended && !thread.is_finished() {
                stuck.push(shard);
                continue;
            }
            let failure = match thread.join() {
                Ok(Ok(end)) => {
                    outcome = outcome.and(end);
                    continue;
                }
                Ok(Err(error)) => NodeError::System { what: format!("shard {shard}"), error },
                Err(_) => NodeError::Panicked(shard),
            };
            failed.get_or_insert(failure);
        }
        if !stuck.is_empty() {
            failed.get_or_insert(NodeError::Stuck(stuck));
        }
        failed.map_or(Ok(outcome), Err)
    }

    /// Waits until every thread has ended; `false` if one did not although its time was over.
    fn wait_ended(&self) -> bool {
        let mut waits: Option<(Order, chat::Instant)> = None;
        // Nobody sends: each thread holds its end of the channel for as long as it runs.
        while let Err(RecvTimeoutError::Timeout) = self.running.recv_timeout(END_LOOK) {
            let Some(order) = self.handle.mesh.order() else { continue };
            let now = self.handle.clock.mono();
            let end = match (order, waits) {
                (_, Some((given, end))) if given == order => end,
                (Order::Drain { deadline }, _) => deadline,
                (Order::Abort, _) => now,
            };
            waits = Some((order, end));
            // Who has not even heard of it by then stands still; who has may be busy with its driver's teardown.
            let running = (0..).zip(&self.threads).filter(|(_, thread)| !thread.is_finished());
            let mesh = &self.handle.mesh;
            let are_deaf =
                running.map(|(shard, _)| shard).all(|shard| !mesh.has_heard(ShardId(shard)));
            if now > end && are_deaf || now > end + END_GRACE {
                return false;
            }
        }
        true
    }

    fn spawn(
        &mut self,
        config: &ServerConfig,
        listeners: &Listeners,
        store: Option<StoreSender>,
        runs: channel::Sender<Never>,
    ) -> Result<(), NodeError> {
        let info = Arc::clone(&self.handle.info);
        let cores = cores(&config.pinning)?;
        let (ready, waiting) = mpsc::channel();
        for shard in 0..info.sizing.shards {
            let Some(listeners) = listeners.of(shard) else { continue };
            let files = info.sizing.files_per_shard;
            let seat = ShardSeat {
                chat: chat_config(config, &info, shard),
                clock: self.handle.clock,
                mesh: Arc::clone(&self.handle.mesh),
                store: store.clone(),
                driver: info.driver.kind,
                io: UringIo { listeners, config: config.uring, files },
                core: (!cores.is_empty()).then(|| cores[usize::from(shard) % cores.len()]),
            };
            let (ready, handle, runs) = (ready.clone(), self.handle.clone(), runs.clone());
            let thread = thread::Builder::new()
                .name(format!("rl-shard-{shard}"))
                .spawn(move || {
                    let _runs = runs;
                    let guard = AbortOthers(handle);
                    let ended = run_shard(seat, || {
                        // The starter has given up: then its abort is on the way.
                        let _ = ready.send(());
                    });
                    if ended.is_ok() {
                        std::mem::forget(guard);
                    }
                    ended
                })
                .map_err(NodeError::system("starting a shard's thread"))?;
            self.threads.push(thread);
        }
        drop((ready, runs));
        for _ in 0..info.sizing.shards {
            // An early end of the channel is a shard that failed: `join` has its error.
            if waiting.recv_timeout(START_TIMEOUT).is_err() {
                return Err(self.start_failure());
            }
        }
        self.handle.open();
        Ok(())
    }

    /// The error of the shard that did not become ready.
    fn start_failure(&mut self) -> NodeError {
        self.handle.abort();
        let threads = std::mem::take(&mut self.threads);
        let running = std::mem::replace(&mut self.running, channel::never());
        let failed = Self { handle: self.handle.clone(), threads, running }.join();
        failed.err().unwrap_or_else(|| {
            NodeError::Config("a shard did not become ready in time: the host is overloaded".into())
        })
    }
}

impl Outcome {
    /// The worse of what is known and one shard's end.
    const fn and(self, end: End) -> Self {
        match (self, end) {
            (Self::Aborted, _) | (_, End::Aborted) => Self::Aborted,
            (Self::Cut { connections: a }, End::Cut { connections: b }) => {
                Self::Cut { connections: a.saturating_add(b) }
            }
            (cut @ Self::Cut { .. }, End::Drained) => cut,
            (Self::Drained, End::Cut { connections }) => Self::Cut { connections },
            (Self::Drained, End::Drained) => Self::Drained,
        }
    }
}

/// A shard that fails takes the node down: half a node would lose mail in silence.
struct AbortOthers(NodeHandle);

impl Drop for AbortOthers {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn run_shard(seat: ShardSeat, ready: impl FnOnce()) -> io::Result<End> {
    let ShardSeat { chat, clock, mesh, store, driver, io, core } = seat;
    if let Some(core) = core
        && let Err(error) = pin(core)
    {
        // It works unpinned too, only less evenly.
        tracing::warn!(shard = chat.shard.0, core, %error, "cannot pin the shard");
    }
    let gone = || io::Error::other("the mesh has no such shard");
    let inbox = mesh.inbox(chat.shard).ok_or_else(gone)?;
    // Made on this thread: its memory is the thread's own, and a ring belongs to the thread that made it.
    let mut host = Host::new(chat, clock, inbox, store);
    match driver {
        DriverKind::Uring => uring::run(&mut host, io, ready),
        DriverKind::Epoll => epoll::run(&mut host, io.listeners, ready),
        DriverKind::Monoio => monoio::run(host, io.listeners, ready),
        DriverKind::TokioUring => tokio_uring::run(host, io.listeners, ready),
    }
}

fn chat_config(config: &ServerConfig, info: &NodeInfo, shard: u16) -> chat::Config {
    chat::Config {
        shard: ShardId(shard),
        shards: info.sizing.shards,
        node: config.name.clone(),
        incarnation: config.incarnation,
        token_key: config.token_key.clone(),
        shard_ports: info.shard_ports.clone(),
        durability: config.durability,
        message_id_base: message_id_base(config, shard),
        proxy_headers: config.proxy_headers,
        connections_max: info.sizing.connections_per_shard,
        body_bytes_max: config.body_bytes_max,
        heartbeat_interval: config.heartbeat_interval,
        heartbeat_timeout: config.heartbeat_timeout,
        heartbeats_per_s_max: config.heartbeats_per_s_max,
        login_timeout: config.login_timeout,
        flush_timeout: config.flush_timeout,
        linger_timeout: config.linger_timeout,
        reconnect_window: config.reconnect_window,
        store_stall: config.store_stall,
        history_bytes_max: config.history_bytes_max,
        seed: config.seed.wrapping_add(u64::from(shard)),
    }
}

/// The driver, and the shards for it.
fn size(config: &ServerConfig) -> Result<(DriverReport, Sizing), NodeError> {
    let driver = choose(config.io).map_err(NodeError::Config)?;
    let facts = host_facts(driver.kind)?;
    let sizing = plan(config.shards, config.connections, facts).map_err(NodeError::Config)?;
    Ok((driver, sizing))
}

/// Where a shard's message ids begin: at its leased block; without a store, 2^42 apart, which a shard does not use up.
fn message_id_base(config: &ServerConfig, shard: u16) -> u64 {
    let leased = config.message_id_bases.get(usize::from(shard)).copied();
    leased.unwrap_or_else(|| u64::from(shard) << 42)
}

/// What this host allows; raises the descriptor limit as far as it goes.
fn host_facts(driver: DriverKind) -> Result<HostFacts, NodeError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Stays as it was if that is refused.
    let _ = setrlimit(Resource::Nofile, raised);
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let cores = allowed_cores()?.len();
    Ok(HostFacts { cores, descriptors, has_direct_descriptors: driver.caps().direct_descriptors })
}

fn allowed_cores() -> Result<Vec<usize>, NodeError> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None)
        .map_err(|error| NodeError::system("asking for the allowed cores")(error.into()))?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

fn cores(pinning: &Pinning) -> Result<Vec<usize>, NodeError> {
    match pinning {
        Pinning::Auto => allowed_cores(),
        Pinning::Off => Ok(Vec::new()),
        Pinning::Cores(cores) => {
            let allowed = allowed_cores()?;
            match cores.iter().find(|core| !allowed.contains(core)) {
                None => Ok(cores.clone()),
                Some(core) => Err(NodeError::Config(format!(
                    "core {core} is not one that this process may use: choose from {allowed:?}"
                ))),
            }
        }
    }
}

fn pin(core: usize) -> rustix::io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_end_is_the_outcome() {
        let cut = |connections| End::Cut { connections };
        let outcome = Outcome::Drained.and(cut(2)).and(End::Drained).and(cut(3));
        assert_eq!(outcome, Outcome::Cut { connections: 5 });
        assert_eq!(outcome.and(End::Aborted), Outcome::Aborted);
    }
}
