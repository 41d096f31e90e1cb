//! Groups: who may do what, as each role, and what the others hear.

use store::{Answer, Record, RecordFault, limits};
use wire::{
    AddMember, ClientMessageId, ConversationId, CreateGroup, Members, MessageId, News, Reject,
    RemoveMember, Role, RoomId, Seq, Service, SetRole, UserId,
};

use crate::ground::Kind;
use crate::shop::{Heard, Shop, end, events, told, told_room};

const fn add(group: RoomId, user: UserId, role: Role) -> Service<'static> {
    Service::AddMember(AddMember { group, user, role: role.code() })
}

const fn remove(group: RoomId, user: UserId) -> Service<'static> {
    Service::RemoveMember(RemoveMember { group, user })
}

const fn set(group: RoomId, user: UserId, role: Role) -> Service<'static> {
    Service::SetRole(SetRole { group, user, role: role.code() })
}

fn members(shop: &mut Shop, asker: UserId, group: RoomId) -> Vec<(UserId, u8)> {
    let page = Members { group, after: UserId(0), limit: 256 };
    listed(&shop.granted(asker, Service::Members(page)))
}

fn listed(answer: &Answer) -> Vec<(UserId, u8)> {
    let member = |event| match event {
        Heard::News(News::Member(member)) => Some((member.user, member.role)),
        _ => None,
    };
    events(&answer.frames).filter_map(member).collect()
}

fn a_group_is_made_filled_and_emptied(on: Kind) {
    let (mut shop, [alice, bob, carol]) = Shop::with(on, ["alice", "bob", "carol"]);
    let group = shop.group(alice, "friends");
    assert!(group.is_group());
    let added = shop.granted(alice, add(group, bob, Role::Admin));
    for heard in [told(&added, bob), told_room(&added, group)] {
        let [Heard::News(News::MemberChanged(changed))] = heard[..] else { panic!("{heard:?}") };
        assert_eq!((changed.user, changed.by, changed.is_member), (bob, alice, 1));
        assert_eq!((changed.role, changed.name), (Role::Admin.code(), &b"friends"[..]));
    }
    shop.granted(bob, add(group, carol, Role::User));
    assert_eq!(members(&mut shop, carol, group), [(alice, 2), (bob, 1), (carol, 0)]);
    assert_eq!(shop.refused(bob, add(group, carol, Role::User)), Reject::Exists);
    let removed = shop.granted(bob, remove(group, carol));
    assert_eq!(removed.evicted, [(group, carol)], "her sessions leave the room");
    assert_eq!(told(&removed, carol).len(), 1);
    let page = Service::Members(Members { group, after: UserId(0), limit: 10 });
    assert_eq!(shop.refused(carol, page), Reject::NotMember);
    shop.granted(bob, remove(group, bob));
    shop.granted(alice, remove(group, alice));
    assert_eq!(shop.refused(alice, page), Reject::NotMember, "nobody is left");
    assert!(!shop.dump().contains("chat_groups"), "the group is gone");
    assert_ne!(shop.group(alice, "another"), group, "and its number is not given again");
}

