//! The seam to the machine: every read and every write goes through a [`Root`]. Tests put recorded machines behind it.

mod folder;
mod live;
mod recording;

use std::io;
use std::time::Duration;

pub use folder::Folder;
pub use live::Live;
pub use recording::{Recording, record};

/// What making a ring as the node does it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UringProbe {
    /// It worked.
    Ok,
    /// The system call's error number.
    Refused(i32),
    /// It was not tried: the machine is a recording without a result.
    NotTried,
}

impl UringProbe {
    /// As recordings have it: `ok` or the error number.
    fn parse(text: &str) -> Self {
        match text.trim() {
            "ok" => Self::Ok,
            number => number.parse().map_or(Self::NotTried, Self::Refused),
        }
    }

    fn recorded(self) -> Option<String> {
        match self {
            Self::Ok => Some("ok\n".to_owned()),
            Self::Refused(errno) => Some(format!("{errno}\n")),
            Self::NotTried => None,
        }
    }
}

/// Where recordings keep what is no file of the machine.
const URING: &str = "/probe/io_uring";

/// Where recordings keep what a tool said.
fn tool_path(command: &[&str]) -> String {
    format!("/probe/tool/{}", command.join("_"))
}

/// A machine. Paths start with `/`.
pub trait Root: Sync {
    /// A file's text.
    ///
    /// # Errors
    /// As the file system says.
    fn read(&self, path: &str) -> io::Result<String>;

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// As the file system says.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// Where a symbolic link points; a recording has it as a file.
    ///
    /// # Errors
    /// As the file system says.
    fn link(&self, path: &str) -> io::Result<String>;

    /// Writes to a file that is there, in one call, as the files of `/proc` and `/sys` want it.
    ///
    /// # Errors
    /// As the file system says.
    fn write(&self, path: &str, text: &str) -> io::Result<()>;

    /// Whether a write would be let through, without making one.
    ///
    /// # Errors
    /// What the write would meet.
    fn check_writable(&self, path: &str) -> io::Result<()>;

    /// Lets time pass, for counters. A recording goes to its later state instead, if it has one.
    fn rest(&self, time: Duration);

    /// Tries to make a ring.
    fn probe_uring(&self) -> UringProbe;

    /// What a tool that only reads says, such as `ethtool -g eth0`.
    ///
    /// # Errors
    /// `NotFound` if the tool is not there; any other error with its words if it failed.
    fn tool(&self, command: &[&str]) -> io::Result<String>;

    /// Whether this is the running machine, so that a process or a system call tells something about it.
    fn is_live(&self) -> bool;
}

/// Opens what `--root` names: a folder with the files of a machine, or a recording made by `tuning record`; without one, this
/// machine.
///
/// # Errors
/// When there is nothing of the kind.
pub fn open(root: Option<&std::path::Path>) -> io::Result<Box<dyn Root>> {
    let Some(path) = root else { return Ok(Box::new(Live)) };
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if std::fs::metadata(path).map_err(named)?.is_dir() {
        Ok(Box::new(Folder::new(path)))
    } else {
        Ok(Box::new(Recording::load(path).map_err(named)?))
    }
}
