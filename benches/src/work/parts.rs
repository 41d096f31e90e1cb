//! Parts of the node one by one: send queues over the frame pool, the timer wheel, the mesh, the token, the home hash.

use std::hint::black_box;
use std::sync::Arc;

use chat::MailBatch;
use chat::bench::{Queues, Wheel};
use conn_server::mesh::{Inbox, Mesh, Message as Posted};
use wire::token::{TOKEN_BYTES, Token, TokenKey};
use wire::{Epoch, FrameView, ShardId, UserId, home_of_user};

use super::Work;
use crate::frames::{body, frame, subjects};

/// Queues that are written to in turn.
const QUEUES: usize = 64;
/// Timers of a wheel.
const TIMERS: usize = 10_000;
/// Ticks ahead of a heartbeat's deadline: 90 seconds.
const AHEAD: u32 = 1800;

/// One frame to many queues, or many frames to one.
struct Queueing {
    queues: Queues,
    frame: Vec<u8>,
    /// Frames that go to a queue before it is sent.
    burst: usize,
    /// Whether every frame goes to all queues.
    is_shared: bool,
    operations: usize,
    pushed: usize,
    bytes: usize,
}

fn queueing(burst: usize, is_shared: bool) -> Box<dyn Work> {
    let body = body();
    let text = subjects(&body).into_iter().find(|subject| subject.name == "text/128");
    let frame = frame(&text.expect("the list of frames has it"));
    let queues = Queues::new(if is_shared { 1000 } else { QUEUES });
    Box::new(Queueing { queues, frame, burst, is_shared, operations: 0, pushed: 0, bytes: 0 })
}

pub(super) fn queue(burst: usize) -> Box<dyn Work> {
    queueing(burst, false)
}

pub(super) fn shared() -> Box<dyn Work> {
    queueing(1, true)
}

impl Work for Queueing {
    fn prepare(&mut self, operations: usize) {
        self.operations = operations;
    }

    fn run(&mut self) {
        let view = FrameView::parse(&self.frame).expect("it was built whole");
        let message = view.message();
        let (mut left, mut at) = (self.operations, 0);
        while left > 0 {
            let to = if self.is_shared { 0..left.min(1000) } else { at..at + 1 };
            let frames = if self.is_shared { 1 } else { left.min(self.burst) };
            for _ in 0..frames {
                self.pushed += to.len() * usize::from(self.queues.push(&message, to.clone()));
            }
            left -= frames * to.len();
            for queue in to {
                self.bytes += self.queues.send(queue);
            }
            at = (at + 1) % QUEUES;
        }
    }

    fn check(&self) {
        assert_eq!(self.queues.held(), 0, "everything is sent");
        assert_eq!(self.bytes, self.pushed * self.frame.len());
    }
}

/// Timers of many connections.
struct Timing {
    wheel: Wheel,
    is_firing: bool,
    operations: usize,
    at: usize,
    tick: u32,
    armed: usize,
    fired: usize,
}

fn timing(is_firing: bool) -> Box<dyn Work> {
    let wheel = Wheel::new(TIMERS);
    Box::new(Timing { wheel, is_firing, operations: 0, at: 0, tick: 1, armed: 0, fired: 0 })
}

pub(super) fn rearm() -> Box<dyn Work> {
    timing(false)
}

pub(super) fn fire() -> Box<dyn Work> {
    timing(true)
}

impl Work for Timing {
    fn prepare(&mut self, operations: usize) {
        self.operations = operations;
    }

    fn run(&mut self) {
        for _ in 0..self.operations {
            if self.is_firing {
                // A deadline one tick ahead, fired when a tick's worth of connections is armed.
                self.wheel.arm(self.at, self.tick + 1);
                self.armed += 1;
            } else {
                self.wheel.arm(self.at, self.tick + AHEAD);
            }
            self.at = (self.at + 1) % TIMERS;
            if self.at.is_multiple_of(128) {
                self.tick += 1;
                self.fired += self.wheel.expire(self.tick);
                black_box(self.wheel.next_ns());
            }
        }
    }

    fn check(&self) {
        if self.is_firing {
            let waiting = self.armed - self.fired;
            assert!(waiting <= 128, "what was armed has fired, but for the present tick");
        } else {
            assert!(self.wheel.next_ns().is_some(), "timers are armed");
        }
    }
}

/// Mail batches posted to a shard's inbox and taken by it, on one thread.
struct Posting {
    mesh: Arc<Mesh>,
    inbox: Inbox,
    spares: Vec<MailBatch>,
    batch: usize,
    operations: usize,
    posted: u64,
    taken: u64,
}

pub(super) fn mesh(batch: usize) -> Box<dyn Work> {
    let mesh = Mesh::new(2).expect("wake-ups can be made");
    let inbox = mesh.inbox(ShardId(1)).expect("shard 1 of 2");
    let spares = (0..batch).map(|_| MailBatch::new(ShardId(0))).collect();
    Box::new(Posting { mesh, inbox, spares, batch, operations: 0, posted: 0, taken: 0 })
}

impl Work for Posting {
    fn prepare(&mut self, operations: usize) {
        self.operations = operations;
    }

    fn run(&mut self) {
        let mut left = self.operations;
        while left > 0 {
            let count = left.min(self.batch);
            for batch in self.spares.drain(..count) {
                let post = self.mesh.post(ShardId(1), Posted::Mail(batch));
                self.posted += u64::from(post.is_ok());
            }
            while let Some(Posted::Mail(batch)) = self.inbox.take() {
                self.taken += 1;
                self.spares.push(batch);
            }
            left -= count;
        }
    }

    fn check(&self) {
        assert_eq!(self.posted, self.taken);
        assert_eq!(self.spares.len(), self.batch, "nothing is lost");
    }
}

/// One token checked again and again.
struct Verifying {
    key: TokenKey,
    token: [u8; TOKEN_BYTES],
    operations: usize,
    accepted: usize,
    asked: usize,
}

pub(super) fn verify() -> Box<dyn Work> {
    let key = TokenKey::new(&[7; 32]).expect("32 bytes are a key");
    let said = Token { user: UserId(7), epoch: Epoch(1), incarnation: 9, expires_ms: 1000 };
    let token = key.mint(&said, "bench");
    Box::new(Verifying { key, token, operations: 0, accepted: 0, asked: 0 })
}

impl Work for Verifying {
    fn prepare(&mut self, operations: usize) {
        self.operations = operations;
    }

    fn run(&mut self) {
        for _ in 0..self.operations {
            let said = self.key.verify(black_box(&self.token), "bench", 9, 999);
            self.accepted += usize::from(said.is_ok());
        }
        self.asked += self.operations;
    }

    fn check(&self) {
        assert_eq!(self.accepted, self.asked);
    }
}

/// Homes of users among eight shards.
struct Homing {
    operations: usize,
    next: u64,
    counts: [u64; 8],
}

pub(super) fn home() -> Box<dyn Work> {
    Box::new(Homing { operations: 0, next: 1, counts: [0; 8] })
}

impl Work for Homing {
    fn prepare(&mut self, operations: usize) {
        self.operations = operations;
    }

    fn run(&mut self) {
        for _ in 0..self.operations {
            let home = home_of_user(UserId(black_box(self.next)), 8);
            self.counts[usize::from(home.0)] += 1;
            self.next += 1;
        }
    }

    fn check(&self) {
        assert_eq!(self.counts.iter().sum::<u64>(), self.next - 1);
        let is_even = self.counts.iter().all(|&count| count < self.next.div_ceil(4) + 8);
        assert!(is_even, "{:?}", self.counts);
    }
}
