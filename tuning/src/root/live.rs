//! This machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{Root, UringProbe};
use crate::limits::{FILE_BYTES_MAX, TOOL_BYTES_MAX};

/// This machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live;

/// Reads a file of text that cannot be larger than its bound, whatever is there. Bytes that are no text are replaced: a device's
/// name may hold any.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(super) fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// One write call: the kernel takes each as a whole value. Never creates a file.
pub(super) fn write_once(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let written = file.write(text.as_bytes())?;
    if written < text.len() {
        return Err(io::Error::new(
            io::ErrorKind::WriteZero,
            "the kernel took only a part of the value",
        ));
    }
    Ok(())
}

impl Root for Live {
    fn read(&self, path: &str) -> io::Result<String> {
        read_text(Path::new(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        names(Path::new(path))
    }

    fn link(&self, path: &str) -> io::Result<String> {
        Ok(fs::read_link(path)?.to_string_lossy().into_owned())
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        write_once(Path::new(path), text)
    }

    fn check_writable(&self, path: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(path).map(drop)
    }

    fn rest(&self, time: Duration) {
        thread::sleep(time);
    }

    fn probe_uring(&self) -> UringProbe {
        // Both flags and the sparse table are what the node's driver asks for (Linux 6.1 and 5.19).
        let made = io_uring::IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(8)
            .and_then(|ring: io_uring::IoUring| ring.submitter().register_files_sparse(8));
        match made {
            Ok(()) => UringProbe::Ok,
            Err(error) => UringProbe::Refused(error.raw_os_error().unwrap_or(0)),
        }
    }

    fn tool(&self, command: &[&str]) -> io::Result<String> {
        let [program, arguments @ ..] = command else { return Err(io::ErrorKind::NotFound.into()) };
        // Often not in the path of those who are not root.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let output = Command::new(program)
            .args(arguments)
            .env("PATH", path)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(said.trim().chars().take(200).collect::<String>()));
        }
        let mut text = output.stdout;
        text.truncate(TOOL_BYTES_MAX);
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn is_live(&self) -> bool {
        true
    }
}
