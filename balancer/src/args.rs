//! The balancer's arguments: every default is here, and shown by `--help`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;

use crate::limits::TOKEN_TTL_MAX;
use crate::redis::RedisUrl;
use crate::registry::Settings;

/// Ringline's balancer: registers chat nodes, places logins on the least loaded one and makes login tokens.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "balancer", version)]
pub struct Args {
    /// Where gateways and nodes call (gRPC). Port 0 chooses a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5900")]
    pub listen: SocketAddr,

    /// Where /healthz and /metrics are (HTTP). Port 0 chooses a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5901")]
    pub admin: SocketAddr,

    /// The cluster key that tokens are made with: at least 32 bytes, raw or as hexadecimal digits. The same at every
    /// node. `head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'` makes one
    #[arg(long, value_name = "FILE", env = "RINGLINE_TOKEN_KEY_FILE")]
    pub token_key_file: PathBuf,

    /// A Redis that keeps the nodes' leases and the places promised, so that any of several balancers that name the same
    /// answers, and a restarted one at once; else they are in this process, which then is the only balancer. rediss:// is
    /// inside TLS, unix:///PATH is on this machine. Others can read arguments in the process list: set the variable where
    /// there is a password
    #[arg(
        long,
        value_name = "redis://USER:PASSWORD@HOST:PORT/DATABASE",
        env = "RINGLINE_REDIS",
        hide_env_values = true
    )]
    pub redis: Option<RedisUrl>,

    /// A node that has not reported for so long is gone
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    pub lease_ms: u64,

    /// How often nodes report; at most a third of the lease, so that one lost report costs nothing
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    pub report_interval_ms: u64,

    /// For how long a login token is good
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    pub token_ttl_ms: u64,

    /// After a restart, or one of an empty Redis, no login is placed for so long, until the nodes are back
    #[arg(long, value_name = "MS", default_value_t = 2_500)]
    pub grace_ms: u64,

    /// The certificate that gateways and nodes are shown, and those that it was signed with (PEM). Read again at SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The authorities that sign the certificates of gateways and nodes (PEM): nobody else is served. Whoever may call a
    /// balancer can have a token for any user
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,

    /// Listen on addresses that others can reach although nothing is encrypted, or although anybody may call
    #[arg(long)]
    pub insecure: bool,

    /// Accept example keys: for trying things out only
    #[arg(long)]
    pub development: bool,
}

impl Args {
    /// What the registry is told.
    ///
    /// # Errors
    /// A setting that cannot work, and what would.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        ensure!(
            self.report_interval_ms >= 10 && self.report_interval_ms <= self.lease_ms / 3,
            "--report-interval-ms must be at least 10 and at most a third of --lease-ms"
        );
        ensure!(self.lease_ms <= 600_000, "--lease-ms must be at most 600000 (ten minutes)");
        let token_ttl = Duration::from_millis(self.token_ttl_ms);
        ensure!(
            token_ttl >= Duration::from_secs(1) && token_ttl <= TOKEN_TTL_MAX,
            "--token-ttl-ms must be 1000 to {}",
            TOKEN_TTL_MAX.as_millis()
        );
        ensure!(self.grace_ms <= 600_000, "--grace-ms must be at most 600000 (ten minutes)");
        Ok(Settings {
            lease: Duration::from_millis(self.lease_ms),
            token_ttl,
            grace: Duration::from_millis(self.grace_ms),
        })
    }
}
