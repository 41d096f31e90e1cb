//! The node's arguments: every default is here, and shown by `--help`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use balancer::config::span;
use balancer::tls::Trust;
use balancer::{convert, key, launch};
use chat::{Durability, Limits, ProxyHeaders};
use store::{Place, StoreChoice};
use wire::limits::BODY_BYTES_MAX;

use crate::driver::IoChoice;
use crate::limits::HEARTBEATS_PER_S_MAX;
use crate::listener::SocketOptions;
use crate::networks::Networks;
use crate::retain;
use crate::server::{Pinning, ServerConfig};
use crate::sizing::ShardCount;

/// Ringline's chat node: holds the connections, sessions and rooms of very many users.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "conn-server",
    version,
    after_help = "Commands: `conn-server backup --help`, `conn-server restore --help`"
)]
pub struct Args {
    /// The node's name: 1 to 64 of a-z, A-Z, 0-9, '-', '_', '.'. Login tokens are bound to it; no two nodes of one
    /// balancer may share it
    #[arg(long, value_name = "NAME", default_value = "n1")]
    pub name: String,

    /// The common chat port; shard i listens on the port 1 + i after it. Port 0 looks for free ones
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:4000")]
    pub listen: SocketAddr,

    /// Where /healthz, /metrics and /info are (HTTP). Port 0 chooses a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5902")]
    pub admin: SocketAddr,

    /// Where TLS clients connect. The bytes go on to the chat port over loopback; shards have no ports of their own there.
    /// With it the balancer sends clients here
    #[arg(long, value_name = "IP:PORT", requires = "tls_cert")]
    pub tls_listen: Option<SocketAddr>,

    /// The certificate that clients are shown, and those that it was signed with (PEM). Read again at SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Threads that end TLS
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub tls_threads: u16,

    /// How to call the balancer inside TLS
    #[command(flatten)]
    pub trust: Trust,

    /// Every connection to a chat port begins with the header of a proxy (PROXY protocol, version 2), and only those of
    /// --proxy-from can connect
    #[arg(long)]
    pub proxy_protocol: bool,

    /// The networks of those proxies, such as 10.1.0.0/16,2001:db8::/32
    #[arg(long, value_name = "LIST", default_value = Networks::LOOPBACK)]
    pub proxy_from: Networks,

    /// What clients are told to connect to, if it is not the address of --tls-listen or --listen
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,

    /// The balancer that sends logins here; without one only tokens made with the cluster key open sessions. Several that
    /// share a registry are written with commas between them: the next is told where one gives no answer
    #[arg(long, value_name = "http://HOST:PORT", env = "RINGLINE_BALANCER")]
    pub balancer: Option<String>,

    /// The cluster key that tokens are checked with: at least 32 bytes, raw or as hexadecimal digits. The same at the
    /// balancer
    #[arg(long, value_name = "FILE", env = "RINGLINE_TOKEN_KEY_FILE")]
    pub token_key_file: PathBuf,

