//! The command line. It prints; the library decides.

mod args;
mod change;
mod look;
mod measure;
mod words;

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

pub use args::Args;
use args::Command;
pub(crate) use change::Choice;

use crate::render::Format;
use crate::root::{self, Root};

/// Why a command ended without an answer: its words, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    words: String,
}

/// What the exit codes are. One list for all commands.
pub(crate) mod exit {
    pub(crate) const FINE: u8 = 0;
    pub(crate) const BROKEN: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const WARNED: u8 = 3;
    pub(crate) const FAILED: u8 = 4;
    pub(crate) const UNREADABLE: u8 = 5;
    pub(crate) const REFUSED: u8 = 6;
    pub(crate) const HALF: u8 = 7;
    pub(crate) const BUSY: u8 = 8;
    pub(crate) const INTERRUPTED: u8 = 130;
}

impl Failure {
    pub(crate) fn new(code: u8, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }

    pub(crate) fn usage(words: impl Into<String>) -> Self {
        Self::new(exit::USAGE, words)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // Whoever closed the pipe has read enough.
        let code =
            if error.kind() == io::ErrorKind::BrokenPipe { exit::FINE } else { exit::BROKEN };
        Self::new(code, error.to_string())
    }
}

/// Runs the program and returns its exit code.
pub fn run(args: &Args, out: &mut impl Write) -> ExitCode {
    match answer(args, out) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if failure.code != exit::FINE {
                let _ = writeln!(io::stderr(), "tuning: {}", failure.words); // nobody is left to tell
            }
            ExitCode::from(failure.code)
        }
    }
}

fn answer(args: &Args, out: &mut impl Write) -> Result<u8, Failure> {
    match &args.command {
        Command::Check(check) => look::check(check, out),
        Command::Plan(plan) => change::plan(plan, out),
        Command::Apply(apply) => change::apply(apply, out),
        Command::Confirm(confirm) => change::confirm(confirm, out),
        Command::Rollback(rollback) => change::rollback(rollback, out),
        Command::Status(status) => change::status(status, out),
        Command::Verify(verify) => change::verify(verify, out),
        Command::Watchdog(watchdog) => change::watch(watchdog),
        Command::Measure(measure) => measure::measure(measure, out),
        Command::Hold(hold) => measure::hold(hold),
        Command::Doctor(doctor) => look::doctor(doctor, out),
        Command::Explain(explain) => look::explain(explain, out),
        Command::Record(record) => look::record(record, out),
        Command::Unpack(unpack) => look::unpack(unpack),
    }
}

fn open(root: Option<&Path>) -> Result<Box<dyn Root>, Failure> {
    root::open(root).map_err(|error| Failure::new(exit::UNREADABLE, error.to_string()))
}

fn format(json: bool, markdown: bool) -> Format {
    match (json, markdown) {
        (true, _) => Format::Json,
        (_, true) => Format::Markdown,
        (false, false) => {
            let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            Format::Text { colour: wants_colour && io::stdout().is_terminal() }
        }
    }
}
