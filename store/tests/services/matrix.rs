//! Every service with numbers and words that are somebody else's, nobody's, or another language's: refused, and nothing
//! changed.

use wire::{
    AddMember, ConfirmFriend, ConversationId, CreateGroup, DeclineFriend, FindUsers, GetProfile,
    MarkRead, Members, OpenPrivate, RemoveFriend, RemoveMember, RequestFriend, Revoke, RoomId, Seq,
    Service, SetRole, UserId,
};

use crate::ground::Kind;
use crate::shop::Shop;

const WORDS: &[&[u8]] =
    &[b"'; DROP TABLE friends; --", b"\" OR \"\"=\"", b"%s%n%x", b"{0}", b"$(reboot)", b"\\x00"];

/// All that a stranger could try with these numbers.
fn attempts(
    users: &[UserId],
    groups: &[RoomId],
    places: &[ConversationId],
) -> Vec<Service<'static>> {
    let mut all = Vec::new();
    for user in users.iter().copied() {
        all.push(Service::ConfirmFriend(ConfirmFriend { from: user, alias: b"" }));
        all.push(Service::DeclineFriend(DeclineFriend { from: user }));
        all.push(Service::RemoveFriend(RemoveFriend { user }));
        for group in groups.iter().copied() {
            for role in [0, 1, 2, 3, 255] {
                all.push(Service::AddMember(AddMember { group, user, role }));
                all.push(Service::SetRole(SetRole { group, user, role }));
            }
            all.push(Service::RemoveMember(RemoveMember { group, user }));
        }
    }
    for group in groups.iter().copied() {
        all.push(Service::Members(Members { group, after: UserId(0), limit: 10 }));
    }
    for conversation in places.iter().copied() {
        for seq in [1, 2, u64::MAX] {
            all.push(Service::MarkRead(MarkRead { conversation, seq: Seq(seq) }));
            all.push(Service::Revoke(Revoke { conversation, seq: Seq(seq) }));
        }
    }
    all
}

fn a_stranger_changes_nothing(on: Kind) {
    let (mut shop, [alice, bob, eve]) = Shop::with(on, ["alice", "bob", "eve"]);
    shop.befriend(alice, bob);
    let group = shop.group(alice, "friends");
    shop.granted(alice, Service::AddMember(AddMember { group, user: bob, role: 0 }));
    shop.say(alice, ConversationId::room(group), "between us");
    shop.say(alice, ConversationId::room(RoomId(9)), "in the open");

    let users = [alice, bob, eve, UserId(4), UserId(1 << 62), UserId(u64::MAX)];
    let groups =
        [group, RoomId(group.0 + 1), RoomId(1), RoomId(wire::GROUPS_FROM), RoomId(u64::MAX)];
    let mut places: Vec<ConversationId> = groups.map(ConversationId::room).to_vec();
    places.push(ConversationId::room(RoomId(9)));
    places.push(ConversationId::private(alice, bob));
    places.push(ConversationId::private(bob, UserId(u64::MAX)));
    let before = shop.dump();
    let attempts = attempts(&users, &groups, &places);
    assert!(attempts.len() > 250, "{}", attempts.len());
    for service in attempts {
        let served = shop.ask(eve, service);
        assert!(served.is_err(), "{service:?} was granted to a stranger");
    }
    assert_eq!(shop.dump(), before);
}

fn nobody_is_found_or_asked_under_numbers_that_are_nobodys(on: Kind) {
    let (mut shop, [eve]) = Shop::with(on, ["eve"]);
    let before = shop.dump();
    for user in [UserId(99), UserId(1 << 62), UserId(1 << 63), UserId(u64::MAX)] {
        for service in [
            Service::GetProfile(GetProfile { user }),
            Service::RequestFriend(RequestFriend { to: user, alias: b"", note: b"" }),
            Service::OpenPrivate(OpenPrivate { with: user }),
        ] {
            assert!(shop.ask(eve, service).is_err(), "{service:?}");
        }
    }
    assert_eq!(shop.dump(), before);
}

fn words_are_kept_as_they_are(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    for word in WORDS {
        let create = Service::CreateGroup(CreateGroup { name: word });
        let answer = shop.granted(alice, create);
        assert!(answer.frames.windows(word.len()).any(|part| part == *word));
        let request = RequestFriend { to: bob, alias: word, note: word };
        shop.granted(alice, Service::RequestFriend(request));
        shop.granted(bob, Service::DeclineFriend(DeclineFriend { from: alice }));
        let find = FindUsers { after: UserId(0), limit: 10, is_exact: 0, username: word };
        shop.granted(alice, Service::FindUsers(find));
    }
    let listed = shop.granted(alice, Service::Me);
    for word in WORDS {
        assert!(listed.frames.windows(word.len()).any(|part| part == *word), "{word:?}");
    }
}

crate::on_every_backend!(
    a_stranger_changes_nothing,
    nobody_is_found_or_asked_under_numbers_that_are_nobodys,
    words_are_kept_as_they_are,
);