    /// Where messages are kept: sqlite (a file of --data), memory (bounded, while the node lives), or the database of
    /// mysql://USER:PASSWORD@HOST:3306/DATABASE, which several nodes may share. Others can read arguments in the process
    /// list: set the variable where there is a password. ?require_ssl=true or ?ca=FILE behind it is for TLS
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "sqlite",
        env = "RINGLINE_STORE",
        hide_env_values = true
    )]
    pub store: StoreChoice,

    /// Where messages.sqlite is; made if missing. Needed with --store sqlite
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// When a message counts as accepted. commit: acknowledged and delivered once it is on the disk. relaxed: delivered
    /// at once, acknowledged once it is on the disk. none: memory only [default: commit; none with --store memory]
    #[arg(long, value_name = "WHEN")]
    pub durability: Option<DurabilityChoice>,

    /// The I/O driver: auto, uring, epoll, monoio or tokio_uring
    #[arg(long, value_name = "DRIVER", default_value = "auto")]
    pub io: IoChoice,

    /// Shard threads: auto or a number
    #[arg(long, value_name = "N", default_value = "auto")]
    pub shards: ShardCount,

    /// Connections to plan for; more are shed
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub connections: u32,

    /// Cores to pin shards to, such as 0,2-5; `none` leaves them to the scheduler [default: every core allowed]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<Cpus>,

    /// How often clients should send a heartbeat
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    pub heartbeat_interval: Duration,

    /// Heartbeats per second that the node wants at most: when there are more sessions than that allows at the interval,
    /// those that log in are told a longer one, up to 5 minutes, and a timeout longer by as much
    #[arg(long, value_name = "N", default_value_t = HEARTBEATS_PER_S_MAX, value_parser = clap::value_parser!(u32).range(1..))]
    pub heartbeat_budget: u32,

    /// Silence after which a session expires
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = span)]
    pub heartbeat_timeout: Duration,

    /// Time to log in after connecting
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    pub login_timeout: Duration,

    /// At SIGTERM: time for queues to be flushed and clients to go, after which the rest is cut
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    pub drain_timeout: Duration,

    /// At SIGTERM: clients are told to come back spread over this long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    pub reconnect_window: Duration,

    /// Time from one commit to the next at the least, when messages come that fast: what comes meanwhile shares it. A
    /// message that comes after a pause is committed at once
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = short_span, env = "RINGLINE_COMMIT_INTERVAL")]
    pub commit_interval: Duration,

    /// For how long whoever said something may take it back
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = span)]
    pub revoke_window: Duration,

    /// Delete messages older than this, such as 90m, 12h or 30d [default: keep them for ever]
    #[arg(long, value_name = "AGE", value_parser = retain::age)]
    pub retain: Option<Duration>,

    /// Delete the oldest messages while the file uses more than this, such as 500M or 10G. The file does not get smaller:
    /// its room is used again. Only with --store sqlite [default: as large as the disk]
    #[arg(long, value_name = "SIZE", value_parser = retain::size)]
    pub retain_bytes: Option<u64>,

    /// The longest text that is taken, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = BODY_BYTES_MAX as u32)]
    pub body_bytes_max: u32,

    /// Listen on addresses that others can reach although nothing is encrypted, and use a database server like that
    #[arg(long)]
    pub insecure: bool,

    /// Accept example keys: for trying things out only
    #[arg(long)]
    pub development: bool,
}

/// When a message counts as accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DurabilityChoice {
    /// On the disk before it is acknowledged or delivered.
    Commit,
    /// Delivered at once, acknowledged when it is on the disk.
    Relaxed,
    /// Memory only.
    None,
}

/// Cores to pin to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(pub Pinning);

impl std::str::FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(Pinning::Off));
        }
        let bad = || format!("{text:?} is no list of cores: write it like 0,2-5, or none");
        let number = |text: &str| text.parse::<usize>().ok().filter(|core| *core < CORES_MAX);
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => cores.extend(first..=last),
                (Some(_) | None, Some(_) | None) => return Err(bad()),
            }
        }
        Ok(Self(Pinning::Cores(cores)))
    }
}

/// The kernel's own bound for a set of cores.
const CORES_MAX: usize = 1024;

/// Reads `0us`, `500us`, `2ms`.
fn short_span(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_us = match unit {
        "us" => 1,
        "ms" => 1_000,
        _ => u64::MAX,
    };
    let span = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_us));
    span.filter(|us| *us <= COMMIT_INTERVAL_US_MAX).map(Duration::from_micros).ok_or_else(|| {
        format!("{text:?} is no short time: write it like 500us or 2ms, at most 1000ms")
    })
}

/// A second: who waits longer for an acknowledgement believes that it is lost.
const COMMIT_INTERVAL_US_MAX: u64 = 1_000_000;

/// Options that can change while a node runs.
pub(crate) const LIVE: &[&str] = &[
    "body-bytes-max",
    "connections",
    "heartbeat-budget",
    "heartbeat-interval",
    "heartbeat-timeout",
    "login-timeout",
    "reconnect-window",
];

