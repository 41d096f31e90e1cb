//! What the node used, as it says itself and, where its process is visible, as the kernel says.
//!
//! Owns reading the admin port (`/info`, `/metrics`), the figures that are made of it, and the comparison of the two
//! sources. A figure whose source is missing is missing with its reason, never zero.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use hyper::Uri;
use serde::{Deserialize, Serialize};

use crate::env::{process_rss_bytes, process_seconds};
use crate::http::Http;
use crate::outcome::Outcome;

/// How long the admin port may take: it shares a busy processor with the load.
const ADMIN_DEADLINE: Duration = Duration::from_secs(5);

/// What a node says of itself at `/info`; unknown fields are ignored.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NodeInfo {
    /// Its name, which tokens are bound to.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// This start of it, which tokens are bound to.
    pub incarnation: u64,
    /// Its monotonic clock, in milliseconds.
    pub mono_ms: u64,
    /// Where chat connections are taken.
    pub chat: String,
    /// Shards.
    pub shards: u16,
    /// The port of each shard.
    pub shard_ports: Vec<u16>,
    /// The driver: `uring`, `epoll`, `monoio` or `tokio_uring`.
    pub io: String,
    /// The flags of the driver's rings, when it has rings.
    pub io_flags: serde_json::Value,
    /// When a message counts as accepted.
    pub durability: String,
    /// Where messages are kept.
    pub store: String,
    /// Connections that it takes.
    pub connections_max: Option<u64>,
    /// Its memory when its listener opened, in bytes.
    pub rss_start_bytes: Option<u64>,
    /// How long it is silent before a session expires, in milliseconds.
    pub heartbeat_timeout_ms: Option<u64>,
}

/// The samples of a metrics page, labels kept as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Reads Prometheus text. Lines that are no samples are passed over: the page is another program's.
    #[must_use]
    pub fn parse(page: &str) -> Self {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            // A label's value may hold spaces, so the name ends at the closing brace where there is one.
            let end = line.rfind('}').map_or_else(|| line.find(' '), |brace| Some(brace + 1))?;
            let value = line[end..].split_whitespace().next()?.parse().ok()?;
            Some((line[..end].to_owned(), value))
        });
        Self(samples.collect())
    }

    /// A metric summed over its labels, or nothing if the page does not have it.
    #[must_use]
    pub fn sum(&self, metric: &str) -> Option<f64> {
        let of_metric = self.0.iter().filter(|(name, _)| name.split('{').next() == Some(metric));
        of_metric.map(|(_, value)| *value).reduce(|sum, value| sum + value)
    }

    /// The buckets of a histogram without labels of its own: each bound with what was counted up to it, in order.
    #[must_use]
    pub fn buckets(&self, metric: &str) -> Vec<(f64, f64)> {
        let start = format!("{metric}_bucket{{le=\"");
        let of_metric = self.0.iter().filter_map(|(name, count)| {
            let bound = name.strip_prefix(&start)?.split('"').next()?;
            Some((bound.parse().ok()?, *count))
        });
        let mut buckets: Vec<(f64, f64)> = of_metric.collect();
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        buckets
    }
}

/// The node's figures at one moment, or the reason why there are none.
#[derive(Clone, Debug)]
pub struct Snapshot {
    at: Instant,
    incarnation: Option<u64>,
    samples: Result<Samples, String>,
    process: Option<Result<(f64, u64), String>>,
}

impl Snapshot {
    /// One of the node's metrics, by its name without the prefix, if the page could be read and has it.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.samples.as_ref().ok()?.sum(&format!("ringline_node_{name}"))
    }

    /// The page of metrics, if it could be read.
    #[must_use]
    pub fn samples(&self) -> Option<&Samples> {
        self.samples.as_ref().ok()
    }

    fn process(&self) -> Option<(f64, u64)> {
        self.process.as_ref()?.as_ref().ok().copied()
    }
}

/// Reads one node's admin port.
#[derive(Debug)]
pub struct Probe {
    runtime: tokio::runtime::Runtime,
    http: Http,
    info: Uri,
    metrics: Uri,
    pid: Option<u32>,
}

