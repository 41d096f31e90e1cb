//! Shards, links and a store around production code, with a clock that only the test moves.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chat::{
    Config, ConnKey, Durability, Effects, Instant, MailBatch, Now, ProxyHeaders, Shard,
    StoreOutcome, Transmit,
};
use wire::token::{TOKEN_BYTES, Token, TokenKey};
use wire::{Epoch, ShardId, UserId};

use super::peer::Peer;
use super::store::FakeStore;

pub const INCARNATION: u64 = 77;
pub const NODE: &str = "n1";

#[derive(Clone, Debug)]
pub struct WorldConfig {
    pub shards: u16,
    pub durability: Durability,
    pub proxy_headers: ProxyHeaders,
    pub connections_max: u32,
    pub history_bytes_max: usize,
    pub heartbeats_per_s_max: u32,
    pub seed: u64,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            shards: 1,
            durability: Durability::Commit,
            proxy_headers: ProxyHeaders::Refused,
            connections_max: 10_000,
            history_bytes_max: 4 << 20,
            heartbeats_per_s_max: 100_000,
            seed: 1,
        }
    }
}

/// A connection between a peer and a shard.
#[derive(Debug)]
pub struct Link {
    pub peer: Peer,
    pub shard: usize,
    pub key: Option<ConnKey>,
    /// Bytes that the socket still takes before a send has to wait: `usize::MAX` for a peer that reads.
    pub window: usize,
    /// What a send has lent to the socket and the socket has not taken.
    in_flight: Vec<u8>,
    /// Bytes of the current send that the socket took.
    taken: usize,
    is_sending: bool,
    pub is_paused: bool,
    /// The peer has finished sending, and whether the shard knows.
    pub has_fin: bool,
    is_fin_told: bool,
    /// The node has finished sending.
    pub is_shut: bool,
    /// The node has closed.
    pub is_closed: bool,
}

#[derive(Debug)]
struct Place {
    shard: Shard,
    fx: Effects,
    mail: VecDeque<MailBatch>,
    /// What a full inbox did not take, by receiver.
    kept: BTreeMap<usize, MailBatch>,
    posted: u64,
    stored: VecDeque<StoreOutcome>,
}

#[derive(Debug)]
pub struct World {
    pub now: Now,
    places: Vec<Place>,
    pub links: Vec<Link>,
    by_key: BTreeMap<(usize, u32), usize>,
    pub store: FakeStore,
    token_key: TokenKey,
    epoch: u64,
    /// Bytes that one receive hands over at most.
    pub chunk: usize,
    /// Mail to these shards waits.
    pub held_mail: Vec<usize>,
    /// These shards do not run at all.
    pub stopped: Vec<usize>,
    /// Batches that an inbox holds; what is beyond stays with its sender, merged.
    pub inbox_max: usize,
    /// Inputs are not over yet: lanes are drained when they are.
    is_turn_open: bool,
}

impl World {
    pub fn new(config: WorldConfig) -> Self {
        let token_key = TokenKey::new(&[7; 32]).unwrap();
        let shard_config = |index: u16| Config {
            shard: ShardId(index),
            shards: config.shards,
            node: NODE.into(),
            incarnation: INCARNATION,
            token_key: token_key.clone(),
            shard_ports: (0..config.shards).map(|port| 4001 + port).collect(),
            durability: config.durability,
            message_id_base: u64::from(index) << 42,
            proxy_headers: config.proxy_headers,
            connections_max: config.connections_max,
            body_bytes_max: 32 * 1024,
            heartbeat_interval: Duration::from_secs(10),
            heartbeat_timeout: Duration::from_secs(30),
            heartbeats_per_s_max: config.heartbeats_per_s_max,
            login_timeout: Duration::from_secs(5),
            flush_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(5),
            reconnect_window: Duration::from_secs(10),
            store_stall: Duration::from_secs(1),
            history_bytes_max: config.history_bytes_max,
            seed: config.seed + u64::from(index),
        };
        let places = (0..config.shards).map(|index| Place {
            shard: Shard::new(shard_config(index)),
            fx: Effects::new(ShardId(index), config.shards),
            mail: VecDeque::new(),
            kept: BTreeMap::new(),
            posted: 0,
            stored: VecDeque::new(),
        });
        Self {
            now: Now { mono: Instant::from_ms(1), unix_ms: 1_800_000_000_000 },
            places: places.collect(),
            links: Vec::new(),
            by_key: BTreeMap::new(),
            store: FakeStore::default(),
            token_key,
            epoch: 0,
            chunk: 16 * 1024,
            held_mail: Vec::new(),
            stopped: Vec::new(),
            inbox_max: usize::MAX,
            is_turn_open: false,
        }
    }

