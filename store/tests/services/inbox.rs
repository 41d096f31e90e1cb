//! Conversations: what is unread, cursors, and messages taken back.

use store::{Answer, Appended, Audience, Record, RecordFault, Retention};
use wire::{
    AddMember, ClientMessageId, ConversationId, Inbox, InboxItem, MarkRead, MessageId, News,
    OpenPrivate, Reject, RemoveMember, Revoke, RoomId, Seq, Service, UserId,
};

use crate::ground::Kind;
use crate::shop::{Heard, REVOKE_WINDOW_MS, Shop, end, events, told, told_room};

fn items(answer: &Answer) -> Vec<InboxItem<'_>> {
    let item = |event| match event {
        Heard::News(News::InboxItem(item)) => Some(item),
        _ => None,
    };
    events(&answer.frames).filter_map(item).collect()
}

const ALL: Service<'_> =
    Service::Inbox(Inbox { after: ConversationId { first: 0, second: 0 }, limit: 256 });

const fn mark(conversation: ConversationId, seq: u64) -> Service<'static> {
    Service::MarkRead(MarkRead { conversation, seq: Seq(seq) })
}

const fn revoke(conversation: ConversationId, seq: u64) -> Service<'static> {
    Service::Revoke(Revoke { conversation, seq: Seq(seq) })
}

fn the_same_pair_has_the_same_conversation(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let open = |with| Service::OpenPrivate(OpenPrivate { with });
    let first = shop.granted(alice, open(bob));
    let conversation = ConversationId::private(alice, bob);
    assert_eq!((items(&first)[0].conversation, items(&first)[0].name), (conversation, &b"bob"[..]));
    let second = shop.granted(bob, open(alice));
    assert_eq!(
        (items(&second)[0].conversation, items(&second)[0].name),
        (conversation, &b"alice"[..])
    );
    assert_eq!(items(&shop.granted(alice, ALL)).len(), 1, "listed before anything was said");
    assert_eq!(shop.refused(alice, open(UserId(99))), Reject::NotFound);
    let notes = shop.granted(alice, open(alice));
    assert_eq!(items(&notes)[0].conversation, ConversationId::private(alice, alice));
}

fn an_inbox_knows_what_is_unread(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let conversation = ConversationId::private(alice, bob);
    for number in 0..5 {
        shop.say(bob, conversation, &format!("{number}"));
    }
    shop.say(alice, conversation, "an answer");
    let before = shop.granted(alice, ALL);
    let item = items(&before)[0];
    assert_eq!((item.head.0, item.read.0, item.peer_read.0, item.unread), (6, 0, 0, 5));
    let read = shop.granted(alice, mark(conversation, 3));
    assert!(matches!(
        told(&read, bob)[..],
        [Heard::News(News::ReadUpTo(up))] if (up.user, up.seq.0) == (alice, 3)
    ));
    let after = shop.granted(alice, ALL);
    assert_eq!((items(&after)[0].read.0, items(&after)[0].unread), (3, 2));
    let of_bob = shop.granted(bob, ALL);
    assert_eq!((items(&of_bob)[0].peer_read.0, items(&of_bob)[0].unread), (3, 1));
}

