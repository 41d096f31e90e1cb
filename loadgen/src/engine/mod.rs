//! The load generator's engine: one thread that holds every connection, keeps the schedule and hears the answers.
//!
//! Its own io_uring loop: direct descriptors in as many rings as the connections need, multishot receives into shared
//! buffers, one send in flight per connection, absolute deadlines with a short spin in front of a due send. The
//! protocol is the `client` crate's; what is measured goes to the recorder and the ledger. It judges nothing.
//!
//! Invariant: a connection is dialled again only after every operation of its last life has completed.

mod beats;
mod churn;
mod clock;
mod conn;
mod dial;
mod ear;
mod end;
mod flights;
mod half;
mod limits;
mod pages;
mod phases;
mod pin;
mod prime;
mod quiet;
pub(crate) mod raw;
mod readiness;
mod ring;
mod rings;
mod send_pool;
mod speech;
mod tally;
mod timers;
mod token;
mod traffic;
mod turn;
mod wheel;

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU64;
use std::time::Duration;

use client::Follow;
use wire::{Command, Message, SendText};

use crate::fleet::Fleet;
use crate::ledger::{Ledger, MEMBERS_MAX};
use crate::outcome::Outcome;
use crate::plan::{GrantSource, Load, Phase, Plan, Preset, Protocol, Watch};
use crate::recorder::{ClassKind, Recorder};
use crate::schedule::{Schedule, mix};
use crate::stamp::STAMP_BYTES;

use beats::BeatLog;
use clock::Clock;
use conn::Conn;
use ear::Told;
use flights::Flights;
use limits::{CONNS_PER_RING_MAX, RECV_BUFFER_BYTES_MAX, RECV_BUFFER_BYTES_MIN};
use phases::Span;
use ring::Completion;
use rings::Rings;
use send_pool::SendPool;
use speech::Speech;
use tally::Tally;
use timers::Timers;
use wheel::Wheel;

/// Runs a plan on the calling thread, from the first connection to the last goodbye, and gives what was measured.
///
/// The phases are entered at `watch` in their order, [`Phase::Done`] on every way out. A ramp that fails is no error: the
/// outcome says how far it came. `watch.stop` ends the run early; what is missing then counts as indeterminate.
///
/// # Errors
/// When the plan contradicts itself, when there is no io_uring, or when the kernel refuses to go on.
pub fn run(plan: &Plan, grants: &mut dyn GrantSource, watch: &Watch) -> io::Result<Outcome> {
    run_with(plan, grants, watch, CONNS_PER_RING_MAX)
}

/// The same, with a bound of its own for the connections of one ring.
fn run_with(
    plan: &Plan,
    grants: &mut dyn GrantSource,
    watch: &Watch,
    conns_per_ring_max: u32,
) -> io::Result<Outcome> {
    let _over = Over(watch);
    check(plan)?;
    let _pin = pin::Pin::to(plan.cpu)?;
    // Without it the kernel may wake this thread 50 µs late to save power.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut engine = Engine::new(plan, grants, watch, conns_per_ring_max)?;
    let ran = engine.run_phases();
    engine.teardown();
    ran?;
    Ok(engine.into_outcome())
}

/// Rings that so many connections need here.
#[must_use]
pub fn rings_for(connections: u32) -> u32 {
    rings::count(connections, CONNS_PER_RING_MAX)
}

/// Says that the run is over, however it ends.
struct Over<'a>(&'a Watch);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.enter(Phase::Done);
    }
}

