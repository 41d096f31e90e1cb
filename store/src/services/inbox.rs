//! Conversations as their members see them: what is read, what is unread, and messages taken back.

use wire::{
    ConversationId, Done, GROUPS_FROM, Inbox, InboxItem, MarkRead, OpenPrivate, ReadUpTo, Reject,
    Revoke, Revoked, RoomId, Seq, UserId,
};

use super::answer::{Answer, Audience, Pager};
use super::people::{existing, find};
use super::{Ask, Ledger, Lists, Reads, Step, Stop, Value, done, ensure, groups, number};
use crate::limits::INBOX_ITEMS_MAX;

/// Both numbers of a conversation, as databases keep them.
fn numbers<E>(conversation: ConversationId) -> Result<[i64; 2], Stop<E>> {
    let number = |n: u64| i64::try_from(n).map_err(|_| Stop::Refused(Reject::NotFound));
    Ok([number(conversation.first)?, number(conversation.second)?])
}

pub(super) fn open_private<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    open: &OpenPrivate,
    answer: &mut Answer,
) -> Step<Done, L> {
    existing(ledger, open.with)?;
    let conversation = ConversationId::private(ask.user, open.with);
    let head = ledger.open(conversation)?;
    item(ledger, ask.user, (conversation, head), answer)?;
    Ok(done())
}

pub(super) fn list<L: Lists>(
    ledger: &mut L,
    user: UserId,
    page: &Inbox,
    answer: &mut Answer,
) -> Step<Done, L> {
    let mut pager = Pager::new(answer, page.after, page.limit.min(INBOX_ITEMS_MAX));
    let is_group = |after: ConversationId| after.as_room().filter(|room| room.is_group());
    // Groups have the higher numbers, so they come behind all private conversations.
    if is_group(page.after).is_none() {
        for (conversation, head) in ledger.conversations(user, page.after, pager.rows())? {
            if !pager.takes(answer, conversation) {
                return Ok(pager.done());
            }
            item(ledger, user, (conversation, head), answer)?;
        }
    }
    let after = is_group(page.after).unwrap_or(RoomId(GROUPS_FROM));
    for (group, role, name) in groups::list(ledger, user, after, pager.rows())? {
        let conversation = ConversationId::room(group);
        if !pager.takes(answer, conversation) {
            break;
        }
        let head = ledger.head(conversation)?;
        let read = cursor(ledger, conversation, user)?;
        let unread = ledger.unread(conversation, user, read)?;
        let (peer_read, role) = (Seq(0), role.code());
        answer.reply(InboxItem { conversation, head, read, peer_read, unread, role, name: &name });
    }
    Ok(pager.done())
}

/// One private conversation.
fn item<L: Reads>(
    ledger: &mut L,
    user: UserId,
    (conversation, head): (ConversationId, Seq),
    answer: &mut Answer,
) -> Step<(), L> {
    let Some(peer) = conversation.peer_of(user) else { return Ok(()) };
    let read = cursor(ledger, conversation, user)?;
    let peer_read = cursor(ledger, conversation, peer)?;
    let unread = ledger.unread(conversation, user, read)?;
    let name = find(ledger, peer)?.map(|person| person.username).unwrap_or_default();
    answer.reply(InboxItem { conversation, head, read, peer_read, unread, role: 0, name: &name });
    Ok(())
}

/// Up to where a user has read.
fn cursor<L: Reads>(ledger: &mut L, conversation: ConversationId, user: UserId) -> Step<Seq, L> {
    let [first, second] = numbers(conversation)?;
    let mut seq = 0;
    ledger.rows(
        "SELECT seq FROM read_cursors WHERE conversation_1 = ? AND conversation_2 = ? AND user_id = ?",
        &[Value::Int(first), Value::Int(second), Value::Int(number(user)?)],
        &mut |row| seq = row.id(0),
    )?;
    Ok(Seq(seq))
}

/// Refuses whoever is not in a conversation. Rooms that are no groups have no members that are kept.
fn ensure_member<L: Reads>(
    ledger: &mut L,
    conversation: ConversationId,
    user: UserId,
) -> Step<(), L> {
    let is_member = match conversation.as_room() {
        Some(room) if room.is_group() => groups::role_of(ledger, room, user)?.is_some(),
        Some(_) => false,
        None => conversation.peer_of(user).is_some(),
    };
    ensure(is_member, Reject::NotMember)
}

pub(super) fn mark_read<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    mark: &MarkRead,
    answer: &mut Answer,
) -> Step<Done, L> {
    let MarkRead { conversation, seq } = *mark;
    ensure_member(ledger, conversation, ask.user)?;
    ensure(seq <= ledger.head(conversation)?, Reject::Invalid)?;
    let [first, second] = numbers(conversation)?;
    let user = number(ask.user)?;
    let seq_number = i64::try_from(seq.0).map_err(|_| Stop::Refused(Reject::Invalid))?;
    let key = [Value::Int(first), Value::Int(second), Value::Int(user)];
    let before = cursor(ledger, conversation, ask.user)?;
    if before >= seq {
        return Ok(done());
    }
    let written = ledger.execute(
        "UPDATE read_cursors SET seq = ? WHERE conversation_1 = ? AND conversation_2 = ? AND user_id = ? AND seq < ?",
        &[Value::Int(seq_number), key[0], key[1], key[2], Value::Int(seq_number)],
    )?;
    // Another node may have gone further meanwhile: a cursor never goes back.
    if written == 0 && before == Seq(0) {
        ledger.execute(
            "INSERT INTO read_cursors (conversation_1, conversation_2, user_id, seq) VALUES (?, ?, ?, ?)",
            &[key[0], key[1], key[2], Value::Int(seq_number)],
        )?;
    }
    if let Some(peer) = conversation.peer_of(ask.user).filter(|peer| *peer != ask.user) {
        answer.tell(Audience::User(peer), ReadUpTo { conversation, user: ask.user, seq });
    }
    Ok(done())
}

pub(super) fn revoke<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    revoke: &Revoke,
    answer: &mut Answer,
) -> Step<Done, L> {
    let Revoke { conversation, seq } = *revoke;
    // Whoever said something in an open room is known by it; in all else one must still be a member.
    let is_open_room = conversation.as_room().is_some_and(|room| !room.is_group());
    if !is_open_room {
        ensure_member(ledger, conversation, ask.user)?;
    }
    let said = ledger.said(conversation, seq)?.ok_or(Stop::Refused(Reject::NotFound))?;
    ensure(said.from == ask.user, Reject::Forbidden)?;
    if said.is_revoked {
        return Ok(done());
    }
    let is_in_time = ask.unix_ms.saturating_sub(said.unix_ms) <= ask.revoke_window_ms;
    ensure(is_in_time, Reject::TooLate)?;
    ledger.blank(conversation, seq)?;
    let audience = match conversation.as_room() {
        Some(room) => Some(Audience::Room(room)),
        // Whoever hears of it must have the text by then, or would show it afterwards.
        None => conversation.peer_of(ask.user).map(|peer| Audience::Behind(conversation, peer)),
    };
    if let Some(audience) = audience {
        answer.tell(audience, Revoked { conversation, seq, by: ask.user });
    }
    Ok(done())
}
