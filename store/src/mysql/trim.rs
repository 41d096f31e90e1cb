//! Retention by age: conversation after conversation, in the order of their rows, some of the oldest messages at a time.
//!
//! Messages lie by conversation and `seq`, so the oldest of each are found and removed where they lie, without an index by
//! time that every message would have to be entered in. What goes from a conversation in one transaction is its beginning, so
//! what is left of it is always its end, whole; its last `seq` is in its own row and stays. A round goes over all
//! conversations once. Of several nodes on one database one does a round: whoever claims it first.

use super::fault::Done;
use super::link::{Begin, Link, Session};
use super::places::int;
use super::statement::{lists, tuples};
use crate::error::Result;
use crate::limits;
use crate::messages::Trimmed;

/// Where retention is in its round.
#[derive(Debug, Default)]
pub(super) struct Trim {
    /// The last conversation of this round that is done; `None` between two rounds.
    done: Option<i64>,
    /// Before this time no round is due as far as this node knows, in milliseconds since 1970.
    rests_until_ms: u64,
    trimmed: Trimmed,
}

/// What one step came to.
struct Step {
    /// The last conversation that is done; `None` at the end of the round.
    done: Option<i64>,
    messages: u64,
    bytes: u64,
}

/// A conversation's beginning that is to go.
#[derive(Default)]
struct Beginning {
    last: i64,
    messages: u64,
    bytes: u64,
    /// Senders and client message ids, if those may still be looked for.
    numbers: Vec<[i64; 2]>,
}

impl Trim {
    /// What was removed so far.
    pub(super) const fn trimmed(&self) -> Trimmed {
        self.trimmed
    }

    /// Does a bounded part of the work, if there is some: gives whether there is more to do at once.
    pub(super) fn step(&mut self, link: &mut Link, age_ms: u64, now_ms: u64) -> Result<bool> {
        let done = match self.done {
            Some(done) => done,
            None if now_ms < self.rests_until_ms => return Ok(false),
            None => {
                let rest_ms =
                    (age_ms / limits::MYSQL_TRIM_ROUND_PART).min(limits::MYSQL_TRIM_ROUND_MS);
                let is_ours = link.transact(Begin::Write, |sql| claim(sql, now_ms, rest_ms))?;
                self.rests_until_ms = now_ms.saturating_add(rest_ms);
                if !is_ours {
                    return Ok(false);
                }
                0
            }
        };
        let cutoff_ms = now_ms.saturating_sub(age_ms);
        let with_numbers = age_ms < limits::RETRY_KEPT_MS;
        let step = link.transact(Begin::Write, |sql| remove(sql, done, cutoff_ms, with_numbers))?;
        self.done = step.done;
        if step.messages > 0 {
            let Step { messages, bytes, .. } = step;
            self.trimmed.add(Trimmed { messages, bytes, steps: 1 });
        }
        Ok(self.done.is_some())
    }
}

/// Whether the next round is this node's: nobody has begun one for a while.
fn claim(sql: &mut Session<'_>, now_ms: u64, rest_ms: u64) -> Done<bool> {
    let now = now_ms.cast_signed();
    sql.run("INSERT IGNORE INTO counters VALUES ('trim_round', 0)")?;
    // A clock that was ahead holds nobody up for longer than a round's rest.
    let claimed = sql.execute(
        "UPDATE counters SET value = ? WHERE name = 'trim_round' AND (value <= ? OR value > ?)",
        vec![
            now.into(),
            now.saturating_sub(rest_ms.cast_signed()).into(),
            now.saturating_add(rest_ms.cast_signed()).into(),
        ],
    )?;
    Ok(claimed > 0)
}

/// Removes what is from before `cutoff_ms`, of some conversations behind one.
fn remove(sql: &mut Session<'_>, behind: i64, cutoff_ms: u64, with_numbers: bool) -> Done<Step> {
    let looked = sql.rows(
        "SELECT c.id, COALESCE((SELECT m.unix_ms FROM messages m WHERE m.conversation = c.id
                                ORDER BY m.seq LIMIT 1), -1)
         FROM conversations c WHERE c.id > ? ORDER BY c.id LIMIT ?",
        vec![behind.into(), limits::MYSQL_TRIM_LOOKS.into()],
    )?;
    let mut step = Step { done: None, messages: 0, bytes: 0 };
    for row in &looked {
        let conversation = int(row, 0);
        // What has nothing in it reads as a time beyond all.
        if int(row, 1).cast_unsigned() < cutoff_ms {
            let room = limits::MYSQL_TRIM_ROWS.saturating_sub(step.messages);
            let gone = beginning(sql, conversation, cutoff_ms, room, with_numbers)?;
            remove_beginning(sql, conversation, &gone)?;
            step.messages += gone.messages;
            step.bytes += gone.bytes;
            if step.messages >= limits::MYSQL_TRIM_ROWS {
                // There may be more in this one.
                step.done = Some(conversation - 1);
                return Ok(step);
            }
        }
        step.done = Some(conversation);
    }
    if looked.len() < limits::MYSQL_TRIM_LOOKS as usize {
        step.done = None;
    }
    Ok(step)
}

/// The first messages of a conversation, up to the first that is to be kept.
fn beginning(
    sql: &mut Session<'_>,
    conversation: i64,
    cutoff_ms: u64,
    most: u64,
    with_numbers: bool,
) -> Done<Beginning> {
    let mut gone = Beginning::default();
    let first = sql.rows(
        "SELECT seq, unix_ms, LENGTH(body), sender, client_message_id FROM messages
         WHERE conversation = ? ORDER BY seq LIMIT ?",
        vec![conversation.into(), most.into()],
    )?;
    for row in first.iter().take_while(|row| int(row, 1).cast_unsigned() < cutoff_ms) {
        gone.last = int(row, 0);
        gone.messages += 1;
        gone.bytes += int(row, 2).cast_unsigned();
        if with_numbers {
            gone.numbers.push([int(row, 3), int(row, 4)]);
        }
    }
    Ok(gone)
}

fn remove_beginning(sql: &mut Session<'_>, conversation: i64, gone: &Beginning) -> Done<()> {
    if gone.messages == 0 {
        return Ok(());
    }
    for (size, list) in lists(&gone.numbers) {
        // Whoever says it again says something new: there is no first answer to hold on to any more.
        let statement = format!(
            "DELETE FROM retries WHERE (sender, client_message_id) IN ({}) AND conversation = ? AND seq <= ?",
            tuples(size, 2)
        );
        let arguments = list.into_iter().chain([conversation.into(), gone.last.into()]).collect();
        sql.execute(&statement, arguments)?;
    }
    sql.execute(
        "DELETE FROM messages WHERE conversation = ? AND seq <= ?",
        vec![conversation.into(), gone.last.into()],
    )?;
    Ok(())
}