impl Args {
    /// When a message counts as accepted, and whether a store is needed for it.
    ///
    /// # Errors
    /// A durability that the store cannot give.
    pub(crate) fn durability(&self) -> anyhow::Result<Durability> {
        if matches!(self.store, StoreChoice::Mysql(_)) {
            // Said at once, whatever it would be used for.
            self.place()?.check_exposure(self.insecure)?;
        }
        match (&self.store, self.durability) {
            (_, Some(DurabilityChoice::None)) | (StoreChoice::Memory, None) => Ok(Durability::None),
            (StoreChoice::Memory, Some(DurabilityChoice::Commit | DurabilityChoice::Relaxed)) => {
                bail!(
                    "--store memory keeps nothing across a crash: say --durability none, or --store sqlite"
                )
            }
            (_, Some(DurabilityChoice::Commit) | None) => Ok(Durability::Commit),
            (_, Some(DurabilityChoice::Relaxed)) => Ok(Durability::Relaxed),
        }
    }

    /// Where messages are kept, if they are.
    ///
    /// # Errors
    /// What was said names no such place.
    pub(crate) fn place(&self) -> anyhow::Result<Place> {
        Ok(self.store.place(self.data.as_deref())?)
    }

    /// What clients are told to connect to.
    ///
    /// # Errors
    /// Nobody can connect to an unspecified address.
    pub(crate) fn host(&self) -> anyhow::Result<String> {
        match &self.advertise {
            Some(host) => Ok(host.clone()),
            None => {
                let listen = self.tls_listen.unwrap_or(self.listen);
                ensure!(
                    !listen.ip().is_unspecified(),
                    "{listen} is every address: say with --advertise which one clients are to use"
                );
                Ok(listen.ip().to_string())
            }
        }
    }

    /// Whether a connection to a chat port begins with a proxy's header: where it must, where the node's own front may
    /// write one because nobody else can connect, or nowhere.
    const fn proxy_headers(&self) -> ProxyHeaders {
        if self.proxy_protocol {
            ProxyHeaders::Required
        } else if self.tls_listen.is_some() && self.listen.ip().is_loopback() {
            ProxyHeaders::Optional
        } else {
            ProxyHeaders::Refused
        }
    }

    /// Who may connect to the chat ports, if not everybody.
    fn admitted(&self) -> Option<Networks> {
        let proxies = self.proxy_protocol.then(|| self.proxy_from.clone());
        if self.tls_listen.is_some() { proxies.map(Networks::and_loopback) } else { proxies }
    }

    /// What can change while the node runs.
    ///
    /// # Errors
    /// Whatever of it cannot work, and what would.
    pub(crate) fn limits(&self) -> anyhow::Result<Limits> {
        ensure!(self.connections > 0, "--connections must be at least 1");
        ensure!(
            self.heartbeat_timeout > self.heartbeat_interval,
            "--heartbeat-timeout must be longer than --heartbeat-interval"
        );
        ensure!(
            (1..=BODY_BYTES_MAX).contains(&(self.body_bytes_max as usize)),
            "--body-bytes-max must be 1 to {BODY_BYTES_MAX}"
        );
        Ok(Limits {
            connections_max: self.connections,
            body_bytes_max: self.body_bytes_max,
            heartbeat_interval: self.heartbeat_interval,
            heartbeat_timeout: self.heartbeat_timeout,
            heartbeats_per_s_max: self.heartbeat_budget,
            login_timeout: self.login_timeout,
            reconnect_window: self.reconnect_window,
        })
    }