/// What each role may do to a member of each role: `None` stands for a stranger.
fn roles_decide(on: Kind) {
    use Role::{Admin, Creator, User};
    let (mut shop, users) = Shop::with(on, ["c", "a1", "a2", "u1", "u2", "s1", "s2"]);
    let [creator, admin, admin_2, user, user_2, stranger, stranger_2] = users.map(|user| user);
    let group = shop.group(creator, "work");
    for (who, role) in [(admin, Admin), (admin_2, Admin), (user, User), (user_2, User)] {
        shop.granted(creator, add(group, who, role));
    }
    // Whoever acts is a stranger: nothing is done, whatever it is.
    let cases: &[(UserId, Service<'_>, Reject)] = &[
        (stranger, add(group, stranger_2, User), Reject::NotMember),
        (stranger, add(group, stranger, User), Reject::NotMember),
        (stranger, remove(group, user), Reject::NotMember),
        (stranger, remove(group, stranger), Reject::NotMember),
        (stranger, set(group, user, Admin), Reject::NotMember),
        (user, add(group, stranger, User), Reject::Forbidden),
        (user, remove(group, user_2), Reject::Forbidden),
        (user, remove(group, admin), Reject::Forbidden),
        (user, set(group, user_2, Admin), Reject::Forbidden),
        (user, set(group, user, Admin), Reject::Forbidden),
        (admin, add(group, stranger, Admin), Reject::Forbidden),
        (admin, add(group, stranger, Creator), Reject::Invalid),
        (admin, remove(group, admin_2), Reject::Forbidden),
        (admin, remove(group, creator), Reject::Forbidden),
        (admin, set(group, user, Admin), Reject::Forbidden),
        (admin, set(group, admin, Creator), Reject::Forbidden),
        (creator, add(group, stranger, Creator), Reject::Invalid),
        (creator, add(group, UserId(999), User), Reject::NotFound),
        (creator, set(group, creator, User), Reject::Forbidden),
        (creator, set(group, stranger, Admin), Reject::NotFound),
        (creator, remove(group, creator), Reject::Forbidden),
    ];
    let before = shop.dump();
    for (who, service, reject) in cases {
        assert_eq!(shop.refused(*who, *service), *reject, "{who:?} {service:?}");
    }
    assert_eq!(shop.dump(), before, "what is refused changes nothing");
    shop.granted(admin, add(group, stranger, User));
    shop.granted(admin, remove(group, stranger));
    shop.granted(creator, set(group, user, Admin));
    shop.granted(user, remove(group, user_2));
    shop.granted(creator, set(group, user, User));
    assert_eq!(shop.refused(user, remove(group, admin)), Reject::Forbidden);
    shop.granted(user, remove(group, user));
}

fn there_is_always_one_creator(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let group = shop.group(alice, "friends");
    shop.granted(alice, add(group, bob, Role::User));
    let answer = shop.granted(alice, set(group, bob, Role::Creator));
    assert_eq!(told_room(&answer, group).len(), 2, "both roles are told");
    assert_eq!(members(&mut shop, bob, group), [(alice, 1), (bob, 2)]);
    shop.granted(alice, remove(group, alice));
    assert_eq!(members(&mut shop, bob, group), [(bob, 2)]);
    shop.granted(bob, remove(group, bob));
}

fn only_members_may_enter(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let group = shop.group(alice, "friends");
    let conversation = ConversationId::room(group);
    shop.say(alice, conversation, "hi");
    assert_eq!(shop.reader.head_for(conversation, alice).expect("a head"), Some(Seq(1)));
    assert_eq!(shop.reader.head_for(conversation, bob).expect("an answer"), None);
    shop.granted(alice, add(group, bob, Role::User));
    assert_eq!(shop.reader.head_for(conversation, bob).expect("a head"), Some(Seq(1)));
    let unknown = ConversationId::room(RoomId(wire::GROUPS_FROM + 5));
    assert_eq!(shop.reader.head_for(unknown, bob).expect("an answer"), None);
    let beyond = ConversationId::room(RoomId(u64::MAX));
    assert_eq!(shop.reader.head_for(beyond, bob).expect("an answer"), None);
    let open = ConversationId::room(RoomId(4));
    assert_eq!(shop.reader.head_for(open, bob).expect("a head"), Some(Seq(0)));
}

fn whoever_is_put_out_says_and_reads_nothing_through_any_node(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let group = shop.group(alice, "friends");
    let conversation = ConversationId::room(group);
    shop.granted(alice, add(group, bob, Role::User));
    shop.say(bob, conversation, "hi");
    // Another node's connections, which have seen him as a member.
    let backend = shop.ground.backend_with_accounts();
    let mut other = backend.writer().expect("a writer");
    let mut reader = backend.reader().expect("a reader");
    let unix_ms = shop.now_ms;
    let mut say = |number: u64| {
        let record = Record {
            conversation,
            seq: None,
            message_id: MessageId(5_000 + number),
            from: bob,
            client_message_id: ClientMessageId(5_000 + number),
            unix_ms,
            body: b"still here",
        };
        other.append_batch(&[record]).expect("worked").remove(0).map(|appended| appended.seq)
    };
    assert_eq!(say(1), Ok(Seq(2)));
    let page = reader.pull_for(conversation, bob, Seq(0), 9).expect("read").expect("a member");
    assert_eq!(page.messages.len(), 2);
    shop.granted(alice, remove(group, bob));
    assert_eq!(say(2), Err(RecordFault::NotMember));
    assert_eq!(reader.pull_for(conversation, bob, Seq(0), 9).expect("read"), None);
    let page = reader.pull_for(conversation, alice, Seq(0), 9).expect("read").expect("a member");
    assert_eq!(page.messages.len(), 2, "what was refused left no gap and no text");
    shop.granted(alice, add(group, bob, Role::User));
    assert_eq!(say(2), Ok(Seq(3)));
    // A group that is nobody's, and numbers that no group can have.
    for room in [group.0 + 7, u64::MAX] {
        let conversation = ConversationId::room(RoomId(room));
        let record = Record { conversation, ..a_record(bob, shop.now_ms) };
        let said = shop.writer.append_batch(&[record]).expect("worked");
        assert_eq!(said, [Err(RecordFault::NotMember)]);
        assert_eq!(reader.pull_for(conversation, bob, Seq(0), 9).expect("read"), None);
    }
    // In an open room everybody may.
    let conversation = ConversationId::room(RoomId(9));
    let record = Record { conversation, ..a_record(bob, shop.now_ms) };
    assert!(shop.writer.append_batch(&[record]).expect("worked")[0].is_ok());
    let page = reader.pull_for(conversation, alice, Seq(0), 9).expect("read").expect("all may");
    assert_eq!(page.messages.len(), 1);
}

fn a_record(from: UserId, unix_ms: u64) -> Record<'static> {
    Record {
        conversation: ConversationId::room(RoomId(9)),
        seq: None,
        message_id: MessageId(7_000),
        from,
        client_message_id: ClientMessageId(7_000),
        unix_ms,
        body: b"anybody here?",
    }
}

