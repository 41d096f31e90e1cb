//! The seam to the machine: files below a root, and one system call. Tests put recorded machines behind it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::limits::FILE_BYTES_MAX;

/// What making a ring as the node does it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UringProbe {
    /// It worked.
    Ok,
    /// The system call's error number.
    Refused(i32),
    /// It was not tried: the host is a recording without a result.
    NotTried,
}

/// A machine to check.
pub trait Host {
    /// A file's text; the path starts with `/`.
    ///
    /// # Errors
    /// As the file system says.
    fn read(&self, path: &str) -> io::Result<String>;

    /// The same file after a moment, for counters.
    ///
    /// # Errors
    /// As the file system says.
    fn read_again(&self, path: &str) -> io::Result<String>;

    /// Tries to make a ring.
    fn probe_uring(&self) -> UringProbe;
}

/// Reads a file of text that cannot be larger than its bound, whatever the root holds.
fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// This machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// How long counters are watched.
    pub sample: Duration,
}

impl Host for Live {
    fn read(&self, path: &str) -> io::Result<String> {
        read_text(Path::new(path))
    }

    fn read_again(&self, path: &str) -> io::Result<String> {
        thread::sleep(self.sample);
        self.read(path)
    }

    fn probe_uring(&self) -> UringProbe {
        // Both flags and the sparse table are what the node's driver asks for (Linux 6.1 and 5.19).
        let made = io_uring::IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(8)
            .and_then(|ring: io_uring::IoUring| ring.submitter().register_files_sparse(8));
        match made {
            Ok(()) => UringProbe::Ok,
            Err(error) => UringProbe::Refused(error.raw_os_error().unwrap_or(0)),
        }
    }
}

/// A recorded machine: a folder with the files of `/proc` and `/sys` that were taken there. A file with `.later` behind its name
/// is its state after a moment; `probe/io_uring` holds `ok` or the error number that making a ring gave.
#[derive(Clone, Debug)]
pub struct Fixture {
    root: PathBuf,
}

impl Fixture {
    /// The machine recorded in a folder.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

impl Host for Fixture {
    fn read(&self, path: &str) -> io::Result<String> {
        read_text(&self.at(path))
    }

    fn read_again(&self, path: &str) -> io::Result<String> {
        let later = format!("{path}.later");
        if self.at(&later).exists() { self.read(&later) } else { self.read(path) }
    }

    fn probe_uring(&self) -> UringProbe {
        let Ok(text) = self.read("/probe/io_uring") else { return UringProbe::NotTried };
        match text.trim() {
            "ok" => UringProbe::Ok,
            number => number.parse().map_or(UringProbe::NotTried, UringProbe::Refused),
        }
    }
}