/// Refuses what cannot be run.
pub(crate) fn check(plan: &Plan) -> io::Result<()> {
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if plan.connections == 0 {
        return refuse("a run needs at least one connection".to_owned());
    }
    if plan.ramp_per_s.is_nan() || plan.ramp_per_s <= 0.0 {
        return refuse(format!("a ramp of {} connections/s never ends", plan.ramp_per_s));
    }
    if let Preset::Rooms { room_size } = plan.preset
        && !(2..=MEMBERS_MAX).contains(&room_size)
    {
        return refuse(format!("a room has 2 to {MEMBERS_MAX} members, not {room_size}"));
    }
    if plan.load == Load::None && plan.options.prime == 0 {
        return Ok(());
    }
    if !(STAMP_BYTES..=wire::limits::BODY_BYTES_MAX).contains(&plan.body_bytes) {
        let most = wire::limits::BODY_BYTES_MAX;
        return refuse(format!(
            "a body has {STAMP_BYTES} to {most} bytes, not {}",
            plan.body_bytes
        ));
    }
    if fleet(plan).streams() == 0 {
        return refuse("nobody has anybody to talk to: use at least two connections".to_owned());
    }
    if plan.options.protocol == Protocol::Raw && plan.body_bytes != raw::BODY_BYTES {
        return refuse(format!(
            "a raw body has {} bytes, not {}",
            raw::BODY_BYTES,
            plan.body_bytes
        ));
    }
    match plan.load {
        Load::Closed { window } if window < plan.options.burst => refuse(format!(
            "a window of {window} messages holds no burst of {}: use a larger one",
            plan.options.burst
        )),
        Load::Open { rate_per_s } if Schedule::constant(rate_per_s).is_none() => {
            refuse(format!("a rate of {rate_per_s} messages/s cannot be kept"))
        }
        Load::Closed { window: 0 } => refuse("a closed loop needs a window above zero".to_owned()),
        Load::Open { .. } | Load::Closed { .. } | Load::None => Ok(()),
    }
}

/// Who talks to whom. Whoever says nothing under load may still have first messages to say, and a room to be in.
pub(crate) fn fleet(plan: &Plan) -> Fleet {
    let preset = match plan.preset {
        Preset::Idle if plan.options.prime > 0 => Preset::Mixed,
        Preset::Pairs | Preset::Rooms { .. } | Preset::Idle | Preset::Churn | Preset::Mixed => {
            plan.preset
        }
    };
    Fleet::new(preset, plan.connections).one_way(plan.options.one_way)
}

/// One run. Its methods are in the files of this folder, by what they do.
struct Engine<'a> {
    plan: &'a Plan,
    grants: &'a mut dyn GrantSource,
    watch: &'a Watch,
    clock: Clock,
    fleet: Fleet,
    rings: Rings,
    conns: Vec<Conn>,
    pool: SendPool,
    flights: Flights,
    ledger: Ledger,
    recorder: Recorder,
    tally: Tally,
    timers: Timers,
    wheel: Wheel,
    speech: Speech,
    span: Span,
    phase: Phase,
    /// The upper half of this run's client message ids.
    run_tag: u32,
    /// Connections that are ready now.
    established: u32,
    /// Connections that will not come back.
    gone: u32,
    /// Connections whose goodbye is awaited.
    leaving: u32,
    /// Grants asked for and not given yet.
    asked: u32,
    /// Connections between the request for their grant and being ready.
    arriving: u32,
    /// Connections that have something to send and no send in flight.
    to_flush: Vec<u32>,
    /// Connections whose receive ended for want of a buffer, by ring, the longest waiting first.
    starved: Vec<VecDeque<u32>>,
    beats: BeatLog,
    // Reused, so that nothing is allocated per message.
    reaped: Vec<Completion>,
    /// Connections that the wheel has found and whose heartbeats are not sent yet.
    found: Vec<u32>,
    told: Told,
    body: Vec<u8>,
}

