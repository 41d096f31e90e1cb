//! Real cores, postboxes and inboxes on threads of their own, with inboxes so small that they are always full and pauses
//! drawn at random: nothing may be lost, doubled or turned around, and nobody may sleep with mail.

#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected is a failure")]

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use chat::{ConnKey, Durability, Effects, Now, Shard, Transmit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wire::token::{Token, TokenKey};
use wire::{
    ClientMessageId, Command, Epoch, Event, FrameView, Login, Message as Frame, SendText, ShardId,
    UserId, split_frame,
};

use crate::config::ServerConfig;
use crate::mesh::{Inbox, Mesh, Message, Order};
use crate::postbox::Postbox;
use crate::stats::IoCounters;

const SHARDS: u16 = 3;
/// Users of each shard: connected where the number says, living where the hash says.
const USERS: u64 = 5;
/// Texts that each user sends.
const TEXTS: u64 = 400;
/// Long enough for the slowest machine; waited for only if a wake-up is lost.
const LOST: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// What a thread has seen since its last word.
#[derive(Debug, Default)]
struct News {
    welcomed: u64,
    acked: u64,
    heard: u64,
    kept: u64,
    woken: u64,
}

/// xorshift (Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % bound
    }
}

/// One shard and the clients that are connected to it.
struct Seat {
    id: u64,
    shard: Shard,
    fx: Effects,
    inbox: Inbox,
    postbox: Postbox,
    counters: IoCounters,
    random: Random,
    /// Each client's connection and what it has sent.
    clients: Vec<(ConnKey, u64)>,
    /// Everybody everywhere has logged in.
    may_speak: bool,
    /// The last text of a sender that a connection has heard.
    heard: HashMap<(u32, u64), u64>,
    news: News,
}

fn chat_config(shard: u16, key: &TokenKey) -> chat::Config {
    let config = ServerConfig::new("threads", key.clone());
    let far = Duration::from_secs(3600);
    chat::Config {
        shard: ShardId(shard),
        shards: SHARDS,
        node: config.name,
        incarnation: 1,
        token_key: config.token_key,
        shard_ports: vec![1; usize::from(SHARDS)],
        durability: Durability::None,
        message_id_base: u64::from(shard) << 42,
        proxy_headers: chat::ProxyHeaders::Refused,
        connections_max: 100,
        body_bytes_max: config.body_bytes_max,
        heartbeat_interval: far,
        heartbeat_timeout: far,
        heartbeats_per_s_max: config.heartbeats_per_s_max,
        login_timeout: far,
        flush_timeout: far,
        linger_timeout: far,
        reconnect_window: far,
        store_stall: far,
        history_bytes_max: 1 << 20,
        seed: 1,
    }
}

impl Seat {
    fn new(index: u16, mesh: &Arc<Mesh>, key: &TokenKey, seed: u64) -> Self {
        let id = ShardId(index);
        let mut seat = Self {
            id: index.into(),
            shard: Shard::new(chat_config(index, key)),
            fx: Effects::new(id, SHARDS),
            inbox: mesh.inbox(id).unwrap(),
            postbox: Postbox::new(id, SHARDS, None),
            counters: IoCounters::default(),
            random: Random((seed << 8) | (u64::from(index) + 1)),
            clients: Vec::new(),
            may_speak: false,
            heard: HashMap::new(),
            news: News::default(),
        };
        for user in (0..USERS).map(|n| user(index.into(), n)) {
            let token = Token { user, epoch: Epoch(1), incarnation: 1, expires_ms: u64::MAX };
            let token = key.mint(&token, "threads");
            let conn = seat.shard.handle_accept(Now::default(), &mut seat.fx).unwrap();
            seat.clients.push((conn, 0));
            seat.say(conn, Command::Login(Login { token: &token }));
        }
        seat
    }

    fn say(&mut self, conn: ConnKey, command: Command<'_>) {
        let mut frame = Vec::new();
        assert!(Frame::Command(command).append_to(0, &mut frame));
        self.shard.handle_receive(Now::default(), conn, &mut frame, &mut self.fx);
    }

    /// One turn: some mail, some texts, everything out.
    fn turn(&mut self) {
        for _ in 0..=self.random.below(3) {
            match self.inbox.take() {
                Some(Message::Mail(batch)) => {
                    self.shard.handle_mail(Now::default(), &batch, &mut self.fx);
                    self.inbox.mesh().give_back(batch);
                }
                Some(Message::Open) => self.may_speak = true,
                Some(other) => panic!("{other:?} is not posted here"),
                None => break,
            }
        }
        for at in 0..self.clients.len() {
            let (conn, sent) = self.clients[at];
            let most = if self.may_speak { TEXTS - sent } else { 0 };
            let burst = self.random.below(6).min(most);
            for number in sent..sent + burst {
                self.text(at, conn, number + 1);
            }
            self.clients[at].1 = sent + burst;
        }
        self.transmit();
        self.postbox.post(self.inbox.mesh(), &mut self.fx, &mut self.counters);
    }

