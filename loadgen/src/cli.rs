//! The command line: its words, its units, its help. Owns parsing; what the words mean together is decided in `offer`.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use balancer::redis::RedisUrl;
use clap::{Args, Parser, Subcommand, ValueEnum};
use conn_server::sizing::ShardCount;

use crate::engines::EngineName;
use crate::local::outage::Outage;
use crate::placement::Placement;
use crate::slo::Slo;

const EXAMPLES: &str = "\
Examples:
  loadgen local                                  10,000 connections, 10,000 messages/s, the whole system started for it
  loadgen local --preset rooms --io epoll        rooms of 100 on the epoll driver
  loadgen local --preset idle --connections 100000 --login direct --store memory
  loadgen local --closed 256 --connections 1000 --store memory --shards 1
  loadgen local --store mysql --outage mysql:freeze@5s+2s          the database stands still for two seconds
  loadgen local --slo 'delivery.p99 < 5ms' --slo 'lost == 0'
  loadgen run --gateway http://10.0.0.5:8080 --node-admin 10.0.0.5:9100 --rate 20k/s
  loadgen run --target 10.0.0.5:9100 --token-key cluster.key
  loadgen run --protocol raw --target 127.0.0.1:7000 --server-pid 4711 --closed 256 --connections 1000
  loadgen validate --connections 1000000 --login direct --store memory     does that fit here?
  loadgen selftest                               proves the instrument with scripted faults
  loadgen env --json                             what a report says about this machine

Exit status:
  0    everything held
  1    something broke in loadgen or in the system under test
  2    the command line or the plan makes no sense, or does not fit this machine (`validate`)
  3    a service level objective was missed
  4    a message was lost, doubled, reordered, altered or misrouted
  5    the measurement is INVALID (with --require-valid, which `run` has on)
  8    the target could not be reached, or the connections did not come up
  130  interrupted; a partial report was written
When several hold, the first of 4, 1, 2, 130, 5, 8, 3 is given.";

/// Ringline's load generator: open-loop load, a delivery ledger, and a verdict on the measurement itself.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Starts balancer, gateway and node from this program, loads them, and stops them cleanly.
    #[command(after_help = EXAMPLES)]
    Local(Box<LocalArgs>),
    /// Loads a system that runs already.
    #[command(after_help = EXAMPLES)]
    Run(Box<RunArgs>),
    /// Makes the page of a run: one HTML file without scripts from elsewhere, as every run leaves beside its run.json.
    Report {
        /// A report's directory, or its run.json.
        run: PathBuf,
        /// Where to write the page; by default report.html beside run.json.
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Proves the instrument: scripted faults in a reference server, each of which must be reported exactly.
    Selftest {
        /// A second for each case, and nothing that a busy machine could fail: for automated tests.
        #[arg(long)]
        short: bool,
    },
    /// Shows what a report says about this machine.
    Env {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Says whether memory, ports and descriptors suffice for a run, without starting it: `validate` with the arguments of
    /// `local`, or `validate run` with those of `run`.
    #[command(args_conflicts_with_subcommands = true)]
    Validate(Box<ValidateArgs>),
    /// One of the servers, started by `local` from the same program.
    #[command(hide = true)]
    Role(RoleArgs),
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

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PresetName {
    /// Connections write to each other two by two.
    Pairs,
    /// Rooms of 100; every message goes to a room.
    Rooms,
    /// Nobody says anything: connections and heartbeats only.
    Idle,
    /// Nobody says anything: connections come, log in, close and come again, --connections of them at a time. With a
    /// gateway its password check is what is measured; use `--login direct` for the node.
    Churn,
    /// Four of five messages as in `pairs`, one in five to a room of 100.
    Mixed,
}

/// What connections speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolName {
    /// Ringline's protocol.
    Chat,
    /// That of the floor, which nodes are measured against.
    Raw,
}

/// How the generator waits for arriving bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReceiveName {
    /// Armed up to a million connections, polled beyond.
    #[default]
    Auto,
    /// A receive stands ready on every connection: 864 bytes of kernel memory each.
    Armed,
    /// Readiness is polled and bytes are fetched when there are some: 256 bytes, and more work for each arrival.
    Polled,
}

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

/// Whether there is a Redis.
#[derive(Clone, Debug)]
pub enum RedisChoice {
    /// There is none.
    None,
    /// One of this run.
    Private,
    /// One that is there.
    At(Box<RedisAt>),
}

