//! A session's stream: torn anywhere, hostile, timed, ended.

use crate::node::{ALICE, BOB, HEARTBEAT_MS, World, event_frame, text_frame, welcome, with_bob};
use bytes::BytesMut;
use client::{Broken, Follow, SendError, Session};
use wire::{ClientMessageId, Command, Event, FrameError, Goodbye, Kind, Message, RoomId, limits};

/// A welcome, texts with a swap and a goodbye.
fn script() -> Vec<u8> {
    let mut stream = event_frame(Event::Welcome(welcome()), 1);
    for seq in [1, 3, 2, 4] {
        stream.extend(text_frame(with_bob(), seq, BOB, 0));
    }
    stream.extend(event_frame(Event::HeartbeatAck, 0));
    stream.extend(event_frame(Event::Goodbye(Goodbye { reason: 5, reconnect_after_ms: 9 }), 0));
    stream
}

/// What a session makes of the script when it comes in these pieces: notices, and bytes sent.
fn hear_in_pieces<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<String>, Vec<u8>) {
    let mut session = Session::new(Follow::Beginning);
    let mut out = Vec::new();
    session.login(0, b"token", &mut out).unwrap();
    let mut told = Vec::new();
    for piece in pieces {
        session.receive(1, piece, &mut out, |notice| told.push(format!("{notice:?}"))).unwrap();
    }
    assert!(session.has_ended());
    (told, out)
}

#[test]
fn a_stream_torn_at_every_byte_says_the_same() {
    let stream = script();
    let whole = hear_in_pieces([&stream[..]]);
    assert!(whole.0.len() >= 8, "{whole:?}");
    for cut in 0..=stream.len() {
        let (front, back) = stream.split_at(cut);
        assert_eq!(hear_in_pieces([front, back]), whole, "cut at {cut}");
    }
    for size in 1..80 {
        assert_eq!(hear_in_pieces(stream.chunks(size)), whole, "pieces of {size}");
    }
}

#[test]
fn garbage_breaks_the_session_at_its_first_byte_and_for_good() {
    let mut world = World::new(Follow::Now);
    assert_eq!(world.receive(b"HTTP/1.1"), Err(Broken::Frame(FrameError::Magic)));
    let frame = world.bob_says();
    assert_eq!(world.receive(&frame), Err(Broken::Frame(FrameError::Magic)));
    let refused = world.session.heartbeat(0, &mut Vec::new());
    assert_eq!(refused, Err(SendError::Ended));
    world.check_delivered([]);
}

#[test]
fn a_node_that_talks_like_a_client_or_after_its_goodbye_breaks_the_session() {
    let mut command = Vec::new();
    assert!(Message::from(Command::Heartbeat).append_to(1, &mut command));
    let goodbye = event_frame(Event::Goodbye(Goodbye { reason: 200, reconnect_after_ms: 0 }), 0);
    let mut world = World::new(Follow::Now);
    assert_eq!(world.receive(&command), Err(Broken::Command(Kind::Heartbeat)));

    let mut world = World::new(Follow::Now);
    world.hear(&goodbye);
    world.check_told("goodbye unknown");
    assert_eq!(world.receive(&goodbye), Err(Broken::AfterGoodbye));

    let mut world = World::new(Follow::Now);
    let again = event_frame(Event::Welcome(welcome()), 1);
    assert_eq!(world.receive(&again), Err(Broken::SecondWelcome));

    let mut world = World::new(Follow::Now);
    assert_eq!(world.receive(&text_frame(with_bob(), 0, BOB, 0)), Err(Broken::Place));
}

/// Frames with extreme numbers, in a random order and with random correlation ids, are told or refused; none panics, and
/// what a session keeps stays within its bounds.
#[test]
fn hostile_events_never_panic() {
    for seed in 0..3_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world =
            World::new([Follow::Raw, Follow::Now, Follow::Beginning][seed as usize % 3]);
        for _ in 0..60 {
            let mut bytes = hostile_event(&mut random);
            if random.u8(0..20) == 0 {
                let at = random.usize(..bytes.len());
                bytes[at] ^= random.u8(1..);
            }
            let mut out = Vec::new();
            if world.session.receive(world.now_ms, &bytes, &mut out, |_| {}).is_err() {
                break;
            }
            world.now_ms += random.u64(0..500);
            world.session.handle_timeout(world.now_ms, &mut out, |_| {});
            assert!(
                out.len() < 64 * 1024,
                "seed {seed}: {} bytes in answer to one frame",
                out.len()
            );
        }
    }
}

