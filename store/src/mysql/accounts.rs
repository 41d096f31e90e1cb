//! The accounts in the database.

use std::collections::{HashMap, HashSet};

use mysql_async::{Row, Value};
use wire::{Epoch, UserId};

use super::fault::{DUPLICATE, Done, Fault};
use super::link::{Begin, Link, Session};
use super::options::MysqlOptions;
use super::places::{bytes, int};
use super::statement::{Rows, tuples};
use super::writer::probe;
use crate::accounts::book::{Base, Book, Failed, Step, Work};
use crate::accounts::{Account, NewAccount, Registered, Taken};
use crate::error::Result;
use crate::limits;

/// A connection to the accounts.
#[derive(Debug)]
pub(crate) struct Accounts {
    link: Link,
}

impl Accounts {
    /// Connects, and brings the tables up to date.
    pub(crate) fn open(options: &MysqlOptions) -> Result<Self> {
        Ok(Self { link: Link::open(options)? })
    }
}

impl Base for Accounts {
    fn write(&mut self, work: Work<'_>) -> Result<()> {
        self.link.transact(Begin::Write, |sql| run(sql, work))
    }

    fn read(&mut self, work: Work<'_>) -> Result<()> {
        self.link.once(|sql| run(sql, work))
    }

    fn probe(&mut self) -> Result<()> {
        self.link.transact(Begin::Write, probe)
    }
}

fn run(sql: &mut Session<'_>, work: Work<'_>) -> Done<()> {
    let mut page = Page { sql, fault: None };
    match (work(&mut page), page.fault) {
        (Ok(()), None) => Ok(()),
        // A failure that was not kept is a mistake of ours, and must not be committed.
        (Ok(()) | Err(Failed), fault) => Err(fault.unwrap_or(Fault::Stale("not worked on"))),
    }
}

struct Page<'a, 's> {
    sql: &'a mut Session<'s>,
    fault: Option<Fault>,
}

impl Page<'_, '_> {
    fn kept<T>(&mut self, done: Done<T>) -> Step<T> {
        done.map_err(|fault| {
            self.fault = Some(fault);
            Failed
        })
    }

    fn account(&mut self, query: &str, text: &str) -> Step<Option<Account>> {
        let row = self.sql.first(query, vec![text.into()]);
        self.kept(row.map(|row| row.as_ref().map(account)))
    }
}

impl Book for Page<'_, '_> {
    fn register(&mut self, accounts: &[NewAccount]) -> Step<Vec<Registered>> {
        let mut results = Vec::with_capacity(accounts.len());
        for chunk in accounts.chunks(limits::MYSQL_ROWS_MAX) {
            let registered = register(self.sql, chunk);
            results.extend(self.kept(registered)?);
        }
        Ok(results)
    }

    fn raise_epoch(&mut self, user: UserId, checked_phc: &str) -> Step<Option<Epoch>> {
        let raised = raise_epoch(self.sql, user, checked_phc);
        self.kept(raised)
    }

    fn set_password(&mut self, user: UserId, phc: &str) -> Step<Option<Epoch>> {
        let set = set_password(self.sql, user, phc);
        self.kept(set)
    }

    fn find(&mut self, username: &str) -> Step<Option<Account>> {
        self.account(
            "SELECT user_id, username, email, phc, session_epoch, created_unix_ms FROM accounts
             WHERE username = ?",
            username,
        )
    }

    fn find_by_email(&mut self, email: &str) -> Step<Option<Account>> {
        self.account(
            "SELECT user_id, username, email, phc, session_epoch, created_unix_ms FROM accounts
             WHERE email = ?",
            email,
        )
    }

    fn taken(&mut self, username: &str, email: &str) -> Step<Option<Taken>> {
        let found = taken(self.sql, username, email);
        self.kept(found)
    }

    fn exists(&mut self, user: UserId) -> Step<bool> {
        let query = "SELECT 1 FROM accounts WHERE user_id = ?";
        let row = self.sql.first(query, vec![user.0.cast_signed().into()]);
        self.kept(row.map(|row| row.is_some()))
    }

    fn count(&mut self) -> Step<u64> {
        let counted = self.sql.number("SELECT COUNT(*) FROM accounts");
        self.kept(counted.map(|count| count.unwrap_or(0).cast_unsigned()))
    }
}

/// Makes some accounts: all that are free in few statements, or, where two of them or somebody else's are in each other's
/// way, one after another.
fn register(sql: &mut Session<'_>, accounts: &[NewAccount]) -> Done<Vec<Registered>> {
    let has_twins = {
        let (mut names, mut emails) = (HashSet::new(), HashSet::new());
        !accounts.iter().all(|account| {
            names.insert(account.username.to_ascii_lowercase())
                && emails.insert(account.email.to_ascii_lowercase())
        })
    };
    if has_twins {
        return accounts.iter().map(|account| register_one(sql, account)).collect();
    }
    match register_all(sql, accounts) {
        Err(fault) if fault.code() == Some(DUPLICATE) => {
            accounts.iter().map(|account| register_one(sql, account)).collect()
        }
        registered => registered,
    }
}

