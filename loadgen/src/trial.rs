//! One run from the first connection to the report: engine on its own thread, progress and capture on this one.
//!
//! Owns the order of things and the exit status. What is measured comes from `engine`, `capture` and `env`; what it is
//! worth from `validity` and `slo`; what is shown from `report`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;

use crate::capacity::{CapacityFigures, CapacityWatch};
use crate::capture::{NodeInfo, Probe, ServerFigures, Snapshot};
use crate::cli::LoadArgs;
use crate::durable::{DurableFigures, DurableWatch};
use crate::env::{ClockCost, Environment, HostCounters, clock_cost};
use crate::exit::{Exit, Refusal};
use crate::offer::Offer;
use crate::outcome::Outcome;
use crate::plan::{GrantSource, Phase, Plan, Watch};
use crate::progress::Progress;
use crate::report::{self, Report};
use crate::server_series::{ServerSecond, ServerSeries};
use crate::stream::Stream;
use crate::validity::{self, Evidence, Validity};

/// How often progress is drawn; phase changes wake the thread by themselves.
const TICK: Duration = Duration::from_millis(200);

/// Does what a plan says: one of those that [`crate::engines`] knows.
pub type Engine = fn(&Plan, &mut dyn GrantSource, &Watch) -> std::io::Result<Outcome>;

/// Everything that a run needs.
pub struct Trial<'a> {
    /// The load as it was asked for.
    pub args: &'a LoadArgs,
    /// The load as a plan.
    pub offer: Offer,
    /// How connections get leave to log in: `gateway` or `direct`.
    pub login: &'static str,
    /// Which process runs where, in words.
    pub layout: Vec<String>,
    /// Where grants come from.
    pub grants: Box<dyn GrantSource + Send>,
    /// The node's admin port.
    pub probe: Option<Probe>,
    /// Local processes that belong to the run, beside this one.
    pub processes: Vec<u32>,
    /// Where the node keeps its files, when it is here and keeps any.
    pub data: Option<PathBuf>,
    /// Whether an INVALID measurement changes the exit status.
    pub require_valid: bool,
    /// Stops the run when it is set.
    pub watch: Arc<Watch>,
    /// Makes the connections and the load.
    pub engine: Engine,
    /// What is done to the system meanwhile.
    pub disturbance: Option<&'a mut dyn Disturbance>,
}

/// What is done to the system while it is measured.
pub trait Disturbance {
    /// Does what is due, so long after the start of the measured phase. Gives processes that belong to the run from now on.
    ///
    /// # Errors
    /// The system cannot be brought to it, or not back: the run ends.
    fn tick(&mut self, since: Duration) -> anyhow::Result<Vec<u32>>;

    /// Brings the system back, whatever was still to come. What was done.
    ///
    /// # Errors
    /// The system cannot be brought back.
    fn end(&mut self, since: Duration) -> anyhow::Result<Vec<Disturbed>>;
}

/// Something that was done to the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disturbed {
    /// What.
    pub what: String,
    /// When it began, after the start of the measured phase.
    pub from: Duration,
    /// When it was over.
    pub until: Option<Duration>,
}

/// The two ends of the measured phase.
#[derive(Default)]
struct Marks {
    start: Option<(Option<Snapshot>, HostCounters)>,
    end: Option<(Option<Snapshot>, HostCounters)>,
}

