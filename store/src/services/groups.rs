//! Groups: rooms whose members and their roles are kept.

use wire::{
    AddMember, ConversationId, CreateGroup, Done, GROUPS_FROM, Group, Member, MemberChanged,
    Members, Reject, RemoveMember, Role, RoomId, Seq, SetRole, UserId,
};

use super::answer::{Answer, Audience, Pager};
use super::friends::{are_friends, count};
use super::ledger::Locked;
use super::people::{existing, is_name};
use super::{Ask, Ledger, Reads, Step, Stop, Value, done, ensure, number};
use crate::limits::{
    GROUP_AGAIN_MS, GROUP_MEMBERS_MAX, GROUPS_BY_STRANGERS_MAX, GROUPS_PER_USER_MAX,
};

/// How many members a group has.
const OF_GROUP: &str = "SELECT count(*) FROM group_members WHERE group_id = ?";

/// A group's row: its room's number, less where groups begin.
fn row_of<E>(group: RoomId) -> Result<i64, Stop<E>> {
    let row = group.0.checked_sub(GROUPS_FROM).and_then(|row| i64::try_from(row).ok());
    row.ok_or(Stop::Refused(Reject::NotFound))
}

const fn room_of(row: i64) -> RoomId {
    RoomId(GROUPS_FROM + row.cast_unsigned())
}

/// What a user is in a group.
pub(super) fn role_of<L: Reads>(
    ledger: &mut L,
    group: RoomId,
    user: UserId,
) -> Step<Option<Role>, L> {
    let mut found = None;
    ledger.rows(
        "SELECT role FROM group_members WHERE group_id = ? AND user_id = ?",
        &[Value::Int(row_of(group)?), Value::Int(number(user)?)],
        &mut |row| found = u8::try_from(row.int(0)).ok().and_then(Role::from_code),
    )?;
    Ok(found)
}

/// Refuses strangers; gives the role.
fn member<L: Reads>(ledger: &mut L, group: RoomId, user: UserId) -> Step<Role, L> {
    role_of(ledger, group, user)?.ok_or(Stop::Refused(Reject::NotMember))
}

fn name_of<L: Reads>(ledger: &mut L, group: RoomId) -> Step<Vec<u8>, L> {
    let mut name = Vec::new();
    ledger.rows(
        "SELECT name FROM chat_groups WHERE id = ?",
        &[Value::Int(row_of(group)?)],
        &mut |row| name = row.text(0).to_vec(),
    )?;
    Ok(name)
}

/// The user's groups, all of them: they are few.
pub(super) fn of_user<L: Reads>(ledger: &mut L, user: UserId, answer: &mut Answer) -> Step<(), L> {
    for (group, role, name) in list(ledger, user, RoomId(GROUPS_FROM), GROUPS_PER_USER_MAX)? {
        let head = ledger.head(ConversationId::room(group))?;
        answer.reply(Group { group, head, role: role.code(), name: &name });
    }
    Ok(())
}

/// The user's groups beyond one, in the order of their numbers.
pub(super) fn list<L: Reads>(
    ledger: &mut L,
    user: UserId,
    after: RoomId,
    limit: i64,
) -> Step<Vec<(RoomId, Role, Vec<u8>)>, L> {
    let mut groups = Vec::new();
    ledger.rows(
        "SELECT g.id, m.role, g.name FROM group_members m JOIN chat_groups g ON g.id = m.group_id
         WHERE m.user_id = ? AND m.group_id > ? ORDER BY m.group_id LIMIT ?",
        &[Value::Int(number(user)?), Value::Int(row_of(after)?), Value::Int(limit)],
        &mut |row| {
            let role = u8::try_from(row.int(1)).ok().and_then(Role::from_code);
            groups.push((room_of(row.int(0)), role.unwrap_or(Role::User), row.text(2).to_vec()));
        },
    )?;
    Ok(groups)
}

