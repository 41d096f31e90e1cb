//! The system under test: its directory, its keys and accounts, its processes, in the order in which they start and end.

mod failing;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use store::{MysqlOptions, PrivateServer, StoreChoice};
use tempfile::TempDir;

use super::cache::Cache;
use super::child::{Child, Spec};
use super::layout::Layout;
use crate::cli::{DurabilityName, IoName, LocalArgs, LoginName, StoreName};
use crate::grants_gateway::Accounts;

/// How long the node may drain: it flushes what is queued and commits what is stored, of which it has bounded amounts.
const NODE_DRAIN_MAX: Duration = Duration::from_secs(60);
/// The others have nothing to drain but requests under way.
const END_MAX: Duration = Duration::from_secs(20);
/// The accounts' password: they exist in this run's directory only.
const PASSWORD: &str = "ringline-load";
/// The longest text that the node takes, unless the load's are longer: a node's usual bound.
const BODY_BYTES: usize = 4_096;
/// The directory of the servers' files, in the run's.
const DATA: &str = "data";
/// The name of the run's database, and of the directory of its server.
const DATABASE: &str = "ringline";
/// For how long a balancer that was killed knows of nodes that may come back: two of their reports.
const RESTART_GRACE_MS: &str = "3000";
/// What the accounts' names begin with.
const PREFIX: &str = "load";

/// A running system.
#[derive(Debug)]
pub(super) struct System {
    node: Child,
    gateway: Option<Child>,
    balancer: Option<Child>,
    /// Ends after those that use it, and before its directory.
    database: Option<PrivateServer>,
    /// The same.
    cache: Option<Cache>,
    directory: TempDir,
    addresses: Addresses,
}

/// Where the system is.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// The node's admin port, `HOST:PORT`.
    pub(super) node_admin: String,
    /// The gateway, `http://HOST:PORT`, when there is one.
    pub(super) gateway: Option<String>,
    /// The cluster key.
    pub(super) token_key: PathBuf,
}

impl System {
    /// Starts the system: directory, key, accounts, balancer, node, gateway; without a gateway, the node alone.
    ///
    /// # Errors
    /// Whatever of it fails; what was started is ended again.
    pub(super) fn start(
        args: &LocalArgs,
        layout: &Layout,
        stop: &AtomicBool,
    ) -> anyhow::Result<Self> {
        let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
        let directory = tempfile::Builder::new().prefix("ringline-").tempdir_in(&parent);
        let directory = directory
            .with_context(|| format!("no directory could be made in {}", parent.display()))?;
        let place = Place { root: directory.path(), outlive: args.keep, stop };
        let token_key = place.root.join("token.key");
        balancer::key::create(&token_key).context("making the cluster key")?;
        std::fs::create_dir(place.data())?;
        let database = match args.store {
            StoreName::Mysql => Some(start_database(place.root)?),
            StoreName::Memory | StoreName::Sqlite => None,
        };
        let kept = Kept {
            data: &place.data(),
            url: database.as_ref().map(|database| database.url(DATABASE)),
        };
        let cache = Cache::start(args, place.root)?;
        let is_gateway = args.login == LoginName::Gateway;
        let mut balancer = None;
        let mut balancer_url = None;
        if is_gateway {
            provision(&kept, args.load.connections)?;
            let mut line = balancer_args(&token_key);
            line.extend(cache.iter().flat_map(Cache::balancer_args));
            let (mut child, ready) = place.start("ringline-balancer", "balancer", line)?;
            let address = said(&ready, "grpc")?;
            child.settle("--listen", &address);
            // At another start than its first there are nodes that come back.
            child.settle("--grace-ms", RESTART_GRACE_MS);
            balancer_url = Some(format!("http://{address}"));
            balancer = Some(child);
        }
        let node_args = node_args(args, layout, &token_key, &kept, balancer_url.as_deref());
        let (mut node, ready) = place.start("ringline-node", "node", node_args)?;
        let node_admin = said(&ready, "admin")?;
        node.settle("--admin", &node_admin);
        let mut gateway = None;
        let mut gateway_url = None;
        if let Some(balancer) = &balancer_url {
            let mut line = gateway_args(balancer, &kept);
            line.extend(cache.iter().flat_map(Cache::gateway_args));
            let (mut child, ready) = place.start("ringline-gateway", "gateway", line)?;
            let address = said(&ready, "http")?;
            child.settle("--listen", &address);
            gateway_url = Some(format!("http://{address}"));
            gateway = Some(child);
        }
        let addresses = Addresses { node_admin, gateway: gateway_url, token_key };
        Ok(Self { node, gateway, balancer, database, cache, directory, addresses })
    }

