//! What TLS costs a message: processor time of the whole node process per message, with and without its TLS front.
//!
//! The same closed loop each time: so many connections, each sends a short text to the next one and waits for its
//! acknowledgement. Plain and TLS rounds take turns on one node; its own /metrics say what it used. The clients are on this
//! machine too, so the rate says little; the node's processor time per message says what it is for.

mod client;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use loadgen::cli::{Role, RoleArgs};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wire::token::{Token, TokenKey};
use wire::{Epoch, UserId};

/// Measure what TLS costs a message
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    serve: Option<Serve>,
    /// Connections, each with one message outstanding
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Messages of each connection in a round
    #[arg(long, default_value_t = 1_000)]
    messages: u64,
    /// Rounds of each kind
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Bytes of a text
    #[arg(long, default_value_t = 128)]
    body_bytes: usize,
}

#[derive(Subcommand)]
enum Serve {
    /// The node's part; started by this program
    #[command(hide = true)]
    Node {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

const KEY: [u8; 32] = *b"a key for a benchmark, no secret";

fn main() -> ExitCode {
    let args = Args::parse();
    balancer::launch::end(match args.serve {
        Some(Serve::Node { args }) => {
            let args = args.into_iter().map(Into::into).collect();
            let parent = std::os::unix::process::parent_id();
            loadgen::local::role::play(RoleArgs { parent: Some(parent), role: Role::Node, args })
        }
        None => measure(&args),
    })
}

/// A node process.
struct Node {
    process: Child,
    ready: Value,
}

impl Node {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let file = |name: &str| folder.join(name).display().to_string();
        let mut process = Command::new(std::env::current_exe()?)
            .args(["node", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--store", "memory", "--shards", "1", "--tls-listen", "127.0.0.1:0"])
            .args(["--tls-cert", &file("cert.pem"), "--tls-key", &file("key.pem")])
            .args(["--token-key-file", &file("cluster.key")])
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = process.stdout.take().context("a pipe")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let ready = serde_json::from_str(&line).context("the node did not start")?;
        Ok(Self { process, ready })
    }

    fn address(&self, of: &str) -> anyhow::Result<SocketAddr> {
        Ok(self.ready[of].as_str().context("an address")?.parse()?)
    }

    fn page(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.address("admin")?)?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page.split_once("\r\n\r\n").context("a head and a body")?.1.to_owned())
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let page = self.page("/metrics")?;
        let line =
            page.lines().find_map(|line| line.strip_prefix("ringline_node_cpu_seconds_total "));
        Ok(line.context("the metrics have no processor time")?.parse()?)
    }

    /// Tokens for so many users, new each time.
    fn tokens(&self, users: usize, epoch: u64) -> anyhow::Result<Vec<Vec<u8>>> {
        let info: Value = serde_json::from_str(&self.page("/info")?)?;
        let number = |name: &str| info[name].as_u64().context("a number");
        let (incarnation, mono_ms) = (number("incarnation")?, number("mono_ms")?);
        let key = TokenKey::new(&KEY).context("a key")?;
        let mint = |user: usize| {
            let user = UserId(user as u64 + 1);
            let expires_ms = mono_ms + 60_000;
            key.mint(&Token { user, epoch: Epoch(epoch), incarnation, expires_ms }, "n1").to_vec()
        };
        Ok((0..users).map(mint).collect())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A certificate that signs itself, and a client that trusts it.
fn certify(folder: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    std::fs::write(folder.join("cert.pem"), certificate.pem())?;
    std::fs::write(folder.join("key.pem"), key.serialize_pem())?;
    std::fs::write(folder.join("cluster.key"), KEY)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn measure(args: &Args) -> anyhow::Result<()> {
    ensure!(args.connections >= 2 && args.messages > 0 && args.rounds > 0, "nothing to measure");
    let folder = tempfile::tempdir()?;
    let trust = certify(folder.path())?;
    let node = Node::start(folder.path())?;
    let mut costs = [Vec::new(), Vec::new()];
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..args.rounds * 2 {
        let is_tls = round % 2 == 1;
        let at = node.address(if is_tls { "tls" } else { "chat" })?;
        let plan = client::Plan {
            at,
            trust: is_tls.then(|| Arc::clone(&trust)),
            tokens: node.tokens(args.connections, round as u64 + 1)?,
            messages: args.messages,
            body: vec![b'x'; args.body_bytes],
        };
        // Handshakes and logins are over when it begins.
        let (cpu_s, wall_s) = client::run(plan, || Ok((node.cpu_seconds()?, Instant::now())))?;
        let messages = (args.connections as u64 * args.messages) as f64;
        costs[usize::from(is_tls)].push(cpu_s / messages * 1e6);
        rates[usize::from(is_tls)].push(messages / wall_s);
    }
    let [plain, tls] = costs.map(median);
    let [plain_rate, tls_rate] = rates.map(median);
    println!(
        "processor time of the node per message of {} bytes, median of {} rounds:",
        args.body_bytes, args.rounds
    );
    println!("  plain  {plain:6.2} us   ({plain_rate:.0} messages/s with the clients beside it)");
    println!("  TLS    {tls:6.2} us   ({tls_rate:.0} messages/s)");
    println!("  TLS adds {:.2} us: {:.2} times", tls - plain, tls / plain);
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
