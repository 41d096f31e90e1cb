//! The second load engine: readiness instead of completions. One thread, epoll, plain non-blocking sockets.
//!
//! It exists to show that the figures are the node's and not the generator's, so it shares with the first engine only
//! what says *what* is measured: the plan and its checks, the schedule, the fleet, the ledger, the recorder, the stamp
//! and the client half. The loop, the timers, the buffers, the table of connections and their way through life are its
//! own. Each connection is a descriptor of the process: [`refuse`] says when there are too few.

mod alarms;
mod arrive;
mod clock;
mod conn;
mod leave;
mod limits;
mod listen;
mod prime;
mod reason;
mod sockets;
mod stages;
mod talk;
mod turn;
mod unanswered;

use std::io;
use std::num::NonZeroU64;
use std::time::Duration;

use client::Follow;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::engine;
use crate::fleet::Fleet;
use crate::ledger::Ledger;
use crate::outcome::{Beats, Outcome};
use crate::plan::{GrantSource, Load, Phase, Plan, Protocol, Watch};
use crate::recorder::{ClassKind, Recorder};
use crate::schedule::mix;
use crate::stamp::STAMP_BYTES;

use alarms::Alarms;
use clock::{Clock, OnCpu};
use conn::Conn;
use limits::{DESCRIPTORS_KEPT, READ_BYTES};
use reason::Reasons;
use sockets::{Ready, Sockets};
use stages::Course;
use talk::Talk;
use unanswered::Unanswered;

/// Runs a plan on the calling thread, from the first connection to the last goodbye, and gives what was measured: the
/// same contract as [`engine::run`].
///
/// # Errors
/// When the plan contradicts itself, when it needs more descriptors than there are, or when the kernel refuses to go on.
pub fn run(plan: &Plan, grants: &mut dyn GrantSource, watch: &Watch) -> io::Result<Outcome> {
    let ran = run_phases(plan, grants, watch);
    watch.enter(Phase::Done);
    ran
}

fn run_phases(plan: &Plan, grants: &mut dyn GrantSource, watch: &Watch) -> io::Result<Outcome> {
    engine::check(plan)?;
    let refuse_with = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
    refuse(plan.connections).map_err(refuse_with)?;
    if plan.options.protocol == Protocol::Raw {
        let why = "the epoll engine does not speak the raw protocol: use --engine uring";
        return Err(refuse_with(why.to_owned()));
    }
    let _on_cpu = OnCpu::new(plan.cpu)?;
    // Otherwise the kernel may wake this thread 50 µs late to save power.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut poller = Poller::new(plan, grants, watch)?;
    poller.run()?;
    Ok(poller.into_outcome())
}

/// Refuses more connections than the process may have descriptors, the soft limit raised to the hard one.
///
/// # Errors
/// The reason, and what to do instead.
pub fn refuse(connections: u32) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let descriptors = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let Some(descriptors) = descriptors else { return Ok(()) };
    let most = descriptors.saturating_sub(DESCRIPTORS_KEPT);
    if u64::from(connections) <= most {
        return Ok(());
    }
    Err(format!(
        "the epoll engine needs a descriptor for each of {connections} connections, and RLIMIT_NOFILE leaves {most}: use \
         --engine uring, whose connections need none, or raise the limit"
    ))
}

/// One run. Its methods are in the files of this folder, by what they do.
struct Poller<'a> {
    plan: &'a Plan,
    grants: &'a mut dyn GrantSource,
    watch: &'a Watch,
    clock: Clock,
    fleet: Fleet,
    sockets: Sockets,
    conns: Vec<Conn>,
    alarms: Alarms,
    unanswered: Unanswered,
    talk: Talk,
    ledger: Ledger,
    recorder: Recorder,
    course: Course,
    phase: Phase,
    /// The upper half of this run's client message ids.
    run_tag: u32,
    /// Connections that are ready.
    established: u32,
    /// Connections that will not come back.
    gone: u32,
    /// Connections whose goodbye is awaited.
    leaving: u32,
    /// Grants asked for and not given yet.
    asked: u32,
    disconnects: Reasons,
    login_failures: Reasons,
    /// Logins taken.
    logins: u64,
    gaps: u64,
    heartbeats: u64,
    overflows: u64,
    /// Time spent looking without sleeping, in front of due sends.
    spin_ns: u64,
    /// Bytes that wait to be sent, over all connections.
    waiting_bytes: usize,
    /// Connections that have something to send.
    to_send: Vec<u32>,
    // Reused, so that nothing is allocated per message.
    ready: Vec<Ready>,
    read_buffer: Vec<u8>,
    body: Vec<u8>,
}

