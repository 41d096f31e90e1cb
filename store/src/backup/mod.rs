//! Online backup, and its way back.
//!
//! Owns the layout of a backup: a directory with a copy of each database and a manifest with their checksums, which
//! appears under its name when all of it is on the disk and was checked, and not before. A backup is taken while the node
//! and the gateway run; a restore needs them stopped, and never deletes what it replaces.
//!
//! The messages are copied first, the accounts after them, each as of the moment when its copy begins: so everything that
//! was acknowledged before is there, and whoever is named in a message has an account. What came later is lost with a
//! restore, and what the store gives numbers to goes on from the backup: a `seq`, a user's or a group's number may be given
//! again. Ids of messages are not: a restored file draws where its blocks of ids begin (see [`restore()`]).

mod copy;
mod manifest;
mod place;
mod restore;

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::accounts::schema::ACCOUNTS;
use crate::database::{ACCOUNTS_FILE, MESSAGES_FILE, Schema};
use crate::error::{Error, Result};
use crate::messages::schema::MESSAGES;
pub use manifest::{BackupFile, Manifest};
pub use restore::restore;

/// How far a backup or a restore has come: told often, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The file.
    pub file: &'static str,
    /// Bytes of it that are copied.
    pub done: u64,
    /// All of its bytes.
    pub all: u64,
}

/// The files of a data directory, in the order in which they are copied.
const FILES: [(&str, Schema); 2] = [(MESSAGES_FILE, MESSAGES), (ACCOUNTS_FILE, ACCOUNTS)];

/// Copies the files of a data directory into a new directory, while others read and write them. Needs room for the WAL to
/// grow by what is written meanwhile: it cannot be moved into the database while it is read.
///
/// # Errors
/// `Refused` if there is no store in `data`, if `to` is there already, or if the copy turns out to be damaged; `Busy` if
/// the disk is full or in the way. Nothing is left of the copy then.
pub fn back_up(
    data: &Path,
    to: &Path,
    now_ms: u64,
    tell: &mut dyn FnMut(Progress),
) -> Result<Manifest> {
    if !data.join(MESSAGES_FILE).is_file() {
        return Err(Error::refused(format!("there is no {MESSAGES_FILE} in {}", data.display())));
    }
    let is_free = fs::read_dir(to).map_or_else(|_| !to.exists(), |mut all| all.next().is_none());
    if !is_free {
        return Err(Error::refused(format!("{} is there: name a new directory", to.display())));
    }
    let partial = Scratch::make(&partial_of(to)?)?;
    let mut manifest = Manifest { made_unix_ms: now_ms, files: Vec::new() };
    for (name, schema) in FILES {
        let source = data.join(name);
        if source.is_file() {
            let copy = partial.path.join(name);
            copy::copy(&source, &copy, name, tell)?;
            copy::check(&copy, schema)?;
            manifest.files.push(manifest::describe(&copy, name)?);
        }
    }
    manifest.write(&partial.path)?;
    partial.keep_as(to)?;
    Ok(manifest)
}

/// Where a backup is while it is not finished: beside its place, so that it can be renamed.
fn partial_of(to: &Path) -> Result<PathBuf> {
    let Some(name) = to.file_name() else {
        return Err(Error::refused(format!("{} is no name for a directory", to.display())));
    };
    let mut partial = name.to_owned();
    partial.push(".partial");
    Ok(to.with_file_name(partial))
}

/// A directory that goes with everything in it, unless it is kept.
#[derive(Debug)]
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn make(path: &Path) -> Result<Self> {
        DirBuilder::new().mode(0o700).create(path).map_err(|error| {
            let path = path.display();
            if error.kind() == ErrorKind::AlreadyExists {
                return Error::refused(format!(
                    "{path} is there: another one is at work, or was killed; then remove it"
                ));
            }
            Error::busy(format!("{path}: {error}"))
        })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Gives it its name, durably.
    fn keep_as(self, to: &Path) -> Result<()> {
        sync(&self.path)?;
        fs::rename(&self.path, to)?;
        sync(parent_of(to))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Renamed, if all went well; else whatever cannot be removed is named as what it is.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// Makes a file or a directory durable.
fn sync(path: &Path) -> Result<()> {
    Ok(File::open(path)?.sync_all()?)
}
