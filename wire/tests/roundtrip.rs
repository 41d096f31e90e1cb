//! What is encoded is what is parsed, however the stream is cut.

use proptest::prelude::*;
use wire::{
    Acked, ClientMessageId, Command, ConversationHead, ConversationId, ConversationsEnd,
    ConversationsQuery, Epoch, Event, FrameError, FrameView, Goodbye, JoinRoom, Joined, LeaveRoom,
    Left, Login, Message, MessageId, Pull, Pulled, Rejected, RoomId, SendRoom, SendText, Seq, Text,
    UserId, Welcome, limits, split_frame,
};

fn encoded(message: Message<'_>, correlation: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(message.append_to(correlation, &mut bytes));
    bytes
}

/// An owned recipe for any message, so that a borrowed one can be built from it.
#[derive(Clone, Debug)]
struct Recipe {
    kind: usize,
    numbers: [u64; 6],
    text: String,
}

impl Recipe {
    fn message(&self) -> Message<'_> {
        let [a, b, c, d, e, f] = self.numbers;
        let (low, byte) = (a as u32, b as u8);
        let body = self.text.as_bytes();
        let conversation = ConversationId::private(UserId(a | 1), UserId(b | 1));
        let client_message_id = ClientMessageId(f);
        match self.kind {
            0 => Command::Login(Login { token: &body[..body.len().min(limits::TOKEN_BYTES_MAX)] })
                .into(),
            1 => Command::Logout.into(),
            2 => Command::Heartbeat.into(),
            3 => Command::SendText(SendText { to: UserId(a | 1), client_message_id, body }).into(),
            4 => Command::JoinRoom(JoinRoom { room: RoomId(a | 1) }).into(),
            5 => Command::LeaveRoom(LeaveRoom { room: RoomId(a | 1) }).into(),
            6 => {
                Command::SendRoom(SendRoom { room: RoomId(a | 1), client_message_id, body }).into()
            }
            7 => Command::Pull(Pull { conversation, after: Seq(c), limit: d as u16 }).into(),
            8 => {
                Command::Conversations(ConversationsQuery { after: conversation, limit: d as u16 })
                    .into()
            }
            9 => Event::Welcome(Welcome {
                user: UserId(a),
                epoch: Epoch(b),
                heartbeat_interval_ms: low,
                heartbeat_timeout_ms: c as u32,
                body_bytes_max: d as u32,
                home_port: e as u16,
                previous_close: byte,
            })
            .into(),
            10 => Event::Acked(Acked {
                conversation,
                seq: Seq(c),
                message_id: MessageId(d),
                client_message_id,
            })
            .into(),
            11 => Event::Text(Text {
                conversation,
                seq: Seq(c),
                message_id: MessageId(d),
                from: UserId(e),
                unix_ms: f,
                body,
            })
            .into(),
            12 => Event::Joined(Joined { room: RoomId(a), head: Seq(b) }).into(),
            13 => Event::Left(Left { room: RoomId(a) }).into(),
            14 => Event::Pulled(Pulled { conversation, next: Seq(c), is_complete: byte }).into(),
            15 => Event::HeartbeatAck.into(),
            16 => Event::Rejected(Rejected {
                reject: byte,
                kind: c as u8,
                retry_after_ms: low,
                client_message_id,
            })
            .into(),
            17 => Event::Goodbye(Goodbye { reason: byte, reconnect_after_ms: low }).into(),
            18 => Event::ConversationHead(ConversationHead { conversation, head: Seq(c) }).into(),
            _ => {
                Event::ConversationsEnd(ConversationsEnd { next: conversation, is_complete: byte })
                    .into()
            }
        }
    }
}

fn recipes() -> impl Strategy<Value = Recipe> {
    (0_usize..20, any::<[u64; 6]>(), ".{0,300}").prop_map(|(kind, numbers, text)| Recipe {
        kind,
        numbers,
        text,
    })
}

