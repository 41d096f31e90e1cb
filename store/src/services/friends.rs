//! Friends: requests, answers to them, and who is whose.

use std::hash::{BuildHasher, RandomState};

use wire::{
    Befriended, ClientMessageId, ConfirmFriend, ConversationId, DeclineFriend, Done, Friend,
    FriendRequested, FriendRequests, Friends, MessageId, Reject, RemoveFriend, RequestFriend, Text,
    Unfriended, UserId,
};

use super::answer::{Answer, Audience, Pager};
use super::people::{PERSON_COLUMNS, Person, existing, is_name, person_columns, rows};
use super::{Ask, Fields, Ledger, Reads, Step, Stop, Value, done, ensure, number};
use crate::limits::{FRIENDS_MAX, REQUESTS_MADE_MAX, REQUESTS_WAITING_MAX};
use crate::messages::Record;
use crate::services::ledger::Locked;

/// What the asker is taken to have said, if no word came with the request.
const GREETING: &[u8] = b"Hello!";
/// What the other is taken to have answered.
const ANSWER: &[u8] = b"We are friends now.";

const LIST: &str = concat!(
    "SELECT ",
    person_columns!(),
    ", f.alias FROM friends f JOIN accounts a ON a.user_id = f.friend
     JOIN profiles p ON p.user_id = f.friend
     WHERE f.user_id = ? AND f.friend > ? ORDER BY f.friend LIMIT ?"
);

const REQUESTS: &str = concat!(
    "SELECT ",
    person_columns!(),
    ", r.note, r.unix_ms FROM friend_requests r JOIN accounts a ON a.user_id = r.from_user
     JOIN profiles p ON p.user_id = r.from_user
     WHERE r.to_user = ? AND r.from_user > ? ORDER BY r.from_user LIMIT ?"
);

pub(super) fn list<L: Reads>(
    ledger: &mut L,
    user: UserId,
    page: &Friends,
    answer: &mut Answer,
) -> Step<Done, L> {
    let mut pager = Pager::of_users(answer, page.after, page.limit);
    let arguments =
        [Value::Int(number(user)?), Value::Int(number(page.after)?), Value::Int(pager.rows())];
    let alias = |row: &dyn Fields| row.text(PERSON_COLUMNS).to_vec();
    for (person, alias) in rows(ledger, LIST, &arguments, alias)? {
        if !pager.takes_user(answer, person.user) {
            break;
        }
        let Person { user, sex, username, nickname, description, avatar } = &person;
        answer.reply(Friend {
            user: UserId(*user),
            sex: *sex,
            username,
            nickname,
            description,
            avatar,
            alias: &alias,
        });
    }
    Ok(pager.done())
}

pub(super) fn requests<L: Reads>(
    ledger: &mut L,
    user: UserId,
    page: &FriendRequests,
    answer: &mut Answer,
) -> Step<Done, L> {
    let mut pager = Pager::of_users(answer, page.after, page.limit);
    let arguments =
        [Value::Int(number(user)?), Value::Int(number(page.after)?), Value::Int(pager.rows())];
    let word = |row: &dyn Fields| (row.text(PERSON_COLUMNS).to_vec(), row.id(PERSON_COLUMNS + 1));
    for (person, (note, unix_ms)) in rows(ledger, REQUESTS, &arguments, word)? {
        if !pager.takes_user(answer, person.user) {
            break;
        }
        answer.reply(requested(&person, &note, unix_ms));
    }
    Ok(pager.done())
}

fn requested<'a>(person: &'a Person, note: &'a [u8], unix_ms: u64) -> FriendRequested<'a> {
    let Person { user, sex, username, nickname, description, avatar } = person;
    let (from, sex) = (UserId(*user), *sex);
    FriendRequested { from, unix_ms, sex, username, nickname, description, avatar, note }
}

