//! Shards with everything that a node puts around them except sockets and threads: what is measured here is the core.
//!
//! Does per turn what a driver and its host do, in their order, and nothing on the heap once it is warm. Whatever the core
//! asks for that no benchmark should see (a pause, an abort, a request to a store) is a panic, not a figure.

use std::collections::VecDeque;
use std::time::Duration;

use chat::{
    Config, ConnKey, Counters, Durability, Effects, Instant, MailBatch, Now, Shard, Transmit,
};
use wire::token::{TOKEN_BYTES, Token, TokenKey};
use wire::{
    ClientMessageId, Command, Epoch, JoinRoom, Login, Message, RoomId, SendText, ShardId, UserId,
    home_of_user,
};

const NODE: &str = "bench";
const INCARNATION: u64 = 7;
/// Time that passes per turn: a busy shard's turn takes about as long.
const TURN: Duration = Duration::from_micros(50);
/// Nobody expires: benchmarks measure crowds that only listen, too.
const FOR_EVER: Duration = Duration::from_secs(1 << 20);

/// A session of the stage.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// Whose.
    pub user: UserId,
    /// On which shard: the user's home.
    pub shard: u16,
    /// Its connection there.
    pub key: ConnKey,
}

/// A shard and what is on its way to it.
#[derive(Debug)]
struct Place {
    shard: Shard,
    fx: Effects,
    inbox: VecDeque<MailBatch>,
    /// Sends in flight: they complete after the lanes of the turn are drained.
    sent: Vec<(ConnKey, usize)>,
}

/// Shards, their mail and their clock.
#[derive(Debug)]
pub struct Stage {
    places: Vec<Place>,
    spares: Vec<MailBatch>,
    now: Now,
    key: TokenKey,
    epoch: u64,
    bytes_sent: u64,
}

fn config(shard: u16, shards: u16, connections: u32, token_key: TokenKey) -> Config {
    Config {
        shard: ShardId(shard),
        shards,
        node: NODE.into(),
        incarnation: INCARNATION,
        token_key,
        shard_ports: (1..=shards).collect(),
        durability: Durability::None,
        message_id_base: u64::from(shard) << 42,
        proxy_headers: chat::ProxyHeaders::Refused,
        connections_max: connections,
        body_bytes_max: 4096,
        heartbeat_interval: FOR_EVER,
        heartbeat_timeout: FOR_EVER,
        heartbeats_per_s_max: u32::MAX,
        login_timeout: FOR_EVER,
        flush_timeout: FOR_EVER,
        linger_timeout: FOR_EVER,
        reconnect_window: FOR_EVER,
        store_stall: FOR_EVER,
        history_bytes_max: 2 << 20,
        seed: 1,
    }
}

impl Stage {
    /// So many empty shards, kept in memory, each planned for so many connections.
    ///
    /// # Panics
    /// Never: the key is long enough.
    #[must_use]
    pub fn new(shards: u16, connections: u32) -> Self {
        let key = TokenKey::new(&[7; 32]).expect("32 bytes are a key");
        let places = (0..shards).map(|shard| Place {
            shard: Shard::new(config(shard, shards, connections, key.clone())),
            fx: Effects::new(ShardId(shard), shards),
            inbox: VecDeque::new(),
            sent: Vec::new(),
        });
        Self {
            places: places.collect(),
            spares: Vec::new(),
            now: Now { mono: Instant::from_ms(1), unix_ms: 1_800_000_000_000 },
            key,
            epoch: 0,
            bytes_sent: 0,
        }
    }

    /// The shard where a user lives.
    #[must_use]
    pub fn home(&self, user: u64) -> u16 {
        home_of_user(UserId(user), u16::try_from(self.places.len()).unwrap_or(u16::MAX)).0
    }

    /// A fresh token of a user.
    pub fn token(&mut self, user: u64) -> [u8; TOKEN_BYTES] {
        self.epoch += 1;
        let token = Token {
            user: UserId(user),
            epoch: Epoch(self.epoch),
            incarnation: INCARNATION,
            expires_ms: u64::MAX,
        };
        self.key.mint(&token, NODE)
    }

    /// Connects a user at home and logs in.
    pub fn login(&mut self, user: u64) -> Seat {
        let token = self.token(user);
        let seat = self.accept(user);
        self.say(seat, Command::Login(Login { token: &token }));
        seat
    }

    /// Enters a room.
    pub fn join(&mut self, seat: Seat, room: u64) {
        self.say(seat, Command::JoinRoom(JoinRoom { room: RoomId(room) }));
    }