impl<'a> Poller<'a> {
    fn new(plan: &'a Plan, grants: &'a mut dyn GrantSource, watch: &'a Watch) -> io::Result<Self> {
        let fleet = engine::fleet(plan);
        let follow = if plan.options.raw { Follow::Raw } else { Follow::Now };
        Ok(Self {
            plan,
            grants,
            watch,
            clock: Clock::start(),
            fleet,
            sockets: Sockets::new()?,
            conns: (0..plan.connections).map(|_| Conn::new(follow)).collect(),
            alarms: Alarms::default(),
            unanswered: Unanswered::new(plan.connections),
            talk: Talk::new(plan.load, plan.options.burst),
            ledger: Ledger::new(fleet, plan.run_id),
            recorder: Recorder::default(),
            course: Course::default(),
            phase: Phase::Start,
            run_tag: (mix(plan.run_id) >> 32) as u32,
            established: 0,
            gone: 0,
            leaving: 0,
            asked: 0,
            disconnects: Reasons::default(),
            login_failures: Reasons::default(),
            logins: 0,
            gaps: 0,
            heartbeats: 0,
            overflows: 0,
            spin_ns: 0,
            waiting_bytes: 0,
            to_send: Vec::new(),
            ready: Vec::new(),
            read_buffer: vec![0; READ_BYTES],
            body: vec![0; plan.body_bytes.max(STAMP_BYTES)],
        })
    }

    fn into_outcome(self) -> Outcome {
        let Course { excused, is_interrupted, used, .. } = self.course;
        let is_excused = |index: u32| is_interrupted || excused.get(index as usize) != Some(&false);
        let (ledger, violations) = self.ledger.finish(is_excused);
        let has_load = self.plan.load != Load::None;
        let kinds = [
            (ClassKind::Private, has_load && self.fleet.has_pairs()),
            (ClassKind::Room, has_load && self.fleet.has_rooms()),
        ];
        let class = |kind: ClassKind| (kind.label().to_owned(), self.recorder.class(kind).clone());
        Outcome {
            target: self.plan.connections,
            established: self.course.established,
            ramp: Duration::from_nanos(self.course.ramp_ns),
            disconnects: self.disconnects.into_counts(),
            login_failures: self.login_failures.into_counts(),
            measured: Duration::from_nanos(self.course.measured_ns),
            intended: self.recorder.intended,
            sent: self.recorder.sent,
            acked: self.recorder.acked,
            delivered: self.recorder.delivered,
            classes: kinds
                .into_iter()
                .filter(|(_, has)| *has)
                .map(|(kind, _)| class(kind))
                .collect(),
            send_gaps: self.recorder.send_gaps().clone(),
            ledger,
            violations: violations.iter().map(ToString::to_string).collect(),
            series: self.recorder.series(self.course.load_begin_ns),
            engine_cpu: Duration::from_nanos(used.cpu_ns.saturating_sub(self.course.spin_ns)),
            engine_spin: Duration::from_nanos(self.course.spin_ns),
            engine_runqueue: Duration::from_nanos(used.queued_ns),
            gaps_pulled: self.gaps,
            heartbeats: self.heartbeats,
            enobufs: 0, // There is one read buffer, and it is never lent.
            send_queue_overflows: self.overflows,
            window: self.course.window,
            beats: Beats::default(),
            idle: None,
            closing: Duration::ZERO,
            interrupted: is_interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::tests::{grants_for, plan};
    use crate::plan::Preset;

    #[test]
    fn more_connections_than_descriptors_are_refused_with_a_way_out() {
        let plan = plan(Preset::Idle, 2_000_000_000, Load::None);
        let nobody = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 1);
        let mut grants = grants_for(nobody, std::time::Instant::now());
        let watch = Watch::default();
        let refused = run(&plan, &mut grants, &watch).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("use --engine uring"), "{refused}");
        assert_eq!(watch.phase(), Phase::Done);
    }
}
