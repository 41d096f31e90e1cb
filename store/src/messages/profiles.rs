//! Profiles, which lie in the accounts' file: written beside the messages' transaction, over a connection of their own.
//!
//! All of a batch are one transaction, which is committed right behind the messages'. Whatever is in its way (the file is
//! locked, or the disk it lies on is full) is told to those who wished to write a profile, and to nobody else.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
use wire::SetProfile;

use crate::accounts::schema::ACCOUNTS;
use crate::database::{Link, Options};
use crate::error::Result;
use crate::limits::PROFILES_PATIENCE;
use crate::services::Profiled;

/// Where profiles are written.
#[derive(Debug)]
pub(super) struct Profiles {
    options: Option<Options>,
    link: Option<Link>,
    batch: Batch,
}

/// What the batch has had written so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// Nothing.
    Idle,
    /// Something, in a transaction that is open.
    Open,
    /// Nothing that will stay, and nothing more is tried.
    Failed,
}

impl Profiles {
    pub(super) fn new(messages: &Options) -> Self {
        let options = messages
            .attached
            .as_ref()
            .map(|path| Options { busy_timeout: PROFILES_PATIENCE, ..Options::new(path) });
        Self { options, link: None, batch: Batch::Idle }
    }

    /// Writes a profile, to be committed with the others of the batch.
    pub(super) fn set(&mut self, user: i64, profile: &SetProfile<'_>) -> Profiled {
        match self.try_set(user, profile) {
            Ok(profiled) => profiled,
            Err(_) => {
                // The link has rolled back what was open. Whoever comes next in this batch need not wait for it again.
                self.batch = Batch::Failed;
                Profiled::Busy
            }
        }
    }

    fn try_set(&mut self, user: i64, profile: &SetProfile<'_>) -> Result<Profiled> {
        let Some(options) = &self.options else { return Ok(Profiled::NoUser) };
        let link = match self.link.take() {
            Some(link) => link,
            None if self.batch == Batch::Failed => return Ok(Profiled::Busy),
            None => Link::write(options, ACCOUNTS)?,
        };
        let link = self.link.insert(link);
        match self.batch {
            Batch::Failed => return Ok(Profiled::Busy),
            Batch::Idle => link.run(|sql| sql.execute_batch("BEGIN IMMEDIATE"))?,
            Batch::Open => {}
        }
        self.batch = Batch::Open;
        let SetProfile { sex, nickname, description, avatar } = *profile;
        let changed = link.run(|sql| {
            sql.prepare_cached(
                "UPDATE profiles SET nickname = ?1, description = ?2, avatar = ?3, sex = ?4
                 WHERE user_id = ?5",
            )?
            .execute((Text(nickname), Text(description), Text(avatar), sex, user))
        })?;
        Ok(if changed > 0 { Profiled::Written } else { Profiled::NoUser })
    }

    /// Ends the batch: whether all that was written is on the disk.
    pub(super) fn commit(&mut self) -> bool {
        let batch = std::mem::replace(&mut self.batch, Batch::Idle);
        match (batch, &mut self.link) {
            (Batch::Open, Some(link)) => link.run(|sql| sql.execute_batch("COMMIT")).is_ok(),
            (Batch::Open | Batch::Failed, _) => false,
            (Batch::Idle, _) => true,
        }
    }

    /// Ends a batch whose messages could not be written: nothing of it stays.
    pub(super) fn roll_back(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Batch::Idle);
        if batch == Batch::Open
            && let Some(link) = &mut self.link
            && link.run(|sql| sql.execute_batch("ROLLBACK")).is_err()
        {
            self.link = None;
        }
    }
}

/// Bytes that are UTF-8, as a text of SQLite's.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}
