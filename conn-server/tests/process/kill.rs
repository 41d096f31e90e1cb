//! kill -9 under load: clients come back, send again what was not acknowledged, and nothing acknowledged is lost.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};

use wire::{ClientMessageId, Command, ConversationId, Event, Pull, SendText, Seq, UserId};

use crate::node::{Home, Node};
use crate::number;
use crate::wire_peer::{WirePeer, frame};

const PAIRS: u64 = 8;
/// Messages that a sender has outstanding.
const WINDOW: u64 = 64;
/// Acknowledgements between two kills.
const BETWEEN: u64 = 2000;

fn receiver_of(sender: u64) -> u64 {
    sender + 1000
}

fn conversation_of(sender: u64) -> ConversationId {
    ConversationId::private(UserId(sender), UserId(receiver_of(sender)))
}

fn body_of(sender: u64, id: u64) -> String {
    format!("message {id} of {sender}")
}

/// The node of the moment, and how many there have been.
struct Stage {
    node: Mutex<(u64, Option<Arc<Node>>)>,
    changed: Condvar,
    acked: AtomicU64,
    reconnects: AtomicU64,
    is_over: AtomicBool,
}

impl Stage {
    /// The node after the `seen`th, once there is one; `None` when the play is over.
    fn node_after(&self, seen: u64) -> Option<(u64, Arc<Node>)> {
        let mut current = self.node.lock().expect("nobody panicked");
        loop {
            if self.is_over.load(Ordering::Acquire) {
                return None;
            }
            if let (number, Some(node)) = &*current
                && *number > seen
            {
                return Some((*number, Arc::clone(node)));
            }
            current = self.changed.wait(current).expect("nobody panicked");
        }
    }

    fn set(&self, node: Option<Arc<Node>>) {
        let mut current = self.node.lock().expect("nobody panicked");
        if node.is_some() {
            current.0 += 1;
        }
        current.1 = node;
        self.changed.notify_all();
    }
}

/// A sender's memory, over all its connections: what was acknowledged where, and what it has begun.
#[derive(Default)]
struct Sender {
    acked: BTreeMap<u64, u64>,
    begun: u64,
}

impl Sender {
    /// Sends over one connection until it breaks or the play is over.
    fn play(
        &mut self,
        user: u64,
        node: &Node,
        stage: &Stage,
        told: &mpsc::Sender<()>,
    ) -> io::Result<()> {
        let mut peer = WirePeer::login(node.chat, &node.token(user))?;
        let unacked: Vec<u64> =
            (1..=self.begun).filter(|id| !self.acked.contains_key(id)).collect();
        for id in unacked {
            self.say(user, id, &mut peer)?;
        }
        while !stage.is_over.load(Ordering::Acquire) {
            while self.begun - (self.acked.len() as u64) < WINDOW {
                self.begun += 1;
                self.say(user, self.begun, &mut peer)?;
            }
            self.hear(user, &mut peer, stage, told)?;
        }
        Ok(())
    }

    fn say(&self, user: u64, id: u64, peer: &mut WirePeer) -> io::Result<()> {
        let body = body_of(user, id);
        let (to, client_message_id) = (UserId(receiver_of(user)), ClientMessageId(id));
        let text = SendText { to, client_message_id, body: body.as_bytes() };
        peer.write(&frame(Command::SendText(text), id))
    }

    fn hear(
        &mut self,
        user: u64,
        peer: &mut WirePeer,
        stage: &Stage,
        told: &mpsc::Sender<()>,
    ) -> io::Result<()> {
        let mut again = None;
        peer.event(|event| match event {
            Some(Event::Acked(acked)) => {
                let (id, seq) = (acked.client_message_id.0, acked.seq.0);
                let first = *self.acked.entry(id).or_insert(seq);
                assert_eq!(first, seq, "a retry of {id} by {user} gets its first place");
                if stage.acked.fetch_add(1, Ordering::AcqRel) % BETWEEN == BETWEEN - 1 {
                    // Nobody listens after the last kill.
                    let _ = told.send(());
                }
                Ok(())
            }
            Some(Event::Rejected(rejected)) => {
                again = Some(rejected.client_message_id.0);
                Ok(())
            }
            Some(_) => Ok(()),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        })??;
        match again {
            Some(id) => self.say(user, id, peer),
            None => Ok(()),
        }
    }
}

