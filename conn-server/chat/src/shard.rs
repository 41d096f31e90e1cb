//! The shard: one thread's connections, sessions and rooms, behind `handle_*` for what happened and `poll_*` for what
//! is to be done. What each input does is in the file of its subject: receive, session, message, history, close.

use alloc::vec::Vec;

use hashbrown::HashMap;
use wire::ConversationId;

use crate::config::{Config, Durability};
use crate::conn::{ConnKey, ConnRef, ConnTable, Opening, Phase};
use crate::conversations::Conversations;
use crate::counters::{Counters, Gauges};
use crate::directory::Directory;
use crate::effects::Effects;
use crate::frame_pool::FramePool;
use crate::hold::Hold;
use crate::limits::{
    CONNECTIONS_MAX, PAGE_BYTES_MAX, SESSIONS_RESERVED_MAX, SHARD_QUEUE_BYTES_MAX, SHED_MAX,
};
use crate::mail::MailBatch;
use crate::message::Parked;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::pending::Desk;
use crate::recent::Recent;
use crate::record;
use crate::room::Rooms;
use crate::round::Round;
use crate::send_queue::QueueNodes;
use crate::spill::Spills;
use crate::time::{Instant, Now};
use crate::timers::{Timers, tick_of, ticks_in};
use crate::transmit::Transmit;

/// One shard. Touched by one thread only.
#[derive(Debug)]
pub struct Shard {
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) conns: ConnTable,
    pub(crate) timers: Timers,
    pub(crate) pace: Pace,
    pub(crate) nodes: QueueNodes,
    pub(crate) pool: FramePool,
    pub(crate) spills: Spills,
    pub(crate) directory: Directory,
    pub(crate) rooms: Rooms,
    pub(crate) outbox: Outbox,
    /// What conversations this shard gives places in (durability `none` and `relaxed`).
    pub(crate) known: Conversations,
    pub(crate) recent: Recent,
    pub(crate) desk: Desk,
    /// Messages that wait for their conversation's last `seq` (durability `relaxed`).
    pub(crate) parked: HashMap<ConversationId, Vec<Parked>>,
    /// Connections that are there only to be told that the shard is full.
    pub(crate) shedding: u32,
    /// Connections that wait, and what for.
    pub(crate) paused: Vec<(ConnKey, Hold)>,
    /// Something that paused connections wait for has come.
    pub(crate) is_resuming: bool,
    /// How many commands like the one that is handled probably lie behind it in the bytes received.
    pub(crate) behind: usize,
    /// Messages of a room that its members have yet to get.
    pub(crate) round: Round,
    /// Members of the room that a round goes to, while it goes there.
    pub(crate) fan_out: Vec<u32>,
    pub(crate) sessions: u64,
    pub(crate) queued_bytes: u64,
    pub(crate) queued_bytes_high: u64,
    /// The table is looked through for long queues when more than this is queued.
    pub(crate) relieve_above: u64,
    pub(crate) conn_queued_bytes_high: u32,
    pub(crate) messages_numbered: u64,
    pub(crate) random: u64,
    is_draining: bool,
}

impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let recent = match config.durability {
            Durability::None => Recent::new(config.history_bytes_max),
            Durability::Relaxed => Recent::new(0),
            Durability::Commit => Recent::none(),
        };
        let reserve = config.connections_max.min(SESSIONS_RESERVED_MAX) as usize;
        let known = match config.durability {
            Durability::Commit => Conversations::default(),
            Durability::Relaxed => Conversations::new(reserve / 2, false),
            Durability::None => Conversations::new(reserve / 2, true),
        };
        Self {
            counters: Counters::default(),
            conns: ConnTable::default(),
            timers: Timers::new(),
            pace: Pace::new(&config),
            nodes: QueueNodes::new(),
            pool: FramePool::new(),
            spills: Spills::default(),
            directory: Directory::with_capacity(reserve),
            rooms: Rooms::with_capacity(reserve),
            outbox: Outbox::new(config.shards),
            known,
            recent,
            desk: Desk::new(),
            parked: HashMap::new(),
            shedding: 0,
            paused: Vec::new(),
            is_resuming: false,
            behind: 0,
            round: Round::default(),
            fan_out: Vec::new(),
            sessions: 0,
            queued_bytes: 0,
            queued_bytes_high: 0,
            relieve_above: SHARD_QUEUE_BYTES_MAX,
            conn_queued_bytes_high: 0,
            messages_numbered: 0,
            random: config.seed | 1,
            is_draining: false,
            config,
        }
    }

    /// A connection was accepted. One that finds the shard full is told so and closed in order, as long as few of these
    /// linger. `None`: beyond that, or draining; close it at once, nothing else is owed.
    pub fn handle_accept(&mut self, now: Now, fx: &mut Effects) -> Option<ConnKey> {
        let served = self.conns.len() - self.shedding;
        let is_full = served >= self.config.connections_max.min(CONNECTIONS_MAX - SHED_MAX);
        let has_place = !self.is_draining && (!is_full || self.shedding < SHED_MAX);
        let key = has_place.then(|| self.conns.insert()).flatten();
        self.counters.shed += u64::from(is_full || key.is_none());
        let key = key?;
        let tick = tick_of(now.mono);
        if let Some(conn) = self.conns.get_mut(key) {
            conn.heard = tick;
            if is_full {
                conn.opening = Opening::Shed;
            }
        }
        if is_full {
            self.shedding += 1;
            self.close(now, key, wire::CloseReason::Full, fx);
            return Some(key);
        }
        self.counters.accepted += 1;
        let deadline = tick + ticks_in(self.config.login_timeout);
        self.timers.arm(&mut self.conns, key.index(), deadline);
        Some(key)
    }

    /// A send completed with so many bytes; no send is in flight now. If more is queued, `flush` names the key again.
    pub fn handle_sent(&mut self, now: Now, key: ConnKey, bytes: usize, fx: &mut Effects) {
        self.counters.bytes_out += bytes as u64;
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.is_paused && bytes > 0 {
            // It is not listened to, but it reads.
            conn.heard = tick_of(now.mono);
        }
        let before = conn.queue.bytes;
        self.nodes.sent(&mut conn.queue, &mut self.pool, bytes);
        self.queued_bytes -= u64::from(before - conn.queue.bytes);
        let has_read =
            before as usize > PAGE_BYTES_MAX && conn.queue.bytes as usize <= PAGE_BYTES_MAX;
        self.is_resuming |= conn.is_paused && has_read;
        if conn.queue.is_empty() {
            conn.is_flushing = false;
            if conn.phase == Phase::Closing {
                self.advance_close(now, key, fx);
            }
        } else if conn.phase != Phase::Aborted {
            conn.is_flushing = true;
            fx.flush.push(key);
        }
        self.resume_paused(now, fx);
    }

    /// The turn's inputs have been handed over: what was gathered meanwhile goes into the lanes. To be called before they
    /// are drained.
    pub fn finish_inputs(&mut self, now: Now, fx: &mut Effects) {
        while !self.round.is_empty() {
            self.end_round(now, fx);
            // Acknowledgements may have been what somebody waited for.
            self.resume_paused(now, fx);
        }
    }

    /// Whether an input has come since `finish_inputs` that asks for another call.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        !self.round.is_empty()
    }

    /// What to send now; `false` if there is nothing, or if a send is in flight.
    pub fn poll_transmit<'a>(&'a mut self, key: ConnKey, out: &mut Transmit<'a>) -> bool {
        let Some(conn) = self.conns.get_mut(key) else { return false };
        if conn.phase == Phase::Aborted {
            return false;
        }
        let is_begun = self.nodes.transmit(&mut conn.queue, &self.pool, out);
        conn.is_flushing &= !is_begun;
        is_begun
    }

    /// Mail from a peer shard.
    pub fn handle_mail(&mut self, now: Now, batch: &MailBatch, fx: &mut Effects) {
        self.is_resuming |= self.outbox.take_credit(batch);
        let mut rest = batch.bytes.as_slice();
        let mut behind = 0;
        loop {
            behind = if behind > 0 { behind - 1 } else { record::run(rest) };
            let Some((mail, len)) = record::read(&mut rest) else { break };
            self.behind = behind;
            self.outbox.owe(batch.from, mail.class(), len);
            self.on_mail(now, batch.from, mail, fx);
        }
        self.behind = 0;
        self.outbox.settle(batch.from, fx);
        self.resume_paused(now, fx);
    }

    /// `poll_timeout`'s instant has come. Calling it early does nothing.
    pub fn handle_timeout(&mut self, now: Now, fx: &mut Effects) {
        let tick = tick_of(now.mono);
        while let Some(index) = self.timers.expire(&mut self.conns, tick) {
            if let Some(key) = self.conns.key_at(index) {
                self.on_timer(now, key, fx);
            }
        }
        self.directory.purge(seconds(now.mono));
    }

    /// When to call `handle_timeout` next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let purge = self.directory.next_purge_s().map(|s| Instant::from_ms(u64::from(s) * 1000));
        match (self.timers.next(), purge) {
            (Some(timer), Some(purge)) => Some(timer.min(purge)),
            (timer, purge) => timer.or(purge),
        }
    }

    /// Gives memory back that bursts needed and the time since the last call did not; whether there was any. To be
    /// called now and then, while `is_untidy`.
    pub fn tidy(&mut self) -> bool {
        self.pool.tidy() | self.nodes.tidy() | self.spills.tidy()
    }

    /// Whether `tidy` may have something to do.
    #[must_use]
    pub fn is_untidy(&self) -> bool {
        self.pool.is_untidy() || self.nodes.is_untidy() || self.spills.is_untidy()
    }

    /// The node shuts down: no new sessions; every connection gets what is queued, then a goodbye. Idempotent.
    pub fn handle_drain(&mut self, now: Now, fx: &mut Effects) {
        self.is_draining = true;
        for index in 0..self.conns.slots() {
            if let Some(key) = self.conns.key_at(index) {
                self.close(now, key, wire::CloseReason::Shutdown, fx);
            }
        }
    }

    /// Whether `handle_drain` was called.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Whether nothing is left to do after `handle_drain`: no connection, no request without an answer.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.is_draining && self.conns.len() == 0 && self.desk.is_idle()
    }

    /// Totals.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is so now.
    #[must_use]
    pub fn gauges(&self, now: Now) -> Gauges {
        Gauges {
            connections: self.conns.len().into(),
            sessions: self.sessions,
            queued_bytes: self.queued_bytes,
            queued_bytes_high: self.queued_bytes_high,
            conn_queued_bytes_high: self.conn_queued_bytes_high.into(),
            store_outstanding: self.desk.appends().into(),
            store_stalled: self.desk.is_stalled(now.mono, self.config.store_stall).into(),
            spill_bytes: self.spills.bytes() as u64,
            rooms: self.rooms.len() as u64,
            frames: self.pool.held(),
        }
    }

    /// How a connection of this shard is named on other shards.
    pub(crate) const fn conn_ref(&self, key: ConnKey) -> ConnRef {
        ConnRef::new(self.config.shard, key)
    }

    /// The next number of a xorshift sequence (Marsaglia, 2003): for spreading, not for secrets.
    pub(crate) const fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// Whole seconds on the node's clock.
pub(crate) fn seconds(at: Instant) -> u32 {
    u32::try_from(at.as_ms() / 1000).unwrap_or(u32::MAX)
}
