//! One run of load against either server, and what it found.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use loadgen::capture::Probe;
use loadgen::cli::LoadArgs;
use loadgen::env::allowed_cpus;
use loadgen::grants_direct::{DirectGrants, DirectNode};
use loadgen::grants_raw::RawGrants;
use loadgen::offer::{Offer, ephemeral_ports, loopback_sources, ports_wanted};
use loadgen::outcome::Outcome;
use loadgen::plan::{GrantSource, Plan, Protocol, Watch};
use loadgen::report::percentile::percentile;
use loadgen::server_cost::cost;
use serde::Serialize;
use tempfile::TempDir;

use crate::What;
use crate::rows::{Measure, Row};
use crate::server::{Server, Who};

/// Places at the servers beyond the load's connections: those of the run before that are still being closed.
const SPARE_CONNECTIONS: u32 = 2_048;
/// The saturation rate is the median of so many runs.
const SATURATION_RUNS: usize = 3;
/// The load that saturates the node for the latency row.
const SATURATION_LOAD: &str = "--preset pairs --connections 1000 --closed 256";

/// What one run found.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// The measured phase, in seconds.
    pub(crate) seconds: f64,
    /// Processor time of all of the server's threads meanwhile, in seconds.
    pub(crate) server_cpu_s: f64,
    /// Time that those threads were runnable while somebody else had the processor, in seconds.
    pub(crate) server_waited_s: f64,
    /// Processor time of the other server, which should have had nothing to do, from the run's start to its end.
    pub(crate) idle_cpu_s: f64,
    /// Processor time of the generator's thread in the measured phase, in seconds.
    pub(crate) generator_cpu_s: f64,
    /// Time that it was runnable while somebody else had the processor, in seconds.
    pub(crate) generator_waited_s: f64,
    /// Messages acknowledged.
    pub(crate) acked: u64,
    /// Deliveries.
    pub(crate) delivered: u64,
    /// Logins.
    pub(crate) logins: u64,
    /// Percentiles of delivery, in microseconds.
    pub(crate) delivery_us: [Option<f64>; 3],
    /// Calls into the kernel for each delivery or login, over the whole run; the node's only.
    pub(crate) enters_per_unit: Option<f64>,
}

/// Which percentiles a sample has.
const PERCENTILES: [f64; 3] = [50.0, 99.0, 99.9];

impl Sample {
    /// What is compared.
    pub(crate) fn figure(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Delivered => self.delivered as f64 / self.server_cpu_s,
            Measure::Logins => self.logins as f64 / self.server_cpu_s,
            Measure::Latency => self.delivery_us[1].unwrap_or(f64::NAN),
        }
    }

    /// The share of the time in which the server had work: on its processor, or waiting for it because of others.
    pub(crate) fn server_busy(&self) -> f64 {
        (self.server_cpu_s + self.server_waited_s) / self.seconds
    }

    /// The same of the generator.
    pub(crate) fn generator_busy(&self) -> f64 {
        (self.generator_cpu_s + self.generator_waited_s) / self.seconds
    }

    /// The share of the time in which others had the processor that the server or the generator wanted.
    pub(crate) fn disturbed(&self) -> f64 {
        self.server_waited_s.max(self.generator_waited_s) / self.seconds
    }
}

/// Both servers and where load for them comes from.
pub(crate) struct Bench {
    floor: Server,
    node: Server,
    probe: Probe,
    floor_grants: RawGrants,
    node_grants: DirectGrants,
    generator_cpu: usize,
    _directory: TempDir,
}

impl Bench {
    /// Starts both servers for a row.
    ///
    /// # Errors
    /// When one does not come up.
    pub(crate) fn open(row: &Row, what: &What) -> anyhow::Result<Self> {
        let cpus = allowed_cpus()?;
        let (first, last) = (cpus.first(), cpus.last());
        let (&server_cpu, &generator_cpu) = first.zip(last).context("no processor is allowed")?;
        ensure!(server_cpu != generator_cpu, "a pair needs two processors, and one is allowed");
        let directory = tempfile::tempdir()?;
        let key = directory.path().join("token.key");
        balancer::key::create(&key)?;
        let most = (row.connections + SPARE_CONNECTIONS).to_string();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let floor_args = words(&format!("{} --max {most}", row.floor_mode));
        let floor = Server::start(Who::Floor, server_cpu, &floor_args)?;
        let mut node_args = words(&format!(
            "--listen 127.0.0.1:0 --admin 127.0.0.1:0 --store memory --durability none --shards 1 --cpus {server_cpu} \
             --connections {most} --token-key-file"
        ));
        node_args.push(key.to_string_lossy().into_owned());
        node_args.extend(what.node_arg.iter().cloned());
        let node = Server::start(Who::Node, server_cpu, &node_args)?;
        let probe = Probe::new(&node.said("admin")?)?;
        let node_grants =
            DirectGrants::new(balancer::key::load(&key, false)?, DirectNode::new(&probe.info()?)?);
        let floor_grants = RawGrants::new(floor.said("chat")?.parse()?);
        Ok(Self {
            floor,
            node,
            probe,
            floor_grants,
            node_grants,
            generator_cpu,
            _directory: directory,
        })
    }

