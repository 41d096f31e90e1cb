//! The two nodes, and one run of load against either.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Parser;
use loadgen::capture::{Probe, Snapshot};
use loadgen::cli::LoadArgs;
use loadgen::env::allowed_cpus;
use loadgen::grants_direct::{DirectGrants, DirectNode};
use loadgen::offer::{Offer, ephemeral_ports, loopback_sources, ports_wanted};
use loadgen::outcome::Outcome;
use loadgen::placement::Placement;
use loadgen::plan::{Plan, Watch};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Layout, What};

/// Connections of the load, and places for those of the run before that are still being closed.
const CONNECTIONS_MAX: u32 = 3_000;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// Shards of the node: one or two.
    shards: u16,
    placement: Placement,
}

/// One shard; two with all messages within a shard, between the users' homes, and with everybody connected elsewhere.
pub(crate) const VARIANTS: [Variant; 4] = [
    Variant { name: "one", shards: 1, placement: Placement::Same },
    Variant { name: "same", shards: 2, placement: Placement::Same },
    Variant { name: "cross", shards: 2, placement: Placement::Cross },
    Variant { name: "stray", shards: 2, placement: Placement::Stray },
];

/// What one run found.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// The measured phase, in seconds.
    pub(crate) seconds: f64,
    /// Processor time of all of the node's threads meanwhile, in seconds.
    pub(crate) node_cpu_s: f64,
    /// Processor time of the generator's thread in the measured phase, in seconds.
    pub(crate) generator_cpu_s: f64,
    /// Deliveries.
    pub(crate) delivered: u64,
    /// Of the whole run, per message: pieces of mail.
    pub(crate) mails: f64,
    /// Batches of mail.
    pub(crate) batches: f64,
    /// Wake-ups sent: writes to an eventfd.
    pub(crate) wakes: f64,
    /// Wake-ups taken: completions, without a read.
    pub(crate) wake_events: f64,
    /// Batches that needed no wake-up.
    pub(crate) spared: f64,
    /// Calls into the kernel by the loops.
    pub(crate) enters: f64,
    /// Turns of the loops.
    pub(crate) turns: f64,
    /// Sends: one of each connection that has something in a turn.
    pub(crate) sends: f64,
}

impl Sample {
    /// Deliveries per processor second of the node.
    pub(crate) fn per_cpu(&self) -> f64 {
        self.delivered as f64 / self.node_cpu_s
    }

    /// Deliveries per second of time.
    pub(crate) fn rate(&self) -> f64 {
        self.delivered as f64 / self.seconds
    }
}

struct Node {
    process: Child,
    _stdout: BufReader<ChildStdout>,
    probe: Probe,
}

/// Both nodes.
pub(crate) struct Bench {
    nodes: [Node; 2],
    offered: String,
    key: std::path::PathBuf,
    generator_cpu: usize,
    _directory: TempDir,
}

impl Bench {
    /// Starts both nodes.
    ///
    /// # Errors
    /// When one does not come up.
    pub(crate) fn open(what: &What) -> anyhow::Result<Self> {
        let cpus = allowed_cpus()?;
        let (first, last) = (cpus.first(), cpus.last());
        let (&first, &generator_cpu) = first.zip(last).context("no processor is allowed")?;
        ensure!(first != generator_cpu, "this needs two processors, and one is allowed");
        let directory = tempfile::tempdir()?;
        let key = directory.path().join("token.key");
        balancer::key::create(&key)?;
        let two = match what.layout {
            Layout::Apart => format!("{first},{generator_cpu}"),
            Layout::Together => format!("{first},{first}"),
        };
        let start = |shards: u16, cpus: &str| {
            let mut args: Vec<String> = format!(
                "--listen 127.0.0.1:0 --admin 127.0.0.1:0 --store memory --durability none --shards {shards} --cpus {cpus} \
                 --connections {CONNECTIONS_MAX} --token-key-file"
            )
            .split_whitespace()
            .map(str::to_owned)
            .collect();
            args.push(key.to_string_lossy().into_owned());
            args.extend(what.node_arg.iter().cloned());
            Node::start(&args)
        };
        let nodes = [start(1, &first.to_string())?, start(2, &two)?];
        let phases = format!("--duration {}s --warmup 0.5s --ramp 20000/s", what.seconds);
        let offered = format!("{} {phases}", what.row.load());
        Ok(Self { nodes, offered, key, generator_cpu, _directory: directory })
    }

