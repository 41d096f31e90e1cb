//! A MariaDB of one's own, in a directory of one's own, for tests and for trying things out: it listens on a Unix socket
//! there, and ends with whoever started it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use super::fault::Fault;
use super::options::MysqlOptions;
use crate::error::{Error, Result};
use crate::limits;

/// What to do where there is none.
const ADVICE: &str =
    "install it with `apt-get install --no-install-recommends mariadb-server-core`";

/// Where the server's own tables are described.
const SCRIPT_DIRECTORIES: [&str; 2] = ["/usr/share/mysql", "/usr/share/mariadb"];
const SCRIPTS: [&str; 3] =
    ["mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql"];

/// Ends a server when its standard input ends, which it does with the process that holds the other end.
const KEEPER: &str = "read _; kill -KILL \"$1\"";

/// How many ports are tried.
const PORT_TRIES: u32 = 5;

/// How often a start is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A running server. Dropping it ends it at once, as a crash would; what was committed is in its directory.
#[derive(Debug)]
pub struct PrivateServer {
    directory: PathBuf,
    network: Option<Network>,
    server: Child,
    keeper: Child,
}

/// Where it listens inside TLS, beside its socket.
#[derive(Clone, Debug)]
struct Network {
    port: u16,
    certificate: PathBuf,
    key: PathBuf,
}

