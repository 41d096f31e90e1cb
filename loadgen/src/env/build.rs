//! Which program ran: its version, its hash, and the checkout that it lies in.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::Environment;

pub(super) fn read(environment: &mut Environment) {
    environment.set("build.version", env!("CARGO_PKG_VERSION"));
    environment.set("build.profile", if cfg!(debug_assertions) { "debug" } else { "release" });
    environment.record("build.sha256", hash_of_self());
    match checkout() {
        Ok(directory) => {
            environment.record("build.git_rev", git(&directory, &["rev-parse", "HEAD"]));
            let status = git(&directory, &["status", "--porcelain", "--untracked-files=no"]);
            environment.record("build.git_dirty", status.map(|changes| !changes.is_empty()));
        }
        Err(why) => {
            environment.record("build.git_rev", Err::<String, _>(&why));
            environment.record("build.git_dirty", Err::<bool, _>(&why));
        }
    }
}

fn hash_of_self() -> Result<String, std::io::Error> {
    let mut file = File::open("/proc/self/exe")?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            count => hash.update(&chunk[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The checkout that the program was built in: built programs lie below it.
fn checkout() -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let found = exe.ancestors().find(|directory| directory.join(".git").exists());
    found.map(Path::to_path_buf).ok_or_else(|| "the program lies in no git checkout".into())
}

fn git(directory: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new("git").arg("-C").arg(directory).args(args).output();
    let output = output.map_err(|error| format!("git: {error}"))?;
    if !output.status.success() {
        return Err(format!("git: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
