//! The epoll driver: own loop, edge-triggered, one shared read buffer, writes done inline. The oracle that the ring
//! driver is compared with, and the honest baseline: it batches flushes per turn like the ring does.
//!
//! Nothing is ever in flight here, so a close is immediate; but events of an earlier owner of a slot can stand in the
//! same batch, and are told by their generation.

mod accept;
mod receive;
mod send;
mod slots;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use chat::{ConnKey, Effects};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use self::accept::Accepting;
use self::send::Sent;
use self::slots::{Slots, State};
use crate::host::{End, Host, Phase, Wait};
use crate::limits::{EPOLL_READ_BYTES, EVENTS_PER_TURN_MAX};
use crate::listener::ShardListeners;

/// The set-up, for reports.
pub const FLAGS: &str = "edge_triggered,exclusive_accept";

/// What an event belongs to: a connection's generation and index, or one of the marks above every such number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Conn(ConnKey),
    Listener(usize),
    Wake,
}

impl Source {
    const WAKE: u64 = u64::MAX;

    fn data(self) -> epoll::EventData {
        epoll::EventData::new_u64(match self {
            Self::Conn(key) => u64::from(key.generation()) << 32 | u64::from(key.index()),
            Self::Listener(index) => Self::WAKE - 1 - index as u64,
            Self::Wake => Self::WAKE,
        })
    }

    #[allow(clippy::cast_possible_truncation, reason = "the halves of a u64")]
    const fn of(data: u64) -> Self {
        match Self::WAKE - data {
            0 => Self::Wake,
            mark @ 1..=2 => Self::Listener(mark as usize - 1),
            _ => Self::Conn(ConnKey::from_parts(data as u32, (data >> 32) as u32)),
        }
    }
}

/// Runs one shard until it is over. `ready` is called when everything is set up.
///
/// # Errors
/// If epoll cannot be set up or refuses to go on.
pub(crate) fn run(
    host: &mut Host,
    listeners: ShardListeners,
    ready: impl FnOnce(),
) -> io::Result<End> {
    let mut driver = Driver::new(host, listeners)?;
    ready();
    loop {
        host.begin_turn();
        driver.handle_events(host);
        driver.read_ready(host);
        host.finish_inputs();
        driver.drain_lanes(host);
        host.end_turn();
        driver.arrange_accepts(host)?;
        if let Phase::Over(end) = host.phase {
            return Ok(end);
        }
        let has_work = driver.has_work(host);
        let timeout = match host.wait(has_work, driver.accepting.gate.retry_at()) {
            Wait::Poll => Some(Timespec::default()),
            Wait::Sleep(timeout) => timeout.map(|time| Timespec {
                tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(time.subsec_nanos()),
            }),
        };
        driver.wait(host, timeout.as_ref())?;
    }
}

/// One shard's sockets.
struct Driver {
    epoll: OwnedFd,
    slots: Slots,
    accepting: Accepting,
    events: Vec<epoll::Event>,
    /// Connections to read from without an event: they had more than their share, or were resumed.
    ready: Vec<ConnKey>,
    read_buffer: Box<[u8]>,
    sent: Vec<Sent>,
}

