//! One run in a process of its own, by its words: what everything that makes several runs is made of.
//!
//! Owns starting it, waiting for it and reading its report. The words are read before anything starts, so that a mistake
//! in them costs no time. The process has a group of its own: a Ctrl-C reaches this program, which then asks the run to end
//! well, once.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};

use crate::cli::{Cli, Command as Part};
use crate::exit::{Exit, Refusal};
use crate::plan::Watch;
use crate::stored::StoredRun;

/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// What of a run's own words is shown when it fails, in bytes from their end.
const SAID_MAX: u64 = 2_000;

/// A run as it would be typed: `local --closed 256`, or another program's, `./old/loadgen local --closed 256`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunWords {
    /// Another program, if it is not this one.
    pub program: Option<PathBuf>,
    /// Its words, from `local` or `run` on.
    pub words: Vec<String>,
}

impl FromStr for RunWords {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = shlex::split(text).ok_or("its quotes do not match")?;
        Self::of(words)
    }
}

impl RunWords {
    /// The run of these words.
    ///
    /// # Errors
    /// When they are no run's.
    pub fn of(mut words: Vec<String>) -> Result<Self, String> {
        let is_part = |word: Option<&String>| {
            word.is_some_and(|word| ["local", "run"].contains(&word.as_str()))
        };
        let program = (!is_part(words.first()) && is_part(words.get(1)))
            .then(|| PathBuf::from(words.remove(0)));
        if !is_part(words.first()) {
            return Err(
                "a run begins with `local` or `run`, or with a program and one of them".into()
            );
        }
        if words.iter().any(|word| word == "--report" || word.starts_with("--report=")) {
            return Err("leave out --report: where its reports go is decided here".into());
        }
        let run = Self { program, words };
        match &run.program {
            Some(program) if !program.is_file() => {
                Err(format!("there is no program {}", program.display()))
            }
            // What another build understands only it can say.
            Some(_) => Ok(run),
            None => run.check().map(|()| run),
        }
    }

    fn check(&self) -> Result<(), String> {
        let line = std::iter::once("loadgen").chain(self.words.iter().map(String::as_str));
        match Cli::try_parse_from(line).map(|cli| cli.command) {
            Ok(Part::Local(args)) if args.keep => {
                Err("leave out --keep: every run starts the system again".into())
            }
            Ok(_) => Ok(()),
            // Without what stands around it where it is the program's own mistake.
            Err(error) => {
                let text = error.to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                Err(text.split("\n\n").next().unwrap_or(text).to_owned())
            }
        }
    }

    /// The same with further words behind its own.
    #[must_use]
    pub fn with(&self, further: &[String]) -> Self {
        let words = self.words.iter().chain(further).cloned().collect();
        Self { program: self.program.clone(), words }
    }

    /// As it would be typed.
    #[must_use]
    pub fn text(&self) -> String {
        let program = self.program.iter().map(|program| program.display().to_string());
        program.chain(self.words.iter().cloned()).collect::<Vec<_>>().join(" ")
    }

    /// Makes the run, with its report in `report`, and reads that.
    ///
    /// # Errors
    /// When it cannot start, is interrupted, or ends without a report; what it said is in the error.
    pub fn run(&self, report: &Path, watch: &Watch) -> Result<StoredRun, Refusal> {
        if watch.stop.load(Ordering::Relaxed) {
            return Err(interrupted());
        }
        let program = match &self.program {
            Some(program) => program.clone(),
            None => PathBuf::from("/proc/self/exe"),
        };
        let mut said = tempfile::tempfile().context("a file for the run's messages")?;
        let mut child = Command::new(program)
            .args(&self.words)
            .arg("--quiet")
            .arg("--report")
            .arg(report)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.try_clone()?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", self.text()))?;
        let status = wait(&mut child, watch)?;
        if watch.stop.load(Ordering::Relaxed) {
            return Err(interrupted());
        }
        let file = report.join("run.json");
        if is_a_finding(status) && file.exists() {
            return StoredRun::read(report).map_err(Refusal::from);
        }
        let exit = match status.code() {
            Some(2) => Exit::Usage,
            Some(8) => Exit::Ramp,
            _ => Exit::Internal,
        };
        let reason = format!("{} ended with {status}: {}", self.text(), tail(&mut said));
        Err(Refusal { exit, reason: anyhow::Error::msg(reason) })
    }
}

/// Whether a status is what a run found, and not that it broke.
fn is_a_finding(status: ExitStatus) -> bool {
    let findings = [Exit::Pass, Exit::SloMissed, Exit::Delivery, Exit::Invalid, Exit::Ramp];
    status.code().is_some_and(|code| findings.iter().any(|exit| i32::from(exit.status()) == code))
}

fn interrupted() -> Refusal {
    Refusal { exit: Exit::Interrupted, reason: anyhow::anyhow!("interrupted") }
}

fn wait(child: &mut Child, watch: &Watch) -> Result<ExitStatus, Refusal> {
    let mut is_asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if watch.stop.load(Ordering::Relaxed) && !is_asked {
            is_asked = true;
            if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
                // It may have ended meanwhile; then the next look finds that.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// The end of what a run said.
fn tail(said: &mut File) -> String {
    let mut bytes = Vec::new();
    let start = said.metadata().map_or(0, |file| file.len().saturating_sub(SAID_MAX));
    let read =
        said.seek(std::io::SeekFrom::Start(start)).and_then(|_| said.read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) => format!("(its messages could not be read: {error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, because: &str) {
        let error = text.parse::<RunWords>().unwrap_err();
        assert!(error.contains(because), "{error}");
    }

    #[test]
    fn words_are_read_before_anything_starts() {
        let run: RunWords = "local --closed 256 --slo 'lost == 0'".parse().unwrap();
        assert_eq!((run.words.len(), run.program.is_none()), (5, true));
        assert_eq!(run.with(&["--size".into(), "64".into()]).words.len(), 7);
        refused("local --slo 'lost", "quotes");
        refused("selftest", "begins with `local`");
        refused("", "begins with `local`");
        refused("local --report x", "leave out --report");
        refused("local --keep", "--keep");
        refused("local --closed many", "--closed");
        refused("/nowhere/loadgen local", "no program");
    }

    #[test]
    fn another_program_reads_its_own_words() {
        let run: RunWords = "/proc/self/exe local --words-of-another-build".parse().unwrap();
        assert_eq!(run.program, Some(PathBuf::from("/proc/self/exe")));
        assert_eq!(run.text(), "/proc/self/exe local --words-of-another-build");
    }

    #[test]
    fn an_interrupted_program_starts_no_further_run() {
        let watch = Watch::default();
        watch.stop.store(true, Ordering::Relaxed);
        let run: RunWords = "local".parse().unwrap();
        assert_eq!(run.run(Path::new("/nowhere"), &watch).unwrap_err().exit, Exit::Interrupted);
    }

    #[test]
    fn a_run_that_leaves_no_report_says_what_it_said() {
        // This test program understands none of it, and ends with an error.
        let run: RunWords = "/proc/self/exe local".parse().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let refusal = run.run(&directory.path().join("report"), &Watch::default()).unwrap_err();
        assert!(format!("{:#}", refusal.reason).contains("ended with"), "{:#}", refusal.reason);
    }
}