fn run_sender(user: u64, stage: &Stage, told: &mpsc::Sender<()>) -> Sender {
    let (mut sender, mut seen) = (Sender::default(), 0);
    while let Some((number, node)) = stage.node_after(seen) {
        if sender.play(user, &node, stage, told).is_err() {
            stage.reconnects.fetch_add(1, Ordering::Relaxed);
        }
        seen = number;
    }
    sender
}

/// Everything in a conversation, read by its receiver.
fn history(node: &Node, sender: u64) -> BTreeMap<u64, String> {
    let mut peer =
        WirePeer::login(node.chat, &node.token(receiver_of(sender))).expect("a session opens");
    let (mut found, mut after) = (BTreeMap::new(), 0);
    loop {
        let pull = Pull { conversation: conversation_of(sender), after: Seq(after), limit: 256 };
        peer.write(&frame(Command::Pull(pull), 9)).expect("the node takes bytes");
        let mut end = None;
        while end.is_none() {
            peer.event(|event| match event.expect("the node goes on") {
                Event::Text(text) => {
                    let body = String::from_utf8(text.body.to_vec()).expect("text");
                    let before = found.insert(text.seq.0, body);
                    assert_eq!(before, None, "each place once");
                }
                Event::Pulled(pulled) => end = Some(pulled),
                other => panic!("{other:?}"),
            })
            .expect("readable");
        }
        let pulled = end.expect("set");
        after = pulled.next.0;
        if pulled.is_complete == 1 {
            return found;
        }
    }
}

fn check(node: &Node, user: u64, sender: &Sender) {
    let found = history(node, user);
    let places: Vec<u64> = found.keys().copied().collect();
    let dense: Vec<u64> = (1..=found.len() as u64).collect();
    assert_eq!(places, dense, "places are dense");
    for (id, seq) in &sender.acked {
        assert_eq!(found.get(seq), Some(&body_of(user, *id)), "acknowledged {id} is at {seq}");
    }
    let mut bodies: Vec<&String> = found.values().collect();
    bodies.sort_unstable();
    bodies.dedup();
    assert_eq!(bodies.len(), found.len(), "no message is there twice");
    assert!(found.len() as u64 <= sender.begun);
}

#[test]
fn killing_the_node_under_load_loses_nothing_acknowledged() {
    let kills = number("KILLS", 3);
    let home = Home::new();
    let stage = Stage {
        node: Mutex::new((0, None)),
        changed: Condvar::new(),
        acked: AtomicU64::new(0),
        reconnects: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    };
    let (tell, told) = mpsc::channel();
    let senders: Vec<Sender> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=PAIRS)
            .map(|user| {
                let (stage, tell) = (&stage, tell.clone());
                scope.spawn(move || run_sender(user, stage, &tell))
            })
            .collect();
        for _ in 0..kills {
            let node = Node::start(&home, &[]);
            let pid = node.pid();
            stage.set(Some(Arc::new(node)));
            told.recv_timeout(crate::node::PATIENCE).expect("the load goes on");
            Node::kill_pid(pid);
            stage.set(None);
        }
        let node = Node::start(&home, &[]);
        stage.set(Some(Arc::new(node)));
        told.recv_timeout(crate::node::PATIENCE).expect("the load goes on after the last kill");
        stage.is_over.store(true, Ordering::Release);
        stage.changed.notify_all();
        threads.into_iter().map(|thread| thread.join().expect("no sender panicked")).collect()
    });
    drop(stage.node.into_inner().expect("nobody panicked"));
    let node = Node::start(&home, &[]);
    for (user, sender) in (1..).zip(&senders) {
        check(&node, user, sender);
    }
    println!(
        "{kills} kills: {} acknowledged, {} connections broke, all acknowledged found",
        stage.acked.into_inner(),
        stage.reconnects.into_inner(),
    );
    assert_eq!(node.drain(), Some(0));
}
