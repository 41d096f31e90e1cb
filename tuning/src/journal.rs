//! What was changed, written down before it is: one line of JSON for each event, each on disk before the next thing happens.
//!
//! A journal may end anywhere, since a machine may. A last line that is cut off is as if it were not there: nothing was done on
//! its account. A line that is damaged in the middle is an error, since nobody knows what it said.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::finding::{Change, Plan};
use crate::root::Root;
use crate::state::{State, now_text};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The journal's head.
    Begin(Begin),
    /// A value is about to be written.
    Writing(Change),
    /// It was written, and this is what is read there now.
    Wrote {
        /// The file.
        path: String,
        /// The text that was read back.
        became: String,
    },
    /// It could not be written, or the kernel did not take it.
    Refused {
        /// The file.
        path: String,
        /// Why.
        error: String,
    },
    /// All was written.
    Applied,
    /// Somebody wants to keep it.
    Confirmed,
    /// A value is back.
    Restored {
        /// The file.
        path: String,
    },
    /// A value was left as it is: somebody else has changed it.
    Left {
        /// The file.
        path: String,
        /// What is there.
        found: String,
    },
    /// It is over: nothing here is to be taken back any more.
    RolledBack {
        /// Who asked for it.
        why: String,
    },
}

/// The head of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The form of what follows.
    pub schema: u32,
    /// When.
    pub time: String,
    /// Which run of the machine: values do not outlive it.
    pub boot: String,
    /// Which network namespace.
    pub namespace: String,
    /// The plan that wanted it.
    pub plan: Plan,
    /// When it is taken back unless confirmed, in milliseconds since the boot.
    pub deadline_ms: Option<u64>,
}

/// The form of journals.
const SCHEMA: u32 = 1;

impl Begin {
    /// The head of a journal that begins now.
    #[must_use]
    pub fn now(root: &dyn Root, plan: &Plan, deadline_ms: Option<u64>) -> Self {
        Self {
            schema: SCHEMA,
            time: now_text(),
            boot: boot(root),
            namespace: namespace(root),
            plan: *plan,
            deadline_ms,
        }
    }
}

/// The number of this run of the machine; empty if it does not say.
#[must_use]
pub fn boot(root: &dyn Root) -> String {
    root.read("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The network namespace that this process is in; empty if it does not say.
#[must_use]
pub fn namespace(root: &dyn Root) -> String {
    root.link("/proc/self/ns/net").unwrap_or_default()
}

/// One write, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The write.
    pub change: Change,
    /// What was read back after it; `None` if it was cut off there.
    pub became: Option<String>,
    /// Whether it is over: refused, restored, or left to somebody else.
    pub is_over: bool,
}

/// How far an apply has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Cut off in the middle.
    Interrupted,
    /// In force.
    Applied,
    /// In force until its time is over.
    Pending,
    /// In force, and to be kept.
    Confirmed,
    /// Taken back.
    RolledBack,
}

impl Stage {
    /// In words.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Interrupted => "interrupted",
            Self::Applied => "applied",
            Self::Pending => "waits for confirm",
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled back",
        }
    }

    /// Whether values of it may still be in force.
    #[must_use]
    pub const fn is_active(self) -> bool {
        !matches!(self, Self::RolledBack)
    }
}

/// A journal that was read.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Its name.
    pub id: String,
    /// Its head.
    pub begin: Begin,
    /// Its writes.
    pub steps: Vec<Step>,
    /// How far it has come.
    pub stage: Stage,
    /// Whether its last line is cut off.
    pub is_torn: bool,
    #[serde(skip)]
    path: PathBuf,
    #[serde(skip)]
    good_bytes: u64,
}

