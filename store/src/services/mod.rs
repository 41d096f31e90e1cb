//! Services: what people know of each other, groups, cursors, and taking messages back.
//!
//! Owns the rules: who may do what, what is told to whom. Written once, over the few statements that [`Ledger`] is made of,
//! so that every backend keeps the same rules. A service that is refused has changed nothing: all checks come before the
//! first write.

mod answer;
mod friends;
mod groups;
mod inbox;
mod ledger;
mod people;

use wire::{Done, MessageId, Reject, Service, UserId};

pub use answer::{Answer, Audience, Tell};
pub(crate) use ledger::{Fields, Ledger, Lists, Locked, Profiled, Reads, Said, Value};

/// What a session's user asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Who asks. Must be known from the session, never from the frame.
    pub user: UserId,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The command's correlation id, for the answer.
    pub correlation: u64,
    /// Ids for the messages that this may write, given to nobody else; `None` if it may write none.
    pub message_ids: Option<[MessageId; 2]>,
    /// For how long after its time a message may be taken back.
    pub revoke_window_ms: u64,
    /// What.
    pub service: Service<'a>,
}

/// What became of it: an answer, or why nothing was done.
pub type Served = Result<Answer, Reject>;

/// Any failure inside: of the backend, which ends the transaction, or a refusal, which does not.
pub(crate) enum Stop<E> {
    Refused(Reject),
    Failed(E),
}

impl<E> From<E> for Stop<E> {
    fn from(error: E) -> Self {
        Self::Failed(error)
    }
}

pub(crate) type Step<T, L> = Result<T, Stop<<L as Reads>::Error>>;

/// Refuses unless something holds.
pub(crate) const fn ensure<E>(holds: bool, reject: Reject) -> Result<(), Stop<E>> {
    if holds { Ok(()) } else { Err(Stop::Refused(reject)) }
}

/// Serves one question that changes something, in the transaction that is open on `ledger`.
///
/// # Errors
/// The backend's; then the transaction must be rolled back.
pub(crate) fn change<L: Ledger>(ledger: &mut L, ask: &Ask<'_>) -> Result<Served, L::Error> {
    let mut answer = Answer::new(ask.correlation);
    let end = changed(ledger, ask, &mut answer);
    finish(end, answer)
}

/// Serves one question that changes nothing, from one state of the store.
///
/// # Errors
/// The backend's.
pub(crate) fn list<L: Lists>(lists: &mut L, ask: &Ask<'_>) -> Result<Served, L::Error> {
    let mut answer = Answer::new(ask.correlation);
    let end = listed(lists, ask, &mut answer);
    finish(end, answer)
}

fn finish<E>(end: Result<Done, Stop<E>>, mut answer: Answer) -> Result<Served, E> {
    match end {
        Ok(done) => {
            answer.reply(done);
            Ok(Ok(answer))
        }
        Err(Stop::Refused(reject)) => Ok(Err(reject)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn changed<L: Ledger>(ledger: &mut L, ask: &Ask<'_>, answer: &mut Answer) -> Step<Done, L> {
    match &ask.service {
        Service::SetProfile(set) => people::set_profile(ledger, ask, set),
        Service::RequestFriend(request) => friends::request(ledger, ask, request, answer),
        Service::ConfirmFriend(confirm) => friends::confirm(ledger, ask, confirm, answer),
        Service::DeclineFriend(decline) => friends::decline(ledger, ask, decline),
        Service::RemoveFriend(remove) => friends::remove(ledger, ask, remove, answer),
        Service::OpenPrivate(open) => inbox::open_private(ledger, ask, open, answer),
        Service::MarkRead(mark) => inbox::mark_read(ledger, ask, mark, answer),
        Service::Revoke(revoke) => inbox::revoke(ledger, ask, revoke, answer),
        Service::CreateGroup(create) => groups::create(ledger, ask, create, answer),
        Service::AddMember(add) => groups::add(ledger, ask, add, answer),
        Service::RemoveMember(remove) => groups::remove(ledger, ask, remove, answer),
        Service::SetRole(set) => groups::set_role(ledger, ask, set, answer),
        Service::Me
        | Service::GetProfile(_)
        | Service::FindUsers(_)
        | Service::Friends(_)
        | Service::FriendRequests(_)
        | Service::Inbox(_)
        | Service::Members(_) => Err(Stop::Refused(Reject::Refused)),
    }
}

fn listed<L: Lists>(lists: &mut L, ask: &Ask<'_>, answer: &mut Answer) -> Step<Done, L> {
    match &ask.service {
        Service::Me => people::me(lists, ask, answer),
        Service::GetProfile(get) => people::get_profile(lists, ask, get, answer),
        Service::FindUsers(find) => people::find_users(lists, find, answer),
        Service::Friends(page) => friends::list(lists, ask.user, page, answer),
        Service::FriendRequests(page) => friends::requests(lists, ask.user, page, answer),
        Service::Inbox(page) => inbox::list(lists, ask.user, page, answer),
        Service::Members(page) => groups::members(lists, ask, page, answer),
        Service::SetProfile(_)
        | Service::RequestFriend(_)
        | Service::ConfirmFriend(_)
        | Service::DeclineFriend(_)
        | Service::RemoveFriend(_)
        | Service::OpenPrivate(_)
        | Service::MarkRead(_)
        | Service::Revoke(_)
        | Service::CreateGroup(_)
        | Service::AddMember(_)
        | Service::RemoveMember(_)
        | Service::SetRole(_) => Err(Stop::Refused(Reject::Refused)),
    }
}

/// A user's number as databases keep it; one that they cannot keep is nobody's.
pub(crate) fn number<E>(user: UserId) -> Result<i64, Stop<E>> {
    i64::try_from(user.0).map_err(|_| Stop::Refused(Reject::NotFound))
}

/// The end of an answer without pages.
pub(crate) const fn done() -> Done {
    Done { next: wire::ConversationId { first: 0, second: 0 }, is_complete: 1 }
}

/// Whether a user may enter a conversation: any but a group of others.
pub(crate) fn may_enter<L: Reads>(
    reads: &mut L,
    conversation: wire::ConversationId,
    user: UserId,
) -> Result<bool, L::Error> {
    let Some(group) = conversation.as_room().filter(|room| room.is_group()) else {
        return Ok(true);
    };
    match groups::role_of(reads, group, user) {
        Ok(role) => Ok(role.is_some()),
        Err(Stop::Refused(_)) => Ok(false),
        Err(Stop::Failed(error)) => Err(error),
    }
}
