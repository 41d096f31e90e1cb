//! A server's configuration: command line, then environment, then a TOML file, then defaults.
//!
//! There is one definition of each option, the one that clap has. The environment name, the key of the file and the
//! printed page are made from it, and what a file says goes through the same parsers as what is typed: the ways to say
//! a thing cannot disagree. A file's options are put in front of those of the command line, where the last one counts;
//! what the environment says is left out of them.

mod file;
mod page;
mod reload;
mod span;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, Parser};

pub use reload::{Reloader, Values};
pub use span::span;

/// Names the file.
const CONFIG: &str = "config";
const CONFIG_ENV: &str = "RINGLINE_CONFIG";
/// Prints what results.
const PRINT: &str = "print-config";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is none, or says what is no option.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// What is needed to serve is not there any more.
    #[error("what is needed to serve is missing: see --help")]
    Missing,
    /// The options do not work together, or a value is none; the text says which.
    #[error("{}{error}", from(path.as_deref()))]
    Options {
        /// The file that some of them come from.
        path: Option<PathBuf>,
        /// What is wrong.
        error: clap::Error,
    },
}

fn from(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!("with the options of {}: ", path.display()))
}

/// What a server was told, and how to find out what it would be told now.
pub struct Configured<A> {
    /// The options.
    pub args: A,
    /// All of them as a file would have them.
    pub values: Values,
    /// Reads everything again; `None` if the options were put together by a program.
    pub again: Option<Again<A>>,
}

/// Reads a configuration again.
pub type Again<A> = Box<dyn Fn() -> Result<Reading<A>, ConfigError> + Send>;

/// A configuration that was read.
#[derive(Clone, Debug)]
pub struct Reading<A> {
    /// The options.
    pub args: A,
    /// All of them as a file would have them.
    pub values: Values,
}

impl<A> From<A> for Configured<A> {
    fn from(args: A) -> Self {
        Self { args, values: Values::new(), again: None }
    }
}

impl<A: Parser + 'static> Configured<A> {
    /// What this source says now, and will say later.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_source(source: Source<A>) -> Result<Self, ConfigError> {
        let Reading { args, values } = source.reading()?;
        Ok(Self { args, values, again: Some(Box::new(move || source.reading())) })
    }
}

impl<A: fmt::Debug> fmt::Debug for Configured<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configured").field("args", &self.args).finish_non_exhaustive()
    }
}

/// Reads the configuration of this process. Ends it where clap would: for `--help`, and with what is wrong; and after
/// `--print-config`.
#[must_use]
pub fn load<A: Parser + 'static>() -> Configured<A> {
    let source = Source::<A>::new(env::args_os());
    if source.prints() {
        let page = source.page().unwrap_or_else(|error| end(&error));
        let written = io::stdout().lock().write_all(page.as_bytes());
        std::process::exit(i32::from(written.is_err()));
    }
    Configured::from_source(source).unwrap_or_else(|error| end(&error))
}

fn end(error: &ConfigError) -> ! {
    match error {
        ConfigError::Options { path, error } => {
            if let Some(path) = path.as_ref().filter(|_| error.use_stderr()) {
                // Nobody reads it: the exit code says it too.
                let _ = writeln!(io::stderr(), "with the options of {}:", path.display());
            }
            error.exit()
        }
        ConfigError::File { .. } | ConfigError::Missing => {
            let _ = writeln!(io::stderr(), "error: {error}"); // As above.
            std::process::exit(2)
        }
    }
}

/// Where a server's options come from: a command line, and by it the environment and a file.
#[derive(Clone, Debug)]
pub struct Source<A> {
    line: Vec<OsString>,
    args: PhantomData<fn() -> A>,
}

impl<A: Parser> Source<A> {
    /// Of this command line, which begins with the program's name.
    pub fn new(line: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { line: line.into_iter().map(Into::into).collect(), args: PhantomData }
    }