    /// Connects at a user's home.
    ///
    /// # Panics
    /// If the shard sheds.
    pub fn accept(&mut self, user: u64) -> Seat {
        let shard = self.home(user);
        let place = &mut self.places[usize::from(shard)];
        let key = place.shard.handle_accept(self.now, &mut place.fx).expect("there is room");
        Seat { user: UserId(user), shard, key }
    }

    /// Bytes came from a peer.
    pub fn receive(&mut self, seat: Seat, bytes: &mut [u8]) {
        let place = &mut self.places[usize::from(seat.shard)];
        place.shard.handle_receive(self.now, seat.key, bytes, &mut place.fx);
    }

    /// A peer is gone, and its connection with it.
    ///
    /// # Panics
    /// If the core does not let go of it at once.
    pub fn leave(&mut self, seat: Seat) {
        let place = &mut self.places[usize::from(seat.shard)];
        place.shard.handle_reset(self.now, seat.key, &mut place.fx);
        assert_eq!(place.fx.abort.pop(), Some(seat.key), "a reset ends a connection");
        place.shard.handle_closed(self.now, seat.key, &mut place.fx);
    }

    /// A text to somebody.
    pub fn text(&mut self, seat: Seat, to: UserId, id: u64, body: &[u8]) {
        let client_message_id = ClientMessageId(id);
        self.say(seat, Command::SendText(SendText { to, client_message_id, body }));
    }

    /// One command, in turns of its own.
    fn say(&mut self, seat: Seat, command: Command<'_>) {
        let mut bytes = Vec::new();
        let is_written = Message::from(command).append_to(1, &mut bytes);
        assert!(is_written, "a command fits a frame");
        self.receive(seat, &mut bytes);
        self.settle();
    }

    /// Ends the turn: everything that the core wants sent is sent, and all mail is delivered, until nothing moves.
    pub fn settle(&mut self) {
        loop {
            let mut is_quiet = true;
            for index in 0..self.places.len() {
                is_quiet &= self.turn(index);
            }
            self.now.mono = self.now.mono + TURN;
            if is_quiet {
                return;
            }
        }
    }

    /// Lets an hour pass in which nothing happens: what was kept for a burst is given back.
    pub fn rest(&mut self) {
        for _ in 0..3600 {
            self.now.mono = self.now.mono + Duration::from_secs(1);
            self.settle();
        }
    }

    /// One turn of one shard; whether there was nothing to do.
    fn turn(&mut self, index: usize) -> bool {
        let Self { places, spares, now, bytes_sent, .. } = self;
        let Some(Place { shard, fx, inbox, sent }) = places.get_mut(index) else { return true };
        let mut is_quiet = inbox.is_empty() && sent.is_empty();
        while let Some(mut batch) = inbox.pop_front() {
            shard.handle_mail(*now, &batch, fx);
            batch.reset(ShardId(0));
            spares.push(batch);
        }
        for (key, bytes) in sent.drain(..) {
            shard.handle_sent(*now, key, bytes, fx);
        }
        if shard.poll_timeout().is_some_and(|due| due <= now.mono) {
            shard.handle_timeout(*now, fx);
        }
        shard.finish_inputs(*now, fx);
        is_quiet &= fx.flush.is_empty();
        for key in fx.flush.drain(..) {
            let mut out = Transmit::default();
            if shard.poll_transmit(key, &mut out) {
                let bytes = out.slices().iter().map(|slice| slice.len()).sum();
                *bytes_sent += bytes as u64;
                sent.push((key, bytes));
            }
        }
        let is_expected = fx.pause.is_empty()
            && fx.resume.is_empty()
            && fx.shutdown.is_empty()
            && fx.abort.is_empty()
            && fx.store.is_empty();
        assert!(is_expected, "a benchmark overloads nothing: {fx:?}");
        is_quiet & self.post(index)
    }

    /// Carries one shard's mail to the others; whether there was none.
    fn post(&mut self, index: usize) -> bool {
        let mut is_quiet = true;
        let from = ShardId(u16::try_from(index).unwrap_or(u16::MAX));
        for to in 0..self.places.len() {
            let lane = &mut self.places[index].fx.mail[to];
            if lane.is_empty() {
                continue;
            }
            let mut spare = self.spares.pop().unwrap_or_else(|| MailBatch::new(from));
            spare.reset(from);
            let batch = std::mem::replace(lane, spare);
            self.places[to].inbox.push_back(batch);
            is_quiet = false;
        }
        is_quiet
    }

    /// A total over all shards.
    #[must_use]
    pub fn total(&self, counter: impl Fn(&Counters) -> u64) -> u64 {
        self.places.iter().map(|place| counter(place.shard.counters())).sum()
    }

    /// Bytes sent to peers so far.
    #[must_use]
    pub const fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }
}