    /// Where it is.
    #[must_use]
    pub(super) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The accounts that were made.
    #[must_use]
    pub(super) fn accounts(&self) -> Accounts {
        Accounts { prefix: PREFIX.into(), password: PASSWORD.into() }
    }

    /// Where the servers keep their files.
    #[must_use]
    pub(super) fn data(&self) -> PathBuf {
        self.directory.path().join(DATA)
    }

    /// The node's process id.
    #[must_use]
    pub(super) fn node_pid(&self) -> u32 {
        self.node.pid()
    }

    /// All its processes.
    #[must_use]
    pub(super) fn pids(&self) -> Vec<u32> {
        let database = self.database.as_ref().map(PrivateServer::pid);
        let cache = self.cache.as_ref().and_then(Cache::pid);
        self.children().map(Child::pid).chain(database).chain(cache).collect()
    }

    fn children(&self) -> impl Iterator<Item = &Child> {
        [Some(&self.node), self.gateway.as_ref(), self.balancer.as_ref()].into_iter().flatten()
    }

    /// Drains the node, then ends the gateway and the balancer.
    ///
    /// # Errors
    /// When one of them does not end cleanly; the others are ended all the same, and the first error is given.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let node = self.node.stop(NODE_DRAIN_MAX);
        let others = [self.gateway.as_mut(), self.balancer.as_mut()].into_iter().flatten();
        let others: Vec<_> = others.map(|child| child.stop(END_MAX)).collect();
        std::iter::once(node).chain(others).collect()
    }

    /// Leaves it running and says how to reach and how to end it.
    #[must_use]
    pub(super) fn keep(mut self) -> Vec<String> {
        let mut words = vec!["the system goes on:".to_owned()];
        for child in self.children() {
            words.push(format!("  {:<18} process {}", child.name(), child.pid()));
        }
        let Addresses { node_admin, gateway, token_key } = &self.addresses;
        if let Some(gateway) = gateway {
            words.push(format!("  gateway            {gateway}"));
        }
        words.push(format!("  node's figures     http://{node_admin}/metrics and /info"));
        words.push(format!("  files and logs     {}", self.directory.path().display()));
        words.push(match gateway {
            Some(gateway) => format!(
                "load it again      loadgen run --gateway {gateway} --node-admin {node_admin} --password {PASSWORD}"
            ),
            None => format!(
                "load it again      loadgen run --target {node_admin} --token-key {}",
                token_key.display()
            ),
        });
        let pids: Vec<String> = self.children().map(|child| child.pid().to_string()).collect();
        words.push(format!("end it             kill {}", pids.join(" ")));
        self.node.release();
        [self.gateway.as_mut(), self.balancer.as_mut()]
            .into_iter()
            .flatten()
            .for_each(Child::release);
        self.directory.disable_cleanup(true);
        words
    }
}

/// Where the processes are started.
struct Place<'a> {
    root: &'a Path,
    outlive: bool,
    stop: &'a AtomicBool,
}

impl Place<'_> {
    fn data(&self) -> PathBuf {
        self.root.join(DATA)
    }

    fn start(
        &self,
        name: &'static str,
        role: &'static str,
        args: Vec<OsString>,
    ) -> anyhow::Result<(Child, Value)> {
        let log = self.root.join(format!("{role}.log"));
        Child::start(Spec { name, role, args, log, outlive: self.outlive }, self.stop)
    }
}