impl Record {
    /// The writes that may be in force.
    pub fn open_steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.steps.iter().filter(|step| !step.is_over)
    }

    /// Opens the journal to go on with it.
    ///
    /// # Errors
    /// As the file system says.
    pub fn reopen(&self) -> io::Result<Journal> {
        let file = OpenOptions::new().append(true).open(&self.path)?;
        // What is cut off would make one damaged line with what comes next.
        if self.is_torn {
            file.set_len(self.good_bytes)?;
        }
        Ok(Journal { id: self.id.clone(), path: self.path.clone(), file })
    }

    /// The file in which a watchdog says that it watches.
    #[must_use]
    pub fn watchdog(&self) -> PathBuf {
        self.path.with_extension("watchdog")
    }
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system says so.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is there is no journal.
    #[error(
        "{path}: line {line} is damaged; look at it, and put the old values back by hand: each line has them as `from`"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line.
        line: usize,
    },
    /// There is none of that name.
    #[error("there is no journal {0:?}; tuning status lists them")]
    Unknown(String),
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    /// Its name.
    pub id: String,
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Makes a journal with its head.
    ///
    /// # Errors
    /// As the file system says.
    pub fn create(state: &State, begin: Begin) -> io::Result<Self> {
        state.make()?;
        let time = begin.time.replace([':', '-'], "");
        // Several may begin in one second.
        for number in 0_u32.. {
            let id = if number == 0 { time.clone() } else { format!("{time}-{number}") };
            let path = state.journals().join(format!("{id}.jsonl"));
            let file = match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            let mut journal = Self { id, path, file };
            journal.append(&Event::Begin(begin))?;
            // The name must be on disk too.
            File::open(state.journals())?.sync_all()?;
            return Ok(journal);
        }
        Err(io::Error::other("no name is free for a journal"))
    }

    /// Writes an event; it is on disk when this returns.
    ///
    /// # Errors
    /// As the file system says.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let good = self.file.metadata()?.len();
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Half a line would damage the next; where even this fails, the half is the last.
            let _ = self.file.set_len(good);
        }
        written
    }

    /// Reads what was written so far.
    ///
    /// # Errors
    /// As for [`read`].
    pub fn record(&self) -> Result<Option<Record>, JournalError> {
        read(&self.path)
    }
}

/// Reads a journal; `None` if it was cut off before its head, so that nothing was done.
///
/// # Errors
/// When it cannot be read, or is damaged before its last line.
pub fn read(path: &Path) -> Result<Option<Record>, JournalError> {
    let bytes =
        fs::read(path).map_err(|error| JournalError::Io { path: path.to_owned(), error })?;
    let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut record: Option<Record> = None;
    let mut good_bytes = 0;
    let mut is_torn = false;
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let event =
            if line.ends_with(b"\n") { serde_json::from_slice::<Event>(line).ok() } else { None };
        let Some(event) = event else {
            if lines.peek().is_none() {
                is_torn = true;
                break;
            }
            return Err(JournalError::Damaged { path: path.to_owned(), line: index + 1 });
        };
        good_bytes += line.len() as u64;
        match (&mut record, event) {
            (None, Event::Begin(begin)) if begin.schema == SCHEMA => {
                record = Some(Record {
                    id: id.clone(),
                    begin,
                    steps: Vec::new(),
                    stage: Stage::Interrupted,
                    is_torn: false,
                    path: path.to_owned(),
                    good_bytes: 0,
                });
            }
            (Some(record), event) => take(record, event),
            (None, _) => {
                return Err(JournalError::Damaged { path: path.to_owned(), line: index + 1 });
            }
        }
    }
    Ok(record.map(|record| Record { is_torn, good_bytes, ..record }))
}

fn take(record: &mut Record, event: Event) {
    let step = |record: &mut Record, path: &str, change: &dyn Fn(&mut Step)| {
        if let Some(step) = record.steps.iter_mut().rev().find(|step| step.change.path == path) {
            change(step);
        }
    };
    match event {
        Event::Begin(_) => {}
        Event::Writing(change) => record.steps.push(Step { change, became: None, is_over: false }),
        Event::Wrote { path, became } => {
            step(record, &path, &|step| step.became = Some(became.clone()))
        }
        Event::Refused { path, .. } | Event::Restored { path } | Event::Left { path, .. } => {
            step(record, &path, &|step| step.is_over = true);
        }
        Event::Applied => {
            let waits = record.begin.deadline_ms.is_some();
            record.stage = if waits { Stage::Pending } else { Stage::Applied };
        }
        Event::Confirmed => record.stage = Stage::Confirmed,
        Event::RolledBack { .. } => record.stage = Stage::RolledBack,
    }
}

/// All journals, the oldest first. Those that cannot be read are told apart.
///
/// # Errors
/// When the folder cannot be read; that there is none is no error.
pub fn all(state: &State) -> io::Result<(Vec<Record>, Vec<JournalError>)> {
    let mut paths = Vec::new();
    match fs::read_dir(state.journals()) {
        Ok(entries) => {
            for entry in entries {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "jsonl") {
                    paths.push(path);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let number = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (time, number) = name.split_once('-').unwrap_or((&name, "0"));
        (time.to_owned(), number.parse::<u32>().unwrap_or(0))
    };
    paths.sort_by_key(number);
    let (mut records, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        match read(&path) {
            Ok(Some(record)) => records.push(record),
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    Ok((records, errors))
}
