//! Whole messages, heartbeats and logins through the core, from the bytes that came to the bytes that go.

use std::ops::Range;

use wire::{ClientMessageId, Command, Login, Message, RoomId, SendRoom, SendText, UserId};

use super::Work;
use crate::frames::{BODY_BYTES, body};
use crate::stage::{Seat, Stage};

/// Connections that a turn hears of: as many as a busy shard finds at once.
const TURN: usize = 64;
/// Shares no factor with any count of connections below, so that steps of this length visit all of them.
const STRIDE: usize = 7919;
/// Bytes of a message's text.
const BODY: usize = BODY_BYTES[1];

/// What a node plans for so many connections.
fn planned(connections: usize) -> u32 {
    u32::try_from(connections).unwrap_or(u32::MAX)
}

/// What came from peers: bytes, and whose they are.
#[derive(Default)]
struct Inputs {
    bytes: Vec<u8>,
    cuts: Vec<(Seat, Range<usize>)>,
}

impl Inputs {
    fn clear(&mut self) {
        self.bytes.clear();
        self.cuts.clear();
    }

    /// More commands from a seat, all in one receive.
    fn add<'a>(&mut self, seat: Seat, commands: impl Iterator<Item = Command<'a>>) {
        let start = self.bytes.len();
        for command in commands {
            let is_written = Message::from(command).append_to(1, &mut self.bytes);
            assert!(is_written, "a command fits a frame");
        }
        self.cuts.push((seat, start..self.bytes.len()));
    }

    /// Hands everything to the stage, a turn's worth at a time.
    fn play(&mut self, stage: &mut Stage) {
        for turn in self.cuts.chunks(TURN) {
            for (seat, range) in turn {
                stage.receive(*seat, &mut self.bytes[range.clone()]);
            }
            stage.settle();
        }
    }
}

/// Private messages, each seat to another one.
struct Private {
    stage: Stage,
    seats: Vec<Seat>,
    peers: Vec<UserId>,
    inputs: Inputs,
    burst: usize,
    sent: u64,
    at: usize,
    body: Vec<u8>,
}

pub(super) fn private(connections: usize, burst: usize) -> Box<dyn Work> {
    let mut stage = Stage::new(1, planned(connections));
    let seats: Vec<Seat> = (1..=connections as u64).map(|user| stage.login(user)).collect();
    let half = connections / 2;
    let peers = (0..connections).map(|index| seats[(index + half) % connections].user).collect();
    Box::new(Private::new(stage, seats, peers, burst))
}

/// Each message from a seat on one shard to a seat on the other.
pub(super) fn cross(connections: usize, burst: usize) -> Box<dyn Work> {
    let mut stage = Stage::new(2, planned(connections));
    let mut homes: [Vec<u64>; 2] = Default::default();
    let half = connections / 2;
    for user in 1.. {
        let home = usize::from(stage.home(user));
        if homes[home].len() < half {
            homes[home].push(user);
        }
        if homes.iter().all(|users| users.len() == half) {
            break;
        }
    }
    let users: Vec<u64> = homes.concat();
    let seats: Vec<Seat> = users.iter().map(|&user| stage.login(user)).collect();
    let peers = (0..connections).map(|index| seats[(index + half) % connections].user).collect();
    Box::new(Private::new(stage, seats, peers, burst))
}

impl Private {
    fn new(stage: Stage, seats: Vec<Seat>, peers: Vec<UserId>, burst: usize) -> Self {
        assert_eq!(stage.total(|counters| counters.logins), seats.len() as u64);
        let body = body()[..BODY].to_vec();
        Self { stage, seats, peers, inputs: Inputs::default(), burst, sent: 0, at: 0, body }
    }
}

impl Work for Private {
    fn prepare(&mut self, operations: usize) {
        self.inputs.clear();
        let mut left = operations;
        while left > 0 {
            let count = left.min(self.burst);
            let (to, body, first) = (self.peers[self.at], self.body.as_slice(), self.sent + 1);
            let commands = (first..first + count as u64).map(|id| {
                let client_message_id = ClientMessageId(id);
                Command::SendText(SendText { to, client_message_id, body })
            });
            self.inputs.add(self.seats[self.at], commands);
            self.sent += count as u64;
            self.at = (self.at + STRIDE) % self.seats.len();
            left -= count;
        }
    }

    fn run(&mut self) {
        self.inputs.play(&mut self.stage);
    }

    fn check(&self) {
        assert_eq!(self.stage.total(|counters| counters.acked), self.sent);
        assert_eq!(self.stage.total(|counters| counters.delivered), self.sent);
        assert!(self.stage.bytes_sent() > self.sent * 2 * BODY as u64 / 2);
    }
}

