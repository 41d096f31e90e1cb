//! The gateway's arguments: every default is here, and shown by `--help`.

use std::net::SocketAddr;
use std::path::PathBuf;

use balancer::config::{Again, ConfigError, Reading};
use balancer::tls::Trust;
use store::StoreChoice;

use crate::clients::Network;
use crate::mail::MailArgs;
use crate::provision;
use crate::shared::SharedArgs;

/// Ringline's gateway, or one of its operator commands.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "gateway",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve; always there without a command.
    #[command(flatten)]
    pub serve: Option<Args>,
}

/// Operator commands.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Make many accounts for load tests
    Provision(provision::Args),
}

/// Ringline's gateway: registers accounts, checks passwords and tells clients which chat node to log in to.
// Whether there is something to serve is seen by what must be there: `clap` does not see it by itself where arguments are
// flattened into arguments.
#[derive(Clone, Debug, clap::Args)]
#[group(args = ["balancer", "data"])]
pub struct Args {
    /// Where clients call (HTTP). Port 0 chooses a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// The balancer; or several that share a registry (--redis), with commas between them: the next is asked where one
    /// gives no answer
    #[arg(long, value_name = "http://HOST:PORT", env = "RINGLINE_BALANCER", required = true)]
    pub balancer: String,

    /// Where accounts are kept: sqlite (a file of --data), or the database of
    /// mysql://USER:PASSWORD@HOST:3306/DATABASE. Others can read arguments in the process list: set the variable where
    /// there is a password. ?require_ssl=true or ?ca=FILE behind it is for TLS
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "sqlite",
        env = "RINGLINE_STORE",
        hide_env_values = true
    )]
    pub store: StoreChoice,

    /// Where accounts.sqlite is; made if missing. Needed with --store sqlite
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// How to call it inside TLS
    #[command(flatten)]
    pub trust: Trust,

    /// The certificate that clients are shown, and those that it was signed with (PEM): HTTPS. Read again at SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Memory of a new password's hash
    #[arg(long, value_name = "KIB", default_value_t = 19 * 1024)]
    pub hash_memory_kib: u32,

    /// Passes of a new password's hash
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub hash_passes: u32,

    /// Password hashes that run at one time [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    pub hash_threads: Option<usize>,

    /// How codes reach people.
    #[command(flatten)]
    pub mail: MailArgs,

    /// Where codes and rates are remembered.
    #[command(flatten)]
    pub shared: SharedArgs,

    /// A verification server of its own, which sends codes and compares them instead of this gateway. It is called inside
    /// TLS if its address begins with https://: then what is said for the balancer counts for it too
    #[arg(
        long,
        value_name = "http://HOST:PORT",
        conflicts_with_all = ["smtp", "mail_dir", "code_program", "verify_listen"]
    )]
    pub verify: Option<String>,

    /// Where other gateways may ask this one to send and compare codes (gRPC), inside TLS if there is --tls-cert. Port 0
    /// chooses a free one
    #[arg(long, value_name = "IP:PORT")]
    pub verify_listen: Option<SocketAddr>,

    /// The authorities that sign the certificates of gateways that may ask there (PEM): nobody else is served
    #[arg(long, value_name = "FILE", requires_all = ["verify_listen", "tls_cert"])]
    pub verify_client_ca: Option<PathBuf>,

    /// A proxy, or a network of proxies, whose X-Forwarded-For says who the client is. Several may be given
    #[arg(long, value_name = "IP[/BITS]", value_delimiter = ',')]
    pub trusted_proxy: Vec<Network>,

    /// A client, or a network of clients, that is not bounded as such: load tests, monitoring. Several may be given. What
    /// is bounded for each account and each e-mail address stays so
    #[arg(long, value_name = "IP[/BITS]", value_delimiter = ',')]
    pub unlimited: Vec<Network>,

    /// Listen on addresses that others can reach although nothing is encrypted
    #[arg(long)]
    pub insecure: bool,

    /// Show verification codes in answers, and log them where no way to deliver them is given: for trying things out only
    #[arg(long)]
    pub development: bool,

    /// Register without a verification code
    #[arg(long, requires = "development")]
    pub skip_verification: bool,
}

/// How to serve, read again.
pub fn serving(again: Again<Cli>) -> Again<Args> {
    // Never without: a command is no server, and what is needed to serve was there at the start.
    Box::new(move || {
        let Reading { args, values } = again()?;
        let args = args.serve.ok_or(ConfigError::Missing)?;
        Ok(Reading { args, values })
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn it_serves_or_runs_a_command() {
        let serve = Cli::parse_from(["gateway", "--balancer", "http://b:1", "--data", "d"]);
        assert!(serve.command.is_none());
        assert_eq!(serve.serve.unwrap().balancer, "http://b:1");
        let words = ["gateway", "provision", "--data", "d", "--count", "5", "--password", "p"];
        let provision = Cli::parse_from(words);
        assert!(matches!(provision.command, Some(Command::Provision(_))));
        assert!(provision.serve.is_none());
    }

    #[test]
    fn what_is_missing_or_does_not_go_together_is_refused() {
        for words in [
            &["gateway"][..],
            &["gateway", "--data", "d"],
            &["gateway", "provision", "--data", "d", "--count", "5"],
            &["gateway", "--balancer", "http://b:1", "--data", "d", "--skip-verification"],
            &["gateway", "--balancer", "http://b:1", "--data", "d", "--trusted-proxy", "proxy"],
            &[
                "gateway",
                "--balancer",
                "http://b:1",
                "--data",
                "d",
                "--verify",
                "http://v:1",
                "--mail-dir",
                "m",
            ],
        ] {
            assert!(Cli::try_parse_from(words).is_err(), "{words:?}");
        }
    }
}
