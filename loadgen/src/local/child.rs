//! One server process: started from this program, ready when it says so, ended with care or without.
//!
//! Children end with the thread that started them, so they are started from the main thread only. Their logs go to files,
//! so that no pipe can fill up and stop a server.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// How long a server may take to serve: opening a store on a slow disk under load takes seconds.
const READY_MAX: Duration = Duration::from_secs(60);
/// How often a wait looks whether it was interrupted.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of a child's log that an error shows.
const TAIL_BYTES: u64 = 4_096;
/// The longest ready line: a node with a thousand shards stays far below.
const READY_BYTES_MAX: u64 = 64 * 1024;

/// What to start.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    /// The process's name, as a process list shows it.
    pub(super) name: &'static str,
    /// The role's word on the command line.
    pub(super) role: &'static str,
    /// The server's own arguments.
    pub(super) args: Vec<OsString>,
    /// Where its log goes.
    pub(super) log: PathBuf,
    /// Whether it goes on when this process ends.
    pub(super) outlive: bool,
}

/// A running server.
#[derive(Debug)]
pub(super) struct Child {
    name: &'static str,
    spec: Spec,
    process: std::process::Child,
    log: PathBuf,
    ended: bool,
}

impl Child {
    /// Starts a server and waits until it serves. Gives what it said when it was ready.
    ///
    /// # Errors
    /// When it ends or stays silent instead, with the end of its log; or when `stop` is set meanwhile.
    pub(super) fn start(
        spec: Spec,
        stop: &AtomicBool,
    ) -> anyhow::Result<(Self, serde_json::Value)> {
        // Appended to: what a killed server said is still there after its next start.
        let log = File::options().create(true).append(true).open(&spec.log);
        let log = log.with_context(|| format!("{}", spec.log.display()))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(spec.name).arg("role");
        if !spec.outlive {
            command.arg("--parent").arg(std::process::id().to_string());
        }
        // A group of its own: Ctrl-C is for the generator, which then ends the servers in their order.
        command.arg(spec.role).arg("--").args(&spec.args).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut process = command.spawn().with_context(|| format!("starting {}", spec.name))?;
        let said =
            process.stdout.take().map(first_line).context("the child has no standard output")?;
        let (name, log) = (spec.name, spec.log.clone());
        let mut child = Self { name, spec, process, log, ended: false };
        let line = child.await_line(&said, stop)?;
        let ready = serde_json::from_str(&line);
        let ready = ready.with_context(|| {
            format!("{} said `{}` instead of that it is ready", child.name, line.trim())
        })?;
        Ok((child, ready))
    }

    fn await_line(&mut self, said: &Receiver<String>, stop: &AtomicBool) -> anyhow::Result<String> {
        let end = Instant::now() + READY_MAX;
        loop {
            match said.recv_timeout(LOOK) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.end_now()?;
                    bail!("{} ended before it was ready ({status}). {}", self.name, self.tail());
                }
                Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => {
                    bail!("interrupted")
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() > end => {
                    bail!("{} was not ready within {READY_MAX:?}. {}", self.name, self.tail());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Its process id.
    #[must_use]
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its name in the process list.
    #[must_use]
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// What a next start says for an option that is on the command line.
    pub(super) fn settle(&mut self, option: &str, value: &str) {
        let at = self.spec.args.iter().position(|arg| arg == option);
        if let Some(said) = at.and_then(|at| self.spec.args.get_mut(at + 1)) {
            *said = value.into();
        }
    }

    /// Starts it again after [`Self::kill`], and waits until it serves.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(super) fn restart(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let (again, _) = Self::start(self.spec.clone(), stop)?;
        *self = again;
        Ok(())
    }

    /// Ends it at once, as a crash would.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.end_now().map(drop).with_context(|| format!("killing {}", self.name))
    }

    /// Stops it where it stands (SIGSTOP), or has it go on (SIGCONT).
    ///
    /// # Errors
    /// It has ended by itself.
    pub(super) fn freeze(&mut self, is_frozen: bool) -> anyhow::Result<()> {
        if let Some(status) = self.process.try_wait()? {
            self.ended = true;
            bail!("{} ended by itself ({status}). {}", self.name, self.tail());
        }
        signal_freeze(self.pid(), is_frozen).with_context(|| format!("freezing {}", self.name))
    }

    /// Asks it to end and waits for that. A clean end is status 0 within `within`.
    ///
    /// # Errors
    /// When it ends otherwise, with the end of its log; after `within` it is killed.
    pub(super) fn stop(&mut self, within: Duration) -> anyhow::Result<()> {
        let pid = self.pid_handle()?;
        if let Some(status) = self.process.try_wait()? {
            self.ended = true;
            bail!("{} ended by itself ({status}). {}", self.name, self.tail());
        }
        let handle = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("ending {}", self.name))?;
        let timeout = Timespec { tv_sec: within.as_secs() as i64, tv_nsec: 0 };
        let mut ended = [PollFd::new(&handle, PollFlags::IN)];
        let ready = rustix::io::retry_on_intr(|| poll(&mut ended, Some(&timeout)))?;
        if ready == 0 {
            self.end_now()?;
            bail!(
                "{} did not end within {within:?} of SIGTERM and was killed. {}",
                self.name,
                self.tail()
            );
        }
        let status = self.process.wait()?;
        self.ended = true;
        if !status.success() {
            bail!("{} did not end cleanly ({status}). {}", self.name, self.tail());
        }
        Ok(())
    }

    /// Lets it go on after this process.
    pub(super) const fn release(&mut self) {
        self.ended = true;
    }

    fn end_now(&mut self) -> std::io::Result<ExitStatus> {
        let _ = self.process.kill(); // It may have ended meanwhile.
        self.ended = true;
        self.process.wait()
    }

    fn pid_handle(&self) -> anyhow::Result<Pid> {
        Pid::from_raw(self.process.id() as i32).context("a process id is above zero")
    }

    /// The end of its log, in words.
    fn tail(&self) -> String {
        match tail_of(&self.log) {
            Ok(tail) if tail.is_empty() => format!("Its log {} is empty.", self.log.display()),
            Ok(tail) => format!("Its log ends:\n{tail}"),
            Err(error) => format!("Its log {} cannot be read: {error}", self.log.display()),
        }
    }
}

/// Sends SIGSTOP or SIGCONT.
///
/// # Errors
/// There is no such process.
pub(super) fn signal_freeze(pid: u32, is_frozen: bool) -> anyhow::Result<()> {
    let pid = Pid::from_raw(pid.cast_signed()).context("a process id is above zero")?;
    Ok(kill_process(pid, if is_frozen { Signal::STOP } else { Signal::CONT })?)
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.end_now(); // Nothing more can be done about a process that cannot be killed.
        }
    }
}

/// Reads the first line on a thread of its own; afterwards it only empties the pipe.
fn first_line(stdout: std::process::ChildStdout) -> Receiver<String> {
    let (say, said) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        let read = reader.by_ref().take(READY_BYTES_MAX).read_line(&mut line);
        if read.is_ok_and(|bytes| bytes > 0) {
            let _ = say.send(line); // The waiter has given up.
        }
        drop(say);
        let _ = std::io::copy(&mut reader, &mut std::io::sink()); // The child has ended.
    });
    said
}

fn tail_of(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_shown_from_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        std::fs::write(&log, format!("{}the end\n", "x".repeat(10_000))).unwrap();
        let tail = tail_of(&log).unwrap();
        assert!(tail.ends_with("xthe end") && tail.len() < 4_097, "{} bytes", tail.len());
        assert!(tail_of(&directory.path().join("none")).is_err());
    }
}
