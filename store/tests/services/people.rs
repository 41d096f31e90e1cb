//! Profiles, and users by name.

use store::{Answer, Ask, Record};
use wire::{
    ClientMessageId, ConversationId, FindUsers, GetProfile, MessageId, News, Profile, Reject,
    RequestFriend, Service, SetProfile, UserId,
};

use crate::ground::{Ground, Kind};
use crate::shop::{Heard, Shop, end, events};

fn profiles(answer: &Answer) -> Vec<Profile<'_>> {
    let profile = |event| match event {
        Heard::News(News::Profile(profile)) => Some(profile),
        _ => None,
    };
    events(&answer.frames).filter_map(profile).collect()
}

fn names(answer: &Answer) -> Vec<String> {
    let name = |profile: &Profile<'_>| String::from_utf8_lossy(profile.username).into_owned();
    profiles(answer).iter().map(name).collect()
}

const fn find(username: &[u8], is_exact: u8, after: UserId, limit: u16) -> Service<'_> {
    Service::FindUsers(FindUsers { after, limit, is_exact, username })
}

fn a_profile_is_written_by_its_user_and_read_by_all(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let set = SetProfile {
        sex: 2,
        nickname: "Алиса".as_bytes(),
        description: b"line\nline",
        avatar: b"a.png",
    };
    shop.granted(alice, Service::SetProfile(set));
    for (asker, user) in [(alice, UserId(0)), (alice, alice), (bob, alice)] {
        let answer = shop.granted(asker, Service::GetProfile(GetProfile { user }));
        let [profile] = profiles(&answer)[..] else { panic!("one profile") };
        assert_eq!((profile.user, profile.sex, profile.username), (alice, 2, &b"alice"[..]));
        assert_eq!(profile.nickname, "Алиса".as_bytes());
        assert_eq!((profile.description, profile.avatar), (&b"line\nline"[..], &b"a.png"[..]));
    }
    let unset = shop.granted(bob, Service::GetProfile(GetProfile { user: UserId(0) }));
    assert_eq!(profiles(&unset)[0].nickname, b"bob", "from the registration");
    let nobody = Service::GetProfile(GetProfile { user: UserId(77) });
    assert_eq!(shop.refused(bob, nobody), Reject::NotFound);
}

