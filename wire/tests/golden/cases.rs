//! One or more frames of every kind, field by field.
#![allow(clippy::too_many_lines, reason = "lists of data")]

use wire::{
    Acked, ClientMessageId, Command, ConversationHead, ConversationId, ConversationsEnd,
    ConversationsQuery, Epoch, Event, Goodbye, JoinRoom, Joined, LeaveRoom, Left, Login, Message,
    MessageId, Pull, Pulled, Rejected, RoomId, SendRoom, SendText, Seq, Text, UserId, Welcome,
};

/// In every frame here: no byte of it is like another.
pub(crate) const CORRELATION: u64 = 0x0102_0304_0506_0708;

pub(crate) struct Golden {
    pub(crate) message: Message<'static>,
    /// What it is, and its bytes in hex, behind the header.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    /// The four bytes of the payload length.
    pub(crate) payload_len: &'static str,
    /// The values, as the Python program prints them.
    pub(crate) line: &'static str,
}

impl Golden {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let header = [
            ("magic", "c5"),
            ("version", "01"),
            ("flags, none defined", "00"),
            ("kind", &format!("{:02x}", self.message.kind() as u8)),
            ("payload length", self.payload_len),
            ("correlation id", "0807060504030201"),
        ];
        header.iter().chain(self.fields).flat_map(|(_, hex)| unhex(hex)).collect()
    }
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const PAIR: ConversationId = ConversationId { first: 7, second: 9 };
const ROOM: ConversationId = ConversationId { first: 11, second: 0 };

fn commands() -> Vec<Golden> {
    vec![
        Golden {
            message: Message::Command(Command::Login(Login { token: b"\x01\x02\x03" })),
            payload_len: "0b000000",
            fields: &[
                ("the token itself", "01 02 03"),
                ("token: starts 3 bytes before this field", "fdffffff"),
                ("token: is 3 bytes long", "03000000"),
            ],
            line: "Login token=010203",
        },
        Golden {
            message: Message::Command(Command::Logout),
            payload_len: "00000000",
            fields: &[],
            line: "Logout",
        },
        Golden {
            message: Message::Command(Command::Heartbeat),
            payload_len: "00000000",
            fields: &[],
            line: "Heartbeat",
        },
        Golden {
            message: Message::Command(Command::SendText(SendText {
                to: UserId(9),
                client_message_id: ClientMessageId(0x2a),
                body: "héllo".as_bytes(),
            })),
            payload_len: "1e000000",
            fields: &[
                ("the body itself: h, é as two bytes of UTF-8, llo", "68 c3a9 6c 6c 6f"),
                ("to", "0900000000000000"),
                ("client message id", "2a00000000000000"),
                ("body: starts 22 bytes before this field", "eaffffff"),
                ("body: is 6 bytes long", "06000000"),
            ],
            line: "SendText to=9 client_message_id=42 body=68c3a96c6c6f",
        },
        Golden {
            message: Message::Command(Command::SendText(SendText {
                to: UserId(u64::MAX),
                client_message_id: ClientMessageId(0),
                body: b"",
            })),
            payload_len: "18000000",
            fields: &[
                ("to", "ffffffffffffffff"),
                ("client message id", "0000000000000000"),
                ("body: would start 16 bytes before this field", "f0ffffff"),
                ("body: is empty", "00000000"),
            ],
            line: "SendText to=18446744073709551615 client_message_id=0 body=",
        },
        Golden {
            message: Message::Command(Command::JoinRoom(JoinRoom { room: RoomId(11) })),
            payload_len: "08000000",
            fields: &[("room", "0b00000000000000")],
            line: "JoinRoom room=11",
        },
        Golden {
            message: Message::Command(Command::LeaveRoom(LeaveRoom { room: RoomId(11) })),
            payload_len: "08000000",
            fields: &[("room", "0b00000000000000")],
            line: "LeaveRoom room=11",
        },
        Golden {
            message: Message::Command(Command::SendRoom(SendRoom {
                room: RoomId(11),
                client_message_id: ClientMessageId(0x2b),
                body: b"hi",
            })),
            payload_len: "1a000000",
            fields: &[
                ("the body itself", "68 69"),
                ("room", "0b00000000000000"),
                ("client message id", "2b00000000000000"),
                ("body: starts 18 bytes before this field", "eeffffff"),
                ("body: is 2 bytes long", "02000000"),
            ],
            line: "SendRoom room=11 client_message_id=43 body=6869",
        },
        Golden {
            message: Message::Command(Command::Pull(Pull {
                conversation: PAIR,
                after: Seq(300),
                limit: 256,
            })),
            payload_len: "1a000000",
            fields: &[
                ("conversation: the lower user", "0700000000000000"),
                ("conversation: the higher user", "0900000000000000"),
                ("after", "2c01000000000000"),
                ("limit", "0001"),
            ],
            line: "Pull conversation=7:9 after=300 limit=256",
        },
        Golden {
            message: Message::Command(Command::Conversations(ConversationsQuery {
                after: ConversationId { first: 0, second: 0 },
                limit: 20,
            })),
            payload_len: "12000000",
            fields: &[
                ("after: nothing, the first page", "0000000000000000 0000000000000000"),
                ("limit", "1400"),
            ],
            line: "Conversations after=0:0 limit=20",
        },
    ]
}

fn events() -> Vec<Golden> {
    let mut events = message_events();
    events.extend(session_events());
    events
}