impl FromStr for RedisChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "none" => Self::None,
            "private" => Self::Private,
            url => {
                let Ok(checked) = url.parse();
                Self::At(Box::new(RedisAt { address: url.to_owned(), checked }))
            }
        })
    }
}

/// Where a Redis is, as it was typed.
#[derive(Clone)]
pub struct RedisAt {
    address: String,
    checked: RedisUrl,
}

impl fmt::Debug for RedisAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.checked, f)
    }
}

impl RedisAt {
    /// As a server is told.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it can be used here.
    ///
    /// # Errors
    /// It is no address, or has a password: reports say with which arguments they were made.
    pub fn check(&self) -> anyhow::Result<()> {
        let has_password = self.checked.has_password()?;
        anyhow::ensure!(
            !has_password,
            "reports have this program's arguments in them: name a Redis without a password, or say --redis private"
        );
        Ok(())
    }
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

/// The load, the same for `local` and `run`.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Connections to hold.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub connections: u32,
    /// Connections to start each second.
    #[arg(long, default_value = "5000/s", value_name = "RATE", value_parser = parse_rate)]
    pub ramp: f64,
    /// Open loop: sends each second over all connections, at times that no answer can shift. 10,000/s by default; 500/s
    /// for rooms, 2,000/s for mixed.
    #[arg(long, value_name = "RATE", value_parser = parse_rate, conflicts_with = "closed")]
    pub rate: Option<f64>,
    /// Closed loop: so many messages outstanding over all connections. Measures capacity; latencies of a closed loop
    /// are not those of clients that come when they like.
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub closed: Option<u32>,
    /// The measured phase.
    #[arg(long, default_value = "15s", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Duration,
    /// Load before it, not measured.
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = parse_duration)]
    pub warmup: Duration,
    /// Before the load, let every connection send N messages to a partner and receive as many; with --preset idle it also
    /// enters a room of 100. Then `rss_per_connection_bytes` is that of sessions that have lived. Only with the presets
    /// idle, pairs and mixed.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub prime: u32,
    /// The generator's own engine. `epoll` is a second one, written independently, to show that the generator does not
    /// shape the figures; its connections are descriptors of the process, so it holds fewer than RLIMIT_NOFILE.
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineName,
    /// Before the load, hold the connections for so long without a message, and measure what that costs.
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = parse_duration)]
    pub idle: Duration,
    /// How the generator waits for arriving bytes. Only with --engine uring.
    #[arg(long, value_enum, default_value_t)]
    pub receive: ReceiveName,
    /// Bytes of each message's body.
    #[arg(long, default_value_t = 128, value_name = "BYTES")]
    pub size: usize,
    /// Who talks to whom.
    #[arg(long, value_enum, default_value_t = PresetName::Pairs)]
    pub preset: PresetName,
    /// Members of each room of --preset rooms.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=60_000))]
    pub room_size: u32,
    /// Messages that a sender says at once, in one write. Rates and windows count them one by one.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub burst: u32,
    /// Everything drawn at random comes from this number.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// An objective, such as `delivery.p99 < 5ms`, `lost == 0` or `rss_per_connection_bytes < 512`; may be repeated.
    #[arg(long, value_name = "EXPR")]
    pub slo: Vec<Slo>,
    /// Where to write the report; by default a new directory below `reports`.
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Offer more than 150,000 deliveries a second for each shard.
    #[arg(long)]
    pub overload: bool,
    /// Start although memory, ports or descriptors do not suffice (see `loadgen validate`).
    #[arg(long)]
    pub force: bool,
    /// Connections that are lost log in again, pull what they missed and send again what was not acknowledged: for runs
    /// in which the node is killed.
    #[arg(long)]
    pub reconnect: bool,
    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
    /// Print run.json on standard output instead of the table.
    #[arg(long)]
    pub json: bool,
}

/// `loadgen validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Which run, if it is not a local one.
    #[command(subcommand)]
    pub planned: Option<Planned>,
    /// A local run.
    #[command(flatten)]
    pub local: LocalArgs,
}