fn groups_are_bounded_and_named(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    for name in [&b""[..], b" ", b"two\nlines"] {
        let create = Service::CreateGroup(CreateGroup { name });
        assert_eq!(shop.refused(alice, create), Reject::Invalid);
    }
    let create = Service::CreateGroup(CreateGroup { name: b"a group" });
    assert_eq!(shop.refused(UserId(99), create), Reject::NotFound, "no account");
    for number in 0..limits::GROUPS_PER_USER_MAX {
        shop.group(alice, &format!("group {number}"));
    }
    assert_eq!(shop.refused(alice, create), Reject::TooMany);
    let group = shop.group(bob, "bob's");
    assert_eq!(shop.refused(bob, add(group, alice, Role::User)), Reject::TooMany);
}

fn who_makes_a_group_again_because_no_answer_came_has_it_once(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let group = shop.group(alice, "friends");
    let before = shop.dump();
    shop.now_ms += limits::GROUP_AGAIN_MS;
    assert_eq!(shop.group(alice, "friends"), group, "the one that is there already");
    assert_eq!(shop.dump(), before);
    assert_ne!(shop.group(bob, "friends"), group, "another's");
    assert_ne!(shop.group(alice, "friends "), group, "of another name");
    shop.now_ms += 1;
    let later = shop.group(alice, "friends");
    assert_ne!(later, group, "she has forgotten the first one");
    shop.granted(alice, add(later, bob, Role::User));
    let third = shop.group(alice, "friends");
    assert_ne!(third, later, "that one is in use");
    shop.say(alice, ConversationId::room(third), "hello?");
    assert!(![group, later, third].contains(&shop.group(alice, "friends")), "and that one too");
}

fn strangers_cannot_fill_the_list_of_groups(on: Kind) {
    let (mut shop, [alice, eve, bob]) = Shop::with(on, ["alice", "eve", "bob"]);
    let (most, by_strangers) = (limits::GROUPS_PER_USER_MAX, limits::GROUPS_BY_STRANGERS_MAX);
    for number in 0..by_strangers {
        let group = shop.group(eve, &format!("spam {number}"));
        shop.granted(eve, add(group, alice, Role::User));
    }
    let one_more = shop.group(eve, "spam");
    assert_eq!(shop.refused(eve, add(one_more, alice, Role::User)), Reject::TooMany);
    shop.befriend(alice, bob);
    let party = shop.group(bob, "party");
    shop.granted(bob, add(party, alice, Role::User));
    for number in by_strangers + 1..most {
        shop.group(alice, &format!("own {number}"));
    }
    let full = Service::CreateGroup(CreateGroup { name: b"beyond" });
    assert_eq!(shop.refused(alice, full), Reject::TooMany);
    // Whoever leaves some of them has room for strangers again only below their bound.
    shop.granted(alice, remove(party, alice));
    assert_eq!(shop.refused(eve, add(one_more, alice, Role::User)), Reject::TooMany);
    shop.granted(bob, add(party, alice, Role::User));
}

fn members_come_by_page(on: Kind) {
    let (mut shop, [alice]) = Shop::with(on, ["alice"]);
    let group = shop.group(alice, "many");
    let mut expected = vec![alice];
    for number in 0..20 {
        let user = shop.register(&format!("user{number}"));
        shop.granted(alice, add(group, user, Role::User));
        expected.push(user);
    }
    let (mut seen, mut after) = (Vec::new(), UserId(0));
    loop {
        let page = Service::Members(Members { group, after, limit: 8 });
        let answer = shop.granted(alice, page);
        seen.extend(listed(&answer).into_iter().map(|(user, _)| user));
        after = UserId(end(&answer).next.first);
        if end(&answer).is_complete == 1 {
            break;
        }
    }
    assert_eq!(seen, expected);
}

crate::on_every_backend!(
    a_group_is_made_filled_and_emptied,
    roles_decide,
    there_is_always_one_creator,
    only_members_may_enter,
    whoever_is_put_out_says_and_reads_nothing_through_any_node,
    groups_are_bounded_and_named,
    who_makes_a_group_again_because_no_answer_came_has_it_once,
    strangers_cannot_fill_the_list_of_groups,
    members_come_by_page,
);
