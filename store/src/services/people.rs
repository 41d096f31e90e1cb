//! Who is who: profiles, and users by name.

use wire::{
    ConversationId, Done, FindUsers, FriendRequests, Friends, GetProfile, Profile, Reject,
    SetProfile, UserId,
};

use super::answer::{Answer, Pager};
use super::{
    Ask, Fields, Ledger, Profiled, Reads, Step, Stop, Value, done, ensure, friends, groups, number,
};
use crate::limits::{ME_ITEMS_MAX, NICKNAME_CHARS_MAX, SEX_MAX};

/// A profile as the store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) user: u64,
    pub(super) sex: u8,
    pub(super) username: Vec<u8>,
    pub(super) nickname: Vec<u8>,
    pub(super) description: Vec<u8>,
    pub(super) avatar: Vec<u8>,
}

/// The columns of a [`Person`], of `accounts a JOIN profiles p`.
macro_rules! person_columns {
    () => {
        "a.user_id, p.sex, a.username, p.nickname, p.description, p.avatar"
    };
}
pub(super) use person_columns;

/// How many columns that is.
pub(super) const PERSON_COLUMNS: usize = 6;

impl Person {
    pub(super) fn of(row: &dyn Fields) -> Self {
        Self {
            user: row.id(0),
            sex: u8::try_from(row.int(1)).unwrap_or_default(),
            username: row.text(2).to_vec(),
            nickname: row.text(3).to_vec(),
            description: row.text(4).to_vec(),
            avatar: row.text(5).to_vec(),
        }
    }

    fn profile(&self) -> Profile<'_> {
        let Self { user, sex, username, nickname, description, avatar } = self;
        Profile { user: UserId(*user), sex: *sex, username, nickname, description, avatar }
    }
}

/// Somebody's profile, if there is such a user.
pub(super) fn find<L: Reads>(ledger: &mut L, user: UserId) -> Step<Option<Person>, L> {
    let mut found = None;
    ledger.rows(
        concat!(
            "SELECT ",
            person_columns!(),
            " FROM accounts a JOIN profiles p ON p.user_id = a.user_id WHERE a.user_id = ?"
        ),
        &[Value::Int(number(user)?)],
        &mut |row| found = Some(Person::of(row)),
    )?;
    Ok(found)
}

/// Refuses unless there is such a user; gives the profile.
pub(super) fn existing<L: Reads>(ledger: &mut L, user: UserId) -> Step<Person, L> {
    find(ledger, user)?.ok_or(Stop::Refused(Reject::NotFound))
}

/// Rows with a person and whatever is behind it.
pub(super) fn rows<L: Reads, T>(
    ledger: &mut L,
    query: &'static str,
    arguments: &[Value<'_>],
    rest: impl Fn(&dyn Fields) -> T,
) -> Step<Vec<(Person, T)>, L> {
    let mut found = Vec::new();
    ledger.rows(query, arguments, &mut |row| found.push((Person::of(row), rest(row))))?;
    Ok(found)
}

/// What a session begins with.
pub(super) fn me<L: Reads>(ledger: &mut L, ask: &Ask<'_>, answer: &mut Answer) -> Step<Done, L> {
    // A user whom an operator's key has logged in may have no account.
    if let Some(person) = find(ledger, ask.user)? {
        answer.reply(person.profile());
    }
    let (after, limit) = (UserId(0), ME_ITEMS_MAX);
    let requests = friends::requests(ledger, ask.user, &FriendRequests { after, limit }, answer)?;
    let friends = friends::list(ledger, ask.user, &Friends { after, limit }, answer)?;
    groups::of_user(ledger, ask.user, answer)?;
    let is_complete = requests.is_complete & friends.is_complete;
    Ok(Done { next: ConversationId::default(), is_complete })
}

pub(super) fn get_profile<L: Reads>(
    ledger: &mut L,
    ask: &Ask<'_>,
    get: &GetProfile,
    answer: &mut Answer,
) -> Step<Done, L> {
    let user = if get.user == UserId(0) { ask.user } else { get.user };
    answer.reply(existing(ledger, user)?.profile());
    Ok(done())
}

pub(super) fn set_profile<L: Ledger>(
    ledger: &mut L,
    ask: &Ask<'_>,
    set: &SetProfile<'_>,
) -> Step<Done, L> {
    ensure(is_name(set.nickname), Reject::Invalid)?;
    ensure(is_printable(set.avatar), Reject::Invalid)?;
    // As much as every backend's smallest number holds.
    ensure(set.sex <= SEX_MAX, Reject::Invalid)?;
    match ledger.set_profile(number(ask.user)?, set)? {
        Profiled::Written => Ok(done()),
        Profiled::NoUser => Err(Stop::Refused(Reject::NotFound)),
        Profiled::Busy => Err(Stop::Refused(Reject::Busy)),
    }
}

/// A name that is shown: some letters, no more than fit a line, nothing that moves the cursor.
pub(super) fn is_name(name: &[u8]) -> bool {
    let text = str::from_utf8(name).unwrap_or_default();
    let is_blank = text.trim().is_empty();
    !is_blank && text.chars().count() <= NICKNAME_CHARS_MAX && is_printable(name)
}

fn is_printable(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| !text.chars().any(char::is_control))
}