/// A run that is only planned.
#[derive(Debug, Subcommand)]
pub enum Planned {
    /// Node and generator on this machine.
    Local(Box<LocalArgs>),
    /// The generator alone.
    Run(Box<RunArgs>),
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
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

/// `loadgen run`.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("system").required(true).args(["gateway", "target"])))]
pub struct RunArgs {
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Log in at this gateway, as clients do. Its accounts must be there: `gateway provision`.
    #[arg(long, value_name = "URL")]
    pub gateway: Option<hyper::Uri>,
    /// Names of the accounts: this prefix and a number from 0 on, as `gateway provision` makes them.
    #[arg(long, default_value = "load", value_name = "PREFIX", requires = "gateway")]
    pub user_prefix: String,
    /// The accounts' password.
    #[arg(long, default_value = "ringline-load", value_name = "PASSWORD", requires = "gateway")]
    pub password: String,
    /// The node's admin port, for the server's figures.
    #[arg(long, value_name = "HOST:PORT", requires = "gateway")]
    pub node_admin: Option<String>,
    /// Log in at the node with this admin port, with tokens made from the cluster key. With --protocol raw: the address
    /// of the raw server itself.
    #[arg(long, value_name = "HOST:PORT")]
    pub target: Option<String>,
    /// What the connections speak: `raw` is what the floor of `benches` understands.
    #[arg(long, value_enum, default_value_t = ProtocolName::Chat, requires_if("raw", "target"))]
    pub protocol: ProtocolName,
    /// The raw server acknowledges nothing (`floor forward`): a message is done when it is delivered.
    #[arg(long)]
    pub no_acks: bool,
    /// The raw server's process, for figures per processor second; a node says its own.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// The cluster key.
    #[arg(long, value_name = "FILE", requires = "target", env = "RINGLINE_TOKEN_KEY_FILE")]
    pub token_key: Option<PathBuf>,
    /// Connect from these addresses in turn; many are needed beyond some 28,000 connections to one port.
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub source: Vec<std::net::Ipv4Addr>,
    /// Pin the generator to this processor; by default the last one that it may use.
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
    /// Do not end with status 5 when the measurement is INVALID.
    #[arg(long)]
    pub allow_invalid: bool,
    /// End with status 5 when the measurement is INVALID: on by default here, accepted for symmetry with `local`.
    #[arg(long, conflicts_with = "allow_invalid")]
    pub require_valid: bool,
}

/// Reads `10000/s`, `10k/s`, `2.5k` as events per second.
///
/// # Errors
/// When it is no rate above zero.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let bare = text.trim().strip_suffix("/s").unwrap_or_else(|| text.trim());
    let (number, scale) = match bare.strip_suffix('k') {
        Some(number) => (number, 1e3),
        None => bare.strip_suffix('M').map_or((bare, 1.0), |number| (number, 1e6)),
    };
    match number.replace('_', "").parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number * scale),
        Ok(_) => Err("a rate must be above zero; for silence use --preset idle".into()),
        Err(_) => Err("write a rate as 500/s, 10k/s or 1M/s".into()),
    }
}

/// Reads `15s`, `500ms`, `2m`.
///
/// # Errors
/// When it is no time.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let scale = match &text[at..] {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err("write a time as 500ms, 15s, 2m or 1h".into()),
    };
    let number =
        text[..at].trim().parse::<f64>().map_err(|_| "write a time as 500ms, 15s, 2m or 1h")?;
    Duration::try_from_secs_f64(number * scale)
        .ok()
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or_else(|| "a time lies between 0 and 24 hours".into())
}

/// A run keeps one row a second in memory.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3_600);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rates_and_times_take_their_units() {
        assert_eq!(parse_rate("10000/s"), Ok(10_000.0));
        assert_eq!(parse_rate("2.5k"), Ok(2_500.0));
        assert_eq!(parse_rate("1M/s"), Ok(1_000_000.0));
        assert!(
            parse_rate("0").is_err() && parse_rate("fast").is_err() && parse_rate("inf").is_err()
        );
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert!(parse_duration("15").is_err() && parse_duration("-1s").is_err());
        assert!(parse_duration("25h").is_err() && parse_duration("s").is_err());
    }

    #[test]
    fn an_objective_is_refused_where_it_is_written() {
        let refused = Cli::try_parse_from(["loadgen", "local", "--slo", "delivery.p99 < 5"]);
        assert!(refused.unwrap_err().to_string().contains("needs a unit"));
    }

    #[test]
    fn run_needs_a_system_and_a_key_for_direct_logins() {
        assert!(Cli::try_parse_from(["loadgen", "run"]).is_err());
        assert!(Cli::try_parse_from(["loadgen", "run", "--protocol", "raw"]).is_err());
        let both = ["loadgen", "run", "--target", "127.0.0.1:1", "--token-key", "key"];
        assert!(Cli::try_parse_from(both).is_ok());
        assert!(Cli::try_parse_from(["loadgen", "run", "--gateway", "http://127.0.0.1:1"]).is_ok());
    }
}