pub(super) fn request<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    request: &RequestFriend<'_>,
    answer: &mut Answer,
) -> Step<Done, L> {
    ensure(request.to != ask.user, Reject::Invalid)?;
    ensure(request.alias.is_empty() || is_name(request.alias), Reject::Invalid)?;
    lock_both(ledger, ask.user, request.to)?;
    let asker = existing(ledger, ask.user)?;
    existing(ledger, request.to)?;
    let (user, to) = (number(ask.user)?, number(request.to)?);
    ensure(!are_friends(ledger, user, to)?, Reject::Exists)?;
    if find_request(ledger, user, to)?.is_some() {
        // It waits already; being asked again would only annoy.
        return Ok(done());
    }
    let waiting = count(ledger, "SELECT count(*) FROM friend_requests WHERE to_user = ?", to)?;
    let made = count(ledger, "SELECT count(*) FROM friend_requests WHERE from_user = ?", user)?;
    let is_full = waiting >= REQUESTS_WAITING_MAX || made >= REQUESTS_MADE_MAX;
    ensure(!is_full, Reject::TooMany)?;
    ledger.execute(
        "INSERT INTO friend_requests (to_user, from_user, alias, note, unix_ms) VALUES (?, ?, ?, ?, ?)",
        &[
            Value::Int(to),
            Value::Int(user),
            Value::Text(request.alias),
            Value::Text(request.note),
            Value::Int(ask.unix_ms.cast_signed()),
        ],
    )?;
    answer.tell(Audience::User(request.to), requested(&asker, request.note, ask.unix_ms));
    Ok(done())
}

/// A request that waits: what its asker will call the friend, and the word with it.
type Waiting = (Vec<u8>, Vec<u8>);

fn find_request<L: Reads>(ledger: &mut L, from: i64, to: i64) -> Step<Option<Waiting>, L> {
    let mut found = None;
    ledger.rows(
        "SELECT alias, note FROM friend_requests WHERE to_user = ? AND from_user = ?",
        &[Value::Int(to), Value::Int(from)],
        &mut |row| found = Some((row.text(0).to_vec(), row.text(1).to_vec())),
    )?;
    Ok(found)
}

pub(super) fn confirm<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    confirm: &ConfirmFriend<'_>,
    answer: &mut Answer,
) -> Step<Done, L> {
    ensure(confirm.alias.is_empty() || is_name(confirm.alias), Reject::Invalid)?;
    lock_both(ledger, ask.user, confirm.from)?;
    let (user, from) = (number(ask.user)?, number(confirm.from)?);
    let waiting = find_request(ledger, from, user)?;
    let Some((alias, note)) = waiting else { return Err(Stop::Refused(Reject::NotFound)) };
    let (confirmer, asker) = (existing(ledger, ask.user)?, existing(ledger, confirm.from)?);
    for one in [user, from] {
        let friends = count(ledger, "SELECT count(*) FROM friends WHERE user_id = ?", one)?;
        ensure(friends < FRIENDS_MAX, Reject::TooMany)?;
    }
    forget_requests(ledger, user, from)?;
    let since = Value::Int(ask.unix_ms.cast_signed());
    for (one, other, alias) in [(user, from, confirm.alias), (from, user, alias.as_slice())] {
        ledger.execute(
            "INSERT INTO friends (user_id, friend, alias, unix_ms) VALUES (?, ?, ?, ?)",
            &[Value::Int(one), Value::Int(other), Value::Text(alias), since],
        )?;
    }
    let conversation = ConversationId::private(ask.user, confirm.from);
    // Each in one piece, so that nobody hears a greeting of a stranger.
    answer.tell(Audience::User(ask.user), befriended(&asker, conversation, confirm.alias));
    answer.tell(Audience::User(confirm.from), befriended(&confirmer, conversation, &alias));
    let word = if note.is_empty() { GREETING } else { &note };
    let said = [(confirm.from, word), (ask.user, ANSWER)];
    for ((from, body), message_id) in said.into_iter().zip(ask.message_ids.into_iter().flatten()) {
        let text = greet(ledger, ask, conversation, (from, body, message_id))?;
        for user in [ask.user, confirm.from] {
            answer.tell_text(Audience::User(user), text);
        }
    }
    Ok(done())
}

