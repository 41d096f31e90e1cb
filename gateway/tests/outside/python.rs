//! A Python environment with what `requirements.txt` names, made once for each version of that file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Where a program of the environment is; `None` where there is none, which has been said then.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    static ENVIRONMENT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match ENVIRONMENT.get_or_init(environment) {
        Ok(path) => Some(path.join("bin").join(name)),
        Err(why) => {
            // Past the test runner, which would keep it to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED, no Python environment: {why}");
            None
        }
    }
}

/// The folder of this file.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside")
}

fn environment() -> Result<PathBuf, String> {
    let wanted = folder().join("requirements.txt");
    let text = std::fs::read_to_string(&wanted).expect("it is beside this file");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let made = path.join("made-for");
    if std::fs::read_to_string(&made).is_ok_and(|made_for| made_for == text) {
        return Ok(path);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&path))?;
    let pip = path.join("bin/pip");
    run(Command::new(pip).args(["install", "--quiet", "--retries", "1", "-r"]).arg(&wanted))?;
    std::fs::write(&made, text).map_err(|error| error.to_string())?;
    Ok(path)
}

fn run(command: &mut Command) -> Result<(), String> {
    let Output { status, stderr, .. } =
        command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {status}: {}", String::from_utf8_lossy(&stderr).trim()))
    }
}
