//! A machine in one text file: what `tuning record` wrote, or what a test wrote by hand.
//!
//! A line `@ /path` begins a file, and what follows up to the next such line is its text. `@ /path !EACCES` is a file that
//! cannot be read, `@ /path >` one whose text is of a moment later, `@write /path !EROFS` says that nothing below that path can be
//! written. Lines before the first of these are about the machine.
//!
//! Writes stay in memory. They do what the kernel would: a choice is written as its word and read with all words, and a list of
//! numbers is read with tabs between them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use super::live::{Live, read_text};
use super::{Root, URING, UringProbe, tool_path};
use crate::limits::RECORDED_BYTES_MAX;
use crate::value;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Text(String),
    Refused(Errno),
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Entry>,
    later: BTreeMap<String, Entry>,
    is_later: bool,
}

/// A recorded machine.
#[derive(Debug, Default)]
pub struct Recording {
    state: Mutex<State>,
    unwritable: Vec<(String, Errno)>,
}

fn errno(name: &str) -> Option<Errno> {
    Some(match name {
        "EACCES" => Errno::ACCESS,
        "EPERM" => Errno::PERM,
        "EROFS" => Errno::ROFS,
        "EINVAL" => Errno::INVAL,
        "EIO" => Errno::IO,
        _ => return None,
    })
}

fn errno_name(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::ACCESS) => "EACCES",
        Some(Errno::PERM) => "EPERM",
        Some(Errno::INVAL) => "EINVAL",
        _ => "EIO",
    }
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// When it is none, with the line.
    pub fn load(path: &Path) -> io::Result<Self> {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        Self::parse(&read_text(path)?).map_err(wrong)
    }

    /// Reads a recording's text.
    ///
    /// # Errors
    /// With the line that is in no known form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut recording = Self::default();
        let state = recording.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut into: Option<(bool, String)> = None;
        for (index, line) in text.lines().enumerate() {
            let wrong = || format!("line {}: {line:?} is not what a recording has", index + 1);
            let error = |text: &str| text.strip_prefix('!').and_then(errno).ok_or_else(wrong);
            if let Some(rest) = line.strip_prefix("@write ") {
                let (path, why) = rest.split_once(' ').ok_or_else(wrong)?;
                recording.unwritable.push((path.to_owned(), error(why)?));
                into = None;
            } else if let Some(rest) = line.strip_prefix("@ ") {
                let (path, more) = rest.split_once(' ').unwrap_or((rest, ""));
                let (is_later, entry) = match more {
                    "" => (false, Entry::Text(String::new())),
                    ">" => (true, Entry::Text(String::new())),
                    refused => (false, Entry::Refused(error(refused)?)),
                };
                let files = if is_later { &mut state.later } else { &mut state.files };
                if !path.starts_with('/') || files.insert(path.to_owned(), entry).is_some() {
                    return Err(wrong());
                }
                into = Some((is_later, path.to_owned()));
            } else if let Some((is_later, path)) = &into {
                let files = if *is_later { &mut state.later } else { &mut state.files };
                if let Some(Entry::Text(text)) = files.get_mut(path) {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        if state.files.is_empty() {
            return Err("there is no `@ /path` in it: not a recording".to_owned());
        }
        Ok(recording)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every file that can be read, as it is now: two machines are the same if these are.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, String> {
        let text = |(path, entry): (&String, &Entry)| match entry {
            Entry::Text(text) => Some((path.clone(), text.clone())),
            Entry::Refused(_) => None,
        };
        self.state().files.iter().filter_map(text).collect()
    }

    /// Sets a file, as somebody else on the machine would.
    pub fn set(&self, path: &str, text: &str) {
        self.state().files.insert(path.to_owned(), Entry::Text(text.to_owned()));
    }

    /// Takes a file away.
    pub fn remove(&self, path: &str) {
        self.state().files.remove(path);
    }

    /// Writes the machine's files below a folder, for `--root`. What a recording says of errors has no place there.
    ///
    /// # Errors
    /// As the file system says.
    pub fn unpack(&self, folder: &Path) -> io::Result<()> {
        let state = self.state();
        let later = state.later.iter().map(|(path, entry)| (format!("{path}.later"), entry));
        let files = state.files.iter().map(|(path, entry)| (path.clone(), entry));
        for (path, entry) in files.chain(later) {
            let Entry::Text(text) = entry else { continue };
            let file = folder.join(path.trim_start_matches('/'));
            if path.split('/').any(|part| part == "..") {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{path}: leads out of the folder"),
                ));
            }
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(file, text)?;
        }
        Ok(())
    }
}