impl Trial<'_> {
    /// Runs it, writes the report and gives the reasons for the exit status.
    ///
    /// # Errors
    /// When the engine cannot run at all, or the report cannot be written.
    pub fn run(mut self) -> Result<Vec<Exit>, Refusal> {
        let started = SystemTime::now();
        let environment_start = Environment::capture();
        let clock = clock_cost();
        let info =
            self.probe.as_ref().map(Probe::info).transpose().map_err(Refusal::unreachable)?;
        self.processes.push(std::process::id());
        let mut progress = Progress::new(&self.offer.plan, self.args.quiet);
        for line in &self.layout {
            progress.say(line);
        }
        let mut durable =
            self.data.take().map(|data| DurableWatch::new(data, self.servers().to_vec()));
        let mut capacity = CapacityWatch::new(self.offer.plan.options.server_pid);
        let mut series = ServerSeries::new(self.offer.plan.options.server_pid);
        let mut stream = self.args.stream.as_deref().map(Stream::open).transpose()?;
        let Measured { outcome, marks, disturbed, at } = self.measure(
            &mut progress,
            durable.as_mut(),
            &mut capacity,
            (&mut series, &mut stream),
        )?;
        let capacity = capacity.finish(outcome.interrupted);
        let capacity = CapacityFigures::new(&capacity, &outcome);
        progress.finish();
        let durable = durable.map(|watch| watch.finish(&outcome));
        let environment_end = Environment::capture_again(&environment_start);
        let report = self.judge(Found {
            started,
            environments: (environment_start, environment_end),
            clock,
            info,
            outcome,
            marks,
            disturbed,
            server_series: series.rows(at),
            durable,
            capacity,
        });
        self.publish(&report)?;
        Ok(exits(&report, self.require_valid))
    }

    /// The processes of the system: all but this one, which is the last.
    fn servers(&self) -> &[u32] {
        self.processes.split_last().map_or(&[], |(_, servers)| servers)
    }

    fn measure(
        &mut self,
        progress: &mut Progress,
        mut durable: Option<&mut DurableWatch>,
        capacity: &mut CapacityWatch,
        (series, stream): (&mut ServerSeries, &mut Option<Stream>),
    ) -> Result<Measured, Refusal> {
        let (plan, grants, watch) = (&self.offer.plan, &mut self.grants, &self.watch);
        let (probe, processes) = (self.probe.as_ref(), &mut self.processes);
        let engine = self.engine;
        let mut marks = Marks::default();
        let mut meanwhile = Meanwhile::new(self.disturbance.take());
        let outcome = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("lg-engine".into())
                .spawn_scoped(scope, || engine(plan, grants.as_mut(), watch))?;
            let mut phase = Phase::Start;
            while !thread.is_finished() {
                let now = watch.wait(phase, meanwhile.tick());
                if now != phase {
                    let look = || Some((probe.map(Probe::snapshot), HostCounters::read(processes)));
                    if now == Phase::Measured {
                        marks.start = look();
                    } else if phase == Phase::Measured {
                        marks.end = look();
                    }
                    capacity.enter(phase, now);
                    if let Some(durable) = &mut durable {
                        durable.enter(phase, now, probe);
                    }
                    phase = now;
                    progress.enter(phase);
                    meanwhile.enter(phase);
                }
                meanwhile.turn(processes, watch);
                series.tick();
                if let Some(stream) = stream {
                    stream.tick(phase, watch, series);
                }
                progress.tick(watch);
                if phase == Phase::Done {
                    break;
                }
            }
            thread
                .join()
                .unwrap_or_else(|_| Err(std::io::Error::other("the engine's thread panicked")))
        });
        let at = meanwhile.measured;
        let disturbed = meanwhile.end()?;
        Ok(Measured { outcome: outcome.context("the engine could not run")?, marks, disturbed, at })
    }

    fn judge(&self, found: Found) -> Report {
        let Found { started, environments, clock, info, outcome, marks, .. } = found;
        let Found { disturbed, server_series, durable, capacity, .. } = found;
        let snapshot = |mark: &Option<(Option<Snapshot>, HostCounters)>| mark.as_ref()?.0.clone();
        let (start, end) = (snapshot(&marks.start), snapshot(&marks.end));
        let server = ServerFigures::over(info.as_ref(), start.as_ref(), end.as_ref(), &outcome);
        let hosts = marks.start.as_ref().zip(marks.end.as_ref());
        let interference = hosts.map(|((_, start), (_, end))| start.until(end));
        let (environment_start, environment_end) = environments;
        let verdict = validity::judge(&Evidence {
            outcome: &outcome,
            load: self.offer.plan.load,
            interference: interference.as_ref(),
            changes: &environment_start.changes(&environment_end),
            clock: &clock,
            cross_check: server.cross_check.as_ref(),
        });
        let figures = report::figures(&outcome, &server, Some(&capacity));
        let slo = self.args.slo.iter().map(|slo| slo.judge(&outcome.classes, &figures)).collect();
        Report {
            offer: self.offer.clone(),
            argv: std::env::args().collect(),
            started,
            login: self.login,
            layout: self.layout.clone(),
            outcome,
            server,
            durable,
            capacity: Some(capacity),
            disturbed,
            server_series,
            environment_start,
            environment_end,
            interference,
            verdict,
            slo,
        }
    }

    fn publish(&self, report: &Report) -> Result<(), Refusal> {
        if self.args.json {
            println!("{:#}", report.to_json());
        } else {
            print!("{}", report.to_table());
        }
        let chosen = self.args.report.clone();
        let directory: PathBuf = chosen
            .unwrap_or_else(|| report::directory::default_for(report.started, report.offer.preset));
        report.write(&directory).with_context(|| {
            format!(
                "the report could not be written to {}: name another place with --report",
                directory.display()
            )
        })?;
        if !self.args.json {
            println!("report: {}", directory.display());
        }
        Ok(())
    }
}

