//! Many clients, several shards, and everything that goes wrong, drawn from one seed; then the promises are checked.
//!
//! `SEED=n cargo test -p chat --test simulation` replays one run exactly; `SEEDS=a..b` runs a range.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks at")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chat::Durability;
use common::store::Mood;
use common::{Seen, World, WorldConfig};
use wire::{Command, ConversationId, RoomId, UserId};

const USERS: u64 = 8;
const ROOMS: u64 = 3;
const STEPS: u32 = 400;

/// xorshift64* (Vigna, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }
    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A message that somebody sent, and what was answered.
#[derive(Clone, Debug)]
struct Sent {
    from: u64,
    id: u64,
    conversation: ConversationId,
    body: String,
    was_retried: bool,
}

struct Simulation {
    world: World,
    random: Random,
    durability: Durability,
    /// Each user's latest link.
    session: BTreeMap<u64, usize>,
    sent: Vec<Sent>,
    next_id: u64,
    garbled: BTreeSet<usize>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let durability =
            [Durability::Commit, Durability::Relaxed, Durability::None][random.index(3)];
        let shards = 1 + u16::try_from(random.below(3)).unwrap();
        let config = WorldConfig { shards, durability, seed, ..WorldConfig::default() };
        Self {
            world: World::new(config),
            random,
            durability,
            session: BTreeMap::new(),
            sent: Vec::new(),
            next_id: 0,
            garbled: BTreeSet::new(),
        }
    }

    fn user(&mut self) -> u64 {
        1 + self.random.below(USERS)
    }

    fn login(&mut self, user: u64) {
        let shard = self.random.index(self.world.shards());
        let Some(link) = self.world.try_connect(shard) else { return };
        let token = self.world.token(user);
        self.world.peer(link).user = user;
        self.world.peer(link).login(&token);
        for room in 1..=ROOMS {
            if self.random.one_in(2) {
                self.world.peer(link).join(room);
            }
        }
        self.session.insert(user, link);
    }

    fn write(&mut self, message: &Sent) {
        let Some(link) = self.session.get(&message.from).copied() else { return };
        let peer = self.world.peer(link);
        match message.conversation.as_room() {
            Some(room) => peer.say(room.0, message.id, &message.body),
            None => {
                let to = message.conversation.peer_of(UserId(message.from)).unwrap();
                peer.text(to.0, message.id, &message.body);
            }
        }
    }

    fn send(&mut self) {
        let (from, to) = (self.user(), self.user());
        self.next_id += 1;
        let conversation = if self.random.one_in(4) {
            ConversationId::room(RoomId(1 + self.random.below(ROOMS)))
        } else {
            ConversationId::private(UserId(from), UserId(to))
        };
        let len = [1, 20, 200, 3000, 20_000][self.random.index(5)];
        let body = format!("{from}:{}:{}", self.next_id, "x".repeat(len));
        let message = Sent { from, id: self.next_id, conversation, body, was_retried: false };
        if self.session.contains_key(&from) {
            self.write(&message);
            self.sent.push(message);
        }
    }

    fn retry(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let index = self.random.index(self.sent.len());
        self.sent[index].was_retried = true;
        self.write(&self.sent[index].clone());
    }

    /// Any link that has not closed.
    fn link(&mut self) -> Option<usize> {
        let open: Vec<usize> = (0..self.world.links.len())
            .filter(|link| self.world.links[*link].key.is_some())
            .collect();
        (!open.is_empty()).then(|| open[self.random.index(open.len())])
    }

    fn disturb(&mut self) {
        let Some(link) = self.link() else { return };
        match self.random.below(13) {
            0 => self.world.reset(link),
            1 => self.world.links[link].has_fin = true,
            2 => self.world.peer(link).command(Command::Logout),
            3 => {
                self.garbled.insert(link);
                let garbage = self.random.next().to_le_bytes();
                self.world.peer(link).outgoing.extend_from_slice(&garbage);
            }
            4 | 5 => {
                let windows = [0, 1, 100, 10_000, 3_000_000, usize::MAX];
                self.world.links[link].window = windows[self.random.index(6)];
            }
            6 => {
                let moods = [Mood::Well, Mood::Well, Mood::Stalled, Mood::Full];
                self.world.store.mood = moods[self.random.index(4)];
            }
            7 => {
                let held = self.random.index(self.world.shards() + 1);
                self.world.held_mail = if held == 0 { vec![] } else { vec![held - 1] };
            }
            11 => {
                let stopped = self.random.index(self.world.shards() + 1);
                self.world.stopped = if stopped == 0 { vec![] } else { vec![stopped - 1] };
                self.world.inbox_max = [1, 2, usize::MAX][self.random.index(3)];
            }
            8 => self.world.chunk = [1, 7, 100, 4096, 65_536][self.random.index(5)],
            9 => {
                let room = 1 + self.random.below(ROOMS);
                self.world.peer(link).leave(room);
            }
            10 => {
                let user = self.world.links[link].peer.user;
                let conversation = ConversationId::private(UserId(user), UserId(1));
                self.world.peer(link).pull(conversation, 0, 50);
                self.world.peer(link).conversations(ConversationId::default(), 3);
            }
            _ => {
                let span = [100, 2_000, 20_000][self.random.index(3)];
                self.jump(Duration::from_millis(span));
            }
        }
    }

    /// Moves the clock without running everything to its end.
    fn jump(&mut self, span: Duration) {
        let to = self.world.now.mono + span;
        self.world.set_clock(to);
        self.world.time_out();
    }

    fn act(&mut self) {
        match self.random.below(10) {
            0 => {
                let user = self.user();
                self.login(user);
            }
            1..=4 => self.send(),
            5 => self.retry(),
            6 => self.disturb(),
            7 => {
                if let Some(link) = self.link() {
                    self.world.peer(link).command(Command::Heartbeat);
                    self.world.move_link(link);
                }
            }
            8 => {
                let shard = self.random.index(self.world.shards());
                self.world.move_inbox(shard);
            }
            _ => drop(self.world.step()),
        }
    }

    /// Everything works again; whoever has an unanswered message sends it again until it is answered.
    fn heal(&mut self) {
        self.world.store.mood = Mood::Well;
        self.world.held_mail.clear();
        self.world.stopped.clear();
        self.world.chunk = 4096;
        for link in &mut self.world.links {
            link.window = usize::MAX;
        }
        self.world.run();
        for user in 1..=USERS {
            self.login(user);
            let link = self.session[&user];
            for room in 1..=ROOMS {
                self.world.peer(link).join(room);
            }
            self.world.run();
        }
        for index in 0..self.sent.len() {
            self.sent[index].was_retried = true;
            self.write(&self.sent[index].clone());
            self.world.run();
        }
    }

    /// Acknowledged places by sender and client message id; every acknowledgement of a message says the same.
    fn acked(&self) -> BTreeMap<(u64, u64), (ConversationId, u64, u64)> {
        let mut acked = BTreeMap::new();
        for link in &self.world.links {
            for seen in &link.peer.seen {
                if let Seen::Acked { conversation, seq, id, client_id } = seen {
                    let place = (*conversation, *seq, *id);
                    let first = acked.entry((link.peer.user, *client_id)).or_insert(place);
                    assert_eq!(*first, place, "a retry gets the first place");
                }
            }
        }
        acked
    }

    /// Every message has one place, every place one message, and a conversation's places are dense.
    fn check_places(&self) -> BTreeMap<(ConversationId, u64), Sent> {
        let acked = self.acked();
        let mut places = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for message in &self.sent {
            let place = acked.get(&(message.from, message.id));
            let Some((conversation, seq, id)) = place else {
                let link = &self.world.links[self.session[&message.from]];
                let last = &link.peer.seen[link.peer.seen.len().saturating_sub(3)..];
                let last = format!("{last:?}");
                let Sent { from, id, conversation, .. } = message;
                panic!("{from} {id} {conversation:?} is not acknowledged; last seen {last:.400}")
            };
            assert_eq!(*conversation, message.conversation);
            assert!(ids.insert(*id), "an id is used once");
            assert!(places.insert((*conversation, *seq), message.clone()).is_none());
        }
        let mut next: BTreeMap<ConversationId, u64> = BTreeMap::new();
        for (conversation, seq) in places.keys() {
            let expected = next.entry(*conversation).or_insert(1);
            assert_eq!(seq, expected, "places are dense in {conversation:?}");
            *expected += 1;
        }
        places
    }

    /// What was pushed or pulled is what was sent, to nobody else, in order but for retries, and nothing after a goodbye.
    fn check_links(&self, places: &BTreeMap<(ConversationId, u64), Sent>) {
        for link in &self.world.links {
            let user = link.peer.user;
            let mut last: BTreeMap<ConversationId, u64> = BTreeMap::new();
            let mut is_over = false;
            for seen in &link.peer.seen {
                assert!(!is_over, "nothing follows a goodbye");
                match seen {
                    Seen::Goodbye { .. } => is_over = true,
                    Seen::Text { conversation, seq, from, body, .. } => {
                        let message = places.get(&(*conversation, *seq)).expect("a known place");
                        assert_eq!((message.from, message.body.as_bytes()), (from.0, &body[..]));
                        let is_private = conversation.as_room().is_none();
                        assert!(!is_private || conversation.peer_of(UserId(user)).is_some());
                        let last = last.entry(*conversation).or_insert(0);
                        assert!(
                            seq > last || message.was_retried,
                            "user {user} was pushed {seq} after {last} in {conversation:?}"
                        );
                        *last = seq.max(last).to_owned();
                    }
                    _ => {}
                }
            }
        }
    }

    /// Every user finds all of its private conversations whole.
    fn check_history(&mut self, places: &BTreeMap<(ConversationId, u64), Sent>) {
        for user in 1..=USERS {
            let link = self.session[&user];
            self.world.peer(link).news();
            let mut expected: BTreeMap<ConversationId, u64> = BTreeMap::new();
            for (conversation, seq) in places.keys() {
                if conversation.peer_of(UserId(user)).is_some() {
                    expected.insert(*conversation, *seq);
                }
            }
            self.world.peer(link).conversations(ConversationId::default(), 256);
            self.world.run();
            let heads: BTreeMap<ConversationId, u64> = self
                .world
                .peer(link)
                .news()
                .into_iter()
                .filter_map(|seen| match seen {
                    Seen::Head { conversation, head } => Some((conversation, head)),
                    _ => None,
                })
                .collect();
            assert_eq!(heads, expected, "of user {user}");
            for (conversation, head) in heads {
                self.check_conversation(link, conversation, head);
            }
        }
    }

    fn check_conversation(&mut self, link: usize, conversation: ConversationId, head: u64) {
        let mut found = Vec::new();
        loop {
            let after = found.last().copied().unwrap_or(0);
            self.world.peer(link).pull(conversation, after, 7);
            self.world.run();
            let news = self.world.peer(link).news();
            found.extend(news.iter().filter_map(|seen| match seen {
                Seen::Text { seq, .. } => Some(*seq),
                _ => None,
            }));
            if matches!(news.last(), Some(Seen::Pulled { is_complete: true, .. })) {
                break;
            }
        }
        if self.durability == Durability::None && found.first() != Some(&1) {
            // The history of `none` is bounded: what is there must be the newest, without gaps.
            let first = found.first().copied().unwrap_or(head + 1);
            assert_eq!(found, (first..=head).collect::<Vec<u64>>());
        } else {
            assert_eq!(found, (1..=head).collect::<Vec<u64>>());
        }
    }

    /// After the last connection nothing is left behind.
    fn check_rest(&mut self) {
        self.world.drain();
        for link in &mut self.world.links {
            link.has_fin = true;
        }
        self.world.run();
        self.world.pass(Duration::from_secs(60));
        for index in 0..self.world.shards() {
            let gauges = self.world.shard(index).gauges(self.world.now);
            assert!(self.world.shard(index).is_drained());
            assert_eq!(
                (gauges.connections, gauges.sessions, gauges.queued_bytes, gauges.spill_bytes),
                (0, 0, 0, 0)
            );
            assert_eq!((gauges.rooms, gauges.store_outstanding), (0, 0));
            assert_eq!(gauges.frames, 0, "every frame was freed");
        }
    }

    fn run(mut self) {
        for _ in 0..STEPS {
            self.act();
        }
        self.heal();
        let places = self.check_places();
        self.check_links(&places);
        self.check_history(&places);
        let sessions: u64 = (0..self.world.shards())
            .map(|shard| self.world.shard(shard).gauges(self.world.now).sessions)
            .sum();
        assert_eq!(sessions, USERS, "one session per user");
        self.check_rest();
    }
}