    /// Whether the configuration is to be printed, and nothing else done.
    #[must_use]
    pub fn prints(&self) -> bool {
        self.words().any(|word| word == "--print-config")
    }

    /// The options as they are now.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(&self) -> Result<A, ConfigError> {
        self.reading().map(|reading| reading.args)
    }

    fn reading(&self) -> Result<Reading<A>, ConfigError> {
        let mut command = command::<A>(false);
        let (matches, path) = self.matches(&command)?;
        let values = page::values(&command, &matches);
        let args = A::from_arg_matches(&matches)
            .map_err(|error| ConfigError::Options { path, error: error.format(&mut command) })?;
        Ok(Reading { args, values })
    }

    /// The effective configuration as a file, every key with its explanation. What has no value is there as a comment, as
    /// is a URL with a password in it.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn page(&self) -> Result<String, ConfigError> {
        // An example may be asked for by somebody who cannot fill it in yet.
        let command = command::<A>(true);
        let (matches, _) = self.matches(&command)?;
        Ok(page::page(&command, &matches))
    }

    fn matches(&self, command: &Command) -> Result<(ArgMatches, Option<PathBuf>), ConfigError> {
        let path = self.path(command);
        let mut line: Vec<OsString> = self.line.iter().take(1).cloned().collect();
        if let Some(path) = &path {
            let failed = |reason| ConfigError::File { path: path.clone(), reason };
            line.extend(file::words(path, command).map_err(failed)?);
        }
        line.extend(self.words().cloned());
        let matches = command.clone().try_get_matches_from(line);
        match matches {
            Ok(matches) => Ok((matches, path)),
            Err(error) => Err(ConfigError::Options { path, error }),
        }
    }

    /// The file that is named, if one is. Looked for before the line is parsed, because what the line needs may be in it.
    fn path(&self, command: &Command) -> Option<PathBuf> {
        // A command of an operator has nothing to do with how the server is configured.
        let first = self.line.get(1)?;
        if command.get_subcommands().any(|sub| first == sub.get_name()) {
            return None;
        }
        let mut words = self.words();
        let mut path = env::var_os(CONFIG_ENV);
        while let Some(word) = words.next() {
            if word == "--config" {
                path = words.next().cloned();
            } else if let Some(value) =
                word.to_str().and_then(|word| word.strip_prefix("--config="))
            {
                path = Some(value.into());
            }
        }
        path.map(PathBuf::from)
    }

    fn words(&self) -> impl Iterator<Item = &OsString> {
        self.line.iter().skip(1)
    }
}

/// The server's own command, with an environment name for every option and the two options of this module.
fn command<A: Parser>(is_example: bool) -> Command {
    let command = A::command().args_override_self(true).mut_args(|arg| {
        let Some(name) = environment_name(&arg) else { return arg };
        let arg = arg.env(name).hide_env_values(true);
        if is_example { arg.required(false) } else { arg }
    });
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .env(CONFIG_ENV)
        .hide_env_values(true)
        .help("Read options from a TOML file. Its keys are the long names of the options; what is said on the command line or in the environment counts more");
    let print = Arg::new(PRINT)
        .long(PRINT)
        .action(ArgAction::SetTrue)
        .help("Print the configuration that results, as such a file, and end");
    command.arg(config).arg(print)
}

/// The options that a file may have.
fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    let is_option = |arg: &&Arg| {
        arg.get_long().is_some_and(|name| ![CONFIG, PRINT, "help", "version"].contains(&name))
    };
    command.get_arguments().filter(is_option)
}

fn environment_name(arg: &Arg) -> Option<String> {
    let long = arg.get_long().filter(|name| !["help", "version"].contains(name))?;
    Some(format!("RINGLINE_{}", long.to_uppercase().replace('-', "_")))
}

/// Whether an option is a switch: named or not.
fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Whether the environment says what an option is.
fn is_in_environment(arg: &Arg) -> bool {
    arg.get_env().is_some_and(|name: &OsStr| env::var_os(name).is_some())
}