fn what_has_gone_is_not_unread_and_its_conversation_stays(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let mut backend = shop.ground.backend_with_accounts();
    assert!(backend.set_retention(Retention { age_ms: Some(10_000), bytes: None }));
    let mut trimmer = backend.writer().expect("a second writer");
    let conversation = ConversationId::private(alice, bob);
    for _ in 0..5 {
        shop.say(bob, conversation, "early");
    }
    shop.now_ms += 20_000;
    for _ in 0..3 {
        shop.say(bob, conversation, "late");
    }
    // The writer answers when a conversation is opened, the reader when all are listed.
    let open = Service::OpenPrivate(OpenPrivate { with: bob });
    let check = |shop: &mut Shop, expected: (u64, u64, u16)| {
        for service in [open, ALL] {
            let answer = shop.granted(alice, service);
            let item = items(&answer)[0];
            assert_eq!((item.head.0, item.read.0, item.unread), expected);
        }
    };
    check(&mut shop, (8, 0, 8));
    while trimmer.trim(shop.now_ms).expect("trimmed") {}
    check(&mut shop, (8, 0, 3));
    assert_eq!(shop.refused(bob, revoke(conversation, 2)), Reject::NotFound);
    shop.granted(alice, mark(conversation, 2));
    check(&mut shop, (8, 2, 3));
    shop.granted(alice, mark(conversation, 7));
    check(&mut shop, (8, 7, 1));
    shop.now_ms += 20_000;
    while trimmer.trim(shop.now_ms).expect("trimmed") {}
    check(&mut shop, (8, 7, 0));
    assert!(shop.texts(conversation).is_empty());
    assert_eq!(shop.say(bob, conversation, "again"), Seq(9));
    check(&mut shop, (9, 7, 1));
}

fn a_cursor_never_goes_back_nor_beyond(on: Kind) {
    let (mut shop, [alice, bob, eve]) = Shop::with(on, ["alice", "bob", "eve"]);
    let conversation = ConversationId::private(alice, bob);
    for _ in 0..4 {
        shop.say(bob, conversation, "hi");
    }
    shop.granted(alice, mark(conversation, 4));
    let back = shop.granted(alice, mark(conversation, 2));
    assert!(back.tells.is_empty());
    let before = shop.dump();
    assert_eq!(shop.refused(alice, mark(conversation, 5)), Reject::Invalid);
    assert_eq!(shop.refused(eve, mark(conversation, 1)), Reject::NotMember);
    let room = ConversationId::room(RoomId(3));
    assert_eq!(
        shop.refused(alice, mark(room, 1)),
        Reject::NotMember,
        "an open room has no members"
    );
    assert_eq!(shop.dump(), before);
    assert_eq!(items(&shop.granted(alice, ALL))[0].read.0, 4);
}

fn many_unread_are_many(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let conversation = ConversationId::private(alice, bob);
    for _ in 0..130 {
        shop.say(bob, conversation, "hi");
    }
    assert_eq!(items(&shop.granted(alice, ALL))[0].unread, wire::limits::UNREAD_MAX);
}

