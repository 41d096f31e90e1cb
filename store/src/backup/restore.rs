//! From a backup to a data directory.
//!
//! Everything is checked and made ready in a directory within the new place, so that what happens there at the end are
//! renames. A restore that is cut off between those is begun again with `--force`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::manifest::{BackupFile, Manifest, digest};
use super::{FILES, Progress, Scratch, copy, place, sync};
use crate::accounts::schema::ACCOUNTS;
use crate::database::{ACCOUNTS_FILE, Link, MESSAGES_FILE, Options};
use crate::error::{Error, Result};
use crate::messages::{draw_id_start, schema::MESSAGES};

/// Restores a backup into a data directory, which is made if it is missing. Gives the directory into which the files that
/// were there have been put, if there were any.
///
/// The messages' file draws where its blocks of message ids begin: from a range that no start leases from unless it was
/// restored, so that nothing is given again that the time after the backup, now lost, had given. There are 2^60 beginnings,
/// and two restores of one backup have different ones.
///
/// # Errors
/// `Refused` if the backup is not whole, if the directory has something in it and `is_forced` is not set, or if a process
/// has it open; `Busy` if the disk is full or in the way. Then the directory is as it was.
pub fn restore(
    from: &Path,
    data: &Path,
    is_forced: bool,
    now_ms: u64,
    tell: &mut dyn FnMut(Progress),
) -> Result<Option<PathBuf>> {
    let manifest = Manifest::read(from)?;
    let files = expected(&manifest)?;
    place::ensure_empty(data, is_forced)?;
    let is_new = !data.exists();
    fs::create_dir_all(data)?;
    let done = place_files(from, data, &files, now_ms, tell);
    if done.is_err() && is_new {
        // It was made here, and has nothing in it.
        let _ = fs::remove_dir(data);
    }
    done
}

/// The files of a manifest, which are those that there should be.
fn expected(manifest: &Manifest) -> Result<Vec<(&'static str, &BackupFile)>> {
    let named =
        |file: &'_ BackupFile| FILES.iter().map(|(name, _)| *name).find(|name| *name == file.name);
    let files: Option<Vec<_>> =
        manifest.files.iter().map(|file| named(file).map(|name| (name, file))).collect();
    let is_whole = |files: &Vec<(&str, _)>| files.iter().any(|(name, _)| *name == MESSAGES_FILE);
    files.filter(is_whole).ok_or_else(|| {
        Error::refused("the backup is of another kind: use the program that has made it")
    })
}

fn place_files(
    from: &Path,
    data: &Path,
    files: &[(&'static str, &BackupFile)],
    now_ms: u64,
    tell: &mut dyn FnMut(Progress),
) -> Result<Option<PathBuf>> {
    let held = place::hold(data)?;
    let stage = Scratch::make(&data.join("restore.partial"))?;
    for (name, file) in files {
        fetch(from, &stage.path, name, file, tell)?;
    }
    make_ready(&stage.path, files)?;
    let aside = place::put_aside(data, now_ms)?;
    for (name, _) in files {
        fs::rename(stage.path.join(name), data.join(name))?;
    }
    drop((stage, held));
    sync(data)?;
    Ok(aside)
}

/// Copies one file and makes sure that it is what was backed up.
fn fetch(
    from: &Path,
    stage: &Path,
    name: &'static str,
    file: &BackupFile,
    tell: &mut dyn FnMut(Progress),
) -> Result<()> {
    let path = from.join(name);
    let damaged = || Error::refused(format!("{} is damaged: use another backup", path.display()));
    let mut source = File::open(&path).map_err(|_| damaged())?;
    if source.metadata()?.len() != file.bytes {
        return Err(damaged());
    }
    let mut target =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(stage.join(name))?;
    let mut done = 0;
    let sum = digest(&mut source, |chunk| {
        target.write_all(chunk)?;
        done += chunk.len() as u64;
        tell(Progress { file: name, done, all: file.bytes });
        Ok(())
    })?;
    if sum != file.sha256 {
        return Err(damaged());
    }
    Ok(target.sync_all()?)
}

/// Opens each file once as the node would: it is migrated if it is older, and begins new message ids.
fn make_ready(stage: &Path, files: &[(&str, &BackupFile)]) -> Result<()> {
    let (block, start) = draw_id_start();
    let mut messages = Link::write(&Options::messages(stage), MESSAGES)?;
    messages.run(|sql| {
        let transaction = sql.transaction()?;
        let mut set = transaction.prepare("UPDATE counters SET value = ?2 WHERE name = ?1")?;
        set.execute(("id_blocks", block))?;
        set.execute(("id_start", start))?;
        drop(set);
        transaction.commit()
    })?;
    if files.iter().any(|(name, _)| *name == ACCOUNTS_FILE) {
        drop(Link::write(&Options::accounts(stage), ACCOUNTS)?);
    }
    // The last connection moves the WAL into the file and removes it.
    drop(messages);
    for (name, schema) in FILES {
        let path = stage.join(name);
        if path.exists() {
            copy::check(&path, schema)?;
            sync(&path)?;
        }
    }
    Ok(())
}