fn message_events() -> Vec<Golden> {
    vec![
        Golden {
            message: Message::Event(Event::Acked(Acked {
                conversation: PAIR,
                seq: Seq(301),
                message_id: MessageId(0x1122_3344_5566_7788),
                client_message_id: ClientMessageId(0x2a),
            })),
            payload_len: "28000000",
            fields: &[
                ("conversation: the lower user", "0700000000000000"),
                ("conversation: the higher user", "0900000000000000"),
                ("seq", "2d01000000000000"),
                ("message id", "8877665544332211"),
                ("client message id", "2a00000000000000"),
            ],
            line: "Acked conversation=7:9 seq=301 message_id=1234605616436508552 client_message_id=42",
        },
        Golden {
            message: Message::Event(Event::Text(Text {
                conversation: ROOM,
                seq: Seq(5),
                message_id: MessageId(0x1122_3344_5566_7788),
                from: UserId(7),
                unix_ms: 1_700_000_000_000,
                body: b"hi",
            })),
            payload_len: "3a000000",
            fields: &[
                ("the body itself", "68 69"),
                ("conversation: the room", "0b00000000000000"),
                ("conversation: zero, since it is a room", "0000000000000000"),
                ("seq", "0500000000000000"),
                ("message id", "8877665544332211"),
                ("from", "0700000000000000"),
                ("unix ms: 14 November 2023, 22:13:20 UTC", "0068e5cf8b010000"),
                ("body: starts 50 bytes before this field", "ceffffff"),
                ("body: is 2 bytes long", "02000000"),
            ],
            line: "Text conversation=11:0 seq=5 message_id=1234605616436508552 from=7 \
                   unix_ms=1700000000000 body=6869",
        },
        Golden {
            message: Message::Event(Event::Pulled(Pulled {
                conversation: PAIR,
                next: Seq(556),
                is_complete: 0,
            })),
            payload_len: "19000000",
            fields: &[
                ("conversation: the lower user", "0700000000000000"),
                ("conversation: the higher user", "0900000000000000"),
                ("next", "2c02000000000000"),
                ("is complete: no, there is another page", "00"),
            ],
            line: "Pulled conversation=7:9 next=556 is_complete=0",
        },
        Golden {
            message: Message::Event(Event::ConversationHead(ConversationHead {
                conversation: PAIR,
                head: Seq(301),
            })),
            payload_len: "18000000",
            fields: &[
                ("conversation: the lower user", "0700000000000000"),
                ("conversation: the higher user", "0900000000000000"),
                ("head", "2d01000000000000"),
            ],
            line: "ConversationHead conversation=7:9 head=301",
        },
        Golden {
            message: Message::Event(Event::ConversationsEnd(ConversationsEnd {
                next: PAIR,
                is_complete: 1,
            })),
            payload_len: "11000000",
            fields: &[
                ("next: the lower user", "0700000000000000"),
                ("next: the higher user", "0900000000000000"),
                ("is complete: yes", "01"),
            ],
            line: "ConversationsEnd next=7:9 is_complete=1",
        },
    ]
}

fn session_events() -> Vec<Golden> {
    vec![
        Golden {
            message: Message::Event(Event::Welcome(Welcome {
                user: UserId(7),
                epoch: Epoch(3),
                heartbeat_interval_ms: 30_000,
                heartbeat_timeout_ms: 90_000,
                body_bytes_max: 4_096,
                home_port: 4_002,
                previous_close: 4,
            })),
            payload_len: "1f000000",
            fields: &[
                ("user", "0700000000000000"),
                ("epoch", "0300000000000000"),
                ("heartbeat interval ms", "30750000"),
                ("heartbeat timeout ms", "905f0100"),
                ("body bytes max", "00100000"),
                ("home port", "a20f"),
                ("previous close: slow", "04"),
            ],
            line: "Welcome user=7 epoch=3 heartbeat_interval_ms=30000 heartbeat_timeout_ms=90000 \
                   body_bytes_max=4096 home_port=4002 previous_close=4",
        },
        Golden {
            message: Message::Event(Event::Joined(Joined { room: RoomId(11), head: Seq(4) })),
            payload_len: "10000000",
            fields: &[("room", "0b00000000000000"), ("head", "0400000000000000")],
            line: "Joined room=11 head=4",
        },
        Golden {
            message: Message::Event(Event::Left(Left { room: RoomId(11) })),
            payload_len: "08000000",
            fields: &[("room", "0b00000000000000")],
            line: "Left room=11",
        },
        Golden {
            message: Message::Event(Event::HeartbeatAck),
            payload_len: "00000000",
            fields: &[],
            line: "HeartbeatAck",
        },
        Golden {
            message: Message::Event(Event::Rejected(Rejected {
                reject: 1,
                kind: 4,
                retry_after_ms: 250,
                client_message_id: ClientMessageId(0x2a),
            })),
            payload_len: "0e000000",
            fields: &[
                ("reject: busy", "01"),
                ("kind: the command was a SendText", "04"),
                ("retry after ms", "fa000000"),
                ("client message id", "2a00000000000000"),
            ],
            line: "Rejected reject=1 kind=4 retry_after_ms=250 client_message_id=42",
        },
        Golden {
            message: Message::Event(Event::Goodbye(Goodbye {
                reason: 5,
                reconnect_after_ms: 1_500,
            })),
            payload_len: "05000000",
            fields: &[("reason: shutdown", "05"), ("reconnect after ms", "dc050000")],
            line: "Goodbye reason=5 reconnect_after_ms=1500",
        },
    ]
}

pub(crate) fn all() -> Vec<Golden> {
    let mut all = commands();
    all.extend(events());
    all.extend(crate::service_cases::all());
    all.extend(crate::news_cases::all());
    all
}
