//! The disk stalls under a whole node: what needs no disk goes on, senders hear `busy`, and nothing acknowledged is lost.
//!
//! Everything is shown by counts; no figure here depends on how fast the machine is.

#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected is a failure")]

mod gate;
#[allow(unreachable_pub, dead_code, reason = "another test program's, which uses all of it")]
#[path = "../process/wire_peer.rs"]
mod wire_peer;

mod node {
    //! What `wire_peer` wants to know.

    /// How long anything may take that should be there at once: only ever reached by a failure.
    pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
}

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use conn_server::{Args, Running};
use wire::token::{Token, TokenKey};
use wire::{
    ClientMessageId, Command, ConversationId, Epoch, Event, JoinRoom, Pull, Reject, RoomId,
    SendRoom, SendText, Seq, UserId,
};

use gate::Stall;
use node::PATIENCE;
use wire_peer::{WirePeer, frame};

const KEY: [u8; 32] = *b"a key for the tests and no more!";
const ROOM: RoomId = RoomId(9);
const ANN: UserId = UserId(1);
const BOB: UserId = UserId(2);
const CAT: UserId = UserId(3);

/// The disk is the process's, so one test at a time may stall it.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A whole node in this process.
struct Stage {
    running: Running,
    chat: SocketAddr,
    admin: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Stage {
    fn new(durability: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        std::fs::write(&key, KEY).unwrap();
        let args = [
            "node",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--cpus",
            "none",
            "--connections",
            "100",
            "--shards",
            "2",
            "--durability",
            durability,
            "--data",
        ];
        let data = directory.path().join("data");
        let args = args.into_iter().chain([data.to_str().unwrap(), "--token-key-file"]);
        let args = Args::parse_from(args.chain([key.to_str().unwrap()]));
        let running = Running::start(&args).unwrap();
        let address = |field: &str| running.ready()[field].as_str().unwrap().parse().unwrap();
        let (chat, admin) = (address("chat"), address("admin"));
        Self { running, chat, admin, _directory: directory }
    }

    fn login(&self, user: UserId) -> Person {
        let token = Token {
            user,
            epoch: Epoch(1),
            incarnation: self.running.handle().info().incarnation,
            expires_ms: u64::MAX,
        };
        let token = TokenKey::new(&KEY).unwrap().mint(&token, "n1");
        let peer = WirePeer::login(self.chat, &token).unwrap();
        Person { peer, sent: 0, answers: Answers::default() }
    }

    /// The status and the body of an admin page.
    fn get(&self, page: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {page} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn until_healthy(&self) {
        while self.get("/healthz").0 != 200 {
            std::thread::yield_now();
        }
    }

    fn end(self) {
        self.running.handle().abort();
        // It says that it was told to.
        self.running.wait().unwrap_err();
    }
}

/// What a person was told.
#[derive(Default)]
struct Answers {
    /// The seq of each text of their own that was acknowledged, by its number.
    acked: BTreeMap<u64, u64>,
    /// Their own texts that were refused as busy.
    busy: BTreeSet<u64>,
    /// Texts of others: conversation and seq, with the number in the body.
    heard: BTreeMap<(ConversationId, u64), String>,
    heartbeats: u64,
    has_joined: bool,
    pulled: Option<Vec<(u64, String)>>,
}

impl Answers {
    /// How many texts of the room were heard.
    fn of_room(&self) -> usize {
        self.heard.keys().filter(|key| key.0 == ConversationId::room(ROOM)).count()
    }
}

struct Person {
    peer: WirePeer,
    sent: u64,
    answers: Answers,
}

impl Person {
    fn say(&mut self, command: Command<'_>) {
        self.sent += 1;
        self.peer.write(&frame(command, self.sent)).unwrap();
    }

    fn text(&mut self, to: UserId, number: u64) {
        let body = format!("text {number}");
        let client_message_id = ClientMessageId(number);
        self.say(Command::SendText(SendText { to, client_message_id, body: body.as_bytes() }));
    }

    fn room_text(&mut self, number: u64) {
        let body = format!("room {number}");
        let client_message_id = ClientMessageId(number);
        self.say(Command::SendRoom(SendRoom {
            room: ROOM,
            client_message_id,
            body: body.as_bytes(),
        }));
    }

    /// Reads until it is so.
    fn until(&mut self, is_so: impl Fn(&Answers) -> bool) {
        let mut page = Vec::new();
        while !is_so(&self.answers) {
            let answers = &mut self.answers;
            self.peer
                .event(|event| match event.expect("the node goes on") {
                    Event::Acked(acked) => {
                        let before = answers.acked.insert(acked.client_message_id.0, acked.seq.0);
                        assert!(before.is_none_or(|seq| seq == acked.seq.0), "{acked:?}");
                    }
                    Event::Rejected(rejected) => {
                        assert_eq!(Reject::from_code(rejected.reject), Some(Reject::Busy));
                        answers.busy.insert(rejected.client_message_id.0);
                    }
                    Event::Text(text) => {
                        let body = String::from_utf8(text.body.to_vec()).unwrap();
                        page.push((text.seq.0, body.clone()));
                        answers.heard.insert((text.conversation, text.seq.0), body);
                    }
                    Event::HeartbeatAck => answers.heartbeats += 1,
                    Event::Pulled(_) => answers.pulled = Some(std::mem::take(&mut page)),
                    Event::Joined(_) => answers.has_joined = true,
                    other => panic!("{other:?}"),
                })
                .unwrap();
        }
    }

    fn join(&mut self) {
        self.say(Command::JoinRoom(JoinRoom { room: ROOM }));
        self.until(|answers| answers.has_joined);
    }

    fn heartbeat(&mut self) {
        let before = self.answers.heartbeats;
        self.say(Command::Heartbeat);
        self.until(|answers| answers.heartbeats > before);
    }

    /// Sends texts to Bob until one is refused, and heartbeats, which are answered meanwhile; gives how many texts.
    fn until_busy(&mut self) -> u64 {
        let mut number = 0;
        while self.answers.busy.is_empty() {
            number += 1;
            self.text(BOB, number);
            // A connection with too many unanswered commands is held back: few texts, however fast the machine is.
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(10) {
                self.heartbeat();
            }
        }
        number
    }

    /// Waits for the answers to all texts, and sends those again, under the same number, that were refused.
    fn come_back(&mut self, sent: u64) {
        self.until(|answers| (answers.acked.len() + answers.busy.len()) as u64 == sent);
        for number in std::mem::take(&mut self.answers.busy) {
            self.text(BOB, number);
            self.until(|answers| answers.acked.contains_key(&number) || !answers.busy.is_empty());
            assert!(self.answers.busy.is_empty());
        }
        assert_eq!(self.answers.acked.len() as u64, sent);
    }

    /// All of a private conversation.
    fn history(&mut self, with: UserId, own: UserId) -> Vec<(u64, String)> {
        // What was pushed until now is read first, so that the page stands alone.
        self.heartbeat();
        self.answers.pulled = None;
        let conversation = ConversationId::private(own, with);
        self.say(Command::Pull(Pull { conversation, after: Seq(0), limit: 256 }));
        self.until(|answers| answers.pulled.is_some());
        self.answers.pulled.take().unwrap()
    }
}

#[test]
fn a_stalled_disk_holds_up_only_what_must_be_on_it_first() {
    let _turn = turn();
    let stage = Stage::new("commit");
    let [mut ann, mut bob, mut cat] = [ANN, BOB, CAT].map(|user| stage.login(user));
    ann.join();
    bob.join();
    ann.text(BOB, 1);
    ann.until(|answers| answers.acked.contains_key(&1));
    bob.until(|answers| answers.heard.len() == 1);
    assert_eq!(stage.get("/healthz").0, 200);

    let stall = Stall::begin();
    ann.text(BOB, 2);
    stall.wait_for_commit();
    // On its way to the disk, as promised: nobody hears of it before it is there.
    (1..=10).for_each(|number| bob.room_text(number));
    for _ in 0..100 {
        ann.heartbeat();
        bob.heartbeat();
        cat.heartbeat();
    }
    cat.join();
    assert_eq!(bob.history(ANN, BOB), [(1, "text 1".to_owned())]);
    let number = cat.until_busy();
    let (status, reasons) = stage.get("/healthz");
    assert_eq!(status, 503);
    assert!(reasons.contains("busy") || reasons.contains("commit"), "{reasons}");
    assert_eq!(stall.waiting(), 1, "one commit is under way");
    bob.heartbeat();
    ann.heartbeat();
    assert!(!ann.answers.acked.contains_key(&2) && cat.answers.acked.is_empty());
    assert!(bob.answers.acked.is_empty() && bob.answers.heard.len() == 1);
    assert!(ann.answers.heard.is_empty());

    drop(stall);
    ann.until(|answers| answers.acked.contains_key(&2));
    bob.until(|answers| answers.acked.len() == 10);
    ann.until(|answers| answers.of_room() == 10);
    assert!(
        ann.answers.heard.values().cloned().eq((1..=10).map(|number| format!("room {number}")))
    );
    stage.until_healthy();
    cat.come_back(number);
    let history = bob.history(ANN, BOB);
    assert_eq!(history, [(1, "text 1".to_owned()), (2, "text 2".to_owned())]);
    check(&bob.history(CAT, BOB), &cat.answers.acked);
    stage.end();
}

#[test]
fn what_needs_no_disk_first_is_delivered_while_it_stalls() {
    let _turn = turn();
    let stage = Stage::new("relaxed");
    let [mut ann, mut bob, mut cat] = [ANN, BOB, CAT].map(|user| stage.login(user));
    ann.join();
    bob.join();
    bob.room_text(1);
    bob.until(|answers| answers.acked.len() == 1);
    ann.text(BOB, 1);
    ann.until(|answers| answers.acked.len() == 1);

    let stall = Stall::begin();
    ann.text(BOB, 2);
    stall.wait_for_commit();
    bob.until(|answers| answers.heard.len() == 2);
    (2..=50).for_each(|number| bob.room_text(number));
    ann.until(|answers| answers.of_room() == 50);
    for _ in 0..100 {
        ann.heartbeat();
        bob.heartbeat();
    }
    // Shown, but not acknowledged.
    assert_eq!((ann.answers.acked.len(), bob.answers.acked.len()), (1, 1));
    assert_eq!(bob.history(ANN, BOB), [(1, "text 1".to_owned())]);
    let number = cat.until_busy();

    drop(stall);
    bob.until(|answers| answers.acked.len() == 50);
    ann.until(|answers| answers.acked.len() == 2);
    stage.until_healthy();
    cat.come_back(number);
    assert!(
        ann.answers.heard.values().cloned().eq((1..=50).map(|number| format!("room {number}")))
    );
    assert_eq!(bob.history(ANN, BOB).len(), 2);
    check(&bob.history(CAT, BOB), &cat.answers.acked);
    stage.end();
}

/// Every acknowledged text at its place, and nothing else.
fn check(history: &[(u64, String)], acked: &BTreeMap<u64, u64>) {
    let mut expected: Vec<(u64, String)> =
        acked.iter().map(|(number, seq)| (*seq, format!("text {number}"))).collect();
    expected.sort_unstable();
    assert_eq!(history, expected);
    assert!(history.iter().map(|(seq, _)| *seq).eq(1..=history.len() as u64));
}
