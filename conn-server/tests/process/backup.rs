//! The operator's commands, on a node that is talked to: a backup while it serves, a restore, and their exit codes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command as Process, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use wire::{ClientMessageId, Command, ConversationId, Event, Pull, SendText, Seq, UserId};

use crate::node::{Home, Node};
use crate::wire_peer::{WirePeer, frame};

const SENDER: u64 = 1;
const RECEIVER: u64 = 2;

/// Runs the node's program as an operator does.
fn operate(words: &[&str], folders: &[(&str, &Path)]) -> Output {
    let mut process = Process::new(env!("CARGO_BIN_EXE_conn-server"));
    process.args(words);
    for (name, folder) in folders {
        process.arg(name).arg(folder);
    }
    process.output().expect("it runs")
}

#[track_caller]
fn check(output: &Output, code: i32, says: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(says), "{text}");
}

/// Says one text after the other until it is told to stop; gives what was acknowledged, by place.
fn talk(node: &Node, acked: &AtomicU64, is_over: &AtomicBool) -> BTreeMap<u64, u64> {
    let mut peer = WirePeer::login(node.chat, &node.token(SENDER)).expect("a session opens");
    let mut places = BTreeMap::new();
    let mut id = 0;
    while !is_over.load(Ordering::Acquire) {
        id += 1;
        let text = SendText {
            to: UserId(RECEIVER),
            client_message_id: ClientMessageId(id),
            body: b"text",
        };
        peer.write(&frame(Command::SendText(text), id)).expect("the node takes bytes");
        let mut seq = None;
        while seq.is_none() {
            peer.event(|event| match event.expect("the node goes on") {
                Event::Acked(acked) => seq = Some(acked.seq.0),
                Event::Rejected(_) => panic!("a healthy store"),
                _ => (),
            })
            .expect("readable");
        }
        places.insert(seq.expect("set"), id);
        acked.fetch_add(1, Ordering::AcqRel);
    }
    places
}

/// How many messages the conversation has, from the first on.
fn dense(node: &Node) -> u64 {
    let mut peer = WirePeer::login(node.chat, &node.token(RECEIVER)).expect("a session opens");
    let conversation = ConversationId::private(UserId(SENDER), UserId(RECEIVER));
    let (mut last, mut is_complete) = (0, false);
    while !is_complete {
        let pull = Pull { conversation, after: Seq(last), limit: 256 };
        peer.write(&frame(Command::Pull(pull), 9)).expect("the node takes bytes");
        let mut end = None;
        while end.is_none() {
            peer.event(|event| match event.expect("the node goes on") {
                Event::Text(text) => {
                    assert_eq!(text.seq.0, last + 1, "dense");
                    last = text.seq.0;
                }
                Event::Pulled(pulled) => end = Some(pulled.is_complete),
                other => panic!("{other:?}"),
            })
            .expect("readable");
        }
        is_complete = end == Some(1);
    }
    last
}

#[test]
fn a_backup_of_a_node_at_work_has_all_that_was_acknowledged_and_restores() {
    let (home, new) = (Home::new(), Home::new());
    let node = Node::start(&home, &[]);
    let backups = tempfile::tempdir().expect("a folder");
    let backup = backups.path().join("first");
    let (acked, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (before, all) = std::thread::scope(|scope| {
        let talk = scope.spawn(|| talk(&node, &acked, &is_over));
        while acked.load(Ordering::Acquire) < 500 && !talk.is_finished() {
            std::thread::yield_now();
        }
        let before = acked.load(Ordering::Acquire);
        let done = operate(&["backup"], &[("--data", home.data()), ("--to", &backup)]);
        is_over.store(true, Ordering::Release);
        check(&done, 0, "messages.sqlite: 100%");
        check(&done, 0, "backed up to");
        (before, talk.join().expect("the sender does not panic"))
    });
    let again = operate(&["backup"], &[("--data", home.data()), ("--to", &backup)]);
    check(&again, 2, "name a new directory");
    let words = ["restore", "--force"];
    let in_use = operate(&words, &[("--from", &backup), ("--data", home.data())]);
    check(&in_use, 2, "is in use: stop the node");
    assert_eq!(node.drain(), Some(0));

    // The key is there already, so it has to be said that this is meant.
    let refused = operate(&["restore"], &[("--from", &backup), ("--data", new.data())]);
    check(&refused, 2, "--force");
    check(&operate(&words, &[("--from", &backup), ("--data", new.data())]), 0, "restored to");
    let node = Node::start(&new, &[]);
    let there = dense(&node);
    assert!((before..=all.len() as u64).contains(&there), "{there} of {before} to {}", all.len());
    assert_eq!(node.drain(), Some(0));
}
