//! Where the tool keeps what it did: journals, the lock, measurements.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};

/// The folder, if no other is named.
const FOLDER: &str = "/var/lib/ringline-tuning";

/// The folder for journals, the lock and measurements.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another `tuning` has it.
    #[error("another tuning is at work{0}: wait until it has ended")]
    Busy(String),
    /// The file system refuses.
    #[error("{path}: {error}; run as root, or name a folder of your own with --state")]
    Io {
        /// What could not be made or opened.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Held while values are changed; let go when dropped, and by the kernel when the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that is between fork and exec has the file too.
        let _ = flock(&self.file, FlockOperation::Unlock); // closing does it then
    }
}

impl State {
    /// The folder that was named, or the one that belongs to the machine: `/var/lib/ringline-tuning`, below `--root` if there is
    /// one. An absolute path, since a watchdog goes on elsewhere.
    ///
    /// # Errors
    /// When there is no current directory.
    pub fn new(named: Option<&Path>, root: Option<&Path>) -> io::Result<Self> {
        let folder = match (named, root) {
            (Some(named), _) => named.to_owned(),
            (None, Some(root)) => root.join(FOLDER.trim_start_matches('/')),
            (None, None) => PathBuf::from(FOLDER),
        };
        Ok(Self { folder: std::path::absolute(folder)? })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where journals are.
    #[must_use]
    pub fn journals(&self) -> PathBuf {
        self.folder.join("journals")
    }

    /// Where measurements are.
    #[must_use]
    pub fn measured(&self) -> PathBuf {
        self.folder.join("measured")
    }

    /// Makes the folders.
    ///
    /// # Errors
    /// As the file system says.
    pub fn make(&self) -> io::Result<()> {
        fs::create_dir_all(self.journals())?;
        fs::create_dir_all(self.measured())
    }

    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// When another process has it, or the folder cannot be written.
    pub fn lock(&self) -> Result<Lock, LockError> {
        self.take_lock(FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes the lock, waiting for whoever has it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn wait_for_lock(&self) -> Result<Lock, LockError> {
        self.take_lock(FlockOperation::LockExclusive)
    }

    fn take_lock(&self, how: FlockOperation) -> Result<Lock, LockError> {
        let path = self.folder.join("lock");
        let failed = |error: io::Error| LockError::Io { path: path.clone(), error };
        self.make().map_err(failed)?;
        // Not truncated before it is ours: it has the number of the process that holds it.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        loop {
            match flock(&file, how) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let mut holder = String::new();
                    let _ = (&mut file).take(32).read_to_string(&mut holder); // only for the message
                    let holder = holder.trim();
                    let holder = if holder.is_empty() {
                        String::new()
                    } else {
                        format!(" (process {holder})")
                    };
                    return Err(LockError::Busy(holder));
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
        // Only for others' messages.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock { file })
    }
}

/// Now, as `2026-11-22T17:45:00Z`.
#[must_use]
pub fn now_text() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    time_text(seconds)
}

fn time_text(seconds: u64) -> String {
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{:02}Z", days + 1, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time_text(0), "1970-01-01T00:00:00Z");
        assert_eq!(time_text(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(time_text(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(time_text(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(time_text(1_795_369_500), "2026-11-22T17:45:00Z");
    }

    #[test]
    fn only_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::new(Some(folder.path()), None).unwrap();
        let lock = state.lock().unwrap();
        let busy = state.lock().unwrap_err();
        assert!(
            matches!(&busy, LockError::Busy(holder) if holder.contains(&std::process::id().to_string())),
            "{busy}"
        );
        drop(lock);
        drop(state.lock().unwrap());
    }
}