/// Messages to one room, by its members in turn.
struct Room {
    stage: Stage,
    seats: Vec<Seat>,
    inputs: Inputs,
    sent: u64,
    at: usize,
    body: Vec<u8>,
}

const ROOM: u64 = 5;

pub(super) fn room(members: usize) -> Box<dyn Work> {
    let mut stage = Stage::new(1, planned(members));
    let mut seats = Vec::new();
    for user in 1..=members as u64 {
        let seat = stage.login(user);
        stage.join(seat, ROOM);
        seats.push(seat);
    }
    let body = body()[..BODY].to_vec();
    Box::new(Room { stage, seats, inputs: Inputs::default(), sent: 0, at: 0, body })
}

impl Work for Room {
    fn prepare(&mut self, operations: usize) {
        self.inputs.clear();
        for _ in 0..operations {
            self.sent += 1;
            let (room, client_message_id) = (RoomId(ROOM), ClientMessageId(self.sent));
            let said = SendRoom { room, client_message_id, body: &self.body };
            self.inputs.add(self.seats[self.at], std::iter::once(Command::SendRoom(said)));
            self.at = (self.at + STRIDE) % self.seats.len();
        }
    }

    /// Four messages in a turn, as four are outstanding in the measured runs.
    fn run(&mut self) {
        for turn in self.inputs.cuts.chunks(4) {
            for (seat, range) in turn {
                self.stage.receive(*seat, &mut self.inputs.bytes[range.clone()]);
            }
            self.stage.settle();
        }
    }

    fn check(&self) {
        assert_eq!(self.stage.total(|counters| counters.acked), self.sent);
        // Whoever says it is told by the acknowledgement.
        let others = self.seats.len() as u64 - 1;
        assert_eq!(self.stage.total(|counters| counters.delivered), self.sent * others);
    }
}

/// Heartbeats of a crowd.
struct Heartbeats {
    stage: Stage,
    seats: Vec<Seat>,
    inputs: Inputs,
    sent: u64,
    at: usize,
}

pub(super) fn heartbeats(connections: usize) -> Box<dyn Work> {
    let mut stage = Stage::new(1, planned(connections));
    let seats = (1..=connections as u64).map(|user| stage.login(user)).collect();
    Box::new(Heartbeats { stage, seats, inputs: Inputs::default(), sent: 0, at: 0 })
}

impl Work for Heartbeats {
    fn prepare(&mut self, operations: usize) {
        self.inputs.clear();
        for _ in 0..operations {
            self.inputs.add(self.seats[self.at], std::iter::once(Command::Heartbeat));
            self.at = (self.at + STRIDE) % self.seats.len();
            self.sent += 1;
        }
    }

    fn run(&mut self) {
        self.inputs.play(&mut self.stage);
    }

    fn check(&self) {
        assert_eq!(self.stage.total(|counters| counters.heartbeats), self.sent);
    }
}

/// Users who come, log in and are gone, over and over.
struct Logins {
    stage: Stage,
    users: u64,
    /// Login frames behind one another, each with its user.
    frames: Vec<(u64, Range<usize>)>,
    bytes: Vec<u8>,
    done: u64,
}

pub(super) fn logins(users: u64) -> Box<dyn Work> {
    let (frames, bytes) = (Vec::new(), Vec::new());
    Box::new(Logins { stage: Stage::new(1, 1000), users, frames, bytes, done: 0 })
}

impl Work for Logins {
    fn prepare(&mut self, operations: usize) {
        self.frames.clear();
        self.bytes.clear();
        for _ in 0..operations {
            let user = self.done % self.users + 1;
            let token = self.stage.token(user);
            let start = self.bytes.len();
            let login = Message::from(Command::Login(Login { token: &token }));
            let is_written = login.append_to(1, &mut self.bytes);
            assert!(is_written, "a login fits a frame");
            self.frames.push((user, start..self.bytes.len()));
            self.done += 1;
        }
    }

    fn run(&mut self) {
        let mut seats = [None; TURN];
        for turn in self.frames.chunks(TURN) {
            for (place, (user, range)) in seats.iter_mut().zip(turn) {
                let seat = self.stage.accept(*user);
                self.stage.receive(seat, &mut self.bytes[range.clone()]);
                *place = Some(seat);
            }
            self.stage.settle();
            for seat in seats.iter_mut().filter_map(Option::take) {
                self.stage.leave(seat);
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.stage.total(|counters| counters.logins), self.done);
        assert_eq!(self.stage.total(|counters| counters.closed), self.done);
    }
}