fn hostile_event(random: &mut fastrand::Rng) -> Vec<u8> {
    use wire::{ConversationId, Seq, UserId};
    let number = |random: &mut fastrand::Rng| match random.u8(0..6) {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX - 1,
        _ => random.u64(0..5),
    };
    let conversation = ConversationId { first: number(random), second: number(random) };
    let seq = Seq(number(random));
    let repair = (1 << 63) | random.u64(0..6);
    let correlation = [0, repair, 1, repair][random.usize(0..4)];
    let is_complete = random.u8(0..3);
    let event = match random.u8(0..10) {
        0 => Event::Pulled(wire::Pulled { conversation, next: seq, is_complete }),
        1 => Event::Rejected(wire::Rejected {
            reject: random.u8(0..12),
            kind: 8,
            retry_after_ms: [0, 1, u32::MAX][random.usize(0..3)],
            client_message_id: ClientMessageId(0),
        }),
        2 => Event::Joined(wire::Joined { room: RoomId(conversation.first), head: seq }),
        3 => Event::Left(wire::Left { room: RoomId(conversation.first) }),
        4 => Event::ConversationHead(wire::ConversationHead { conversation, head: seq }),
        5 => Event::Acked(wire::Acked {
            conversation,
            seq,
            message_id: wire::MessageId(0),
            client_message_id: ClientMessageId(0),
        }),
        _ => {
            let text = wire::Text {
                conversation: if random.bool() { with_bob() } else { conversation },
                seq,
                message_id: wire::MessageId(1),
                from: UserId(random.u64(0..3)),
                unix_ms: u64::MAX,
                body: &[0xff; 300][..random.usize(0..300)],
            };
            Event::Text(text)
        }
    };
    event_frame(event, correlation)
}

#[test]
fn a_heartbeat_is_due_an_interval_after_the_last_command() {
    let mut world = World::new(Follow::Raw);
    let login_ms = world.now_ms;
    assert_eq!(world.session.poll_timeout(), Some(login_ms + u64::from(HEARTBEAT_MS)));
    world.now_ms += 700;
    world.alice_sends();
    assert_eq!(world.session.heartbeat_due_ms(), Some(world.now_ms + u64::from(HEARTBEAT_MS)));
    world.pass(u64::from(3 * HEARTBEAT_MS));
    assert_eq!(world.told.iter().filter(|told| *told == "heartbeat").count(), 3);
}

#[test]
fn a_dead_node_is_noticed() {
    let world = World::new(Follow::Raw);
    assert!(!world.session.is_silent(world.now_ms + u64::from(3 * HEARTBEAT_MS) - 1));
    assert!(world.session.is_silent(world.now_ms + u64::from(3 * HEARTBEAT_MS)));
}

#[test]
fn commands_are_refused_before_the_welcome_and_after_the_logout() {
    let mut out = Vec::new();
    let mut session = Session::new(Follow::Now);
    assert_eq!(session.heartbeat(0, &mut out), Err(SendError::NotLoggedIn));
    assert_eq!(session.login(0, &[0; 300], &mut out), Err(SendError::TooLong(256)));
    assert!(out.is_empty());
    session.login(0, b"token", &mut out).unwrap();
    assert_eq!(session.login(0, b"token", &mut out), Err(SendError::AlreadyLoggedIn));

    let mut world = World::new(Follow::Beginning);
    let too_long = vec![b'a'; welcome().body_bytes_max as usize + 1];
    let refused = world.session.send_text(0, BOB, ClientMessageId(1), &too_long, &mut out);
    assert_eq!(refused, Err(SendError::TooLong(4_096)));
    world.command(|session, now_ms, out| {
        session.logout(now_ms, out).unwrap();
    });
    assert_eq!(world.session.join(0, RoomId(1), &mut out), Err(SendError::Ended));
    world.hear(&text_frame(with_bob(), 2, BOB, 0));
    let logout = world.take_commands();
    assert_eq!(logout.len(), wire::HEADER_BYTES, "nothing is pulled behind a logout");
    let goodbye = world.node.answer_all(&logout);
    world.hear(&goodbye);
    world.check_told("goodbye logout");
    assert_eq!(world.session.poll_timeout(), None);
}

#[test]
fn both_kinds_of_buffer_get_the_same_bytes() {
    let (mut vec, mut buf) = (Vec::new(), BytesMut::new());
    let body = vec![b'a'; limits::TOKEN_BYTES_MAX];
    Session::new(Follow::Now).login(0, &body, &mut vec).unwrap();
    Session::new(Follow::Now).login(0, &body, &mut buf).unwrap();
    assert_eq!(vec, buf);
    assert_eq!(ALICE, welcome().user);
}

#[test]
fn an_untorn_session_keeps_no_allocation() {
    let mut world = World::new(Follow::Raw);
    for seq in 1..=3 {
        world.hear(&text_frame(with_bob(), seq, BOB, 0));
    }
    assert!(size_of::<Session>() <= 128);
    assert_eq!(world.session.heap_bytes(), 0);
    let frame = text_frame(with_bob(), 4, BOB, 0);
    world.hear(&frame[..20]);
    assert!((20..=frame.len()).contains(&world.session.heap_bytes()));
    world.hear(&frame[20..]);
    assert_eq!(world.session.heap_bytes(), 0);
}