impl Probe {
    /// A probe of the admin port at `authority` (`HOST:PORT`).
    ///
    /// # Errors
    /// When the address is none, or no runtime can be started.
    pub fn new(authority: &str) -> anyhow::Result<Self> {
        let uri = |path: &str| {
            let uri = format!("http://{authority}{path}").parse::<Uri>();
            uri.with_context(|| format!("`{authority}` is no admin address; write HOST:PORT"))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (info, metrics) = (uri("/info")?, uri("/metrics")?);
        // Snapshots lie many seconds apart: a kept connection would be one that the node has just closed.
        Ok(Self { runtime, http: Http::new(0), info, metrics, pid: None })
    }

    /// Says that the node runs on this machine as process `pid`, so that the kernel's figures can be compared.
    #[must_use]
    pub const fn with_process(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// Asks the node who it is.
    ///
    /// # Errors
    /// When it does not answer, or not as a node does.
    pub fn info(&self) -> anyhow::Result<NodeInfo> {
        let page = self.runtime.block_on(self.http.fetch(&self.info, ADMIN_DEADLINE));
        let page = page.with_context(|| format!("the node's admin port at {}", self.info))?;
        serde_json::from_slice(&page).with_context(|| format!("{} is no node's answer", self.info))
    }

    /// Reads the node's figures now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let page = self.runtime.block_on(self.http.fetch(&self.metrics, ADMIN_DEADLINE));
        let samples = page
            .map(|page| Samples::parse(&String::from_utf8_lossy(&page)))
            .map_err(|error| format!("{}: {error}", self.metrics));
        let process = self.pid.map(|pid| Ok((process_seconds(pid)?, process_rss_bytes(pid)?)));
        let at = Instant::now();
        let incarnation = self.info().ok().map(|info| info.incarnation);
        Snapshot { at, incarnation, samples, process }
    }
}

/// The node's own figures beside the kernel's, over the measured phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CrossCheck {
    /// Processor seconds, as the node says.
    pub node_cpu_s: f64,
    /// Processor seconds, as the kernel says.
    pub proc_cpu_s: f64,
    /// Resident memory, as the node says.
    pub node_rss_bytes: f64,
    /// Resident memory, as the kernel says.
    pub proc_rss_bytes: f64,
}

/// The kernel counts processor time in ticks of 10 ms and the two sources are read one after the other.
const CPU_SLACK_S: f64 = 0.1;
/// The kernel's count of resident pages lags by a batch per processor.
const RSS_SLACK_BYTES: f64 = 1048576.0;

impl CrossCheck {
    /// The larger of the two relative differences, 0 to 1, after what the sources may differ by.
    #[must_use]
    pub fn disagreement(&self) -> Option<f64> {
        let apart = |node: f64, kernel: f64, slack: f64| {
            let beyond = ((node - kernel).abs() - slack).max(0.0);
            if beyond == 0.0 { 0.0 } else { beyond / node.max(kernel) }
        };
        let cpu = apart(self.node_cpu_s, self.proc_cpu_s, CPU_SLACK_S);
        let rss = apart(self.node_rss_bytes, self.proc_rss_bytes, RSS_SLACK_BYTES);
        Some(cpu.max(rss)).filter(|apart| apart.is_finite())
    }
}

/// The server's figures, as `run.json` gives them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServerFigures {
    /// The driver.
    pub io: Option<String>,
    /// The flags of the driver's rings.
    pub io_flags: serde_json::Value,
    /// Shards.
    pub shards: Option<u16>,
    /// Where messages are kept.
    pub store: Option<String>,
    /// When a message counts as accepted.
    pub durability: Option<String>,
    /// Processor seconds in the measured phase.
    pub cpu_s: Option<f64>,
    /// Resident memory at the end of the hold, in bytes.
    pub rss_bytes: Option<f64>,
    /// Resident memory when the listener opened, in bytes.
    pub rss_start_bytes: Option<f64>,
    /// What resident memory grew by from the listener's opening to the end of the hold, for each connection held.
    pub rss_per_connection_bytes: Option<f64>,
    /// Deliveries per processor second in the measured phase.
    pub delivered_per_cpu_s: Option<f64>,
    /// Acknowledgements per processor second in the measured phase.
    pub acked_per_cpu_s: Option<f64>,
    /// System calls of the driver for each message received.
    pub syscalls_per_message: Option<f64>,
    /// Completions taken for each enter of the ring.
    pub cqes_per_enter: Option<f64>,
    /// Times a ring had no receive buffer.
    pub enobufs: Option<f64>,
    /// What the shards said to each other; only with several.
    pub mesh: Option<MeshFigures>,
    /// The node's figures beside the kernel's, when its process is visible here.
    pub cross_check: Option<CrossCheck>,
    /// Why a figure is missing.
    pub missing: Vec<String>,
}

/// Mail between shards in the measured phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct MeshFigures {
    /// Batches posted.
    pub batches: f64,
    /// Pieces of mail in them.
    pub mails: f64,
    /// Bytes of that mail.
    pub bytes: f64,
    /// Pieces of mail for each message received.
    pub mails_per_message: Option<f64>,
    /// Pieces of mail for each batch.
    pub mails_per_batch: Option<f64>,
    /// Wake-ups sent: each a write to an eventfd.
    pub wakes: f64,
    /// Wake-ups taken: each a completion or an event, and never a read.
    pub wake_events: f64,
    /// Batches that needed no wake-up, since their receiver was awake or just woken.
    pub wakes_spared: f64,
    /// Wake-ups sent for each message received.
    pub wakes_per_message: Option<f64>,
    /// Times a full inbox made its sender keep a batch.
    pub kept: f64,
    /// Times a shard ran out of credit at another.
    pub credit_hits: f64,
}