/// Writes a greeting at the next place of the conversation.
fn greet<'a, L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    conversation: ConversationId,
    (from, body, message_id): (UserId, &'a [u8], MessageId),
) -> Step<Text<'a>, L> {
    let record = Record {
        conversation,
        seq: None,
        message_id,
        from,
        client_message_id: greeting_number(message_id),
        unix_ms: ask.unix_ms,
        body,
    };
    let appended = ledger.append(&record)?.map_err(|_| Stop::Refused(Reject::Refused))?;
    let seq = appended.seq;
    Ok(Text { conversation, seq, message_id, from, unix_ms: ask.unix_ms, body })
}

/// The number that a greeting has as if its sender's client had chosen it: drawn, so that nobody can have used it before and
/// make the greeting a conflict.
fn greeting_number(id: MessageId) -> ClientMessageId {
    ClientMessageId(1 << 63 | RandomState::new().hash_one(id.0))
}

fn befriended<'a>(
    person: &'a Person,
    conversation: ConversationId,
    alias: &'a [u8],
) -> Befriended<'a> {
    let Person { user, sex, username, nickname, description, avatar } = person;
    let (user, sex) = (UserId(*user), *sex);
    Befriended { user, conversation, sex, username, nickname, description, avatar, alias }
}

pub(super) fn decline<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    decline: &DeclineFriend,
) -> Step<Done, L> {
    let gone = ledger.execute(
        "DELETE FROM friend_requests WHERE to_user = ? AND from_user = ?",
        &[Value::Int(number(ask.user)?), Value::Int(number(decline.from)?)],
    )?;
    ensure(gone > 0, Reject::NotFound)?;
    Ok(done())
}

pub(super) fn remove<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    remove: &RemoveFriend,
    answer: &mut Answer,
) -> Step<Done, L> {
    lock_both(ledger, ask.user, remove.user)?;
    let (user, other) = (number(ask.user)?, number(remove.user)?);
    ensure(are_friends(ledger, user, other)?, Reject::NotFound)?;
    for (one, other) in [(user, other), (other, user)] {
        ledger.execute(
            "DELETE FROM friends WHERE user_id = ? AND friend = ?",
            &[Value::Int(one), Value::Int(other)],
        )?;
    }
    answer.tell(Audience::User(remove.user), Unfriended { user: ask.user });
    Ok(done())
}

/// In the order of their numbers, so that two who ask each other at once wait in one line.
fn lock_both<L: Ledger>(ledger: &mut L, one: UserId, other: UserId) -> Step<(), L> {
    for user in [one.min(other), one.max(other)] {
        ledger.lock(Locked::User(user))?;
    }
    Ok(())
}

/// Whether they are friends.
pub(super) fn are_friends<L: Reads>(ledger: &mut L, user: i64, other: i64) -> Step<bool, L> {
    let mut found = false;
    ledger.rows(
        "SELECT 1 FROM friends WHERE user_id = ? AND friend = ?",
        &[Value::Int(user), Value::Int(other)],
        &mut |_| found = true,
    )?;
    Ok(found)
}

fn forget_requests<L: Ledger>(ledger: &mut L, one: i64, other: i64) -> Step<(), L> {
    for (to, from) in [(one, other), (other, one)] {
        ledger.execute(
            "DELETE FROM friend_requests WHERE to_user = ? AND from_user = ?",
            &[Value::Int(to), Value::Int(from)],
        )?;
    }
    Ok(())
}

/// The one number that a query about one number gives.
pub(super) fn count<L: Reads>(ledger: &mut L, query: &'static str, of: i64) -> Step<i64, L> {
    let mut found = 0;
    ledger.rows(query, &[Value::Int(of)], &mut |row| found = row.int(0))?;
    Ok(found)
}
