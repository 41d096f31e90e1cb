//! Whoever takes an apply back when its time is over and nobody has confirmed it.
//!
//! It is a process of its own, in a session of its own, so that it outlives the terminal and the connection it was started
//! from; where systemd runs, systemd starts it, so that it outlives the login too. It never takes anything back because some other
//! process has ended: only because the time is over.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::apply::{Back, RollBackError, roll_back};
use crate::journal::{self, JournalError, Record, Stage};
use crate::root::Root;
use crate::state::{LockError, State};

/// How long a watchdog may take to begin.
const START: Duration = Duration::from_secs(10);

/// How often it looks whether somebody has confirmed.
const LOOK: Duration = Duration::from_millis(250);

/// Milliseconds since the boot, sleep included: a clock that nobody sets.
#[must_use]
pub fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000)
        .saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000)
}

/// How a watch ended.
#[derive(Debug)]
pub enum Watched {
    /// Somebody confirmed, or took it back: nothing to do.
    Answered,
    /// Its time was over, and this came of it.
    TakenBack(Back),
}

/// Why a watchdog cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The rollback.
    #[error(transparent)]
    RollBack(#[from] RollBackError),
}

fn find(state: &State, id: &str) -> Result<Record, JournalError> {
    let path = state.journals().join(format!("{id}.jsonl"));
    journal::read(&path)?.ok_or_else(|| JournalError::Unknown(id.to_owned()))
}

/// Waits until an apply is answered or its time is over, and takes it back then.
///
/// # Errors
/// When it cannot be taken back.
pub fn watch(root: &dyn Root, state: &State, id: &str) -> Result<Watched, WatchError> {
    loop {
        let record = find(state, id)?;
        let is_answered = matches!(record.stage, Stage::Confirmed | Stage::RolledBack);
        let deadline = record.begin.deadline_ms.filter(|_| !is_answered);
        let Some(deadline) = deadline else { return Ok(Watched::Answered) };
        let left = deadline.saturating_sub(now_ms());
        if left > 0 {
            thread::sleep(LOOK.min(Duration::from_millis(left)));
            continue;
        }
        let lock = state.wait_for_lock()?;
        // Somebody may have answered while this waited for the lock.
        let record = find(state, id)?;
        if matches!(record.stage, Stage::Confirmed | Stage::RolledBack) {
            return Ok(Watched::Answered);
        }
        return Ok(Watched::TakenBack(roll_back(
            root,
            state,
            &lock,
            &record,
            "its time was over",
            false,
        )?));
    }
}

/// The process of a watchdog: leaves the session it was started in, says that it is there, and watches.
///
/// # Errors
/// As [`watch`].
pub fn process(root: &dyn Root, state: &State, id: &str) -> Result<Watched, WatchError> {
    let _ = rustix::process::setsid(); // under systemd it leads a session already
    // A terminal that closes, or a Ctrl-C meant for somebody else, does not end it.
    for signal in [signal_hook::consts::SIGHUP, signal_hook::consts::SIGINT] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))); // then it ends like any other
    }
    let sign = find(state, id)?.watchdog();
    let io = |error: io::Error| JournalError::Io { path: sign.clone(), error };
    fs::write(&sign, format!("{}\n", std::process::id())).map_err(io)?;
    let watched = watch(root, state, id);
    let _ = fs::remove_file(&sign); // it only says that somebody watches
    watched
}

/// Starts the process and waits until it says that it is there.
///
/// # Errors
/// When it does not come up; nothing must be written then.
pub fn start(state: &State, root: Option<&Path>, id: &str) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let mut arguments =
        vec!["watchdog".into(), id.into(), "--state".into(), state.folder().as_os_str().to_owned()];
    if let Some(root) = root {
        arguments.push("--root".into());
        arguments.push(std::path::absolute(root)?.into_os_string());
    }
    let by_systemd = root.is_none()
        && Path::new("/run/systemd/system").is_dir()
        && is_in_systemds_namespace()
        && Command::new("systemd-run")
            .args(["--quiet", "--collect", "--service-type=exec"])
            .arg(format!("--unit=ringline-tuning-{id}"))
            .arg(&program)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if !by_systemd {
        Command::new(&program)
            .args(&arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
    }
    let sign = state.journals().join(format!("{id}.watchdog"));
    let until = now_ms().saturating_add(u64::try_from(START.as_millis()).unwrap_or(u64::MAX));
    while !sign.exists() {
        if now_ms() >= until {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "it did not begin within ten seconds",
            ));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Whether systemd would start it where the values are: `net.*` belongs to a network namespace, and a service is in that of systemd.
fn is_in_systemds_namespace() -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    namespace("1").is_some_and(|its| Some(its) == namespace("self"))
}

/// The process that watches an apply, if it is alive.
#[must_use]
pub fn watcher(record: &Record) -> Option<u32> {
    let pid: u32 = fs::read_to_string(record.watchdog()).ok()?.trim().parse().ok()?;
    // Numbers are used again: it must be a watchdog of this journal.
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = command_line.split(|byte| *byte == 0);
    words.any(|word| word == record.id.as_bytes()).then_some(pid)
}