fn seeds() -> std::ops::Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("SEED=n or SEEDS=a..b");
    if let Ok(seed) = std::env::var("SEED") {
        let seed = number(&seed);
        return seed..seed + 1;
    }
    match std::env::var("SEEDS") {
        Ok(range) => {
            let (first, end) = range.split_once("..").expect("SEEDS=a..b");
            number(first)..number(end)
        }
        Err(_) => 0..1000,
    }
}

#[test]
fn the_promises_hold_whatever_happens() {
    for seed in seeds() {
        let outcome = std::panic::catch_unwind(|| Simulation::new(seed).run());
        if let Err(cause) = outcome {
            eprintln!("replay with: SEED={seed} cargo test -p chat --test simulation");
            std::panic::resume_unwind(cause);
        }
    }
}

/// A run is a function of its seed: what every peer saw is the same twice.
#[test]
fn a_seed_replays_exactly() {
    let seen = |seed| {
        let mut simulation = Simulation::new(seed);
        for _ in 0..STEPS {
            simulation.act();
        }
        simulation.heal();
        let links = simulation.world.links.iter();
        links.map(|link| link.peer.seen.clone()).collect::<Vec<_>>()
    };
    for seed in 0..20 {
        assert_eq!(seen(seed), seen(seed));
    }
}