/// A field of a ready line.
fn said(ready: &Value, field: &str) -> anyhow::Result<String> {
    let text = ready.get(field).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("the ready line {ready} has no `{field}`"))
}

/// Where the servers keep what they keep.
struct Kept<'a> {
    data: &'a Path,
    /// The database, if it is there instead.
    url: Option<String>,
}

impl Kept<'_> {
    /// The servers' arguments that say so.
    fn args(&self) -> Vec<OsString> {
        let mut line = words(&["--store", self.url.as_deref().unwrap_or("sqlite"), "--data"]);
        line.push(self.data.into());
        line
    }
}

fn start_database(root: &Path) -> anyhow::Result<PrivateServer> {
    let database = PrivateServer::start(&root.join(DATABASE)).context("starting a MariaDB")?;
    database.run(&format!("CREATE DATABASE {DATABASE}")).context("making the database")?;
    Ok(database)
}

fn provision(kept: &Kept<'_>, connections: u32) -> anyhow::Result<()> {
    let choice = match &kept.url {
        Some(url) => StoreChoice::Mysql(MysqlOptions::from_url(url)),
        None => StoreChoice::Sqlite,
    };
    let plan = gateway::Provision {
        place: choice.place(Some(kept.data))?,
        count: connections.into(),
        prefix: PREFIX.into(),
        first: 0,
        password: PASSWORD.into(),
        cheap_hash: true,
    };
    gateway::provision(&plan).map(drop).context("making the accounts")
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn balancer_args(token_key: &Path) -> Vec<OsString> {
    // No grace: this is the balancer's first start, so there is no node that could come back.
    let mut args = words(&[
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--grace-ms",
        "0",
        "--token-key-file",
    ]);
    args.push(token_key.into());
    args
}

fn gateway_args(balancer: &str, kept: &Kept<'_>) -> Vec<OsString> {
    let mut args = words(&["--listen", "127.0.0.1:0", "--balancer", balancer]);
    args.extend(kept.args());
    args
}

fn node_args(
    args: &LocalArgs,
    layout: &Layout,
    token_key: &Path,
    kept: &Kept<'_>,
    balancer: Option<&str>,
) -> Vec<OsString> {
    let io = match args.io {
        IoName::Uring => "uring",
        IoName::Epoll => "epoll",
        IoName::Monoio => "monoio",
        IoName::TokioUring => "tokio_uring",
    };
    let connections = super::planned(args).to_string();
    let (shards, cpus) = (layout.shards.to_string(), layout.cpu_list());
    let body_bytes = args.load.size.max(BODY_BYTES).to_string();
    let mut line = words(&[
        "--name",
        "n1",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--io",
        io,
        "--shards",
        &shards,
        "--cpus",
        &cpus,
        "--connections",
        &connections,
        "--body-bytes-max",
        &body_bytes,
    ]);
    if let Some(durability) = args.durability {
        let durability = match durability {
            DurabilityName::Commit => "commit",
            DurabilityName::Relaxed => "relaxed",
            DurabilityName::None => "none",
        };
        line.extend(words(&["--durability", durability]));
    }
    let heartbeats = [
        ("--heartbeat-interval", args.heartbeat_interval),
        ("--heartbeat-timeout", args.heartbeat_timeout),
    ];
    for (name, time) in heartbeats {
        if let Some(time) = time {
            line.extend(words(&[name, &format!("{}ms", time.as_millis())]));
        }
    }
    if let Some(budget) = args.heartbeat_budget {
        line.extend(words(&["--heartbeat-budget", &budget.to_string()]));
    }
    if let Some(balancer) = balancer {
        line.extend(words(&["--balancer", balancer]));
    }
    line.extend(["--token-key-file".into(), token_key.into()]);
    line.extend(match args.store {
        StoreName::Memory => words(&["--store", "memory"]),
        StoreName::Mysql | StoreName::Sqlite => kept.args(),
    });
    line
}
