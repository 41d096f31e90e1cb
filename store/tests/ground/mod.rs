//! Where stories about the store take place: on every backend that there is.
//!
//! One MariaDB serves all stories of a test program, each in a database of its own. It ends with the program.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use store::{
    Accounts, AccountsService, Backend, MessageReader, MessageWriter, MysqlOptions, Options,
    PrivateServer,
};

/// The backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Files on the disk.
    Sqlite,
    /// Files in memory.
    Memory,
    /// A database server.
    Mysql,
}

/// Makes a test of each story on each backend.
#[macro_export]
macro_rules! on_every_backend {
    ($($story:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $story() {
                super::$story($crate::ground::Kind::Sqlite);
            })+
        }
        mod memory {
            $(#[test]
            fn $story() {
                super::$story($crate::ground::Kind::Memory);
            })+
        }
        mod mysql {
            $(#[test]
            fn $story() {
                super::$story($crate::ground::Kind::Mysql);
            })+
        }
    };
}

/// A store of one story.
#[derive(Debug)]
pub enum Ground {
    /// In a directory.
    Files(tempfile::TempDir),
    /// In a database.
    Database(MysqlOptions, String),
}

impl Ground {
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::Files(tempfile::tempdir().expect("a directory")),
            Kind::Memory => Self::Files(tempfile::tempdir_in(memory()).expect("a directory")),
            Kind::Mysql => {
                let (options, name) = database();
                Self::Database(options, name)
            }
        }
    }

    /// The messages.
    pub fn backend(&self) -> Backend {
        match self {
            Self::Files(directory) => Backend::Sqlite(Options {
                busy_timeout: Duration::ZERO,
                ..Options::messages(directory.path())
            }),
            Self::Database(options, _) => options.into(),
        }
    }

    /// The messages, with the accounts at hand.
    pub fn backend_with_accounts(&self) -> Backend {
        match self {
            Self::Files(directory) => (&Options::messages_with_accounts(directory.path())).into(),
            Self::Database(options, _) => options.into(),
        }
    }

    pub fn writer(&self) -> Box<dyn MessageWriter> {
        self.backend().writer().expect("a writer")
    }

    pub fn reader(&self) -> Box<dyn MessageReader> {
        self.backend().reader().expect("a reader")
    }

    pub fn accounts(&self) -> Accounts {
        match self {
            Self::Files(directory) => Accounts::open(&Options::accounts(directory.path())),
            Self::Database(options, _) => Accounts::open_mysql(options),
        }
        .expect("accounts")
    }

    pub fn accounts_service(&self) -> AccountsService {
        match self {
            Self::Files(directory) => AccountsService::start(&Options::accounts(directory.path())),
            Self::Database(options, _) => AccountsService::start_mysql(options),
        }
        .expect("a service")
    }

    /// Everything that is stored, as text: two of these are equal if nothing changed.
    pub fn dump(&self) -> String {
        match self {
            Self::Files(directory) => dump_files(directory.path()),
            Self::Database(_, name) => dump_database(name),
        }
    }
}

fn memory() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() }
}

fn dump_files(directory: &Path) -> String {
    let mut text = String::new();
    for file in ["messages.sqlite", "accounts.sqlite"] {
        let sql = rusqlite::Connection::open(directory.join(file)).expect("open");
        let mut tables = sql
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .expect("tables");
        let names: Vec<String> = tables
            .query_map([], |row| row.get(0))
            .expect("names")
            .collect::<Result<_, _>>()
            .expect("names");
        for name in names {
            let mut rows = sql.prepare(&format!("SELECT * FROM {name}")).expect("a table");
            let columns = rows.column_count();
            let lines = rows.query_map([], |row| {
                let values = (0..columns).map(|at| format!("{:?}", row.get_ref(at)));
                Ok(values.collect::<Vec<_>>().join(" "))
            });
            for line in lines.expect("rows") {
                text += &format!("{name}: {}\n", line.expect("a row"));
            }
        }
    }
    text
}

fn dump_database(name: &str) -> String {
    let server = server();
    let tables = server
        .query(&format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = '{name}' ORDER BY 1"
        ))
        .expect("tables");
    let mut text = String::new();
    for table in tables.into_iter().flatten() {
        for row in server.query(&format!("SELECT * FROM {name}.{table}")).expect("rows") {
            text += &format!("{table}: {}\n", row.join(" "));
        }
    }
    text
}

/// The server of this program.
pub fn server() -> &'static PrivateServer {
    static SERVER: OnceLock<PrivateServer> = OnceLock::new();
    SERVER.get_or_init(|| PrivateServer::start(&directory()).expect("a database server"))
}

/// A new database of the program's server.
pub fn database() -> (MysqlOptions, String) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("story_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    server().run(&format!("CREATE DATABASE {name}")).expect("a database");
    (MysqlOptions::from_url(&server().url(&name)).expect("a URL"), name)
}

/// A directory in memory that is removed when this program has ended, however it ends.
pub fn directory() -> PathBuf {
    static KEEPERS: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    let directory = tempfile::tempdir_in(memory()).expect("a directory").keep();
    // Its standard input ends with this program; the server's own keeper is quicker.
    let script = "read _; sleep 0.3; rm -rf \"$1\"";
    let keeper = Command::new("/bin/sh")
        .args(["-c", script, "keeper"])
        .arg(&directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    KEEPERS.lock().unwrap_or_else(PoisonError::into_inner).push(keeper);
    directory
}