/// What a batch of questions and one message becomes, each question told by the reason of its refusal.
fn work_on(shop: &mut Shop, asks: &[(UserId, Service<'_>)]) -> Vec<Option<Reject>> {
    let record = Record {
        conversation: ConversationId::private(asks[0].0, UserId(77)),
        seq: None,
        message_id: MessageId(shop.number()),
        from: asks[0].0,
        client_message_id: ClientMessageId(shop.number()),
        unix_ms: shop.now_ms,
        body: b"on its way",
    };
    let unix_ms = shop.now_ms;
    let ask = |&(user, service)| Ask {
        user,
        unix_ms,
        correlation: 7,
        message_ids: None,
        revoke_window_ms: 0,
        service,
    };
    let asks: Vec<Ask<'_>> = asks.iter().map(ask).collect();
    let (appended, served) = shop.writer.work(&[record], &asks).expect("the batch is written");
    assert!(appended[0].is_ok());
    served.into_iter().map(Result::err).collect()
}

const fn named(nickname: &[u8]) -> Service<'_> {
    Service::SetProfile(SetProfile { sex: 0, nickname, description: b"", avatar: b"" })
}

/// The accounts' file, over another connection.
fn accounts_file(shop: &Shop) -> rusqlite::Connection {
    let Ground::Files(directory) = &shop.ground else { panic!("files") };
    rusqlite::Connection::open(directory.path().join(store::ACCOUNTS_FILE)).expect("the file")
}

fn nickname(shop: &mut Shop, user: UserId) -> Vec<u8> {
    let answer = shop.granted(user, Service::GetProfile(GetProfile { user }));
    profiles(&answer)[0].nickname.to_vec()
}

#[test]
fn while_the_accounts_file_is_locked_only_who_writes_a_profile_is_busy() {
    let (mut shop, [alice, bob]) = Shop::with(Kind::Sqlite, ["alice", "bob"]);
    let create = Service::CreateGroup(wire::CreateGroup { name: b"friends" });
    let asks = [(alice, named(b"Al")), (bob, create), (bob, named(b"Bobby"))];
    let lock = accounts_file(&shop);
    lock.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    assert_eq!(work_on(&mut shop, &asks), [Some(Reject::Busy), None, Some(Reject::Busy)]);
    lock.execute_batch("ROLLBACK").expect("free again");
    assert_eq!(nickname(&mut shop, alice), b"alice");
    assert_eq!(work_on(&mut shop, &asks[..1]), [None]);
    assert_eq!(nickname(&mut shop, alice), b"Al");
}

#[test]
fn the_profiles_of_a_batch_are_one_transaction() {
    let (mut shop, [alice, bob, carol]) = Shop::with(Kind::Sqlite, ["alice", "bob", "carol"]);
    accounts_file(&shop)
        .execute_batch(
            "CREATE TRIGGER full BEFORE UPDATE ON profiles WHEN new.nickname = 'too much'
             BEGIN SELECT RAISE(ABORT, 'no room'); END",
        )
        .expect("a trigger");
    let create = Service::CreateGroup(wire::CreateGroup { name: b"friends" });
    let asks = [
        (alice, named(b"Al")),
        (UserId(99), named(b"nobody")),
        (bob, named(b"too much")),
        (bob, create),
        (carol, named(b"Caro")),
    ];
    let busy = Some(Reject::Busy);
    assert_eq!(work_on(&mut shop, &asks), [busy, Some(Reject::NotFound), busy, None, busy]);
    assert_eq!(nickname(&mut shop, alice), b"alice", "none of them is there");
    assert_eq!(work_on(&mut shop, &[asks[0], asks[4]]), [None, None]);
    assert_eq!(nickname(&mut shop, carol), b"Caro");
}

fn a_nickname_fits_a_line(on: Kind) {
    let (mut shop, [alice]) = Shop::with(on, ["alice"]);
    let before = shop.dump();
    for nickname in [&b""[..], b"  ", b"a\tb", "x".repeat(51).as_bytes()] {
        let set = SetProfile { sex: 0, nickname, description: b"", avatar: b"" };
        assert_eq!(shop.refused(alice, Service::SetProfile(set)), Reject::Invalid);
    }
    let set = SetProfile { sex: 0, nickname: b"a", description: b"", avatar: b"" };
    assert_eq!(shop.refused(UserId(9), Service::SetProfile(set)), Reject::NotFound);
    assert_eq!(shop.dump(), before);
}

fn users_are_found_by_name(on: Kind) {
    let (mut shop, [bob, _, _, _]) = Shop::with(on, ["bob", "Bobby", "alice", "bo-b"]);
    assert_eq!(names(&shop.granted(bob, find(b"BOB", 1, UserId(0), 10))), ["bob"]);
    assert_eq!(shop.refused(bob, find(b"bo", 1, UserId(0), 10)), Reject::NotFound);
    assert_eq!(names(&shop.granted(bob, find(b"bo", 0, UserId(0), 10))), ["bo-b", "bob", "Bobby"]);
    assert_eq!(names(&shop.granted(bob, find(b"bobb", 0, UserId(0), 10))), ["Bobby"]);
    assert!(names(&shop.granted(bob, find(b"carol", 0, UserId(0), 10))).is_empty());
    assert!(names(&shop.granted(bob, find("bö".as_bytes(), 0, UserId(0), 10))).is_empty());
}

fn signs_of_other_languages_are_letters_here(on: Kind) {
    let (mut shop, [alice]) = Shop::with(on, ["alice"]);
    let before = shop.dump();
    for letters in [&b"' OR 1=1 --"[..], b"%", b"_", b"a%", b"\"; DROP TABLE accounts", b"%n%s%d"] {
        assert!(names(&shop.granted(alice, find(letters, 0, UserId(0), 10))).is_empty());
        assert_eq!(shop.refused(alice, find(letters, 1, UserId(0), 10)), Reject::NotFound);
    }
    assert_eq!(shop.dump(), before);
}

fn all_users_are_listed_by_page(on: Kind) {
    let mut shop = Shop::new(on);
    let mut expected: Vec<String> = (0..30).map(|n| format!("user{n:02}")).collect();
    for name in expected.iter().rev() {
        shop.register(name);
    }
    expected.sort();
    let (mut seen, mut after) = (Vec::new(), UserId(0));
    loop {
        let answer = shop.granted(UserId(1), find(b"", 0, after, 7));
        seen.extend(names(&answer));
        let end = end(&answer);
        after = UserId(end.next.first);
        if end.is_complete == 1 {
            break;
        }
    }
    assert_eq!(seen, expected);
}

fn a_session_begins_with_what_waits(on: Kind) {
    let (mut shop, [alice, bob, carol]) = Shop::with(on, ["alice", "bob", "carol"]);
    shop.befriend(alice, bob);
    shop.granted(
        carol,
        Service::RequestFriend(RequestFriend { to: alice, alias: b"", note: b"hi" }),
    );
    let group = shop.group(alice, "friends");
    let answer = shop.granted(alice, Service::Me);
    let kinds: Vec<String> =
        events(&answer.frames).map(|event| format!("{:?}", event.kind())).collect();
    assert_eq!(kinds, ["Profile", "FriendRequested", "Friend", "Group", "Done"]);
    assert_eq!(end(&answer).is_complete, 1);
    let has_group = |event| matches!(event, Heard::News(News::Group(g)) if g.group == group);
    assert!(events(&answer.frames).any(has_group));
    let stranger = shop.granted(UserId(500), Service::Me);
    assert_eq!(events(&stranger.frames).count(), 1, "a session without an account has no profile");
}

crate::on_every_backend!(
    a_profile_is_written_by_its_user_and_read_by_all,
    a_nickname_fits_a_line,
    users_are_found_by_name,
    signs_of_other_languages_are_letters_here,
    all_users_are_listed_by_page,
    a_session_begins_with_what_waits,
);