const EXACT: &str = concat!(
    "SELECT ",
    person_columns!(),
    " FROM accounts a JOIN profiles p ON p.user_id = a.user_id WHERE a.username = ?"
);

/// A cursor is a user, the order is that of the names, so that any letters are one stretch of the index.
const PREFIX: &str = concat!(
    "SELECT ",
    person_columns!(),
    " FROM accounts a JOIN profiles p ON p.user_id = a.user_id
     WHERE a.username >= ? AND a.username < ?
       AND a.username > coalesce((SELECT c.username FROM accounts c WHERE c.user_id = ?), '')
     ORDER BY a.username LIMIT ?"
);

pub(super) fn find_users<L: Reads>(
    ledger: &mut L,
    find: &FindUsers<'_>,
    answer: &mut Answer,
) -> Step<Done, L> {
    if find.is_exact != 0 {
        let mut found = rows(ledger, EXACT, &[Value::Text(find.username)], |_| ())?;
        // Some databases see no difference where there is an accent or a space behind.
        found.retain(|(person, ())| person.username.eq_ignore_ascii_case(find.username));
        ensure(!found.is_empty(), Reject::NotFound)?;
        for (person, ()) in &found {
            answer.reply(person.profile());
        }
        return Ok(done());
    }
    let mut pager = Pager::of_users(answer, find.after, find.limit);
    let Some((first, end)) = stretch(find.username) else { return Ok(pager.done()) };
    let arguments = [
        Value::Text(&first),
        Value::Text(&end),
        Value::Int(number(find.after)?),
        Value::Int(pager.rows()),
    ];
    for (person, ()) in rows(ledger, PREFIX, &arguments, |_| ())? {
        if !pager.takes_user(answer, person.user) {
            break;
        }
        // Databases do not agree on where signs stand among letters: the stretch of one may have strangers in it.
        if person.username.to_ascii_lowercase().starts_with(&first) {
            answer.reply(person.profile());
        }
    }
    Ok(pager.done())
}

/// The names that begin with these letters: from the first on, up to before the second. `None` if no name does, since names
/// are of ASCII letters, digits and few signs.
fn stretch(letters: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let first = letters.to_ascii_lowercase();
    let mut end = first.clone();
    match end.last_mut() {
        // The sign behind all that names are made of.
        None => end.push(b'~'),
        Some(last) if (b'!'..b'~').contains(last) => *last += 1,
        Some(_) => return None,
    }
    letters.is_ascii().then_some((first, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_the_names_that_begin_so() {
        let (first, end) = stretch(b"Bo").expect("letters");
        for name in [&b"bo"[..], b"bob", b"bozzz9", b"bo_"] {
            assert!(first.as_slice() <= name && name < end.as_slice(), "{name:?}");
        }
        for name in [&b"bn"[..], b"bp", b"b", b"c"] {
            assert!(!(first.as_slice() <= name && name < end.as_slice()), "{name:?}");
        }
        assert_eq!(stretch("bö".as_bytes()), None);
        assert!(stretch(b"").is_some_and(|(first, end)| first.is_empty() && end == b"~"));
    }

    #[test]
    fn names_are_shown_in_one_line() {
        for good in ["Bob", "Пётр", "名前", &"x".repeat(50)] {
            assert!(is_name(good.as_bytes()), "{good}");
        }
        for bad in ["", "   ", "a\nb", "\u{7}", &"x".repeat(51)] {
            assert!(!is_name(bad.as_bytes()), "{bad:?}");
        }
    }
}
