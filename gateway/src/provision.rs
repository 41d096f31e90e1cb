//! Accounts for load tests, in bulk. An operator's command, never reachable over the network.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use store::{Accounts, NewAccount, Place, StoreChoice};

use crate::limits::{PROVISION_CHUNK, PROVISION_MAX};
use crate::password::{Hasher, Secret};
use crate::register::unix_ms;
use crate::validate;

/// Make accounts `load0`, `load1` and so on, all with one password. Accounts that exist are left as they are, so it can
/// be run again.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where accounts are kept: sqlite, or mysql://USER:PASSWORD@HOST:3306/DATABASE
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "sqlite",
        env = "RINGLINE_STORE",
        hide_env_values = true
    )]
    store: StoreChoice,

    /// Where accounts.sqlite is; made if missing. Needed with --store sqlite
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// How many
    #[arg(long, value_name = "N")]
    count: u64,

    /// What their names begin with; the number follows
    #[arg(long, value_name = "TEXT", default_value = "load")]
    prefix: String,

    /// The first number
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,

    /// The password of all of them. Others can read it in the process list: use --password-file where that matters
    #[arg(long, value_name = "TEXT", required_unless_present = "password_file")]
    password: Option<String>,

    /// A file whose first line is the password of all of them
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,

    /// Hash at the least cost that argon2id has, so that logins cost next to nothing. Only for accounts that protect
    /// nothing: the parameters are written into each account's record
    #[arg(long)]
    cheap_hash: bool,

    /// Use a database server on another machine although nothing is encrypted
    #[arg(long)]
    insecure: bool,
}

/// What is to be made.
#[derive(Clone)]
pub struct Provision {
    /// Where accounts are kept; made if missing.
    pub place: Place,
    /// How many accounts.
    pub count: u64,
    /// What their names begin with; the number follows. Their addresses are `NAME@PREFIX.invalid`.
    pub prefix: String,
    /// The first number.
    pub first: u64,
    /// The password of all of them.
    pub password: String,
    /// Whether to hash at the least cost that argon2id has.
    pub cheap_hash: bool,
}

impl std::fmt::Debug for Provision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, count, prefix, first, cheap_hash, password: _ } = self;
        write!(f, "Provision {{ {count} from {prefix}{first} in {place}, cheap: {cheap_hash} }}")
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provisioned {
    /// Accounts made.
    pub made: u64,
    /// Accounts that existed, with the same password as far as was looked.
    pub existing: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Makes accounts. Blocks; some 10,000 per second with the cheap hash. Numbers of accounts (user ids) follow the order
/// of the names in an empty store.
///
/// # Errors
/// Bad names, a store that fails, or accounts of these names with another password. What was made before stays.
pub fn provision(plan: &Provision) -> anyhow::Result<Provisioned> {
    let begun = Instant::now();
    ensure!(plan.count <= PROVISION_MAX, "at most {PROVISION_MAX} accounts at a time");
    let end = plan.first.checked_add(plan.count).context("the numbers do not fit 64 bits")?;
    let name = |number: u64| format!("{}{number}", plan.prefix);
    let email = |number: u64| format!("{}@{}.invalid", name(number), plan.prefix);
    for text in [validate::username(&name(end)), validate::email(&email(end))] {
        text.map_err(|rule| anyhow::anyhow!("the prefix does not make good names: {rule}"))?;
    }
    let hasher = if plan.cheap_hash { Hasher::cheap()? } else { Hasher::new(19 * 1024, 2)? };
    let password = Secret::new(plan.password.clone());
    let mut store = plan.place.accounts()?;
    let mut done = Provisioned { made: 0, existing: 0, elapsed: Duration::ZERO };
    for start in (plan.first..end).step_by(PROVISION_CHUNK) {
        let numbers = start..end.min(start.saturating_add(PROVISION_CHUNK as u64));
        let accounts = absent(&mut store, numbers.clone(), name)?
            .into_iter()
            .map(|number| {
                Ok(NewAccount {
                    username: name(number),
                    email: email(number),
                    phc: hasher.record(&password)?,
                    created_unix_ms: unix_ms(),
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let made = store.provision(&accounts)?.iter().filter(|made| made.is_ok()).count() as u64;
        done.made += made;
        done.existing += numbers.end - numbers.start - made;
    }
    // All of one provision have one password: the two ends stand for the rest.
    for number in [plan.first, end.saturating_sub(1)].into_iter().filter(|_| plan.count > 0) {
        let record = store.find(&name(number))?.map(|account| account.phc);
        ensure!(
            hasher.is_right(&password, record.as_deref()),
            "{} exists with another password: use another --prefix or another store",
            name(number)
        );
    }
    done.elapsed = begun.elapsed();
    Ok(done)
}

/// The numbers whose names are free: hashing a password for one that is taken would be wasted.
fn absent(
    store: &mut Accounts,
    numbers: std::ops::Range<u64>,
    name: impl Fn(u64) -> String,
) -> anyhow::Result<Vec<u64>> {
    let mut absent = Vec::new();
    for number in numbers {
        if store.find(&name(number))?.is_none() {
            absent.push(number);
        }
    }
    Ok(absent)
}

/// Runs the command.
///
/// # Errors
/// As [`provision`], or the password file cannot be read.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let password = match (&args.password, &args.password_file) {
        (Some(password), _) => password.clone(),
        (None, Some(path)) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
        (None, None) => String::new(), // Refused below; the command line does not let it happen.
    };
    ensure!(!password.is_empty(), "the password is empty");
    let place = args.store.place(args.data.as_deref())?;
    place.check_exposure(args.insecure)?;
    let done = provision(&Provision {
        place,
        count: args.count,
        prefix: args.prefix.clone(),
        first: args.first,
        password,
        cheap_hash: args.cheap_hash,
    })?;
    println!(
        "{} accounts made, {} existed, in {:.2} s",
        done.made,
        done.existing,
        done.elapsed.as_secs_f64()
    );
    Ok(())
}
