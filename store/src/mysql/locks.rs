//! The rows that the services of a batch will lock, locked before any of them is served, in one order for all nodes:
//! conversations, then users, then groups, each by their numbers. So two batches wait in one line, whatever is asked in them
//! and in which order.

use std::collections::BTreeSet;

use wire::{ConversationId, GROUPS_FROM, RoomId, Service, UserId};

use super::fault::Done;
use super::link::Session;
use super::statement::{lists, tuples};
use crate::services::{Ask, Locked};

/// What some services lock.
#[derive(Debug, Default)]
pub(super) struct Locks {
    conversations: Vec<ConversationId>,
    held: BTreeSet<Locked>,
}

impl Locks {
    /// What these will lock, if they are granted.
    pub(super) fn of(asks: &[Ask<'_>]) -> Self {
        let mut locks = Self::default();
        for ask in asks {
            locks.add(ask);
        }
        locks
    }

    fn add(&mut self, ask: &Ask<'_>) {
        let user = ask.user;
        match &ask.service {
            Service::RequestFriend(request) => self.users(&[user, request.to]),
            Service::ConfirmFriend(confirm) => {
                self.users(&[user, confirm.from]);
                self.conversations.push(ConversationId::private(user, confirm.from));
            }
            Service::DeclineFriend(decline) => self.users(&[user, decline.from]),
            Service::RemoveFriend(remove) => self.users(&[user, remove.user]),
            Service::OpenPrivate(open) => {
                self.users(&[user, open.with]);
                self.conversations.push(ConversationId::private(user, open.with));
            }
            Service::CreateGroup(_) => self.users(&[user]),
            Service::AddMember(add) => {
                self.users(&[add.user]);
                self.group(add.group);
            }
            Service::RemoveMember(remove) => self.group(remove.group),
            Service::SetRole(set) => self.group(set.group),
            // They change a row of their own user, or are refused.
            Service::SetProfile(_)
            | Service::MarkRead(_)
            | Service::Revoke(_)
            | Service::Me
            | Service::GetProfile(_)
            | Service::FindUsers(_)
            | Service::Friends(_)
            | Service::FriendRequests(_)
            | Service::Inbox(_)
            | Service::Members(_) => {}
        }
    }

    fn users(&mut self, users: &[UserId]) {
        self.held.extend(users.iter().copied().map(Locked::User));
    }

    fn group(&mut self, group: RoomId) {
        self.held.insert(Locked::Group(group));
    }

    /// Conversations that may be written to, or made.
    pub(super) fn conversations(&self) -> &[ConversationId] {
        &self.conversations
    }

    /// Locks users and groups.
    pub(super) fn take(&self, sql: &mut Session<'_>) -> Done<()> {
        let numbers = |pick: fn(Locked) -> Option<u64>| -> Vec<[i64; 1]> {
            let picked = self.held.iter().copied().filter_map(pick);
            // A number that no row can have has nothing to be locked: what follows finds nobody.
            picked.filter_map(|number| i64::try_from(number).ok()).map(|number| [number]).collect()
        };
        let user = |locked| match locked {
            Locked::User(user) => Some(user.0),
            Locked::Group(_) => None,
        };
        let group = |locked| match locked {
            Locked::Group(group) => group.0.checked_sub(GROUPS_FROM),
            Locked::User(_) => None,
        };
        lock(sql, "SELECT user_id FROM accounts WHERE user_id", &numbers(user), "user_id")?;
        lock(sql, "SELECT id FROM chat_groups WHERE id", &numbers(group), "id")
    }

    /// Whether something is locked already; notes it.
    pub(super) fn note(&mut self, what: Locked) -> bool {
        !self.held.insert(what)
    }
}

fn lock(sql: &mut Session<'_>, select: &str, rows: &[[i64; 1]], by: &str) -> Done<()> {
    for (size, list) in lists(rows) {
        let query = format!("{select} IN ({}) ORDER BY {by} FOR UPDATE", tuples(size, 1));
        sql.rows(&query, list)?;
    }
    Ok(())
}
