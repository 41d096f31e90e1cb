//! A machine as a folder with its files of `/proc` and `/sys`: reads and writes stay below it.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use super::live::{names, read_text};
use super::{Root, URING, UringProbe, tool_path};
use crate::value;

/// A machine in a folder. A file with `.later` behind its name is its state after a moment.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    is_later: AtomicBool,
}

impl Folder {
    /// The machine below a folder.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), is_later: AtomicBool::new(false) }
    }

    fn at(&self, path: &str) -> io::Result<PathBuf> {
        let relative = Path::new(path.trim_start_matches('/'));
        if relative.components().any(|part| part == std::path::Component::ParentDir) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a path of a machine has no ..",
            ));
        }
        Ok(self.root.join(relative))
    }

    /// A file of this folder and of no other: a link in a copied machine may lead to the real one.
    fn own(&self, path: &str) -> io::Result<PathBuf> {
        let file = self.at(path)?.canonicalize()?;
        if file.starts_with(self.root.canonicalize()?) {
            return Ok(file);
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is a link that leads out of the folder",
        ))
    }
}

impl Root for Folder {
    fn read(&self, path: &str) -> io::Result<String> {
        let file = self.at(path)?;
        if self.is_later.load(Ordering::Relaxed) {
            let mut later = file.clone().into_os_string();
            later.push(".later");
            match read_text(Path::new(&later)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return other,
            }
        }
        read_text(&file)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = names(&self.at(path)?)?;
        names.retain(|name| !name.ends_with(".later"));
        Ok(names)
    }

    fn link(&self, path: &str) -> io::Result<String> {
        let file = self.at(path)?;
        match std::fs::read_link(&file) {
            Ok(target) => Ok(target.to_string_lossy().into_owned()),
            Err(_) => Ok(read_text(&file)?.trim().to_owned()),
        }
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let file = self.own(path)?;
        let shown = value::as_read_after(&read_text(&file)?, text).ok_or(Errno::INVAL)?;
        // A plain file would keep the end of a longer old value, which no file of the kernel does.
        let mut file = OpenOptions::new().write(true).truncate(true).open(file)?;
        file.write_all(shown.as_bytes())
    }

    fn check_writable(&self, path: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.own(path)?).map(drop)
    }

    fn rest(&self, _time: Duration) {
        self.is_later.store(true, Ordering::Relaxed);
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