impl Root for Recording {
    fn read(&self, path: &str) -> io::Result<String> {
        let state = self.state();
        let later = state.is_later.then(|| state.later.get(path)).flatten();
        match later.or_else(|| state.files.get(path)) {
            Some(Entry::Text(text)) => Ok(text.clone()),
            Some(Entry::Refused(errno)) => Err((*errno).into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let below = format!("{}/", path.trim_end_matches('/'));
        let state = self.state();
        let mut names: Vec<String> = state
            .files
            .range(below.clone()..)
            .map_while(|(path, _)| path.strip_prefix(&below))
            .map(|rest| rest.split('/').next().unwrap_or(rest).to_owned())
            .collect();
        names.dedup();
        if names.is_empty() { Err(Errno::NOENT.into()) } else { Ok(names) }
    }

    fn link(&self, path: &str) -> io::Result<String> {
        self.read(path).map(|text| text.trim().to_owned())
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        self.check_writable(path)?;
        let mut state = self.state();
        let Some(Entry::Text(old)) = state.files.get_mut(path) else {
            return Err(Errno::NOENT.into());
        };
        *old = value::as_read_after(old, text).ok_or(Errno::INVAL)?;
        Ok(())
    }

    fn check_writable(&self, path: &str) -> io::Result<()> {
        for (below, errno) in &self.unwritable {
            if path.starts_with(below.as_str()) {
                return Err((*errno).into());
            }
        }
        match self.state().files.get(path) {
            Some(Entry::Text(_)) => Ok(()),
            Some(Entry::Refused(errno)) => Err((*errno).into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn rest(&self, _time: Duration) {
        self.state().is_later = true;
    }

    fn probe_uring(&self) -> UringProbe {
        self.read(URING).map_or(UringProbe::NotTried, |text| UringProbe::parse(&text))
    }

    fn tool(&self, command: &[&str]) -> io::Result<String> {
        self.read(&tool_path(command))
    }

    fn is_live(&self) -> bool {
        false
    }
}

/// Passes reads on to this machine and keeps what they gave.
#[derive(Debug, Default)]
struct Recorder {
    taken: Mutex<BTreeMap<String, Entry>>,
    later: Mutex<BTreeMap<String, Entry>>,
    is_later: Mutex<bool>,
}

impl Recorder {
    fn keep(&self, path: &str, read: io::Result<String>) -> io::Result<String> {
        let entry = match &read {
            Ok(text) if text.len() <= RECORDED_BYTES_MAX => Entry::Text(text.clone()),
            Ok(_) => return read, // a table that has grown: a recording is for reading
            Err(error) if error.kind() == io::ErrorKind::NotFound => return read,
            Err(error) => Entry::Refused(errno(errno_name(error)).unwrap_or(Errno::IO)),
        };
        let is_later = *self.is_later.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get(path) {
            Some(first) if is_later && *first != entry => {
                drop(taken);
                self.later
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(path.to_owned(), entry);
            }
            Some(_) => {}
            None => {
                taken.insert(path.to_owned(), entry);
            }
        }
        read
    }
}

impl Root for Recorder {
    fn read(&self, path: &str) -> io::Result<String> {
        self.keep(path, Live.read(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        Live.list(path)
    }

    fn link(&self, path: &str) -> io::Result<String> {
        self.keep(path, Live.link(path))
    }

    fn write(&self, _path: &str, _text: &str) -> io::Result<()> {
        Err(Errno::ROFS.into())
    }

    fn check_writable(&self, _path: &str) -> io::Result<()> {
        Err(Errno::ROFS.into())
    }

    fn rest(&self, time: Duration) {
        Live.rest(time);
        *self.is_later.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    fn probe_uring(&self) -> UringProbe {
        let probe = Live.probe_uring();
        if let Some(text) = probe.recorded() {
            drop(self.keep(URING, Ok(text))); // what was kept is all that matters
        }
        probe
    }

    fn tool(&self, command: &[&str]) -> io::Result<String> {
        self.keep(&tool_path(command), Live.tool(command))
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// Records this machine: whatever `look` reads of it.
pub fn record(about: &str, look: impl FnOnce(&dyn Root)) -> String {
    let recorder = Recorder::default();
    look(&recorder);
    let mut out = format!("{}\n", about.trim_end());
    let taken = recorder.taken.into_inner().unwrap_or_else(PoisonError::into_inner);
    let later = recorder.later.into_inner().unwrap_or_else(PoisonError::into_inner);
    let first = taken.iter().map(|(path, entry)| (path, entry, ""));
    for (path, entry, mark) in first.chain(later.iter().map(|(path, entry)| (path, entry, " >"))) {
        // A String takes all.
        let _ = match entry {
            // A line that looked like a mark would end its file; none in /proc and /sys does.
            Entry::Text(text) => writeln!(
                out,
                "@ {path}{mark}\n{}",
                text.replace("\n@", "\n @").trim_end_matches('\n')
            ),
            Entry::Refused(errno) => writeln!(out, "@ {path} !{}", errno_name(&(*errno).into())),
        };
    }
    out
}
