//! One shard's core with everything around it that is the same for every driver: its lanes, clock, inbox, postbox and
//! life from start to drain. A driver calls `begin_turn`, feeds the core what happened, drains the connection lanes,
//! calls `end_turn`, and waits as `wait` says.

use std::time::Duration;

use chat::{Effects, Now, Shard};
use wire::ShardId;

use crate::clock::{Clock, TurnClock};
use crate::limits::{MAIL_BYTES_PER_TURN_MAX, MESSAGES_PER_TURN_MAX, POST_RETRY, TIDY_INTERVAL};
use crate::mesh::{Inbox, Message, Order, StoreSender};
use crate::postbox::Postbox;
use crate::stats::{IoCounters, LagHistogram, ShardSnapshot};

/// Where a shard is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Ready, but the node does not accept yet.
    Starting,
    /// Accepting.
    Serving,
    /// No new connections; ends when all shards have nothing left, or at the deadline.
    Draining { deadline: chat::Instant },
    /// To be torn down.
    Over(End),
}

/// How a shard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was finished.
    Drained,
    /// The drain deadline came first.
    Cut {
        /// Connections that were still open.
        connections: u32,
    },
    /// It was told to end at once.
    Aborted,
}

/// How long a driver may wait for events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all: there is work.
    Poll,
    /// Until an event, at most so long.
    Sleep(Option<Duration>),
}

/// A shard's core and its surroundings.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) shard: Shard,
    pub(crate) fx: Effects,
    pub(crate) now: Now,
    pub(crate) counters: IoCounters,
    pub(crate) phase: Phase,
    /// Connections that hold a descriptor; kept by the driver.
    pub(crate) open: u32,
    pub(crate) connections_max: u32,
    id: ShardId,
    clock: TurnClock,
    inbox: Inbox,
    postbox: Postbox,
    turn_time: LagHistogram,
    lateness: LagHistogram,
    /// When memory was last given back.
    tidied: chat::Instant,
    has_freed: bool,
    /// The deadline that the last wait was for.
    due: Option<chat::Instant>,
    has_reported_drained: bool,
}

impl Host {
    pub(crate) fn new(
        config: chat::Config,
        clock: Clock,
        inbox: Inbox,
        store: Option<StoreSender>,
    ) -> Self {
        let (id, shards, connections_max) = (config.shard, config.shards, config.connections_max);
        let mut clock = TurnClock::new(clock);
        let now = clock.now();
        Self {
            shard: Shard::new(config),
            fx: Effects::new(id, shards),
            now,
            counters: IoCounters::default(),
            phase: Phase::Starting,
            open: 0,
            connections_max,
            id,
            clock,
            inbox,
            postbox: Postbox::new(id, shards, store),
            turn_time: LagHistogram::default(),
            lateness: LagHistogram::default(),
            tidied: now.mono,
            has_freed: false,
            due: None,
            has_reported_drained: false,
        }
    }

    pub(crate) const fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Reads the clocks and handles what other threads have posted.
    pub(crate) fn begin_turn(&mut self) {
        self.inbox.woke();
        self.now = self.clock.now();
        self.counters.turns += 1;
        if let Some(due) = self.due.take()
            && self.now.mono >= due
        {
            self.lateness.record(self.now.mono.since(due));
        }
        self.follow_orders();
        self.take_messages();
        if self.postbox.has_lost() {
            for outcome in self.postbox.take_lost() {
                self.shard.handle_stored(self.now, &outcome, &mut self.fx);
            }
        }
    }

    /// Handles what other threads have posted, up to a turn's worth.
    fn take_messages(&mut self) {
        let mut mail_bytes = 0;
        for _ in 0..MESSAGES_PER_TURN_MAX {
            let Some(message) = self.inbox.take() else { break };
            if let Message::Mail(batch) = &message {
                mail_bytes += batch.len();
            }
            self.take_message(message);
            if mail_bytes >= MAIL_BYTES_PER_TURN_MAX {
                break;
            }
        }
    }

    fn take_message(&mut self, message: Message) {
        match message {
            Message::Mail(batch) => {
                self.shard.handle_mail(self.now, &batch, &mut self.fx);
                self.inbox.mesh().give_back(batch);
            }
            Message::Stored { outcomes, spare } => {
                for outcome in &outcomes {
                    self.shard.handle_stored(self.now, outcome, &mut self.fx);
                }
                self.postbox.recycle_store(spare);
            }
            Message::Snapshot(reply) => reply(Box::new(self.snapshot())),
            Message::Open if self.phase == Phase::Starting => self.phase = Phase::Serving,
            Message::EndSessions(users) => {
                for (user, epoch) in users {
                    self.shard.handle_end_sessions(self.now, user, epoch, &mut self.fx);
                }
            }
            Message::Limits(limits) => {
                self.connections_max = limits.connections_max;
                self.shard.handle_limits(&limits);
            }
            Message::Open | Message::Look => {}
        }
    }

