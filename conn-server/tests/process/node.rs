//! One node process, its admin port, and tokens for it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use wire::token::{TOKEN_BYTES, Token, TokenKey};
use wire::{Epoch, UserId};

/// How long anything may take that should be there at once: only ever reached by a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

const KEY: [u8; 32] = *b"a key for the tests and no more!";

static EPOCH: AtomicU64 = AtomicU64::new(1);

pub struct Node {
    child: Child,
    pub chat: SocketAddr,
    pub admin: SocketAddr,
    incarnation: u64,
    /// When the node's clock stood at `mono_ms`.
    started: Instant,
    mono_ms: u64,
}

/// Where a node keeps its files.
pub struct Home {
    pub folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("key"), KEY).expect("the key is written");
        Self { folder }
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    pub fn data(&self) -> &Path {
        self.folder.path()
    }
}

impl Node {
    /// Starts a node and waits until it serves.
    pub fn start(home: &Home, extra: &[&str]) -> Self {
        let io = std::env::var("NODE_IO").unwrap_or_else(|_| "auto".to_owned());
        let mut child = Command::new(env!("CARGO_BIN_EXE_conn-server"))
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cpus", "none"])
            .arg("--token-key-file")
            .arg(home.key())
            .arg("--data")
            .arg(home.data())
            .args(["--io", &io])
            .args(extra)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the node starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("the node says that it is ready");
        let ready: Value = serde_json::from_str(&line).expect("one line of JSON");
        let address = |field: &str| ready[field].as_str().unwrap().parse().expect("an address");
        let (chat, admin) = (address("chat"), address("admin"));
        let mut node =
            Self { child, chat, admin, incarnation: 0, started: Instant::now(), mono_ms: 0 };
        let info: Value = serde_json::from_str(&node.get("/info")).expect("JSON");
        node.incarnation = info["incarnation"].as_u64().expect("a number");
        node.mono_ms = info["mono_ms"].as_u64().expect("a number");
        node.started = Instant::now();
        node
    }

    /// The body of an admin page.
    pub fn get(&self, page: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("the admin port answers");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let request = format!("GET {page} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
    }

    /// All counters and gauges by name, summed over the shards.
    pub fn metrics(&self) -> HashMap<String, f64> {
        let page = self.get("/metrics");
        let mut sums = HashMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let name = series.split('{').next().unwrap_or_default();
            *sums.entry(name.to_owned()).or_insert(0.0) += value.parse().unwrap_or(0.0);
        }
        sums
    }

    /// A token that nobody used yet.
    pub fn token(&self, user: u64) -> [u8; TOKEN_BYTES] {
        let passed = u64::try_from(self.started.elapsed().as_millis()).expect("a short test");
        let token = Token {
            user: UserId(user),
            epoch: Epoch(EPOCH.fetch_add(1, Ordering::Relaxed)),
            incarnation: self.incarnation,
            expires_ms: self.mono_ms + passed + 60_000,
        };
        TokenKey::new(&KEY).expect("long enough").mint(&token, "n1")
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// SIGKILL: nothing gets a chance to finish.
    pub fn kill_pid(pid: rustix::process::Pid) {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    }

    /// SIGTERM, and what it exits with.
    pub fn drain(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it ends").code()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