proptest! {
    #[test]
    fn parse_gives_back_what_was_encoded(recipe in recipes(), correlation: u64) {
        let bytes = encoded(recipe.message(), correlation);
        prop_assert_eq!(bytes.len(), recipe.message().encoded_len());
        let view = FrameView::parse(&bytes).unwrap();
        prop_assert_eq!(view.correlation(), correlation);
        prop_assert_eq!(view.message(), recipe.message());
    }

    #[test]
    fn every_split_point_gives_the_same_frames(list in prop::collection::vec(recipes(), 1..4)) {
        let stream: Vec<u8> = list.iter().flat_map(|recipe| encoded(recipe.message(), 7)).collect();
        for cut in 0..=stream.len() {
            let mut pending = Vec::new();
            let mut seen = 0;
            for part in [&stream[..cut], &stream[cut..]] {
                pending.extend_from_slice(part);
                while let Some((frame, rest)) = split_frame(&pending).unwrap() {
                    let view = FrameView::parse(frame).unwrap();
                    prop_assert_eq!(view.message(), list[seen].message());
                    seen += 1;
                    pending = rest.to_vec();
                }
            }
            prop_assert_eq!(seen, list.len());
            prop_assert!(pending.is_empty());
        }
    }

    #[test]
    fn mutated_frames_never_panic(recipe in recipes(), flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..8)) {
        let mut bytes = encoded(recipe.message(), 1);
        for (index, flip) in flips {
            let at = index.index(bytes.len());
            bytes[at] ^= flip;
        }
        if let Ok(Some((frame, _))) = split_frame(&bytes) {
            let _ = FrameView::parse(frame); // either outcome is fine, a panic is not
        }
    }
}

#[test]
fn bytes_that_nothing_refers_to_are_refused() {
    let text = SendText { to: UserId(2), client_message_id: ClientMessageId(1), body: b"hello" };
    let mut bytes = encoded(Command::SendText(text).into(), 1);
    bytes.insert(wire::HEADER_BYTES, b'x');
    bytes[4] += 1;
    assert_eq!(FrameView::parse(&bytes), Err(FrameError::Payload));
}

#[test]
fn text_must_be_utf8_and_not_too_long() {
    let send = |body: &[u8]| {
        let text = SendText { to: UserId(2), client_message_id: ClientMessageId(1), body };
        encoded(Command::SendText(text).into(), 1)
    };
    assert_eq!(FrameView::parse(&send(b"\xff\xfe")), Err(FrameError::Text));
    let longest = vec![b'a'; limits::BODY_BYTES_MAX];
    assert!(FrameView::parse(&send(&longest)).is_ok());
    let too_long = vec![b'a'; limits::BODY_BYTES_MAX + 1];
    assert_eq!(FrameView::parse(&send(&too_long)), Err(FrameError::Oversized));
}

#[test]
fn garbage_is_refused_at_its_first_wrong_byte() {
    assert_eq!(split_frame(b"G"), Err(FrameError::Magic));
    assert_eq!(split_frame(&[wire::MAGIC, 9]), Err(FrameError::Version));
    assert_eq!(split_frame(&[wire::MAGIC, 1, 1]), Err(FrameError::Flags));
    assert_eq!(split_frame(&[wire::MAGIC, 1, 0, 0xff]), Err(FrameError::Kind));
    let mut oversized = [0; 16];
    oversized[..8].copy_from_slice(&[wire::MAGIC, 1, 0, 3, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(split_frame(&oversized), Err(FrameError::Oversized));
    assert_eq!(split_frame(&[]), Ok(None));
}

#[test]
fn a_place_is_written_into_an_encoded_text() {
    let text = |seq, id, unix_ms| Text {
        conversation: ConversationId::private(UserId(1), UserId(2)),
        seq: Seq(seq),
        message_id: MessageId(id),
        from: UserId(2),
        unix_ms,
        body: b"hello",
    };
    let mut frame = encoded(Event::Text(text(0, 0, 0)).into(), 0);
    assert!(Text::set_place(&mut frame, Seq(7), MessageId(8), 9));
    assert_eq!(frame, encoded(Event::Text(text(7, 8, 9)).into(), 0));
    let mut other = encoded(Event::HeartbeatAck.into(), 0);
    assert!(!Text::set_place(&mut other, Seq(7), MessageId(8), 9));
}