    /// One run.
    ///
    /// # Errors
    /// When it is no measurement.
    pub(crate) fn run(&self, variant: Variant) -> anyhow::Result<Sample> {
        let mut plan = self.plan()?;
        let node = &self.nodes[usize::from(variant.shards > 1)];
        plan.options.server_pid = Some(node.process.id());
        let key = balancer::key::load(&self.key, false)?;
        let grants = DirectGrants::new(key, DirectNode::new(&node.probe.info()?)?);
        let mut grants = grants.placed(variant.placement, plan.connections);
        let before = node.probe.snapshot();
        let outcome = loadgen::engine::run(&plan, &mut grants, &Arc::new(Watch::default()))?;
        sample(&outcome, &before, &node.probe.snapshot()).context(variant.name)
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            load: LoadArgs,
        }
        let words = std::iter::once("load").chain(self.offered.split_whitespace());
        let load = Line::try_parse_from(words)?.load;
        let run_id =
            getrandom::u64().map_err(|error| anyhow::anyhow!("random numbers: {error}"))?;
        let mut plan = Offer::new(&load, run_id).map_err(|refusal| refusal.reason)?.plan;
        plan.cpu = Some(self.generator_cpu);
        plan.sources = loopback_sources(ports_wanted(&load), ephemeral_ports());
        Ok(plan)
    }

    /// Ends both nodes.
    ///
    /// # Errors
    /// When one does not end well.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        for mut node in self.nodes {
            let pid = i32::try_from(node.process.id()).ok().and_then(Pid::from_raw);
            kill_process(pid.context("a process id")?, Signal::TERM)?;
            let status = node.process.wait()?;
            ensure!(status.success(), "a node ended badly: {status}");
        }
        Ok(())
    }
}

impl Node {
    fn start(args: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.args(["serve", "--parent", &std::process::id().to_string(), "--"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        let mut process = command.spawn().context("starting a node")?;
        let stdout = process.stdout.take().context("a child's standard output")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line)
            .with_context(|| format!("a node said `{}` and not that it is ready", line.trim()))?;
        let admin = ready.get("admin").and_then(Value::as_str).context("no admin port")?;
        Ok(Self { probe: Probe::new(admin)?, process, _stdout: stdout })
    }
}

fn sample(outcome: &Outcome, before: &Snapshot, after: &Snapshot) -> anyhow::Result<Sample> {
    let (there, wanted) = (outcome.established, outcome.target);
    ensure!(there == wanted, "{there} of {wanted} connections: {:?}", outcome.login_failures);
    ensure!(outcome.disconnects.is_empty(), "connections were lost: {:?}", outcome.disconnects);
    let is_violated = loadgen::report::is_delivery_violated(outcome);
    ensure!(!is_violated, "messages went wrong: {:?}", outcome.violations);
    ensure!(outcome.ledger.refused == 0, "{} messages were refused", outcome.ledger.refused);
    let delta = |name: &str| {
        let difference =
            after.metric(name).zip(before.metric(name)).map(|(after, before)| after - before);
        difference.with_context(|| format!("the node does not tell {name}"))
    };
    let messages = delta("messages_in_total")?;
    let per_message = |name: &str| Ok::<_, anyhow::Error>(delta(name)? / messages);
    let window = &outcome.window;
    Ok(Sample {
        seconds: window.length.as_secs_f64(),
        node_cpu_s: window.server_cpu.context("the node's cost")?.as_secs_f64(),
        generator_cpu_s: outcome.engine_cpu.as_secs_f64(),
        delivered: window.delivered,
        mails: per_message("mails_total")?,
        batches: per_message("mail_posts_total")?,
        wakes: per_message("wakes_sent_total")?,
        wake_events: per_message("wake_ups_total")?,
        spared: per_message("wakes_spared_total")?,
        enters: per_message("enters_total")?,
        turns: per_message("turns_total")?,
        sends: per_message("sends_total")?,
    })
}