fn register_one(sql: &mut Session<'_>, account: &NewAccount) -> Done<Registered> {
    if let Some(taken) = taken(sql, &account.username, &account.email)? {
        return Ok(Err(taken));
    }
    let registered = register_all(sql, std::slice::from_ref(account))?;
    registered.into_iter().next().ok_or(Fault::Stale("nothing was registered"))
}

/// Makes those of the accounts that are free; none of them is another's twin.
fn register_all(sql: &mut Session<'_>, accounts: &[NewAccount]) -> Done<Vec<Registered>> {
    let names = numbers_by(sql, "username", accounts.iter().map(|one| one.username.as_str()))?;
    let emails = numbers_by(sql, "email", accounts.iter().map(|one| one.email.as_str()))?;
    let taken = |account: &NewAccount| {
        if names.contains_key(&account.username.to_ascii_lowercase()) {
            Some(Taken::Username)
        } else {
            let is_taken = emails.contains_key(&account.email.to_ascii_lowercase());
            is_taken.then_some(Taken::Email)
        }
    };
    let mut rows = Rows::new(5);
    for account in accounts.iter().filter(|account| taken(account).is_none()) {
        rows.push([
            account.username.as_str().into(),
            account.email.as_str().into(),
            account.phc.as_str().into(),
            0.into(),
            account.created_unix_ms.cast_signed().into(),
        ]);
    }
    sql.insert(
        "INSERT INTO accounts (username, email, phc, session_epoch, created_unix_ms) VALUES",
        rows,
        "",
    )?;
    let free = || accounts.iter().filter(|account| taken(account).is_none());
    let made = numbers_by(sql, "username", free().map(|one| one.username.as_str()))?;
    let number = |account: &NewAccount| made.get(&account.username.to_ascii_lowercase()).copied();
    let mut rows = Rows::new(5);
    for account in free() {
        let Some(user) = number(account) else {
            return Err(Fault::Stale("an account that was made is not found"));
        };
        rows.push([user.into(), account.username.as_str().into(), "".into(), "".into(), 0.into()]);
    }
    sql.insert(
        "INSERT INTO profiles (user_id, nickname, description, avatar, sex) VALUES",
        rows,
        "",
    )?;
    let registered = accounts.iter().map(|account| match (taken(account), number(account)) {
        (Some(taken), _) => Err(taken),
        (None, Some(user)) => Ok(UserId(user.cast_unsigned())),
        // It was looked at above.
        (None, None) => Err(Taken::Username),
    });
    Ok(registered.collect())
}

/// The accounts that have one of these texts in a column, by it, in lower case.
fn numbers_by<'t>(
    sql: &mut Session<'_>,
    column: &'static str,
    texts: impl Iterator<Item = &'t str>,
) -> Done<HashMap<String, i64>> {
    let texts: Vec<Value> = texts.map(Value::from).collect();
    let mut found = HashMap::new();
    if texts.is_empty() {
        return Ok(found);
    }
    // In few sizes: the last one is repeated.
    let size = if texts.len() == 1 { 1 } else { limits::MYSQL_ROWS_MAX.max(texts.len()) };
    let last = texts.last().cloned().into_iter().cycle();
    let padded = texts.iter().cloned().chain(last).take(size).collect();
    let query =
        format!("SELECT {column}, user_id FROM accounts WHERE {column} IN ({})", tuples(size, 1));
    for row in sql.rows(&query, padded)? {
        found.insert(text(&row, 0).to_ascii_lowercase(), int(&row, 1));
    }
    Ok(found)
}

fn taken(sql: &mut Session<'_>, username: &str, email: &str) -> Done<Option<Taken>> {
    let query = "SELECT 1 FROM accounts WHERE username = ?";
    if sql.first(query, vec![username.into()])?.is_some() {
        return Ok(Some(Taken::Username));
    }
    let query = "SELECT 1 FROM accounts WHERE email = ?";
    Ok(sql.first(query, vec![email.into()])?.map(|_| Taken::Email))
}

fn raise_epoch(sql: &mut Session<'_>, user: UserId, checked_phc: &str) -> Done<Option<Epoch>> {
    let found = sql.execute(
        "UPDATE accounts SET session_epoch = LAST_INSERT_ID(session_epoch + 1)
         WHERE user_id = ? AND phc = ?",
        vec![user.0.cast_signed().into(), checked_phc.into()],
    )?;
    Ok((found > 0).then(|| Epoch(sql.last_number())))
}

fn set_password(sql: &mut Session<'_>, user: UserId, phc: &str) -> Done<Option<Epoch>> {
    let found = sql.execute(
        "UPDATE accounts SET phc = ?, session_epoch = LAST_INSERT_ID(session_epoch + 1)
         WHERE user_id = ?",
        vec![phc.into(), user.0.cast_signed().into()],
    )?;
    Ok((found > 0).then(|| Epoch(sql.last_number())))
}

fn text(row: &Row, column: usize) -> String {
    String::from_utf8_lossy(bytes(row, column)).into_owned()
}

fn account(row: &Row) -> Account {
    Account {
        user: UserId(int(row, 0).cast_unsigned()),
        username: text(row, 1),
        email: text(row, 2),
        phc: text(row, 3),
        epoch: Epoch(int(row, 4).cast_unsigned()),
        created_unix_ms: int(row, 5).cast_unsigned(),
    }
}