    /// One shard, durability `commit`.
    pub fn small() -> Self {
        Self::new(WorldConfig::default())
    }

    pub fn with(shards: u16, durability: Durability) -> Self {
        Self::new(WorldConfig { shards, durability, ..WorldConfig::default() })
    }

    pub fn shard(&self, index: usize) -> &Shard {
        &self.places[index].shard
    }

    pub fn shards(&self) -> usize {
        self.places.len()
    }

    pub fn peer(&mut self, link: usize) -> &mut Peer {
        &mut self.links[link].peer
    }

    pub fn token(&mut self, user: u64) -> [u8; TOKEN_BYTES] {
        self.epoch += 1;
        let token = Token {
            user: UserId(user),
            epoch: Epoch(self.epoch),
            incarnation: INCARNATION,
            expires_ms: self.now.mono.as_ms() + 60_000,
        };
        self.mint(&token, NODE)
    }

    pub fn mint(&self, token: &Token, node: &str) -> [u8; TOKEN_BYTES] {
        self.token_key.mint(token, node)
    }

    /// Connects to a shard; `None` if it sheds.
    pub fn try_connect(&mut self, shard: usize) -> Option<usize> {
        let place = &mut self.places[shard];
        let key = place.shard.handle_accept(self.now, &mut place.fx)?;
        self.by_key.insert((shard, key.index()), self.links.len());
        self.links.push(Link {
            peer: Peer::default(),
            shard,
            key: Some(key),
            window: usize::MAX,
            in_flight: Vec::new(),
            taken: 0,
            is_sending: false,
            is_paused: false,
            has_fin: false,
            is_fin_told: false,
            is_shut: false,
            is_closed: false,
        });
        Some(self.links.len() - 1)
    }

    pub fn connect(&mut self, shard: usize) -> usize {
        self.try_connect(shard).expect("there is room")
    }

    /// Connects, logs in and reads the welcome.
    #[track_caller]
    pub fn login(&mut self, user: u64, shard: usize) -> usize {
        let link = self.connect(shard);
        let token = self.token(user);
        self.peer(link).user = user;
        self.peer(link).login(&token);
        self.run();
        let news = self.peer(link).news();
        assert!(
            matches!(news.as_slice(), [super::Seen::Welcome { user: of, .. }] if of.0 == user),
            "{news:?}"
        );
        link
    }

    /// A user's sessions of an epoch below this one are over.
    pub fn end_sessions(&mut self, user: u64, epoch: u64) {
        for index in 0..self.places.len() {
            let place = &mut self.places[index];
            place.shard.handle_end_sessions(self.now, UserId(user), Epoch(epoch), &mut place.fx);
            self.drain_lanes(index);
        }
    }

    /// The peer's socket breaks.
    pub fn reset(&mut self, link: usize) {
        let Link { shard, key, .. } = self.links[link];
        let Some(key) = key else { return };
        let place = &mut self.places[shard];
        place.shard.handle_reset(self.now, key, &mut place.fx);
        self.drain_lanes(shard);
    }

    pub fn drain(&mut self) {
        for index in 0..self.places.len() {
            self.drain_shard(index);
        }
    }

    pub fn set_limits(&mut self, index: usize, limits: &chat::Limits) {
        self.places[index].shard.handle_limits(limits);
    }

    pub fn drain_shard(&mut self, index: usize) {
        let place = &mut self.places[index];
        place.shard.handle_drain(self.now, &mut place.fx);
        self.drain_lanes(index);
    }