/// What the engine's run gave.
struct Measured {
    outcome: Outcome,
    marks: Marks,
    disturbed: Vec<Disturbed>,
    /// The start of the measured phase.
    at: Option<Instant>,
}

/// How often it is looked for what is due to be done to the system.
const DISTURB_TICK: Duration = Duration::from_millis(10);

/// The disturbance of a run under way.
struct Meanwhile<'a> {
    disturbance: Option<&'a mut dyn Disturbance>,
    measured: Option<Instant>,
    failed: Option<anyhow::Error>,
}

impl<'a> Meanwhile<'a> {
    fn new(disturbance: Option<&'a mut dyn Disturbance>) -> Self {
        Self { disturbance, measured: None, failed: None }
    }

    fn tick(&self) -> Duration {
        let is_due = self.disturbance.is_some() && self.measured.is_some();
        if is_due { DISTURB_TICK } else { TICK }
    }

    fn enter(&mut self, phase: Phase) {
        if phase == Phase::Measured {
            self.measured = Some(Instant::now());
        }
    }

    /// Does what is due. A system that cannot be brought back ends the run.
    fn turn(&mut self, processes: &mut Vec<u32>, watch: &Watch) {
        let (Some(disturbance), Some(measured), None) =
            (&mut self.disturbance, self.measured, &self.failed)
        else {
            return;
        };
        match disturbance.tick(measured.elapsed()) {
            // In front of this process, which is the last.
            Ok(started) => drop(processes.splice(0..0, started)),
            Err(error) => {
                self.failed = Some(error);
                watch.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    fn end(self) -> anyhow::Result<Vec<Disturbed>> {
        let since = self.measured.map_or(Duration::ZERO, |measured| measured.elapsed());
        let ended = self.disturbance.map_or(Ok(Vec::new()), |disturbance| disturbance.end(since));
        self.failed.map_or(ended, Err)
    }
}

struct Found {
    started: SystemTime,
    environments: (Environment, Environment),
    clock: ClockCost,
    info: Option<NodeInfo>,
    outcome: Outcome,
    marks: Marks,
    disturbed: Vec<Disturbed>,
    server_series: Vec<ServerSecond>,
    durable: Option<DurableFigures>,
    capacity: CapacityFigures,
}

/// Every reason not to end with 0.
#[must_use]
pub fn exits(report: &Report, require_valid: bool) -> Vec<Exit> {
    let outcome = &report.outcome;
    let reasons = [
        (Exit::Delivery, report::is_delivery_violated(outcome)),
        (Exit::Interrupted, outcome.interrupted),
        (Exit::Invalid, require_valid && report.verdict.validity == Validity::Invalid),
        (Exit::Ramp, outcome.established < outcome.target),
        (Exit::SloMissed, report.slo.iter().any(|slo| !slo.pass)),
    ];
    reasons.into_iter().filter(|(_, holds)| *holds).map(|(exit, _)| exit).collect()
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