pub(super) fn create<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    create: &CreateGroup<'_>,
    answer: &mut Answer,
) -> Step<Done, L> {
    ensure(is_name(create.name), Reject::Invalid)?;
    ledger.lock(Locked::User(ask.user))?;
    existing(ledger, ask.user)?;
    if let Some(group) = just_made(ledger, ask, create.name)? {
        let role = Role::Creator.code();
        answer.reply(Group { group, head: Seq(0), role, name: create.name });
        return Ok(done());
    }
    ensure_room_for(ledger, ask.user, GROUPS_PER_USER_MAX)?;
    let row = ledger.insert(
        "INSERT INTO chat_groups (name, unix_ms) VALUES (?, ?)",
        &[Value::Text(create.name), Value::Int(ask.unix_ms.cast_signed())],
    )?;
    let group = room_of(row);
    insert(ledger, ask, (group, ask.user, Role::Creator))?;
    let role = Role::Creator.code();
    answer.reply(Group { group, head: Seq(0), role, name: create.name });
    Ok(done())
}

/// A group of this name that the user has just made and not used: whoever was told `busy`, or nothing, about a commit that
/// has happened all the same, asks again and must not have two.
fn just_made<L: Reads>(ledger: &mut L, ask: &Ask<'_>, name: &[u8]) -> Step<Option<RoomId>, L> {
    let since = ask.unix_ms.saturating_sub(GROUP_AGAIN_MS);
    let mut made = Vec::new();
    ledger.rows(
        "SELECT g.id, g.name FROM group_members m JOIN chat_groups g ON g.id = m.group_id
         WHERE m.user_id = ? AND m.role = ? AND g.unix_ms >= ? ORDER BY m.group_id LIMIT ?",
        &[
            Value::Int(number(ask.user)?),
            Value::Int(Role::Creator.code().into()),
            Value::Int(i64::try_from(since).unwrap_or(i64::MAX)),
            Value::Int(GROUPS_PER_USER_MAX),
        ],
        // Compared here: some databases take a name with a space behind for the same one.
        &mut |row| made.extend((row.text(1) == name).then(|| row.int(0))),
    )?;
    for row in made {
        let members = count(ledger, OF_GROUP, row)?;
        let group = room_of(row);
        if members == 1 && ledger.head(ConversationId::room(group))? == Seq(0) {
            return Ok(Some(group));
        }
    }
    Ok(None)
}

/// Refuses if a user is in so many groups.
fn ensure_room_for<L: Reads>(ledger: &mut L, user: UserId, most: i64) -> Step<(), L> {
    let of_user = "SELECT count(*) FROM group_members WHERE user_id = ?";
    let groups = count(ledger, of_user, number(user)?)?;
    ensure(groups < most, Reject::TooMany)
}

fn insert<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    (group, user, role): (RoomId, UserId, Role),
) -> Step<(), L> {
    ledger.execute(
        "INSERT INTO group_members (group_id, user_id, role, unix_ms) VALUES (?, ?, ?, ?)",
        &[
            Value::Int(row_of(group)?),
            Value::Int(number(user)?),
            Value::Int(role.code().into()),
            Value::Int(ask.unix_ms.cast_signed()),
        ],
    )?;
    Ok(())
}

/// Tells the group, and whom it is about: who is not in the room yet, or no more, hears it too; who is, twice.
fn tell<L: Reads>(
    ledger: &mut L,
    ask: &Ask<'_>,
    (group, user, role): (RoomId, UserId, Role),
    is_member: bool,
    answer: &mut Answer,
) -> Step<(), L> {
    let name = name_of(ledger, group)?;
    let (by, role, is_member) = (ask.user, role.code(), is_member.into());
    let changed = MemberChanged { group, user, by, role, is_member, name: &name };
    answer.tell(Audience::Room(group), changed);
    answer.tell(Audience::User(user), changed);
    Ok(())
}

pub(super) fn add<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    add: &AddMember,
    answer: &mut Answer,
) -> Step<Done, L> {
    let role = Role::from_code(add.role).filter(|role| *role != Role::Creator);
    let role = role.ok_or(Stop::Refused(Reject::Invalid))?;
    ledger.lock(Locked::User(add.user))?;
    ledger.lock(Locked::Group(add.group))?;
    let own = member(ledger, add.group, ask.user)?;
    ensure(own > role, Reject::Forbidden)?;
    existing(ledger, add.user)?;
    ensure(role_of(ledger, add.group, add.user)?.is_none(), Reject::Exists)?;
    let members = count(ledger, OF_GROUP, row_of(add.group)?)?;
    ensure(members < GROUP_MEMBERS_MAX, Reject::TooMany)?;
    let is_friend = are_friends(ledger, number(add.user)?, number(ask.user)?)?;
    ensure_room_for(
        ledger,
        add.user,
        if is_friend { GROUPS_PER_USER_MAX } else { GROUPS_BY_STRANGERS_MAX },
    )?;
    insert(ledger, ask, (add.group, add.user, role))?;
    tell(ledger, ask, (add.group, add.user, role), true, answer)?;
    Ok(done())
}