    /// Ends as it was told to. An order does not stand in line behind mail.
    fn follow_orders(&mut self) {
        match self.inbox.take_order() {
            Some(Order::Drain { deadline })
                if matches!(self.phase, Phase::Starting | Phase::Serving) =>
            {
                self.phase = Phase::Draining { deadline };
                self.shard.handle_drain(self.now, &mut self.fx);
            }
            Some(Order::Drain { .. }) | None => {}
            Some(Order::Abort) => self.phase = Phase::Over(End::Aborted),
        }
    }

    /// Ends the turn's inputs, and fires the core's timers if one is due: after the events, so that bytes that are already
    /// here count before a timeout that they prevent.
    pub(crate) fn finish_inputs(&mut self) {
        if self.shard.poll_timeout().is_some_and(|due| due <= self.now.mono) {
            self.shard.handle_timeout(self.now, &mut self.fx);
        }
        self.shard.finish_inputs(self.now, &mut self.fx);
    }

    /// Posts mail and store requests, and finds out whether a draining shard is done.
    pub(crate) fn end_turn(&mut self) {
        self.postbox.post(self.inbox.mesh(), &mut self.fx, &mut self.counters);
        if let Phase::Draining { deadline } = self.phase {
            self.check_drained(deadline);
        }
    }

    /// A shard that is done stays as long as others are not: it may be the home of their users and conversations.
    fn check_drained(&mut self, deadline: chat::Instant) {
        let is_drained = self.open == 0 && self.shard.is_drained() && self.postbox.is_clear();
        let mesh = self.inbox.mesh();
        if is_drained != self.has_reported_drained {
            self.has_reported_drained = is_drained;
            mesh.report_drained(is_drained);
        }
        if is_drained && mesh.is_drained() && self.inbox.is_empty() {
            self.phase = Phase::Over(End::Drained);
        } else if self.now.mono >= deadline {
            self.phase = Phase::Over(End::Cut { connections: self.open });
        }
    }

    /// How long to wait. `has_work`: the driver knows of events that it has not handled. `retry_at`: when the driver
    /// wants to be called in any case.
    pub(crate) fn wait(&mut self, has_work: bool, retry_at: Option<chat::Instant>) -> Wait {
        let end = self.clock.mono();
        self.turn_time.record(end.since(self.now.mono));
        let is_over = matches!(self.phase, Phase::Over(_));
        let has_work = has_work || self.shard.is_unfinished();
        if has_work || is_over || self.postbox.has_lost() || !self.inbox.may_sleep() {
            return Wait::Poll;
        }
        let core = self.shard.poll_timeout();
        let drain = match self.phase {
            Phase::Draining { deadline } => Some(deadline),
            Phase::Starting | Phase::Serving | Phase::Over(_) => None,
        };
        let post = (!self.postbox.is_clear()).then(|| end + POST_RETRY);
        let tidy = self.tidy(end);
        let due = [core, drain, post, tidy, retry_at].into_iter().flatten().min();
        self.due = due;
        match due {
            Some(due) if due <= end => Wait::Poll,
            due => Wait::Sleep(due.map(|due| due.since(end))),
        }
    }

    /// The deadline of the last `wait`, on the system's clock.
    pub(crate) fn due(&self) -> Option<std::time::Instant> {
        self.due.map(|due| self.clock.system(due))
    }

    /// Now and then, with nothing else to do, gives back what a burst has left; when to look again, if at all.
    fn tidy(&mut self, now: chat::Instant) -> Option<chat::Instant> {
        if now.since(self.tidied) >= TIDY_INTERVAL && self.is_untidy() {
            self.tidied = now;
            let is_freed = self.shard.tidy() | self.postbox.tidy(self.inbox.mesh());
            // Once more a while later: peers free this shard's memory too.
            if is_freed || self.has_freed {
                self.fx.tidy();
                crate::heap::give_back();
            }
            self.has_freed = is_freed;
        }
        self.is_untidy().then(|| self.tidied + TIDY_INTERVAL)
    }

    fn is_untidy(&self) -> bool {
        self.has_freed || self.shard.is_untidy() || self.postbox.is_untidy()
    }

    fn snapshot(&self) -> ShardSnapshot {
        ShardSnapshot {
            shard: self.id,
            chat: *self.shard.counters(),
            gauges: self.shard.gauges(self.now),
            io: self.counters,
            turn_time: self.turn_time,
            lateness: self.lateness,
            open: u64::from(self.open),
            is_draining: matches!(self.phase, Phase::Draining { .. } | Phase::Over(_)),
        }
    }
}
