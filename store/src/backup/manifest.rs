//! The manifest: what a backup has, with checksums, as lines of text that end with a checksum of their own.
//!
//! ```text
//! ringline-backup 1
//! made 1800000000000
//! file messages.sqlite 4096 <64 hexadecimal digits>
//! file accounts.sqlite 4096 <64 hexadecimal digits>
//! end <64 hexadecimal digits of all lines before>
//! ```
//!
//! It tells a whole backup from a damaged one. It is no proof against somebody who may write there: they can write another
//! manifest too.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::limits;

/// The manifest's name in a backup.
pub(super) const MANIFEST_FILE: &str = "manifest";

const TITLE: &str = "ringline-backup 1";

/// What a backup has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// When it was begun, in milliseconds since 1970.
    pub made_unix_ms: u64,
    /// Its files.
    pub files: Vec<BackupFile>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, as hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Writes it into a directory, durably.
    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(directory.join(MANIFEST_FILE))?;
        file.write_all(self.text().as_bytes())?;
        Ok(file.sync_all()?)
    }

    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// `Busy` if it cannot be read, `Refused` if it is not whole.
    pub fn read(backup: &Path) -> Result<Self> {
        let path = backup.join(MANIFEST_FILE);
        let bytes = path.metadata().map_or(0, |file| file.len());
        if bytes == 0 || bytes > limits::MANIFEST_BYTES_MAX {
            return Err(Error::refused(format!("{} is no backup", backup.display())));
        }
        let text = fs::read(&path)?;
        std::str::from_utf8(&text).ok().and_then(Self::parse).ok_or_else(|| {
            Error::refused(format!("{} is damaged: use another backup", path.display()))
        })
    }

    fn text(&self) -> String {
        let mut text = format!("{TITLE}\nmade {}\n", self.made_unix_ms);
        for BackupFile { name, bytes, sha256 } in &self.files {
            let _ = writeln!(text, "file {name} {bytes} {sha256}"); // a string takes everything
        }
        let end = hex(&Sha256::digest(&text));
        let _ = writeln!(text, "end {end}"); // likewise
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let made = lines.by_ref().nth(1)?.strip_prefix("made ")?;
        let mut manifest = Self { made_unix_ms: made.parse().ok()?, files: Vec::new() };
        for line in lines {
            let Some(line) = line.strip_prefix("file ") else { break };
            let mut words = line.split(' ').map(str::to_owned);
            let (name, bytes, sha256) = (words.next()?, words.next()?, words.next()?);
            manifest.files.push(BackupFile { name, bytes: bytes.parse().ok()?, sha256 });
        }
        // Written again it is the same to the byte, its last line included, or it is not whole.
        (manifest.text() == text).then_some(manifest)
    }
}

/// Size and checksum of a file.
pub(super) fn describe(path: &Path, name: &str) -> Result<BackupFile> {
    let mut bytes = 0;
    let sha256 = digest(&mut File::open(path)?, |chunk| {
        bytes += chunk.len() as u64;
        Ok(())
    })?;
    Ok(BackupFile { name: name.to_owned(), bytes, sha256 })
}

/// Reads to the end, hands on what comes, and gives its checksum.
pub(super) fn digest(
    from: &mut dyn Read,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<String> {
    let mut sum = Sha256::new();
    let mut buffer = vec![0; limits::COPY_BYTES];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex(&sum.finalize()));
        }
        sum.update(&buffer[..count]);
        each(&buffer[..count])?;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a string takes everything
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_a_byte_and_any_cut_is_seen() {
        let file = |name: &str| BackupFile {
            name: name.into(),
            bytes: 4096,
            sha256: hex(&Sha256::digest(name)),
        };
        let manifest = Manifest { made_unix_ms: 17, files: vec![file("a"), file("b")] };
        let text = manifest.text();
        assert_eq!(Manifest::parse(&text), Some(manifest));
        for at in 0..text.len() {
            assert_eq!(Manifest::parse(&text[..at]), None);
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            assert_eq!(Manifest::parse(std::str::from_utf8(&changed).unwrap()), None);
        }
    }
}
