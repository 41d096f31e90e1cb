//! The words of `loadgen run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::LoadArgs;

/// What connections speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolName {
    /// Ringline's protocol.
    Chat,
    /// That of the floor, which nodes are measured against.
    Raw,
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