impl PrivateServer {
    /// Starts a server on a directory, which is made and filled as needed, and waits until it serves.
    ///
    /// # Errors
    /// `Refused` if no MariaDB is installed, with what installs it; `Busy` if it does not start, with the end of its log.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_on(directory, None)
    }

    /// The same, listening on a free port of 127.0.0.1 too, with a certificate and its key (PEM files).
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_tls(directory: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            // Somebody may take it in between: then the server does not start, and another one is chosen.
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            let (certificate, key) = (certificate.to_owned(), key.to_owned());
            let network = Network { port, certificate, key };
            match Self::start_on(directory, Some(network)) {
                Err(error) if error.is_busy() && tries < PORT_TRIES => {}
                started => return started,
            }
        }
    }

    fn start_on(directory: &Path, network: Option<Network>) -> Result<Self> {
        let binary = find().ok_or_else(|| Error::refused(format!("no MariaDB here: {ADVICE}")))?;
        fs::create_dir_all(directory)?;
        let mut private = Self::spawn(&binary, directory, network)?;
        private.wait()?;
        Ok(private)
    }

    fn spawn(binary: &Path, directory: &Path, network: Option<Network>) -> Result<Self> {
        let data = directory.join("data");
        if !data.exists() {
            fs::create_dir(&data)?;
            bootstrap(binary, directory, &data)?;
        }
        let _ = fs::remove_file(directory.join("socket")); // Left by one that was killed.
        let log = File::create(directory.join("mariadb.log"))?;
        let mut server = command(binary, directory, &data)
            .arg(format!("--socket={}", directory.join("socket").display()))
            .arg(format!("--pid-file={}", directory.join("pid").display()))
            .args(network_arguments(network.as_ref()))
            .args(["--skip-name-resolve", "--skip-log-bin"])
            .args(["--max-connections=300", "--innodb-buffer-pool-size=256M"])
            .args(["--innodb-flush-log-at-trx-commit=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "keeper", &server.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let keeper = keeper.inspect_err(|_| {
            let _ = server.kill(); // There is nobody to end it otherwise.
        })?;
        Ok(Self { directory: directory.to_owned(), network, server, keeper })
    }

    /// Waits until somebody answers at the socket.
    fn wait(&mut self) -> Result<()> {
        let end = Instant::now() + limits::PRIVATE_START_MAX;
        while UnixStream::connect(self.directory.join("socket")).is_err() {
            if self.server.try_wait()?.is_some() || Instant::now() > end {
                return Err(Error::busy(format!("MariaDB does not start: {}", self.log_tail())));
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

    /// Where a database of it is, as its root.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let socket = self.directory.join("socket").display().to_string();
        let mut escaped = String::new();
        for byte in socket.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                    escaped.push(byte.into());
                }
                _ => {
                    let _ = write!(escaped, "%{byte:02x}"); // Writing into a String cannot fail.
                }
            }
        }
        format!("mysql://root@localhost/{database}?socket={escaped}")
    }

    /// The port of [`Self::start_with_tls`].
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.network.as_ref().map(|network| network.port)
    }

    /// Runs a statement without arguments, as root.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn run(&self, statement: &str) -> Result<()> {
        self.query(statement).map(drop)
    }

    /// The rows of a query without arguments, as root, each value as text.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn query(&self, query: &str) -> Result<Vec<Vec<String>>> {
        let options = MysqlOptions::from_url(&self.url("mysql"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let rows = runtime.block_on(async {
            let work = async {
                let mut conn = Conn::new(options.opts()).await?;
                let rows: Vec<mysql_async::Row> = conn.query(query).await?;
                conn.disconnect().await?;
                Ok::<_, mysql_async::Error>(rows)
            };
            match tokio::time::timeout(limits::PRIVATE_START_MAX, work).await {
                Ok(done) => done.map_err(Fault::from),
                Err(_) => Err(Fault::Late),
            }
        })?;
        let text = |value: Value| match value {
            Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Value::NULL
            | Value::Int(_)
            | Value::UInt(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Date(..)
            | Value::Time(..) => value.as_sql(true),
        };
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        // The keeper first: the number may be somebody else's afterwards.
        for process in [&mut self.keeper, &mut self.server] {
            let _ = process.kill(); // It has ended by itself.
            let _ = process.wait(); // As above.
        }
    }

    /// Starts it again after [`Self::kill`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        *self = Self::start_on(&self.directory, self.network.clone())?;
        Ok(())
    }

    fn log_tail(&self) -> String {
        tail(&self.directory.join("mariadb.log"))
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How it is told where to listen beside its socket.
fn network_arguments(network: Option<&Network>) -> Vec<String> {
    let Some(Network { port, certificate, key }) = network else {
        return vec!["--skip-networking".to_owned()];
    };
    vec![
        "--bind-address=127.0.0.1".to_owned(),
        format!("--port={port}"),
        format!("--ssl-cert={}", certificate.display()),
        format!("--ssl-key={}", key.display()),
    ]
}

/// The server's program.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where systems keep what only the administrator calls.
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec"].map(PathBuf::from);
    let directories: Vec<PathBuf> = std::env::split_paths(&path).chain(usual).collect();
    let at = |name: &str| directories.iter().map(|at| at.join(name)).find(|file| file.is_file());
    at("mariadbd").or_else(|| at("mysqld"))
}

fn command(binary: &Path, directory: &Path, data: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    command.arg(format!("--tmpdir={}", directory.display()));
    if directory.metadata().is_ok_and(|directory| directory.uid() == 0) {
        // It serves as root only if told so.
        command.arg("--user=root");
    }
    command
}

/// Fills an empty directory with the server's own tables. Without the installer's script, which wants more programs.
fn bootstrap(binary: &Path, directory: &Path, data: &Path) -> Result<()> {
    let scripts = SCRIPT_DIRECTORIES.iter().map(Path::new).find(|at| at.join(SCRIPTS[0]).is_file());
    let scripts = scripts.ok_or_else(|| {
        Error::refused(format!("MariaDB's scripts are not in {SCRIPT_DIRECTORIES:?}: {ADVICE}"))
    })?;
    let mut script =
        "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"
            .to_owned();
    for name in SCRIPTS {
        script += &fs::read_to_string(scripts.join(name))?;
    }
    let (script_at, log) = (directory.join("bootstrap.sql"), directory.join("bootstrap.log"));
    fs::write(&script_at, script)?;
    let done = command(binary, directory, data)
        .args(["--bootstrap", "--skip-name-resolve", "--max-allowed-packet=8M"])
        .stdin(File::open(&script_at)?)
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .status()?;
    fs::remove_file(script_at)?;
    if done.success() {
        return Ok(());
    }
    let _ = fs::remove_dir_all(data); // Half of it is of no use to a next start.
    Err(Error::busy(format!("MariaDB makes no tables of its own: {}", tail(&log))))
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
