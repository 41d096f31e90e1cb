//! One frame of every command of the services, field by field.
#![allow(clippy::too_many_lines, reason = "lists of data")]

use wire::{
    AddMember, Command, ConfirmFriend, ConversationId, CreateGroup, DeclineFriend, FindUsers,
    FriendRequests, Friends, GetProfile, Inbox, MarkRead, Members, Message, OpenPrivate,
    RemoveFriend, RemoveMember, RequestFriend, Revoke, RoomId, SendTexts, Seq, Service, SetProfile,
    SetRole, SignalCall, UserId,
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

pub(crate) fn all() -> Vec<Golden> {
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
