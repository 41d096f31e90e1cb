//! The words of `loadgen local`, and of the servers that it starts.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use conn_server::sizing::ShardCount;

use super::units::{parse_count, parse_duration};
use super::{LoadArgs, RedisChoice};
use crate::local::outage::Outage;
use crate::placement::Placement;

/// Where messages are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreName {
    /// In a database file.
    Sqlite,
    /// In memory only.
    Memory,
    /// In a MariaDB of this run, which is started and ended with it.
    Mysql,
}

/// When a message is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DurabilityName {
    /// After it is on disk; delivered then too.
    Commit,
    /// After it is on disk; delivered at once.
    Relaxed,
    /// At once.
    None,
}

/// The node's I/O driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IoName {
    /// io_uring.
    Uring,
    /// epoll.
    Epoll,
    /// The runtime monoio.
    Monoio,
    /// The runtime tokio-uring.
    #[value(name = "tokio_uring")]
    TokioUring,
}

/// How connections get leave to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoginName {
    /// With a password at the gateway, as a client does.
    Gateway,
    /// With a token made from the cluster key.
    Direct,
}

/// `loadgen local`.
#[derive(Clone, Debug, Args)]
pub struct LocalArgs {
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Where the node keeps messages.
    #[arg(long, value_enum, default_value_t = StoreName::Sqlite)]
    pub store: StoreName,
    /// A Redis that the gateway and the balancer keep their state in: `private` for one of this run, which is started and
    /// ended with it, the address of one that is there, or `none`. Private with `--store mysql`, else none
    #[arg(long, value_name = "none|private|redis://HOST:PORT")]
    pub redis: Option<RedisChoice>,
    /// When the node acknowledges: `commit` by default, `none` with `--store memory`.
    #[arg(long, value_enum)]
    pub durability: Option<DurabilityName>,
    /// The node's driver.
    #[arg(long, value_enum, default_value_t = IoName::Uring)]
    pub io: IoName,
    /// Shards of the node.
    #[arg(long, default_value = "auto", value_name = "auto|N")]
    pub shards: ShardCount,
    /// Pin the shards to these processors, used in turn; by default to all but the generator's.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub shard_cpus: Vec<usize>,
    /// Where the two users of a pair live and connect. Other than `home` needs `--login direct`.
    #[arg(long, value_enum, default_value_t)]
    pub placement: Placement,
    /// How connections get leave to log in.
    #[arg(long, value_enum, default_value_t = LoginName::Gateway)]
    pub login: LoginName,
    /// How often the node wants a heartbeat: its own default unless given.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub heartbeat_interval: Option<Duration>,
    /// After how much silence the node ends a session.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub heartbeat_timeout: Option<Duration>,
    /// Heartbeats per second that the node wants at most: with more sessions it tells longer intervals.
    #[arg(long, value_name = "N", value_parser = parse_count(1..=u32::MAX))]
    pub heartbeat_budget: Option<u32>,
    /// Have a server fail in the measured phase: `mysql:freeze@5s+2s`, `gateway:kill@5s+2s`, and so `balancer`, `node`
    /// and `redis`.
    /// `kill` starts it again when the outage ends, `freeze` stops it where it stands. May be repeated; the ledger says
    /// whether anything acknowledged was lost.
    #[arg(long, value_name = "SERVER:HOW@AT+FOR")]
    pub outage: Vec<Outage>,
    /// End with status 5 when the measurement is INVALID.
    #[arg(long)]
    pub require_valid: bool,
    /// Leave the system running at the end and say how to reach it.
    #[arg(long)]
    pub keep: bool,
    /// Where the system keeps its files while it runs; by default a new directory in the temporary directory. With
    /// durability `commit` this should be a real disk.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A server's part, and its own command line.
#[derive(Debug, Args)]
pub struct RoleArgs {
    /// End with this process.
    #[arg(long)]
    pub parent: Option<u32>,
    /// Which server.
    pub role: Role,
    /// The server's command line.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

/// The servers that this program can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The balancer.
    Balancer,
    /// The gateway.
    Gateway,
    /// The chat node.
    Node,
}
