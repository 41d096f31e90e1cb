//! Mails as files of a directory: for development, and for mail systems that pick them up.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;

use crate::register::unix_ms;

/// A directory that mails are written to.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    written: Arc<AtomicU64>,
}

impl Files {
    /// Makes the directory if it is missing.
    pub(super) fn new(dir: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        Ok(Self { dir, written: Arc::default() })
    }

    /// Writes one mail: `TIME-NUMBER.eml`, whole as soon as it can be seen, and only for its owner to read.
    pub(super) async fn write(&self, mail: Vec<u8>) -> anyhow::Result<()> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", unix_ms(), std::process::id());
        let (part, whole) =
            (self.dir.join(format!("{name}.part")), self.dir.join(format!("{name}.eml")));
        tokio::task::spawn_blocking(move || write(&part, &whole, &mail))
            .await
            .context("the server is ending")?
            .context("a mail was not written to --mail-dir")
    }
}

fn write(part: &Path, whole: &Path, mail: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    file.write_all(mail)?;
    std::fs::rename(part, whole)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn each_mail_is_a_file_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path().join("made")).unwrap();
        files.write(b"one".to_vec()).await.unwrap();
        files.write(b"two".to_vec()).await.unwrap();
        let mut mails = Vec::new();
        for entry in std::fs::read_dir(dir.path().join("made")).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(path.extension().unwrap(), "eml");
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            mails.push(std::fs::read_to_string(path).unwrap());
        }
        mails.sort();
        assert_eq!(mails, ["one", "two"]);
    }
}
