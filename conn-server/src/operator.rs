//! The operator's commands: a backup while the node runs, and a restore while it does not.
//!
//! Exit codes: 0 when it is done; 1 when the disk or a lock was in the way, so that another attempt may work; 2 when
//! somebody must look first (arguments, a damaged backup, a directory in use). Whatever it was, nothing half-made is left.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use store::{Error, MysqlOptions, Place, Progress, StoreChoice};

use crate::clock::unix_ms;

/// Ringline's chat node: the operator's commands.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "conn-server", version)]
struct Operator {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Copy messages and accounts while the node and the gateway run
    Backup(BackupArgs),
    /// Put a backup into a data directory. The node and the gateway must not run
    Restore(RestoreArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct BackupArgs {
    /// Where messages and accounts are: sqlite. A database server is backed up by its own means, which are named
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "sqlite",
        env = "RINGLINE_STORE",
        hide_env_values = true
    )]
    store: StoreChoice,

    /// The data directory of the node
    #[arg(long, value_name = "DIR", required_unless_present = "store")]
    data: Option<PathBuf>,

    /// The backup: a directory that is not there yet. It appears when the copy is complete and checked
    #[arg(long, value_name = "DIR", required = true)]
    to: PathBuf,
}

#[derive(Clone, Debug, clap::Args)]
struct RestoreArgs {
    /// The backup
    #[arg(long, value_name = "DIR", required = true)]
    from: PathBuf,

    /// Where messages and accounts shall be: sqlite. A database server is restored by its own means, which are named
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "sqlite",
        env = "RINGLINE_STORE",
        hide_env_values = true
    )]
    store: StoreChoice,

    /// The data directory; made if missing, else it must be empty
    #[arg(long, value_name = "DIR", required_unless_present = "store")]
    data: Option<PathBuf>,

    /// Put the messages and accounts that are there aside, into a directory `replaced-...` beside the new ones
    #[arg(long)]
    force: bool,
}

/// Runs what the process was called for, if that is one of the operator's commands.
#[must_use]
pub fn operate() -> Option<ExitCode> {
    let first = std::env::args_os().nth(1)?;
    let is_command = first == "backup" || first == "restore";
    is_command.then(|| match run(Operator::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.is_busy() { 1 } else { 2 })
        }
    })
}

fn run(command: Command) -> Result<(), Error> {
    let mut meter = Meter::default();
    let mut tell = |progress| meter.tell(progress);
    match command {
        Command::Backup(BackupArgs { store, data, to }) => {
            let data = directory(store.place(data.as_deref())?, MysqlOptions::backup_advice)?;
            let manifest = store::back_up(&data, &to, unix_ms(), &mut tell)?;
            for file in manifest.files {
                eprintln!("{}: {} bytes, sha256 {}", file.name, file.bytes, file.sha256);
            }
            eprintln!("backed up to {}", to.display());
        }
        Command::Restore(RestoreArgs { store, from, data, force }) => {
            let data = directory(store.place(data.as_deref())?, MysqlOptions::restore_advice)?;
            let aside = store::restore(&from, &data, force, unix_ms(), &mut tell)?;
            if let Some(aside) = aside {
                eprintln!("what was there is in {}", aside.display());
            }
            eprintln!("restored to {}", data.display());
        }
    }
    Ok(())
}

/// The directory that is copied, or what to do where there is none.
fn directory(place: Place, advice: fn(&MysqlOptions) -> String) -> Result<PathBuf, Error> {
    match place {
        Place::Directory(data) => Ok(data),
        Place::Mysql(options) => Err(Error::Refused(advice(&options))),
    }
}

/// Says how far it is, once for each tenth.
#[derive(Debug, Default)]
struct Meter {
    said: Option<(&'static str, u64)>,
}

impl Meter {
    fn tell(&mut self, progress: Progress) {
        let Progress { file, done, all } = progress;
        let tenths = (u128::from(done) * 10).checked_div(u128::from(all)).unwrap_or(10);
        let tenths = u64::try_from(tenths).unwrap_or(10);
        if self.said != Some((file, tenths)) {
            self.said = Some((file, tenths));
            eprintln!("{file}: {}% of {all} bytes", tenths * 10);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_refused() {
        for words in [
            &["conn-server"][..],
            &["conn-server", "backup", "--data", "d"],
            &["conn-server", "backup", "--to", "d"],
            &["conn-server", "restore", "--from", "d"],
            &["conn-server", "backup", "--data", "d", "--to", "t", "--force"],
        ] {
            assert!(Operator::try_parse_from(words).is_err(), "{words:?}");
        }
        let words = ["conn-server", "restore", "--from", "f", "--data", "d", "--force"];
        assert!(Operator::try_parse_from(words).is_ok());
    }

    #[test]
    fn a_database_server_is_not_copied_and_what_copies_it_is_said() {
        let url = "mysql://chat:s3cret@db:3307/ringline";
        for (command, advice) in [
            (["backup", "--to", "t"], "mariadb-dump --single-transaction"),
            (["restore", "--from", "f"], "id_blocks"),
        ] {
            let words = [["conn-server"].as_slice(), &command, &["--store", url]].concat();
            let operator = Operator::try_parse_from(words).expect("words");
            let error = run(operator.command).expect_err("not by this program");
            let words = error.to_string();
            assert!(!error.is_busy() && words.contains(advice), "{words}");
            assert!(words.contains("--port=3307") && !words.contains("s3cret"), "{words}");
        }
        let words = ["conn-server", "backup", "--store", "memory", "--to", "t"];
        let operator = Operator::try_parse_from(words).expect("words");
        assert!(run(operator.command).is_err(), "nothing is kept there");
    }
}