pub(super) fn remove<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    remove: &RemoveMember,
    answer: &mut Answer,
) -> Step<Done, L> {
    ledger.lock(Locked::Group(remove.group))?;
    let own = member(ledger, remove.group, ask.user)?;
    let row = row_of(remove.group)?;
    let mut is_last = false;
    if remove.user == ask.user {
        is_last = count(ledger, OF_GROUP, row)? == 1;
        ensure(own != Role::Creator || is_last, Reject::Forbidden)?;
    } else {
        ensure(own >= Role::Admin, Reject::Forbidden)?;
        let Some(other) = role_of(ledger, remove.group, remove.user)? else {
            // It may be a second attempt after one whose answer was lost: the sessions must leave the room all the same.
            answer.evict(remove.group, remove.user);
            return Ok(done());
        };
        ensure(own > other, Reject::Forbidden)?;
    }
    ledger.execute(
        "DELETE FROM group_members WHERE group_id = ? AND user_id = ?",
        &[Value::Int(row), Value::Int(number(remove.user)?)],
    )?;
    tell(ledger, ask, (remove.group, remove.user, Role::User), false, answer)?;
    answer.evict(remove.group, remove.user);
    if is_last {
        // Its number is never given again, so what was said in it is nobody's.
        ledger.execute("DELETE FROM chat_groups WHERE id = ?", &[Value::Int(row)])?;
    }
    Ok(done())
}

pub(super) fn set_role<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    set: &SetRole,
    answer: &mut Answer,
) -> Step<Done, L> {
    let role = Role::from_code(set.role).ok_or(Stop::Refused(Reject::Invalid))?;
    ledger.lock(Locked::Group(set.group))?;
    let own = member(ledger, set.group, ask.user)?;
    ensure(own == Role::Creator && set.user != ask.user, Reject::Forbidden)?;
    let before = role_of(ledger, set.group, set.user)?;
    ensure(before.is_some(), Reject::NotFound)?;
    let mut changes = vec![(set.user, role)];
    if role == Role::Creator {
        // There is always exactly one.
        changes.push((ask.user, Role::Admin));
    }
    for (user, role) in changes {
        ledger.execute(
            "UPDATE group_members SET role = ? WHERE group_id = ? AND user_id = ?",
            &[
                Value::Int(role.code().into()),
                Value::Int(row_of(set.group)?),
                Value::Int(number(user)?),
            ],
        )?;
        tell(ledger, ask, (set.group, user, role), true, answer)?;
    }
    Ok(done())
}

pub(super) fn members<L: Reads>(
    ledger: &mut L,
    ask: &Ask<'_>,
    page: &Members,
    answer: &mut Answer,
) -> Step<Done, L> {
    member(ledger, page.group, ask.user)?;
    let mut pager = Pager::of_users(answer, page.after, page.limit);
    let mut found = Vec::new();
    ledger.rows(
        "SELECT m.user_id, m.role, a.username FROM group_members m
         JOIN accounts a ON a.user_id = m.user_id
         WHERE m.group_id = ? AND m.user_id > ? ORDER BY m.user_id LIMIT ?",
        &[
            Value::Int(row_of(page.group)?),
            Value::Int(number(page.after)?),
            Value::Int(pager.rows()),
        ],
        &mut |row| found.push((row.id(0), row.int(1), row.text(2).to_vec())),
    )?;
    for (user, role, username) in found {
        if !pager.takes_user(answer, user) {
            break;
        }
        let role = u8::try_from(role).unwrap_or_default();
        answer.reply(Member { user: UserId(user), role, username: &username });
    }
    Ok(pager.done())
}
