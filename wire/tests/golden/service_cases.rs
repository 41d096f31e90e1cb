//! One frame of every kind of the services, field by field.
#![allow(clippy::too_many_lines, reason = "lists of data")]

use wire::{
    AddMember, Befriended, CallSignal, Command, ConfirmFriend, ConversationId, CreateGroup,
    DeclineFriend, Done, Event, FindUsers, Friend, FriendRequested, FriendRequests, Friends,
    GetProfile, Group, Inbox, InboxItem, MarkRead, Member, MemberChanged, Members, Message, News,
    OpenPrivate, Profile, ReadUpTo, RemoveFriend, RemoveMember, RequestFriend, Revoke, Revoked,
    RoomId, SendTexts, Seq, Service, SetProfile, SetRole, SignalCall, Unfriended, UserId,
};

use crate::cases::Golden;

const PAIR: ConversationId = ConversationId { first: 7, second: 9 };
const GROUP: RoomId = RoomId(wire::GROUPS_FROM + 3);
/// Two texts: 42 says "hi", 43 says "you".
const TEXTS: &[u8] = b"\x2a\0\0\0\0\0\0\0\x02\0\0\0hi\x2b\0\0\0\0\0\0\0\x03\0\0\0you";

/// A payload that lives as long as the test.
fn service(service: Service<'static>) -> Message<'static> {
    let payload = Box::leak(Box::default());
    Message::Command(Command::Service(service.encode(payload).unwrap()))
}

fn news(news: News<'static>) -> Message<'static> {
    let payload = Box::leak(Box::default());
    Message::Event(Event::News(news.encode(payload).unwrap()))
}

pub(crate) fn all() -> Vec<Golden> {
    let mut all = commands();
    all.extend(events());
    all
}

fn commands() -> Vec<Golden> {
    vec![
        Golden {
            message: Message::Command(Command::SendTexts(SendTexts {
                to: UserId(9),
                texts: TEXTS,
            })),
            payload_len: "2d000000",
            fields: &[
                (
                    "the texts",
                    "2a 00 00 00 00 00 00 00 02 00 00 00 68 69 2b 00 00 00 00 00 00 00 03 00 00 00 79 6f 75",
                ),
                ("to", "0900000000000000"),
                ("texts: starts 37 bytes before this field", "dbffffff"),
                ("texts: is 29 bytes long", "1d000000"),
            ],
            line: "SendTexts to=9 texts=2a000000000000000200000068692b0000000000000003000000796f75",
        },
        Golden {
            message: Message::Command(Command::SignalCall(SignalCall {
                to: UserId(9),
                call: 77,
                signal: 1,
                body: b"v=0",
            })),
            payload_len: "1c000000",
            fields: &[
                ("the body", "76 3d 30"),
                ("to", "0900000000000000"),
                ("call", "4d00000000000000"),
                ("signal", "01"),
                ("body: starts 20 bytes before this field", "ecffffff"),
                ("body: is 3 bytes long", "03000000"),
            ],
            line: "SignalCall to=9 call=77 signal=1 body=763d30",
        },
        Golden { message: service(Service::Me), payload_len: "00000000", fields: &[], line: "Me" },
        Golden {
            message: service(Service::GetProfile(GetProfile { user: UserId(7) })),
            payload_len: "08000000",
            fields: &[("user", "0700000000000000")],
            line: "GetProfile user=7",
        },
        Golden {
            message: service(Service::SetProfile(SetProfile {
                sex: 1,
                nickname: "Bób".as_bytes(),
                description: b"hi",
                avatar: b"b.png",
            })),
            payload_len: "24000000",
            fields: &[
                ("the nickname", "42 c3 b3 62"),
                ("the description", "68 69"),
                ("the avatar", "62 2e 70 6e 67"),
                ("sex", "01"),
                ("nickname: starts 12 bytes before this field", "f4ffffff"),
                ("nickname: is 4 bytes long", "04000000"),
                ("description: starts 16 bytes before this field", "f0ffffff"),
                ("description: is 2 bytes long", "02000000"),
                ("avatar: starts 22 bytes before this field", "eaffffff"),
                ("avatar: is 5 bytes long", "05000000"),
            ],
            line: "SetProfile sex=1 nickname=42c3b362 description=6869 avatar=622e706e67",
        },
        Golden {
            message: service(Service::FindUsers(FindUsers {
                after: UserId(5),
                limit: 20,
                is_exact: 0,
                username: b"bob",
            })),
            payload_len: "16000000",
            fields: &[
                ("the username", "62 6f 62"),
                ("after", "0500000000000000"),
                ("limit", "1400"),
                ("is exact", "00"),
                ("username: starts 14 bytes before this field", "f2ffffff"),
                ("username: is 3 bytes long", "03000000"),
            ],
            line: "FindUsers after=5 limit=20 is_exact=0 username=626f62",
        },
        Golden {
            message: service(Service::Friends(Friends { after: UserId(5), limit: 20 })),
            payload_len: "0a000000",
            fields: &[("after", "0500000000000000"), ("limit", "1400")],
            line: "Friends after=5 limit=20",
        },
        Golden {
            message: service(Service::FriendRequests(FriendRequests {
                after: UserId(5),
                limit: 20,
            })),
            payload_len: "0a000000",
            fields: &[("after", "0500000000000000"), ("limit", "1400")],
            line: "FriendRequests after=5 limit=20",
        },
        Golden {
            message: service(Service::RequestFriend(RequestFriend {
                to: UserId(9),
                alias: b"Bobby",
                note: b"hello",
            })),
            payload_len: "22000000",
            fields: &[
                ("the alias", "42 6f 62 62 79"),
                ("the note", "68 65 6c 6c 6f"),
                ("to", "0900000000000000"),
                ("alias: starts 18 bytes before this field", "eeffffff"),
                ("alias: is 5 bytes long", "05000000"),
                ("note: starts 21 bytes before this field", "ebffffff"),
                ("note: is 5 bytes long", "05000000"),
            ],
            line: "RequestFriend to=9 alias=426f626279 note=68656c6c6f",
        },
        Golden {
            message: service(Service::ConfirmFriend(ConfirmFriend {
                from: UserId(7),
                alias: b"Bobby",
            })),
            payload_len: "15000000",
            fields: &[
                ("the alias", "42 6f 62 62 79"),
                ("from", "0700000000000000"),
                ("alias: starts 13 bytes before this field", "f3ffffff"),
                ("alias: is 5 bytes long", "05000000"),
            ],
            line: "ConfirmFriend from=7 alias=426f626279",
        },
        Golden {
            message: service(Service::DeclineFriend(DeclineFriend { from: UserId(7) })),
            payload_len: "08000000",
            fields: &[("from", "0700000000000000")],
            line: "DeclineFriend from=7",
        },
        Golden {
            message: service(Service::RemoveFriend(RemoveFriend { user: UserId(7) })),
            payload_len: "08000000",
            fields: &[("user", "0700000000000000")],
            line: "RemoveFriend user=7",
        },
        Golden {
            message: service(Service::OpenPrivate(OpenPrivate { with: UserId(9) })),
            payload_len: "08000000",
            fields: &[("with", "0900000000000000")],
            line: "OpenPrivate with=9",
        },
        Golden {
            message: service(Service::Inbox(Inbox { after: ConversationId::default(), limit: 20 })),
            payload_len: "12000000",
            fields: &[("after: two users", "0000000000000000 0000000000000000"), ("limit", "1400")],
            line: "Inbox after=0:0 limit=20",
        },
        Golden {
            message: service(Service::MarkRead(MarkRead { conversation: PAIR, seq: Seq(5) })),
            payload_len: "18000000",
            fields: &[
                ("conversation: two users", "0700000000000000 0900000000000000"),
                ("seq", "0500000000000000"),
            ],
            line: "MarkRead conversation=7:9 seq=5",
        },
        Golden {
            message: service(Service::Revoke(Revoke { conversation: PAIR, seq: Seq(5) })),
            payload_len: "18000000",
            fields: &[
                ("conversation: two users", "0700000000000000 0900000000000000"),
                ("seq", "0500000000000000"),
            ],
            line: "Revoke conversation=7:9 seq=5",
        },
        Golden {
            message: service(Service::CreateGroup(CreateGroup { name: b"friends" })),
            payload_len: "0f000000",
            fields: &[
                ("the name", "66 72 69 65 6e 64 73"),
                ("name: starts 7 bytes before this field", "f9ffffff"),
                ("name: is 7 bytes long", "07000000"),
            ],
            line: "CreateGroup name=667269656e6473",
        },
        Golden {
            message: service(Service::AddMember(AddMember {
                group: GROUP,
                user: UserId(7),
                role: 1,
            })),
            payload_len: "11000000",
            fields: &[("group", "0300000000000040"), ("user", "0700000000000000"), ("role", "01")],
            line: "AddMember group=4611686018427387907 user=7 role=1",
        },
        Golden {
            message: service(Service::RemoveMember(RemoveMember { group: GROUP, user: UserId(7) })),
            payload_len: "10000000",
            fields: &[("group", "0300000000000040"), ("user", "0700000000000000")],
            line: "RemoveMember group=4611686018427387907 user=7",
        },
        Golden {
            message: service(Service::SetRole(SetRole { group: GROUP, user: UserId(7), role: 1 })),
            payload_len: "11000000",
            fields: &[("group", "0300000000000040"), ("user", "0700000000000000"), ("role", "01")],
            line: "SetRole group=4611686018427387907 user=7 role=1",
        },
        Golden {
            message: service(Service::Members(Members {
                group: GROUP,
                after: UserId(5),
                limit: 20,
            })),
            payload_len: "12000000",
            fields: &[
                ("group", "0300000000000040"),
                ("after", "0500000000000000"),
                ("limit", "1400"),
            ],
            line: "Members group=4611686018427387907 after=5 limit=20",
        },
    ]
}

fn events() -> Vec<Golden> {
    vec![
        Golden {
            message: news(News::Done(Done { next: PAIR, is_complete: 1 })),
            payload_len: "11000000",
            fields: &[
                ("next: two users", "0700000000000000 0900000000000000"),
                ("is complete", "01"),
            ],
            line: "Done next=7:9 is_complete=1",
        },
        Golden {
            message: news(News::Profile(Profile {
                user: UserId(7),
                sex: 1,
                username: b"bob",
                nickname: "Bób".as_bytes(),
                description: b"hi",
                avatar: b"b.png",
            })),
            payload_len: "37000000",
            fields: &[
                ("the username", "62 6f 62"),
                ("the nickname", "42 c3 b3 62"),
                ("the description", "68 69"),
                ("the avatar", "62 2e 70 6e 67"),
                ("user", "0700000000000000"),
                ("sex", "01"),
                ("username: starts 23 bytes before this field", "e9ffffff"),
                ("username: is 3 bytes long", "03000000"),
                ("nickname: starts 28 bytes before this field", "e4ffffff"),
                ("nickname: is 4 bytes long", "04000000"),
                ("description: starts 32 bytes before this field", "e0ffffff"),
                ("description: is 2 bytes long", "02000000"),
                ("avatar: starts 38 bytes before this field", "daffffff"),
                ("avatar: is 5 bytes long", "05000000"),
            ],
            line: "Profile user=7 sex=1 username=626f62 nickname=42c3b362 description=6869 avatar=622e706e67",
        },
        Golden {
            message: news(News::Friend(Friend {
                user: UserId(7),
                sex: 1,
                username: b"bob",
                nickname: "Bób".as_bytes(),
                description: b"hi",
                avatar: b"b.png",
                alias: b"Bobby",
            })),
            payload_len: "44000000",
            fields: &[
                ("the username", "62 6f 62"),
                ("the nickname", "42 c3 b3 62"),
                ("the description", "68 69"),
                ("the avatar", "62 2e 70 6e 67"),
                ("the alias", "42 6f 62 62 79"),
                ("user", "0700000000000000"),
                ("sex", "01"),
                ("username: starts 28 bytes before this field", "e4ffffff"),
                ("username: is 3 bytes long", "03000000"),
                ("nickname: starts 33 bytes before this field", "dfffffff"),
                ("nickname: is 4 bytes long", "04000000"),
                ("description: starts 37 bytes before this field", "dbffffff"),
                ("description: is 2 bytes long", "02000000"),
                ("avatar: starts 43 bytes before this field", "d5ffffff"),
                ("avatar: is 5 bytes long", "05000000"),
                ("alias: starts 46 bytes before this field", "d2ffffff"),
                ("alias: is 5 bytes long", "05000000"),
            ],
            line: "Friend user=7 sex=1 username=626f62 nickname=42c3b362 description=6869 avatar=622e706e67 alias=426f626279",
        },
        Golden {
            message: news(News::FriendRequested(FriendRequested {
                from: UserId(7),
                unix_ms: 1_700_000_000_000,
                sex: 1,
                username: b"bob",
                nickname: "Bób".as_bytes(),
                description: b"hi",
                avatar: b"b.png",
                note: b"hello",
            })),
            payload_len: "4c000000",
            fields: &[
                ("the username", "62 6f 62"),
                ("the nickname", "42 c3 b3 62"),
                ("the description", "68 69"),
                ("the avatar", "62 2e 70 6e 67"),
                ("the note", "68 65 6c 6c 6f"),
                ("from", "0700000000000000"),
                ("unix ms", "0068e5cf8b010000"),
                ("sex", "01"),
                ("username: starts 36 bytes before this field", "dcffffff"),
                ("username: is 3 bytes long", "03000000"),
                ("nickname: starts 41 bytes before this field", "d7ffffff"),
                ("nickname: is 4 bytes long", "04000000"),
                ("description: starts 45 bytes before this field", "d3ffffff"),
                ("description: is 2 bytes long", "02000000"),
                ("avatar: starts 51 bytes before this field", "cdffffff"),
                ("avatar: is 5 bytes long", "05000000"),
                ("note: starts 54 bytes before this field", "caffffff"),
                ("note: is 5 bytes long", "05000000"),
            ],
            line: "FriendRequested from=7 unix_ms=1700000000000 sex=1 username=626f62 nickname=42c3b362 description=6869 avatar=622e706e67 note=68656c6c6f",
        },
        Golden {
            message: news(News::Befriended(Befriended {
                user: UserId(7),
                conversation: PAIR,
                sex: 1,
                username: b"bob",
                nickname: "Bób".as_bytes(),
                description: b"hi",
                avatar: b"b.png",
                alias: b"Bobby",
            })),
            payload_len: "54000000",
            fields: &[
                ("the username", "62 6f 62"),
                ("the nickname", "42 c3 b3 62"),
                ("the description", "68 69"),
                ("the avatar", "62 2e 70 6e 67"),
                ("the alias", "42 6f 62 62 79"),
                ("user", "0700000000000000"),
                ("conversation: two users", "0700000000000000 0900000000000000"),
                ("sex", "01"),
                ("username: starts 44 bytes before this field", "d4ffffff"),
                ("username: is 3 bytes long", "03000000"),
                ("nickname: starts 49 bytes before this field", "cfffffff"),
                ("nickname: is 4 bytes long", "04000000"),
                ("description: starts 53 bytes before this field", "cbffffff"),
                ("description: is 2 bytes long", "02000000"),
                ("avatar: starts 59 bytes before this field", "c5ffffff"),
                ("avatar: is 5 bytes long", "05000000"),
                ("alias: starts 62 bytes before this field", "c2ffffff"),
                ("alias: is 5 bytes long", "05000000"),
            ],
            line: "Befriended user=7 conversation=7:9 sex=1 username=626f62 nickname=42c3b362 description=6869 avatar=622e706e67 alias=426f626279",
        },
        Golden {
            message: news(News::Unfriended(Unfriended { user: UserId(7) })),
            payload_len: "08000000",
            fields: &[("user", "0700000000000000")],
            line: "Unfriended user=7",
        },
        Golden {
            message: news(News::InboxItem(InboxItem {
                conversation: PAIR,
                head: Seq(301),
                read: Seq(299),
                peer_read: Seq(300),
                unread: 2,
                role: 1,
                name: b"friends",
            })),
            payload_len: "3a000000",
            fields: &[
                ("the name", "66 72 69 65 6e 64 73"),
                ("conversation: two users", "0700000000000000 0900000000000000"),
                ("head", "2d01000000000000"),
                ("read", "2b01000000000000"),
                ("peer read", "2c01000000000000"),
                ("unread", "0200"),
                ("role", "01"),
                ("name: starts 50 bytes before this field", "ceffffff"),
                ("name: is 7 bytes long", "07000000"),
            ],
            line: "InboxItem conversation=7:9 head=301 read=299 peer_read=300 unread=2 role=1 name=667269656e6473",
        },
        Golden {
            message: news(News::ReadUpTo(ReadUpTo {
                conversation: PAIR,
                user: UserId(7),
                seq: Seq(5),
            })),
            payload_len: "20000000",
            fields: &[
                ("conversation: two users", "0700000000000000 0900000000000000"),
                ("user", "0700000000000000"),
                ("seq", "0500000000000000"),
            ],
            line: "ReadUpTo conversation=7:9 user=7 seq=5",
        },
        Golden {
            message: news(News::Revoked(Revoked {
                conversation: PAIR,
                seq: Seq(5),
                by: UserId(9),
            })),
            payload_len: "20000000",
            fields: &[
                ("conversation: two users", "0700000000000000 0900000000000000"),
                ("seq", "0500000000000000"),
                ("by", "0900000000000000"),
            ],
            line: "Revoked conversation=7:9 seq=5 by=9",
        },
        Golden {
            message: news(News::Group(Group {
                group: GROUP,
                head: Seq(301),
                role: 1,
                name: b"friends",
            })),
            payload_len: "20000000",
            fields: &[
                ("the name", "66 72 69 65 6e 64 73"),
                ("group", "0300000000000040"),
                ("head", "2d01000000000000"),
                ("role", "01"),
                ("name: starts 24 bytes before this field", "e8ffffff"),
                ("name: is 7 bytes long", "07000000"),
            ],
            line: "Group group=4611686018427387907 head=301 role=1 name=667269656e6473",
        },
        Golden {
            message: news(News::Member(Member { user: UserId(7), role: 1, username: b"bob" })),
            payload_len: "14000000",
            fields: &[
                ("the username", "62 6f 62"),
                ("user", "0700000000000000"),
                ("role", "01"),
                ("username: starts 12 bytes before this field", "f4ffffff"),
                ("username: is 3 bytes long", "03000000"),
            ],
            line: "Member user=7 role=1 username=626f62",
        },
        Golden {
            message: news(News::MemberChanged(MemberChanged {
                group: GROUP,
                user: UserId(7),
                by: UserId(9),
                role: 1,
                is_member: 1,
                name: b"friends",
            })),
            payload_len: "29000000",
            fields: &[
                ("the name", "66 72 69 65 6e 64 73"),
                ("group", "0300000000000040"),
                ("user", "0700000000000000"),
                ("by", "0900000000000000"),
                ("role", "01"),
                ("is member", "01"),
                ("name: starts 33 bytes before this field", "dfffffff"),
                ("name: is 7 bytes long", "07000000"),
            ],
            line: "MemberChanged group=4611686018427387907 user=7 by=9 role=1 is_member=1 name=667269656e6473",
        },
        Golden {
            message: news(News::CallSignal(CallSignal {
                from: UserId(7),
                call: 77,
                signal: 1,
                body: b"v=0",
            })),
            payload_len: "1c000000",
            fields: &[
                ("the body", "76 3d 30"),
                ("from", "0700000000000000"),
                ("call", "4d00000000000000"),
                ("signal", "01"),
                ("body: starts 20 bytes before this field", "ecffffff"),
                ("body: is 3 bytes long", "03000000"),
            ],
            line: "CallSignal from=7 call=77 signal=1 body=763d30",
        },
    ]
}