    /// Batches that a shard has posted so far.
    pub fn batches_posted(&self, index: usize) -> u64 {
        self.places[index].posted
    }

    /// Moves the clock, with all that is due on the way.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now.mono + span;
        loop {
            let running = (0..self.places.len()).filter(|index| !self.stopped.contains(index));
            let next = running.filter_map(|index| self.shard(index).poll_timeout()).min();
            match next.filter(|next| *next <= end) {
                Some(next) => self.set_clock(next.max(self.now.mono)),
                None => break,
            }
            self.time_out();
            self.run();
        }
        self.set_clock(end);
        self.run();
    }

    /// Tells every shard what time it is.
    pub fn time_out(&mut self) {
        for index in 0..self.places.len() {
            if self.stopped.contains(&index) {
                continue;
            }
            let place = &mut self.places[index];
            place.shard.handle_timeout(self.now, &mut place.fx);
            self.drain_lanes(index);
        }
    }

    pub fn set_clock(&mut self, mono: Instant) {
        self.now.unix_ms += mono.as_ms() - self.now.mono.as_ms();
        self.now.mono = mono;
    }

    /// Runs until nothing moves.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// What every link brings is one turn of its shard, as a busy driver finds it, and not a turn each.
    pub fn step_together(&mut self) {
        self.is_turn_open = true;
        for link in 0..self.links.len() {
            self.move_link(link);
        }
        self.is_turn_open = false;
        for index in 0..self.places.len() {
            self.drain_lanes(index);
        }
    }

    /// One turn of everything; whether anything moved.
    pub fn step(&mut self) -> bool {
        let mut moved = false;
        for (shard, outcome) in self.store.run_one() {
            self.places[usize::from(shard.0)].stored.push_back(outcome);
            moved = true;
        }
        for link in 0..self.links.len() {
            moved |= self.move_link(link);
        }
        for index in 0..self.places.len() {
            moved |= self.move_inbox(index);
            // An inbox that has room now takes what was kept for it.
            moved |= !self.places[index].kept.is_empty() && self.has_room_for_kept(index);
        }
        moved
    }

    fn has_room_for_kept(&self, index: usize) -> bool {
        let receivers = self.places[index].kept.keys();
        !self.stopped.contains(&index)
            && receivers.copied().any(|to| self.places[to].mail.len() < self.inbox_max)
    }

    pub fn move_inbox(&mut self, index: usize) -> bool {
        if self.stopped.contains(&index) {
            return false;
        }
        let is_held = self.held_mail.contains(&index);
        let place = &mut self.places[index];
        let mut moved = false;
        let mut bytes = 0;
        // A turn takes a bounded share, as the driver does, so that what it causes goes out before more comes.
        while !is_held
            && bytes < 128 << 10
            && let Some(batch) = place.mail.pop_front()
        {
            bytes += batch.len();
            place.shard.handle_mail(self.now, &batch, &mut place.fx);
            moved = true;
        }
        while let Some(outcome) = place.stored.pop_front() {
            place.shard.handle_stored(self.now, &outcome, &mut place.fx);
            moved = true;
        }
        self.drain_lanes(index);
        moved
    }

    /// Bytes both ways on one link, one receive and one send at most.
    pub fn move_link(&mut self, index: usize) -> bool {
        if self.stopped.contains(&self.links[index].shard) {
            return false;
        }
        let mut moved = self.take_in_flight(index);
        let now = self.now;
        let link = &mut self.links[index];
        let Some(key) = link.key else { return moved };
        let place = &mut self.places[link.shard];
        if !link.is_paused && !link.peer.outgoing.is_empty() {
            let len = link.peer.outgoing.len().min(self.chunk);
            let mut bytes: Vec<u8> = link.peer.outgoing.drain(..len).collect();
            place.shard.handle_receive(now, key, &mut bytes, &mut place.fx);
            moved = true;
        } else if !link.is_paused && link.has_fin && !link.is_fin_told {
            link.is_fin_told = true;
            place.shard.handle_eof(now, key, &mut place.fx);
            moved = true;
        }
        let shard = link.shard;
        self.drain_lanes(shard);
        moved
    }

    /// The socket takes what its window allows, and completes the send when it has all.
    fn take_in_flight(&mut self, index: usize) -> bool {
        let link = &mut self.links[index];
        let (true, Some(key)) = (link.is_sending, link.key) else { return false };
        let len = link.in_flight.len().min(link.window);
        let bytes: Vec<u8> = link.in_flight.drain(..len).collect();
        if link.window != usize::MAX {
            link.window -= len;
        }
        link.taken += len;
        link.peer.read(&bytes);
        if !link.in_flight.is_empty() {
            return len > 0;
        }
        link.is_sending = false;
        let (taken, shard) = (std::mem::take(&mut link.taken), link.shard);
        let place = &mut self.places[shard];
        place.shard.handle_sent(self.now, key, taken, &mut place.fx);
        self.drain_lanes(shard);
        true
    }

    fn drain_lanes(&mut self, index: usize) {
        if self.is_turn_open {
            return;
        }
        while self.drain_lanes_once(index) {}
    }

    fn drain_lanes_once(&mut self, index: usize) -> bool {
        let Self { places, links, by_key, store, now, .. } = self;
        let place = &mut places[index];
        let mut called = false;
        place.shard.finish_inputs(*now, &mut place.fx);
        for key in place.fx.flush.drain(..) {
            let link = &mut links[by_key[&(index, key.index())]];
            if link.is_sending || link.key != Some(key) {
                continue;
            }
            let mut transmit = Transmit::default();
            if place.shard.poll_transmit(key, &mut transmit) {
                link.in_flight = transmit.slices().concat();
                link.is_sending = true;
            }
        }
        for key in place.fx.pause.drain(..) {
            links[by_key[&(index, key.index())]].is_paused = true;
        }
        for key in place.fx.resume.drain(..) {
            links[by_key[&(index, key.index())]].is_paused = false;
        }
        for key in place.fx.shutdown.drain(..) {
            let link = &mut links[by_key[&(index, key.index())]];
            assert!(!link.is_sending, "FIN follows the last byte");
            link.is_shut = true;
        }
        for key in std::mem::take(&mut place.fx.abort) {
            let link = &mut links[by_key[&(index, key.index())]];
            assert_eq!(link.key.take(), Some(key), "a connection is aborted once");
            link.is_closed = true;
            place.shard.handle_closed(*now, key, &mut place.fx);
            called = true;
        }
        if !place.fx.store.is_empty() {
            let batch = std::mem::take(&mut place.fx.store);
            store.post(ShardId(u16::try_from(index).unwrap()), batch);
        }
        self.post_mail(index);
        called
    }

    /// As the driver's postbox does it: what is kept goes first, and what a full inbox does not take is kept.
    fn post_mail(&mut self, index: usize) {
        let from = ShardId(u16::try_from(index).unwrap());
        for to in 0..self.places.len() {
            let room = self.inbox_max > self.places[to].mail.len();
            let place = &mut self.places[index];
            let mut lane = std::mem::replace(&mut place.fx.mail[to], MailBatch::new(from));
            assert!(to != index || lane.is_empty(), "a shard writes no mail to itself");
            let batch = match place.kept.remove(&to) {
                Some(mut kept) => {
                    kept.merge(&mut lane);
                    kept
                }
                None => lane,
            };
            if batch.is_empty() {
                continue;
            }
            if room {
                place.posted += 1;
                self.places[to].mail.push_back(batch);
            } else {
                place.kept.insert(to, batch);
            }
        }
    }

    /// Bytes of mail that one shard has for another: in its inbox, and kept for it.
    pub fn mail_between(&self, from: usize, to: usize) -> usize {
        let sender = ShardId(u16::try_from(from).unwrap());
        let waiting = self.places[to].mail.iter().filter(|batch| batch.sender() == sender);
        let kept = self.places[from].kept.get(&to);
        waiting.chain(kept).map(MailBatch::len).sum()
    }
}