impl<'a> Engine<'a> {
    fn new(
        plan: &'a Plan,
        grants: &'a mut dyn GrantSource,
        watch: &'a Watch,
        conns_per_ring_max: u32,
    ) -> io::Result<Self> {
        let fleet = fleet(plan);
        // A burst is one write, and mostly one receive.
        let burst = plan.options.burst.max(1) as usize;
        let frame_bytes = frame_bytes(plan.body_bytes);
        let buffer_bytes = (frame_bytes * burst.max(4)).next_power_of_two();
        let buffer_bytes = buffer_bytes.clamp(RECV_BUFFER_BYTES_MIN, RECV_BUFFER_BYTES_MAX);
        let rings = Rings::open(plan.connections, buffer_bytes, conns_per_ring_max)?;
        let follow = if plan.options.raw { Follow::Raw } else { Follow::Now };
        Ok(Self {
            plan,
            grants,
            watch,
            clock: Clock::start(),
            fleet,
            conns: (0..plan.connections)
                .map(|_| Conn::new(plan.options.protocol, follow))
                .collect(),
            pool: SendPool::new(frame_bytes * burst),
            flights: Flights::new(plan.connections),
            ledger: Ledger::new(fleet, plan.run_id),
            recorder: Recorder::default(),
            tally: Tally::default(),
            timers: Timers::default(),
            wheel: Wheel::new(plan.connections),
            speech: Speech::new(plan.load, plan.options.burst),
            span: Span::default(),
            phase: Phase::Start,
            run_tag: (mix(plan.run_id) >> 32) as u32,
            established: 0,
            gone: 0,
            leaving: 0,
            asked: 0,
            arriving: 0,
            to_flush: Vec::new(),
            starved: vec![VecDeque::new(); rings.len()],
            beats: BeatLog::default(),
            rings,
            reaped: Vec::new(),
            found: Vec::new(),
            told: Told::default(),
            body: vec![0; plan.body_bytes.max(STAMP_BYTES)],
        })
    }

    /// Whether messages are completed by their deliveries as well.
    const fn is_closed_loop(&self) -> bool {
        matches!(self.plan.load, Load::Closed { .. })
    }

    /// Ends every operation, so that the memory lent to the kernel may be freed.
    fn teardown(&mut self) {
        if !self.rings.quiesce(Duration::from_nanos(limits::TEARDOWN_NS_MAX)) {
            // The kernel still holds some of it: better to leak it than to let it be written to after its end.
            std::mem::forget(std::mem::replace(&mut self.pool, SendPool::new(0)));
            std::mem::forget(std::mem::take(&mut self.rings));
        }
    }

    fn into_outcome(self) -> Outcome {
        let span = self.span;
        let is_interrupted = span.is_interrupted;
        let excused = span.excused;
        let (ledger, violations) = self
            .ledger
            .finish(|index| is_interrupted || excused.get(index as usize) != Some(&false));
        let classes = [ClassKind::Private, ClassKind::Room]
            .into_iter()
            .filter(|_| self.plan.load != Load::None)
            .filter(|kind| match kind {
                ClassKind::Private => self.fleet.has_pairs(),
                ClassKind::Room => self.fleet.has_rooms(),
            })
            .map(|kind| (kind.label().to_owned(), self.recorder.class(kind).clone()))
            .collect();
        let cost = span.cost;
        let spin = Duration::from_nanos(span.spin_ns);
        Outcome {
            target: self.plan.connections,
            established: span.established,
            ramp: Duration::from_nanos(span.ramp_ns),
            disconnects: self.tally.disconnects,
            login_failures: self.tally.login_failures,
            measured: Duration::from_nanos(span.measured_ns),
            intended: self.recorder.intended,
            sent: self.recorder.sent,
            acked: self.recorder.acked,
            delivered: self.recorder.delivered,
            classes,
            send_gaps: self.recorder.send_gaps().clone(),
            ledger,
            violations: violations.iter().map(ToString::to_string).collect(),
            series: self.recorder.series(span.load_start_ns),
            engine_cpu: cost.cpu.saturating_sub(spin),
            engine_spin: spin,
            engine_runqueue: cost.runqueue,
            gaps_pulled: self.tally.gaps,
            heartbeats: self.tally.heartbeats,
            enobufs: self.tally.enobufs,
            send_queue_overflows: self.tally.overflows,
            window: span.window,
            beats: self.beats.into_beats(),
            idle: span.idle,
            closing: Duration::from_nanos(span.closing_ns),
            interrupted: is_interrupted,
        }
    }
}

/// Bytes of a message's frame, for bodies of this size.
fn frame_bytes(body_bytes: usize) -> usize {
    let body = vec![b' '; body_bytes];
    let text =
        SendText { to: wire::UserId(1), client_message_id: wire::ClientMessageId(1), body: &body };
    Message::Command(Command::SendText(text)).encoded_len()
}

#[cfg(test)]
mod tests;