    /// The words of the row's load, with its seconds and, in an open loop, half of the rate that saturates the node.
    ///
    /// # Errors
    /// When the rate cannot be measured.
    pub(crate) fn offer(&mut self, row: &Row, what: &What) -> anyhow::Result<String> {
        let (seconds, warmup) = (what.seconds, what.warmup);
        let phases = format!("--duration {seconds}s --warmup {warmup}s --ramp 20000/s");
        if row.measure != Measure::Latency {
            return Ok(format!("{} {phases}", row.load));
        }
        let mut rates = Vec::new();
        for _ in 0..SATURATION_RUNS {
            let sample = self.run_node(&format!("{SATURATION_LOAD} {phases}"))?;
            rates.push(sample.acked as f64 / sample.seconds);
        }
        rates.sort_by(f64::total_cmp);
        let half = (rates[SATURATION_RUNS / 2] / 2.0).round();
        Ok(format!("{} --rate {half}/s {phases}", row.load))
    }

    /// Loads the floor.
    ///
    /// # Errors
    /// When the run is no measurement.
    pub(crate) fn run_floor(&mut self, offered: &str) -> anyhow::Result<Sample> {
        let mut plan = self.plan(offered, Protocol::Raw)?;
        plan.options.server_pid = Some(self.floor.pid());
        let (outcome, idle) = run(&plan, &mut self.floor_grants, self.node.pid())?;
        sample(&outcome, idle, None).context("at the floor")
    }

    /// Loads the node.
    ///
    /// # Errors
    /// When the run is no measurement.
    pub(crate) fn run_node(&mut self, offered: &str) -> anyhow::Result<Sample> {
        let mut plan = self.plan(offered, Protocol::Chat)?;
        plan.options.server_pid = Some(self.node.pid());
        let before = self.probe.snapshot().metric("enters_total");
        let (outcome, idle) = run(&plan, &mut self.node_grants, self.floor.pid())?;
        let after = self.probe.snapshot().metric("enters_total");
        let enters = after.zip(before).map(|(after, before)| after - before);
        sample(&outcome, idle, enters).context("at the node")
    }

    fn plan(&self, offered: &str, protocol: Protocol) -> anyhow::Result<Plan> {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            load: LoadArgs,
        }
        let words = std::iter::once("load").chain(offered.split_whitespace());
        let load = Line::try_parse_from(words)?.load;
        let run_id =
            getrandom::u64().map_err(|error| anyhow::anyhow!("random numbers: {error}"))?;
        let mut plan = Offer::new(&load, run_id).map_err(|refusal| refusal.reason)?.plan;
        plan.cpu = Some(self.generator_cpu);
        plan.sources = loopback_sources(ports_wanted(&load), ephemeral_ports());
        // Both servers see their connections end alike.
        plan.logout = false;
        plan.options.protocol = protocol;
        Ok(plan)
    }

    /// Ends both servers.
    ///
    /// # Errors
    /// When one had ended by itself.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        self.floor.stop()?;
        self.node.stop()
    }
}

fn run(
    plan: &Plan,
    grants: &mut dyn GrantSource,
    idle_pid: u32,
) -> anyhow::Result<(Outcome, Duration)> {
    let before = cost(idle_pid)?.cpu;
    let outcome = loadgen::engine::run(plan, grants, &Arc::new(Watch::default()))?;
    Ok((outcome, cost(idle_pid)?.cpu - before))
}

fn sample(outcome: &Outcome, idle: Duration, enters: Option<f64>) -> anyhow::Result<Sample> {
    let (there, wanted) = (outcome.established, outcome.target);
    ensure!(there == wanted, "{there} of {wanted} connections: {:?}", outcome.login_failures);
    ensure!(outcome.disconnects.is_empty(), "connections were lost: {:?}", outcome.disconnects);
    let is_violated = loadgen::report::is_delivery_violated(outcome);
    ensure!(!is_violated, "messages went wrong: {:?}", outcome.violations);
    ensure!(outcome.ledger.refused == 0, "{} messages were refused", outcome.ledger.refused);
    let window = &outcome.window;
    let server_cpu_s = window.server_cpu.context("the server's cost")?.as_secs_f64();
    let units = outcome.ledger.delivered.max(window.logins);
    let class = outcome.classes.values().next();
    let delivery_us =
        PERCENTILES.map(|p| class.and_then(|class| percentile(&class.delivery, p).value_us));
    Ok(Sample {
        seconds: window.length.as_secs_f64(),
        server_cpu_s,
        server_waited_s: window.server_waited.unwrap_or_default().as_secs_f64(),
        idle_cpu_s: idle.as_secs_f64(),
        generator_cpu_s: outcome.engine_cpu.as_secs_f64(),
        generator_waited_s: outcome.engine_runqueue.as_secs_f64(),
        acked: window.acked,
        delivered: window.delivered,
        logins: window.logins,
        delivery_us,
        enters_per_unit: enters.filter(|_| units > 0).map(|enters| enters / units as f64),
    })
}
