//! The blocking client against a node on loopback that does what each story needs.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use client::blocking::{Arrival, Client, Error};
use client::{Broken, Follow};
use wire::{ClientMessageId, CloseReason, ConversationId, FrameError, Reject, RoomId, Seq};

use crate::node::{ALICE, BOB, NOBODY, Node, room, with_bob};

/// Longer than any healthy answer takes on a busy machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves one connection after another on a port of its own, for as many as `serve` says.
fn spawn(
    connections: usize,
    mut serve: impl FnMut(TcpStream) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        for _ in 0..connections {
            serve(listener.accept().unwrap().0);
        }
    });
    (address, thread)
}

/// Answers everything by the book, and finishes after a goodbye.
fn serve(node: &mut Node, mut stream: TcpStream, mut push: impl FnMut(&mut Node) -> Vec<u8>) {
    let mut pending = Vec::new();
    let mut buf = [0; 4096];
    loop {
        let read = stream.read(&mut buf).unwrap();
        if read == 0 {
            return;
        }
        pending.extend_from_slice(&buf[..read]);
        while let Some((frame, rest)) = wire::split_frame(&pending).unwrap() {
            let is_logout = frame[3] == wire::Kind::Logout as u8;
            let mut answer = push(node);
            answer.extend(node.answer_all(frame));
            pending = rest.to_vec();
            stream.write_all(&answer).unwrap();
            if is_logout {
                stream.shutdown(Shutdown::Write).unwrap();
            }
        }
    }
}

#[track_caller]
fn check_texts(client: &mut Client, places: impl IntoIterator<Item = u64>) {
    for place in places {
        match client.recv(PATIENCE).unwrap() {
            Some(Arrival::Text(text)) => assert_eq!(text.seq, Seq(place)),
            other => panic!("{other:?} instead of message {place}"),
        }
    }
}

#[test]
fn a_whole_session_from_login_to_fin() {
    let (address, thread) = spawn(1, |stream| {
        let mut calls = 0;
        serve(&mut Node::default(), stream, |node| {
            calls += 1;
            if calls == 3 { node.say(BOB, with_bob()) } else { Vec::new() } // before the answer to the third command
        });
    });
    let mut client = Client::connect(address, Follow::Beginning, PATIENCE).unwrap();
    assert_eq!(client.login(b"token").unwrap().user, ALICE);
    assert_eq!(client.send_text(BOB, ClientMessageId(1), "hello").unwrap().seq, Seq(1));
    assert_eq!(client.join(RoomId(9)).unwrap().head, Seq(0));
    assert_eq!(client.send_room(RoomId(9), ClientMessageId(2), "hello all").unwrap().seq, Seq(1));
    check_texts(&mut client, [2]);
    let page = client.pull(with_bob(), Seq(0), 1).unwrap();
    assert_eq!((page.messages.len(), page.next, page.is_complete), (1, Seq(1), false));
    assert_eq!(client.conversations().unwrap().len(), 1, "rooms are not among them");
    client.heartbeat().unwrap();
    client.leave(RoomId(9)).unwrap();
    client.logout().unwrap();
    thread.join().unwrap();
}

#[test]
fn a_refusal_is_said_and_the_session_goes_on() {
    let (address, _thread) = spawn(1, |stream| serve(&mut Node::default(), stream, |_| Vec::new()));
    let mut client = Client::connect(address, Follow::Now, PATIENCE).unwrap();
    client.login(b"token").unwrap();
    let refused = client.send_text(NOBODY, ClientMessageId(1), "hello");
    let Err(Error::Rejected { reject: Some(Reject::Refused), .. }) = refused else {
        panic!("{refused:?}");
    };
    client.send_text(BOB, ClientMessageId(1), "hello").unwrap();
}

#[test]
fn a_node_that_dies_or_says_goodbye_or_talks_nonsense_is_told_apart() {
    let mut calls = 0;
    let (address, thread) = spawn(3, move |mut stream| {
        calls += 1;
        stream.read_exact(&mut [0; 16]).unwrap();
        let goodbye = wire::Goodbye { reason: CloseReason::BadToken.code(), reconnect_after_ms: 7 };
        match calls {
            1 => {}
            2 => {
                let frame = crate::node::event_frame(wire::Event::Goodbye(goodbye), 0);
                stream.write_all(&frame).unwrap();
            }
            _ => stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap(),
        }
    });
    let login = || {
        let mut client = Client::connect(address, Follow::Now, PATIENCE).unwrap();
        client.login(b"token").unwrap_err()
    };
    assert!(matches!(login(), Error::Closed));
    let goodbye = login();
    assert!(
        matches!(
            goodbye,
            Error::Goodbye { reason: Some(CloseReason::BadToken), reconnect_after_ms: 7 }
        ),
        "{goodbye:?}"
    );
    assert!(matches!(login(), Error::Broken(Broken::Frame(FrameError::Magic))));
    thread.join().unwrap();
}

#[test]
fn a_node_that_says_nothing_is_given_up() {
    let (address, _thread) = spawn(1, |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new()); // until the client goes away
    });
    let mut client = Client::connect(address, Follow::Now, Duration::from_millis(30)).unwrap();
    assert!(matches!(client.login(b"token"), Err(Error::Timeout(_))));
}

#[test]
fn a_reconnected_client_catches_up() {
    let mut node = Node::default();
    let mut connections = 0;
    let (address, thread) = spawn(2, move |stream| {
        connections += 1;
        if connections == 2 {
            for _ in 0..300 {
                node.say(BOB, with_bob()); // while nobody listened
                node.say(BOB, room(9));
            }
        }
        let mut calls = 0;
        serve(&mut node, stream, |node| {
            calls += 1;
            if connections == 1 && calls == 2 { node.say(BOB, with_bob()) } else { Vec::new() }
        });
    });
    let mut client = Client::connect(address, Follow::Beginning, PATIENCE).unwrap();
    client.login(b"token").unwrap();
    client.join(RoomId(9)).unwrap();
    check_texts(&mut client, [1]);
    let mut client = client.reconnect(address).unwrap();
    client.login(b"token").unwrap();
    client.join(RoomId(9)).unwrap();
    assert!(client.conversations().unwrap().iter().any(|head| head.head == Seq(301)));
    let mut seen = std::collections::BTreeMap::<ConversationId, Vec<u64>>::new();
    for _ in 0..600 {
        let Some(Arrival::Text(text)) = client.recv(PATIENCE).unwrap() else { panic!("no text") };
        seen.entry(text.conversation).or_default().push(text.seq.0);
    }
    assert_eq!(seen[&with_bob()], (2..=301).collect::<Vec<_>>());
    assert_eq!(seen[&room(9)], (1..=300).collect::<Vec<_>>());
    client.logout().unwrap();
    thread.join().unwrap();
}
