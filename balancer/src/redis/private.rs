//! A Redis of one's own, in a directory of one's own, for tests and for trying things out: it listens on a Unix socket
//! there, writes nothing to a disk, and ends with whoever started it.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::RedisUrl;
use crate::limits::{PRIVATE_REDIS_ATTEMPTS, PRIVATE_REDIS_START_MAX};

/// Ends a server when its standard input ends, which it does with the process that holds the other end.
const KEEPER: &str = "read _; kill -KILL \"$1\"";

/// How often a start is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The end of its log that is told if it does not start.
const LOG_LINES: usize = 5;

/// Why there is no Redis.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// None is installed.
    #[error(
        "no redis-server here: install it with `apt-get install --no-install-recommends redis-server`"
    )]
    Missing,
    /// It did not come up.
    #[error("redis-server does not start: {0}")]
    Log(String),
    /// Its directory or its process could not be made.
    #[error("redis-server was not started: {0}")]
    Io(#[from] io::Error),
}

/// A running server. Dropping it ends it at once, as a crash would.
#[derive(Debug)]
pub struct PrivateRedis {
    directory: PathBuf,
    is_cluster: bool,
    server: Child,
    keeper: Child,
}

impl PrivateRedis {
    /// Starts a server whose files are in a directory, which is made as needed, and waits until it serves.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(directory: &Path) -> Result<Self, StartError> {
        fs::create_dir_all(directory)?;
        let mut private = Self::spawn(directory, &[], false)?;
        private.wait()?;
        Ok(private)
    }

    /// The same as a cluster of one server, which refuses whatever a cluster of many would refuse for its keys.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start_cluster(directory: &Path) -> Result<Self, StartError> {
        fs::create_dir_all(directory)?;
        let mut attempt = 1;
        loop {
            // A cluster wants ports, and somebody else may take one between our look and its start.
            let ports = [free_port()?, free_port()?].map(|port| port.to_string());
            let [port, bus] = &ports;
            let words = ["--port", port, "--cluster-port", bus, "--bind", "127.0.0.1"];
            let words = [&words[..], &["--cluster-enabled", "yes"]].concat();
            let mut private = Self::spawn(directory, &words, true)?;
            match private.wait().and_then(|()| private.own_all_slots()) {
                Ok(()) => return Ok(private),
                Err(error) if attempt == PRIVATE_REDIS_ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    fn spawn(directory: &Path, words: &[&str], is_cluster: bool) -> Result<Self, StartError> {
        for stale in ["redis.sock", "nodes.conf"] {
            let _ = fs::remove_file(directory.join(stale)); // Left by one that was killed.
        }
        let log = File::create(directory.join("redis.log"))?;
        let server = Command::new(find().ok_or(StartError::Missing)?)
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(directory.join("redis.sock"))
            .arg("--dir")
            .arg(directory)
            .args(words)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn();
        let mut server = server?;
        let keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "keeper", &server.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let keeper = keeper.inspect_err(|_| {
            let _ = server.kill(); // There is nobody to end it otherwise.
            let _ = server.wait(); // As above.
        })?;
        Ok(Self { directory: directory.to_owned(), is_cluster, server, keeper })
    }

    /// Waits until somebody answers at the socket.
    fn wait(&mut self) -> Result<(), StartError> {
        let end = Instant::now() + PRIVATE_REDIS_START_MAX;
        while UnixStream::connect(self.socket()).is_err() {
            if self.server.try_wait()?.is_some() || Instant::now() > end {
                return Err(StartError::Log(self.log_tail()));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn own_all_slots(&self) -> Result<(), StartError> {
        let command = ["CLUSTER", "ADDSLOTSRANGE", "0", "16383"];
        self.run(&command)?;
        let end = Instant::now() + PRIVATE_REDIS_START_MAX;
        while !self.run(&["CLUSTER", "INFO"])?.contains("cluster_state:ok") {
            if Instant::now() > end {
                return Err(StartError::Log(self.log_tail()));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Where it is, as a server is told with `--redis`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The same, read.
    #[must_use]
    pub fn url(&self) -> RedisUrl {
        let Ok(url) = self.address().parse();
        url
    }

    /// Runs one command and shows its answer as a text.
    ///
    /// # Errors
    /// It gave none, or refused.
    pub fn run(&self, words: &[&str]) -> Result<String, StartError> {
        let failed = |error: ::redis::RedisError| StartError::Log(error.to_string());
        let mut command = ::redis::Cmd::new();
        command.arg(words);
        let client = ::redis::Client::open(self.address()).map_err(failed)?;
        let mut conn =
            client.get_connection_with_timeout(PRIVATE_REDIS_START_MAX).map_err(failed)?;
        conn.set_read_timeout(Some(PRIVATE_REDIS_START_MAX)).map_err(failed)?;
        let answer: ::redis::Value = command.query(&mut conn).map_err(failed)?;
        Ok(::redis::from_redis_value::<String>(answer.clone())
            .unwrap_or_else(|_| format!("{answer:?}")))
    }

    /// Stops it where it is: it keeps its connections and answers nobody.
    ///
    /// # Errors
    /// It has ended.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Self::freeze`].
    ///
    /// # Errors
    /// It has ended.
    pub fn thaw(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("it has no process"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Ends it at once, as a crash would: all that it held is lost.
    pub fn kill(&mut self) {
        // The keeper first: the number may be somebody else's afterwards.
        for process in [&mut self.keeper, &mut self.server] {
            let _ = process.kill(); // It has ended by itself.
            let _ = process.wait(); // As above.
        }
    }

    /// Starts it again after [`Self::kill`], empty, at the same place.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn restart(&mut self) -> Result<(), StartError> {
        self.kill();
        let start = if self.is_cluster { Self::start_cluster } else { Self::start };
        *self = start(&self.directory)?;
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.directory.join("redis.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The server's program.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin", "/usr/sbin"].map(PathBuf::from);
    let mut directories = std::env::split_paths(&path).chain(usual);
    directories.find_map(|directory| {
        ["redis-server", "valkey-server"]
            .map(|name| directory.join(name))
            .into_iter()
            .find(|file| file.is_file())
    })
}