impl Driver {
    fn new(host: &Host, listeners: ShardListeners) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // The edge of every write, without ever reading the counter.
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, host.inbox().wake_fd(), Source::Wake.data(), edge)?;
        Ok(Self {
            epoll,
            slots: Slots::default(),
            accepting: Accepting::new(listeners),
            events: Vec::with_capacity(EVENTS_PER_TURN_MAX),
            ready: Vec::new(),
            read_buffer: vec![0; EPOLL_READ_BYTES].into_boxed_slice(),
            sent: Vec::new(),
        })
    }

    fn has_work(&self, host: &Host) -> bool {
        let Effects { flush, pause, resume, shutdown, abort, .. } = &host.fx;
        let lanes = [flush, pause, resume, shutdown, abort];
        !self.ready.is_empty() || lanes.into_iter().any(|lane| !lane.is_empty())
    }

    fn wait(&mut self, host: &mut Host, timeout: Option<&Timespec>) -> io::Result<()> {
        self.events.clear();
        host.counters.enters += 1;
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, timeout) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn handle_events(&mut self, host: &mut Host) {
        for index in 0..self.events.len() {
            let Some(&epoll::Event { flags, data }) = self.events.get(index) else { break };
            host.counters.cqes += 1;
            match Source::of(data.u64()) {
                Source::Conn(key) => self.on_event(host, key, flags),
                Source::Listener(index) => self.accept(host, index),
                Source::Wake => host.counters.wake_ups += 1,
            }
        }
    }

    fn on_event(&mut self, host: &mut Host, key: ConnKey, flags: epoll::EventFlags) {
        use epoll::EventFlags as Flags;
        let Some(slot) = self.slots.of(key) else {
            host.counters.stale += 1;
            return;
        };
        if flags.intersects(Flags::OUT | Flags::HUP | Flags::ERR) && slot.is(State::BLOCKED) {
            slot.clear(State::BLOCKED);
            host.fx.flush.push(key);
        }
        if flags.intersects(Flags::RDHUP | Flags::HUP | Flags::ERR) {
            slot.set(State::ENDING);
        }
        if flags.intersects(Flags::IN | Flags::RDHUP | Flags::HUP | Flags::ERR) {
            self.receive(host, key);
        }
    }

    /// Does what the core asked for in this turn. Closes call the core, which may ask for more: that waits for the next
    /// turn, which then begins at once.
    fn drain_lanes(&mut self, host: &mut Host) {
        self.flush(host);
        self.each(host, |fx| &mut fx.pause, Self::pause);
        self.each(host, |fx| &mut fx.resume, Self::resume);
        self.each(host, |fx| &mut fx.shutdown, Self::shutdown);
        self.each(host, |fx| &mut fx.abort, Self::abort);
    }

    fn each(
        &mut self,
        host: &mut Host,
        lane: fn(&mut Effects) -> &mut Vec<ConnKey>,
        act: fn(&mut Self, &mut Host, ConnKey),
    ) {
        let mut keys = std::mem::take(lane(&mut host.fx));
        for key in keys.drain(..) {
            act(self, host, key);
        }
        // What the core added meanwhile stays; the emptied lane only gives its capacity back.
        keys.append(lane(&mut host.fx));
        *lane(&mut host.fx) = keys;
    }

    /// Sends FIN.
    fn shutdown(&mut self, host: &mut Host, key: ConnKey) {
        let Some(socket) = self.slots.socket(key) else { return };
        host.counters.enters += 1;
        if rustix::net::shutdown(socket.as_fd(), rustix::net::Shutdown::Write).is_err() {
            self.on_broken(host, key);
        }
    }

    /// Closes at once: nothing is in flight, and epoll forgets a closed socket.
    fn abort(&mut self, host: &mut Host, key: ConnKey) {
        if self.slots.close(key) {
            host.counters.enters += 1;
            host.open -= 1;
            host.shard.handle_closed(host.now, key, &mut host.fx);
            self.accepting.gate.on_file_free(host);
        }
    }

    /// A receive, send or shutdown failed: the core hears of it once, and answers with an abort.
    fn on_broken(&mut self, host: &mut Host, key: ConnKey) {
        if let Some(slot) = self.slots.of(key)
            && !slot.is(State::BROKEN)
        {
            slot.set(State::BROKEN.with(State::FINISHED));
            host.counters.broken += 1;
            host.shard.handle_reset(host.now, key, &mut host.fx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_comes_back() {
        let key = ConnKey::from_parts(u32::MAX, (1 << ConnKey::GENERATION_BITS) - 1);
        for source in [Source::Wake, Source::Listener(0), Source::Listener(1), Source::Conn(key)] {
            assert_eq!(Source::of(source.data().u64()), source);
        }
    }
}