impl MeshFigures {
    fn over(delta: impl Fn(&str) -> Option<f64>) -> Option<Self> {
        let per = |count: f64, by: Option<f64>| Some(count / by.filter(|by| *by > 0.0)?);
        let messages = delta("messages_in_total");
        let (batches, mails) = (delta("mail_posts_total")?, delta("mails_total")?);
        let wakes = delta("wakes_sent_total")?;
        Some(Self {
            batches,
            mails,
            bytes: delta("mail_bytes_total")?,
            mails_per_message: per(mails, messages),
            mails_per_batch: per(mails, Some(batches)),
            wakes,
            wake_events: delta("wake_ups_total")?,
            wakes_spared: (batches - wakes).max(0.0),
            wakes_per_message: per(wakes, messages),
            kept: delta("mail_kept_total")?,
            credit_hits: delta("mail_credit_hits_total")?,
        })
    }
}

impl ServerFigures {
    /// Makes the figures from what the node said of itself and its snapshots at the two ends of the measured phase.
    #[must_use]
    pub fn over(
        info: Option<&NodeInfo>,
        start: Option<&Snapshot>,
        end: Option<&Snapshot>,
        outcome: &Outcome,
    ) -> Self {
        let mut figures = Self::default();
        if let Some(info) = info {
            figures.io = Some(info.io.clone());
            figures.io_flags = info.io_flags.clone();
            figures.shards = Some(info.shards);
            figures.store = Some(info.store.clone());
            figures.durability = Some(info.durability.clone());
            figures.rss_start_bytes = info.rss_start_bytes.map(|bytes| bytes as f64);
        }
        let (Some(start), Some(end)) = (start, end) else {
            figures.missing.push(match info {
                Some(_) => "the measured phase was not reached or not finished".into(),
                None => {
                    "no admin port was given: with --gateway, name it with --node-admin HOST:PORT"
                        .into()
                }
            });
            return figures;
        };
        let failed = [start, end]
            .into_iter()
            .filter_map(|snapshot| snapshot.samples.as_ref().err().cloned());
        figures.missing.extend(failed);
        if start.incarnation == end.incarnation {
            figures.measure(start, end, outcome);
        } else {
            figures.missing.push(
                "the node was started anew in the measured phase: its counters began again".into(),
            );
        }
        figures
    }

    fn measure(&mut self, start: &Snapshot, end: &Snapshot, outcome: &Outcome) {
        let delta = |name: &str| Some((end.metric(name)? - start.metric(name)?).max(0.0));
        let per = |count: Option<f64>, by: Option<f64>| Some(count? / by.filter(|by| *by > 0.0)?);
        // The snapshots lie a little beside the phase's edges: the rate over their distance, times the phase.
        let apart = end.at.duration_since(start.at).as_secs_f64();
        let scale = if apart > 0.0 { outcome.measured.as_secs_f64() / apart } else { 1.0 };
        let cpu_s = delta("cpu_seconds_total");
        self.cpu_s = cpu_s.map(|cpu| cpu * scale);
        self.delivered_per_cpu_s = per(positive(outcome.delivered), self.cpu_s);
        self.acked_per_cpu_s = per(positive(outcome.acked), self.cpu_s);
        self.rss_bytes = end.metric("rss_bytes");
        let held = (outcome.established > 0).then(|| f64::from(outcome.established));
        let grown =
            self.rss_bytes.zip(self.rss_start_bytes).map(|(end, start)| (end - start).max(0.0));
        self.rss_per_connection_bytes = per(grown, held);
        self.syscalls_per_message = per(delta("enters_total"), delta("messages_in_total"));
        self.cqes_per_enter = per(delta("cqes_total"), delta("enters_total"));
        self.enobufs = delta("enobufs_total");
        self.mesh = MeshFigures::over(delta).filter(|_| self.shards > Some(1));
        let process = start.process().zip(end.process());
        self.cross_check = process.zip(cpu_s.zip(self.rss_bytes)).map(
            |(process, (node_cpu_s, node_rss_bytes))| {
                let ((cpu_start, _), (cpu_end, rss_end)) = process;
                let (proc_cpu_s, proc_rss_bytes) = (cpu_end - cpu_start, rss_end as f64);
                CrossCheck { node_cpu_s, proc_cpu_s, node_rss_bytes, proc_rss_bytes }
            },
        );
    }
}

/// A count that may stand above a fraction: nothing delivered is no rate, not a rate of zero.
fn positive(count: u64) -> Option<f64> {
    (count > 0).then_some(count as f64)
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