    fn text(&mut self, at: usize, conn: ConnKey, number: u64) {
        let to = user(self.random.below(SHARDS.into()), self.random.below(USERS));
        let me = user(self.id, at as u64);
        if to == me {
            // A note to itself is pushed to nobody: counted as heard.
            self.news.heard += 1;
        }
        let body = format!("{}:{number}", me.0);
        let text =
            SendText { to, client_message_id: ClientMessageId(number), body: body.as_bytes() };
        self.say(conn, Command::SendText(text));
    }

    /// Every client reads everything at once.
    fn transmit(&mut self) {
        // What is received all the same waits in the core.
        self.fx.pause.clear();
        self.fx.resume.clear();
        self.shard.finish_inputs(Now::default(), &mut self.fx);
        while let Some(key) = self.fx.flush.pop() {
            let Some(bytes) = self.lent(key) else { continue };
            let mut rest = bytes.as_slice();
            while let Some((frame, after)) = split_frame(rest).unwrap() {
                let view = FrameView::parse(frame).unwrap();
                let Frame::Event(event) = view.message() else { panic!("a node says events") };
                self.hear(key, &event);
                rest = after;
            }
            assert!(rest.is_empty(), "whole frames");
            self.shard.handle_sent(Now::default(), key, bytes.len(), &mut self.fx);
        }
    }

    fn lent(&mut self, key: ConnKey) -> Option<Vec<u8>> {
        let mut out = Transmit::default();
        self.shard.poll_transmit(key, &mut out).then(|| out.slices().concat())
    }

    fn hear(&mut self, key: ConnKey, event: &Event<'_>) {
        match event {
            Event::Acked(_) => self.news.acked += 1,
            Event::Text(text) => {
                self.news.heard += 1;
                let body = std::str::from_utf8(text.body).unwrap();
                let (from, number) = body.split_once(':').unwrap();
                assert_eq!(from, text.from.0.to_string());
                let number = number.parse().unwrap();
                let last = self.heard.insert((key.index(), text.from.0), number);
                assert!(last.is_none_or(|last| last < number), "{number} after {last:?}");
            }
            Event::Welcome(_) => self.news.welcomed += 1,
            other => panic!("{other:?} was not asked for"),
        }
    }

    /// Whether there is nothing to do before somebody else has done something.
    fn is_done(&self) -> bool {
        !self.may_speak || self.clients.iter().all(|(_, sent)| *sent == TEXTS)
    }

    fn run(mut self, tell: &mpsc::Sender<News>) {
        loop {
            self.inbox.woke();
            if self.inbox.take_order() == Some(Order::Abort) {
                return;
            }
            self.turn();
            if self.random.below(8) == 0 {
                thread::yield_now();
            }
            let kept = self.counters.mail_kept;
            let woken = self.counters.wakes_sent;
            self.counters = IoCounters::default();
            tell.send(News { kept, woken, ..std::mem::take(&mut self.news) }).unwrap();
            if self.is_done() && self.postbox.is_clear() && self.inbox.may_sleep() {
                self.sleep();
            }
        }
    }

    fn sleep(&self) {
        let wake = self.inbox.wake_fd();
        let ready = poll(&mut [PollFd::new(&wake, PollFlags::IN)], Some(&LOST)).unwrap();
        assert_eq!(ready, 1, "a wake-up was lost");
        rustix::io::read(wake, &mut [0; 8]).unwrap();
    }
}

/// A user who is connected to a shard.
const fn user(shard: u64, n: u64) -> UserId {
    UserId(shard * USERS + n + 1)
}

#[test]
fn cores_on_threads_lose_nothing_however_small_their_inboxes() {
    let (mut kept, mut woken) = (0, 0);
    for seed in 1..=6 {
        let key = TokenKey::new(&[1; 32]).unwrap();
        let mesh = Mesh::with_inboxes(SHARDS, 1 + seed as usize % 3).unwrap();
        let (tell, told) = mpsc::channel();
        let threads: Vec<_> = (0..SHARDS)
            .map(|index| {
                let (mesh, key, tell) = (Arc::clone(&mesh), key.clone(), tell.clone());
                // Made on its thread, as a node makes it.
                thread::spawn(move || Seat::new(index, &mesh, &key, seed).run(&tell))
            })
            .collect();
        drop(tell);
        let total = u64::from(SHARDS) * USERS * TEXTS;
        let (mut welcomed, mut acked, mut heard) = (0, 0, 0);
        while acked < total || heard < total {
            let news = told.recv().expect("no thread fails");
            if news.welcomed > 0 {
                welcomed += news.welcomed;
                if welcomed == u64::from(SHARDS) * USERS {
                    (0..SHARDS).for_each(|shard| {
                        assert!(mesh.post_waiting(ShardId(shard), Message::Open));
                    });
                }
            }
            acked += news.acked;
            heard += news.heard;
            kept += news.kept;
            woken += news.woken;
        }
        mesh.give(Order::Abort);
        threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
        assert!(told.iter().all(|news| news.acked + news.heard == 0), "each once");
    }
    assert!(kept > 0, "inboxes were full");
    assert!(woken > 0, "threads slept");
}