    /// The node's settings.
    ///
    /// # Errors
    /// Whatever of the arguments cannot work, and what would.
    pub(crate) fn config(&self) -> anyhow::Result<ServerConfig> {
        launch::check_exposure(self.listen, self.insecure)?;
        launch::check_exposure(self.admin, self.insecure)?;
        self.limits()?;
        ensure!(
            convert::is_node_name(&self.name),
            "--name {:?}: use 1 to 64 of a-z, A-Z, 0-9, '-', '_', '.'",
            self.name
        );
        let token_key = key::load(&self.token_key_file, self.development)?;
        Ok(ServerConfig {
            listen: self.listen,
            proxy_headers: self.proxy_headers(),
            sockets: SocketOptions { admitted: self.admitted(), ..SocketOptions::default() },
            io: self.io,
            shards: self.shards,
            pinning: self.cpus.clone().map_or(Pinning::Auto, |cpus| cpus.0),
            connections: self.connections,
            durability: self.durability()?,
            body_bytes_max: self.body_bytes_max,
            heartbeat_interval: self.heartbeat_interval,
            heartbeat_timeout: self.heartbeat_timeout,
            heartbeats_per_s_max: self.heartbeat_budget,
            login_timeout: self.login_timeout,
            drain_timeout: self.drain_timeout,
            reconnect_window: self.reconnect_window,
            ..ServerConfig::new(&self.name, token_key)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn args(more: &[&str]) -> Args {
        let base = ["node", "--token-key-file", "/nowhere/key"];
        Args::parse_from(base.iter().chain(more))
    }

    #[test]
    fn durability_follows_the_store_and_never_promises_what_it_has_not() {
        assert_eq!(args(&[]).durability().unwrap(), Durability::Commit);
        assert_eq!(args(&["--durability", "relaxed"]).durability().unwrap(), Durability::Relaxed);
        assert_eq!(args(&["--durability", "none"]).durability().unwrap(), Durability::None);
        assert_eq!(args(&["--store", "memory"]).durability().unwrap(), Durability::None);
        let database = ["--store", "mysql://chat:s3cret@db/ringline?require_ssl=true"];
        assert_eq!(args(&database).durability().unwrap(), Durability::Commit);
        for wish in ["commit", "relaxed"] {
            let refused = args(&["--store", "memory", "--durability", wish]).durability();
            assert!(refused.unwrap_err().to_string().contains("--store sqlite"));
        }
    }

    #[test]
    fn a_password_in_a_url_is_shown_nowhere() {
        for (url, is_right) in [
            ("mysql://chat:s3cret@db/ringline", true),
            ("mysql://chat:s3cret@db", false),
            ("mysq://chat:s3cret@db/ringline", false),
        ] {
            let args = args(&["--store", url]);
            assert!(!format!("{args:?}").contains("s3cret"));
            match args.place() {
                Ok(place) => assert!(is_right && !place.to_string().contains("s3cret")),
                Err(error) => {
                    let words = format!("{error:#}");
                    assert!(!is_right && words.contains("mysql://USER:"), "{words}");
                    assert!(!words.contains("s3cret"), "{words}");
                }
            }
        }
        let mut help = <Args as clap::CommandFactory>::command();
        let help = help.render_long_help().to_string();
        assert!(help.contains("RINGLINE_STORE") && !help.contains("RINGLINE_STORE="), "{help}");
        assert!(args(&[]).place().unwrap_err().to_string().contains("--data"));
    }

    #[test]
    fn nobody_is_sent_to_every_address() {
        assert_eq!(args(&["--listen", "10.0.0.1:4000"]).host().unwrap(), "10.0.0.1");
        assert!(
            args(&["--listen", "0.0.0.0:4000"])
                .host()
                .unwrap_err()
                .to_string()
                .contains("--advertise")
        );
        let named = args(&["--listen", "0.0.0.0:4000", "--advertise", "chat.example.org"]);
        assert_eq!(named.host().unwrap(), "chat.example.org");
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_would() {
        for (more, advice) in [
            (&["--listen", "0.0.0.0:4000"][..], "--insecure"),
            (&["--admin", "0.0.0.0:4000"], "--insecure"),
            (&["--name", "two words"], "--name"),
            (&["--connections", "0"], "--connections"),
            (&["--heartbeat-timeout", "30s"], "--heartbeat-interval"),
            (&["--body-bytes-max", "40000"], "--body-bytes-max"),
            (&[], "/nowhere/key"),
        ] {
            let refused = args(more).config().unwrap_err().to_string();
            assert!(refused.contains(advice), "{more:?}: {refused}");
        }
        let open = args(&["--store", "mysql://chat@10.0.0.5/ringline"]).durability().unwrap_err();
        assert!(format!("{open:#}").contains("?require_ssl=true"), "{open:#}");
    }

    #[test]
    fn cores_are_read_or_refused() {
        let cores = |text: &str| text.parse::<Cpus>().map(|cpus| cpus.0);
        assert_eq!(cores("0,2-4"), Ok(Pinning::Cores(vec![0, 2, 3, 4])));
        assert_eq!(cores("none"), Ok(Pinning::Off));
        for bad in ["", "a", "3-1", "0,,1", "0-99999999999", "-1"] {
            assert!(cores(bad).is_err(), "{bad}");
        }
    }
}
