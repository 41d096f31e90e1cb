//! The services over real sockets: a node, its store, and people on two shards.

use std::time::Duration;

use client::Follow;
use client::blocking::{Answered, Arrival, Client, Error, news_of};
use store::{Accounts, NewAccount, Options};
use wire::{
    AddMember, ClientMessageId, ConfirmFriend, ConversationId, CreateGroup, FriendRequests, Group,
    Inbox, MarkRead, News, Reject, RemoveMember, RequestFriend, Revoke, RoomId, Seq, Service,
    SignalCall, UserId,
};

use crate::node::{Home, Node, PATIENCE};

/// Makes accounts with numbers from 1 on.
fn register(home: &Home, names: &[&str]) {
    let mut accounts = Accounts::open(&Options::accounts(home.data())).expect("the accounts");
    for name in names {
        let account = NewAccount {
            username: (*name).to_owned(),
            email: format!("{name}@example.org"),
            phc: "$none".to_owned(),
            created_unix_ms: 1,
        };
        accounts.register(&account).expect("registered").expect("a free name");
    }
}

fn log_in(node: &Node, user: UserId) -> Client {
    let mut client = Client::connect(node.chat, Follow::Raw, PATIENCE).expect("connected");
    client.login(&node.token(user.0)).expect("logged in");
    client
}

