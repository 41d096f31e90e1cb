//! The highest client message id of each sender in the index, so that whoever counts upwards needs no look-up.
//!
//! Owns a cache and nothing else: it may be emptied at any time, and the index is asked again.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection};

use crate::limits;

/// The highest numbers known. SipHash, because peers choose which users speak.
#[derive(Debug, Default)]
pub(super) struct Senders {
    /// In SQLite's order of integers; nothing for a sender who has no number in the index.
    highest: HashMap<i64, Option<i64>>,
}

impl Senders {
    /// The statement that [`Self::may_have`] asks with.
    pub(super) fn ask(sql: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
        sql.prepare_cached("SELECT max(client_message_id) FROM retries WHERE sender = ?1")
    }

    /// Whether the index may have a number of a sender; `false` is certain.
    pub(super) fn may_have(
        &mut self,
        ask: &mut CachedStatement<'_>,
        sender: i64,
        number: i64,
    ) -> rusqlite::Result<bool> {
        let highest = match self.highest.get(&sender) {
            Some(highest) => *highest,
            None => {
                if self.highest.len() >= limits::SENDERS_MAX {
                    self.highest.clear();
                }
                let highest = ask.query_row([sender], |row| row.get(0))?;
                self.highest.insert(sender, highest);
                highest
            }
        };
        Ok(highest.is_some_and(|highest| number <= highest))
    }

    /// Notes that a number went into the index.
    pub(super) fn note_indexed(&mut self, sender: i64, number: i64) {
        if let Some(highest) = self.highest.get_mut(&sender) {
            *highest = Some(highest.map_or(number, |highest| highest.max(number)));
        }
    }
}