fn an_inbox_comes_by_page_groups_last(on: Kind) {
    let (mut shop, [alice]) = Shop::with(on, ["alice"]);
    let mut expected = Vec::new();
    for number in 0..9 {
        let other = shop.register(&format!("user{number}"));
        let conversation = ConversationId::private(alice, other);
        shop.say(other, conversation, "hi");
        expected.push(conversation);
    }
    for number in 0..5 {
        let group = shop.group(alice, &format!("group {number}"));
        expected.push(ConversationId::room(group));
    }
    for limit in [1, 4, 9, 10, 14, 256] {
        let (mut seen, mut after) = (Vec::new(), ConversationId::default());
        loop {
            let answer = shop.granted(alice, Service::Inbox(Inbox { after, limit }));
            let page = items(&answer);
            assert!(page.len() <= usize::from(limit.min(store::limits::INBOX_ITEMS_MAX)));
            seen.extend(page.iter().map(|item| item.conversation));
            let end = end(&answer);
            after = end.next;
            if end.is_complete == 1 {
                break;
            }
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
}

fn whoever_said_it_may_take_it_back_for_a_while(on: Kind) {
    let (mut shop, [alice, bob, eve]) = Shop::with(on, ["alice", "bob", "eve"]);
    let conversation = ConversationId::private(alice, bob);
    let first = shop.say(alice, conversation, "oops").0;
    let second = shop.say(alice, conversation, "stays").0;
    assert_eq!(shop.refused(bob, revoke(conversation, first)), Reject::Forbidden);
    assert_eq!(shop.refused(eve, revoke(conversation, first)), Reject::NotMember);
    assert_eq!(shop.refused(alice, revoke(conversation, 9)), Reject::NotFound);
    shop.now_ms += REVOKE_WINDOW_MS;
    let answer = shop.granted(alice, revoke(conversation, first));
    assert!(matches!(
        told(&answer, bob)[..],
        [Heard::News(News::Revoked(gone))] if (gone.seq.0, gone.by) == (first, alice)
    ));
    assert_eq!(answer.tells[0].to, Audience::Behind(conversation, bob), "never before the text");
    assert_eq!(shop.texts(conversation)[0].2, "", "its text is gone");
    assert!(shop.granted(alice, revoke(conversation, first)).tells.is_empty(), "once");
    shop.now_ms += 1;
    assert_eq!(shop.refused(alice, revoke(conversation, second)), Reject::TooLate);
    assert_eq!(shop.texts(conversation)[1].2, "stays");
}

fn what_was_taken_back_is_acknowledged_when_it_is_said_again(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let conversation = ConversationId::private(alice, bob);
    let record = Record {
        conversation,
        seq: None,
        message_id: MessageId(70),
        from: alice,
        client_message_id: ClientMessageId(1 << 40),
        unix_ms: shop.now_ms,
        body: b"oops",
    };
    let say = |shop: &mut Shop, record| {
        shop.writer.append_batch(&[record]).expect("worked").remove(0).expect("acknowledged")
    };
    let first = say(&mut shop, record);
    shop.say(bob, conversation, "what?");
    let again = say(&mut shop, Record { message_id: MessageId(71), ..record });
    assert_eq!(again, Appended { is_retry: true, ..first });
    shop.granted(alice, revoke(conversation, first.seq.0));
    let gone = Appended { is_retry: true, is_revoked: true, ..first };
    assert_eq!(say(&mut shop, Record { message_id: MessageId(72), ..record }), gone);
    // As under `relaxed`, where its place was given before.
    assert_eq!(say(&mut shop, Record { seq: Some(first.seq), ..record }), gone);
    let mut other = shop.ground.backend_with_accounts().writer().expect("another node");
    assert_eq!(other.append_batch(&[record]).expect("worked"), [Ok(gone)]);
    assert_eq!(shop.texts(conversation)[0].2, "", "and stays taken back");
    let elsewhere = ConversationId::private(alice, alice);
    let moved = Record { conversation: elsewhere, ..record };
    assert_eq!(
        shop.writer.append_batch(&[moved]).expect("worked"),
        [Err(RecordFault::Conflict)],
        "said to somebody else it is another message"
    );
}

fn in_rooms_and_groups_it_is_told_to_all(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let room = RoomId(5);
    let open = ConversationId::room(room);
    let seq = shop.say(alice, open, "oops").0;
    assert_eq!(shop.refused(bob, revoke(open, seq)), Reject::Forbidden);
    assert_eq!(told_room(&shop.granted(alice, revoke(open, seq)), room).len(), 1);

    let group = shop.group(alice, "friends");
    let add = AddMember { group, user: bob, role: 0 };
    shop.granted(alice, Service::AddMember(add));
    let conversation = ConversationId::room(group);
    let seq = shop.say(bob, conversation, "oops").0;
    assert_eq!(
        shop.refused(alice, revoke(conversation, seq)),
        Reject::Forbidden,
        "not even the creator"
    );
    let remove = Service::RemoveMember(RemoveMember { group, user: bob });
    shop.granted(alice, remove);
    assert_eq!(shop.refused(bob, revoke(conversation, seq)), Reject::NotMember, "he has left");
}

crate::on_every_backend!(
    the_same_pair_has_the_same_conversation,
    an_inbox_knows_what_is_unread,
    what_has_gone_is_not_unread_and_its_conversation_stays,
    a_cursor_never_goes_back_nor_beyond,
    many_unread_are_many,
    an_inbox_comes_by_page_groups_last,
    whoever_said_it_may_take_it_back_for_a_while,
    what_was_taken_back_is_acknowledged_when_it_is_said_again,
    in_rooms_and_groups_it_is_told_to_all,
);