/// The next thing that others did, as `pick` finds it in an event.
#[track_caller]
fn heard<T>(client: &mut Client, pick: impl Fn(News<'_>) -> Option<T>) -> T {
    loop {
        let arrival = client.recv(PATIENCE).expect("a session").expect("something in time");
        let Arrival::News(frame) = arrival else { continue };
        if let Some(found) = news_of(&frame).and_then(&pick) {
            return found;
        }
    }
}

/// The next text.
#[track_caller]
fn said(client: &mut Client) -> (ConversationId, Seq, String) {
    loop {
        if let Arrival::Text(text) = client.recv(PATIENCE).expect("a session").expect("in time") {
            let body = String::from_utf8(text.body.to_vec()).expect("a text");
            return (text.conversation, text.seq, body);
        }
    }
}

fn rejected<T: std::fmt::Debug>(result: Result<T, Error>) -> Reject {
    match result {
        Err(Error::Rejected { reject: Some(reject), .. }) => reject,
        other => panic!("{other:?}"),
    }
}

fn group_of(answer: &Answered) -> RoomId {
    let group = answer.news().find_map(|event| match event {
        News::Group(Group { group, .. }) => Some(group),
        _ => None,
    });
    group.expect("a group")
}

const ALICE: UserId = UserId(1);
const BOB: UserId = UserId(2);
const CAROL: UserId = UserId(3);

#[test]
fn people_meet_and_talk() {
    let home = Home::new();
    register(&home, &["alice", "bob", "carol"]);
    let node = Node::start(&home, &["--shards", "2"]);
    let (mut alice, mut bob) = (log_in(&node, ALICE), log_in(&node, BOB));

    let (alias, note) = (&b""[..], &b"hi, it is Alice"[..]);
    alice.serve(Service::RequestFriend(RequestFriend { to: BOB, alias, note })).expect("asked");
    let asker = heard(&mut bob, |event| match event {
        News::FriendRequested(asked) => Some((asked.from, asked.note.to_vec())),
        _ => None,
    });
    assert_eq!(asker, (ALICE, note.to_vec()));
    bob.serve(Service::ConfirmFriend(ConfirmFriend { from: ALICE, alias })).expect("confirmed");
    let conversation = ConversationId::private(ALICE, BOB);
    for client in [&mut alice, &mut bob] {
        let pair = heard(client, |event| match event {
            News::Befriended(befriended) => Some(befriended.conversation),
            _ => None,
        });
        assert_eq!(pair, conversation);
        assert_eq!(said(client), (conversation, Seq(1), "hi, it is Alice".to_owned()));
        assert_eq!(said(client).1, Seq(2));
    }

    let acks = alice
        .send_texts(BOB, &[(ClientMessageId(1), "one"), (ClientMessageId(2), "two")])
        .expect("accepted");
    assert_eq!(acks.iter().map(|acked| acked.seq.0).collect::<Vec<_>>(), [3, 4]);
    assert_eq!([said(&mut bob).2, said(&mut bob).2], ["one", "two"]);
    bob.serve(Service::MarkRead(MarkRead { conversation, seq: Seq(4) })).expect("read");
    let read = heard(&mut alice, |event| match event {
        News::ReadUpTo(up) => Some((up.user, up.seq)),
        _ => None,
    });
    assert_eq!(read, (BOB, Seq(4)));
    alice.serve(Service::Revoke(Revoke { conversation, seq: Seq(3) })).expect("taken back");
    let gone = heard(&mut bob, |event| match event {
        News::Revoked(revoked) => Some((revoked.seq, revoked.by)),
        _ => None,
    });
    assert_eq!(gone, (Seq(3), ALICE));
    let page = bob.pull(conversation, Seq(2), 10).expect("a page");
    assert_eq!(page.messages.iter().map(|m| &m.body[..]).collect::<Vec<_>>(), [&b""[..], b"two"]);

    assert_eq!(node.metrics().get("ringline_violations_total").copied().unwrap_or(0.0), 0.0);
    alice.logout().expect("a goodbye");
    bob.logout().expect("a goodbye");
}

#[test]
fn a_group_keeps_strangers_out_and_a_call_needs_two() {
    let home = Home::new();
    register(&home, &["alice", "bob", "carol"]);
    let node = Node::start(&home, &["--shards", "2"]);
    let (mut alice, mut bob) = (log_in(&node, ALICE), log_in(&node, BOB));
    let create = Service::CreateGroup(CreateGroup { name: b"friends" });
    let group = group_of(&alice.serve(create).expect("a group"));
    alice.join(group).expect("entered");
    assert_eq!(rejected(bob.join(group)), Reject::NotMember);
    let add = Service::AddMember(AddMember { group, user: BOB, role: 0 });
    assert_eq!(rejected(bob.serve(add)), Reject::NotMember);
    alice.serve(add).expect("added");
    let is_member = |client: &mut Client| {
        heard(client, |event| match event {
            News::MemberChanged(changed) => Some(changed.is_member),
            _ => None,
        })
    };
    assert_eq!(is_member(&mut bob), 1);
    bob.join(group).expect("entered");
    bob.send_room(group, ClientMessageId(1), "hello group").expect("said");
    assert_eq!(said(&mut alice).2, "hello group");
    alice.serve(Service::RemoveMember(RemoveMember { group, user: BOB })).expect("put out");
    assert_eq!(is_member(&mut bob), 0);
    let again = bob.send_room(group, ClientMessageId(2), "still here?");
    assert_eq!(rejected(again), Reject::NotMember);

    let signal = |to| SignalCall { to, call: 1, signal: 1, body: b"v=0" };
    alice.signal_call(signal(BOB)).expect("handed on");
    let caller = heard(&mut bob, |event| match event {
        News::CallSignal(signal) => Some(signal.from),
        _ => None,
    });
    assert_eq!(caller, ALICE);
    assert_eq!(rejected(alice.signal_call(signal(CAROL))), Reject::Offline);
}

#[test]
fn what_waited_is_there_at_the_next_login_and_after_a_restart() {
    let home = Home::new();
    register(&home, &["alice", "bob"]);
    let node = Node::start(&home, &["--shards", "2"]);
    let mut alice = log_in(&node, ALICE);
    let (alias, note) = (&b""[..], &b"are you there?"[..]);
    alice.serve(Service::RequestFriend(RequestFriend { to: BOB, alias, note })).expect("asked");
    let create = Service::CreateGroup(CreateGroup { name: b"friends" });
    let group = group_of(&alice.serve(create).expect("a group"));
    alice.serve(Service::AddMember(AddMember { group, user: BOB, role: 1 })).expect("added");
    alice.join(group).expect("entered");
    alice.send_room(group, ClientMessageId(1), "while you were away").expect("said");
    assert_eq!(node.drain(), Some(0));

    let node = Node::start(&home, &["--shards", "1"]);
    let mut bob = log_in(&node, BOB);
    let me = bob.serve(Service::Me).expect("his own");
    let kinds: Vec<String> = me.news().map(|event| format!("{:?}", event.kind())).collect();
    assert_eq!(kinds, ["Profile", "FriendRequested", "Group"]);
    let inbox = Inbox { after: ConversationId::default(), limit: 10 };
    let inbox = bob.serve(Service::Inbox(inbox)).expect("an inbox");
    let unread: Vec<u16> = inbox
        .news()
        .filter_map(|event| match event {
            News::InboxItem(item) => Some(item.unread),
            _ => None,
        })
        .collect();
    assert_eq!(unread, [1]);
    let requests = FriendRequests { after: UserId(0), limit: 10 };
    let waiting = bob.serve(Service::FriendRequests(requests)).expect("requests");
    assert_eq!(waiting.news().count(), 1);
    bob.join(group).expect("entered");
    let page = bob.pull(ConversationId::room(group), Seq(0), 10).expect("a page");
    assert_eq!(&page.messages[0].body[..], b"while you were away");
}

#[test]
fn nobody_takes_back_what_is_too_old() {
    let home = Home::new();
    register(&home, &["alice", "bob"]);
    let node = Node::start(&home, &["--revoke-window", "1ms"]);
    let mut alice = log_in(&node, ALICE);
    let acked = alice.send_text(BOB, ClientMessageId(1), "for ever").expect("said");
    // The node's clock moves on by itself: a message is older than nothing as soon as a millisecond has passed.
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(5) {
        alice.heartbeat().expect("alive");
    }
    let revoke = Revoke { conversation: acked.conversation, seq: acked.seq };
    assert_eq!(rejected(alice.serve(Service::Revoke(revoke))), Reject::TooLate);
}
