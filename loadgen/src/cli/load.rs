//! The words of a load, the same wherever one is made.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::units::{parse_bytes, parse_count, parse_duration, parse_rate};
use crate::engines::EngineName;
use crate::slo::Slo;

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PresetName {
    /// Connections write to each other two by two.
    Pairs,
    /// Rooms of 100; every message goes to a room.
    Rooms,
    /// Nobody says anything: connections and heartbeats only.
    Idle,
    /// Nobody says anything: connections come, log in, close and come again, --connections of them at a time. With a
    /// gateway its password check is what is measured; use `--login direct` for the node.
    Churn,
    /// Four of five messages as in `pairs`, one in five to a room of 100.
    Mixed,
}

/// How the generator waits for arriving bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReceiveName {
    /// Armed up to a million connections, polled beyond.
    #[default]
    Auto,
    /// A receive stands ready on every connection: 864 bytes of kernel memory each.
    Armed,
    /// Readiness is polled and bytes are fetched when there are some: 256 bytes, and more work for each arrival.
    Polled,
}

/// The load, the same for `local` and `run`.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Connections to hold.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = parse_count(1..=10_000_000))]
    pub connections: u32,
    /// Connections to start each second.
    #[arg(long, default_value = "5000/s", value_name = "RATE", value_parser = parse_rate)]
    pub ramp: f64,
    /// Open loop: sends each second over all connections, at times that no answer can shift. 10,000/s by default; 500/s
    /// for rooms, 2,000/s for mixed.
    #[arg(long, value_name = "RATE", value_parser = parse_rate, conflicts_with = "closed")]
    pub rate: Option<f64>,
    /// Closed loop: so many messages outstanding over all connections. Measures capacity; latencies of a closed loop
    /// are not those of clients that come when they like.
    #[arg(long, value_name = "W", value_parser = parse_count(1..=1_000_000))]
    pub closed: Option<u32>,
    /// The measured phase.
    #[arg(long, default_value = "15s", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Duration,
    /// Load before it, not measured.
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = parse_duration)]
    pub warmup: Duration,
    /// Before the load, let every connection send N messages to a partner and receive as many; with --preset idle it also
    /// enters a room of 100. Then `rss_per_connection_bytes` is that of sessions that have lived. Only with the presets
    /// idle, pairs and mixed.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = parse_count(0..=1_000))]
    pub prime: u32,
    /// The generator's own engine. `epoll` is a second one, written independently, to show that the generator does not
    /// shape the figures; its connections are descriptors of the process, so it holds fewer than RLIMIT_NOFILE.
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineName,
    /// Before the load, hold the connections for so long without a message, and measure what that costs.
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = parse_duration)]
    pub idle: Duration,
    /// How the generator waits for arriving bytes. Only with --engine uring.
    #[arg(long, value_enum, default_value_t)]
    pub receive: ReceiveName,
    /// Bytes of each message's body.
    #[arg(long, default_value_t = 128, value_name = "BYTES", value_parser = parse_bytes)]
    pub size: usize,
    /// Who talks to whom.
    #[arg(long, value_enum, default_value_t = PresetName::Pairs)]
    pub preset: PresetName,
    /// Members of each room of --preset rooms.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = parse_count(2..=60_000))]
    pub room_size: u32,
    /// Messages that a sender says at once, in one write. Rates and windows count them one by one.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = parse_count(1..=256))]
    pub burst: u32,
    /// Everything drawn at random comes from this number.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// An objective, such as `delivery.p99 < 5ms`, `lost == 0` or `rss_per_connection_bytes < 512`; may be repeated.
    #[arg(long, value_name = "EXPR")]
    pub slo: Vec<Slo>,
    /// Where to write the report: a new or empty directory. By default a new one below `reports`.
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Offer more than 150,000 deliveries a second for each shard.
    #[arg(long)]
    pub overload: bool,
    /// Start although memory, ports or descriptors do not suffice (see `loadgen validate`), and overwrite a report that is
    /// in the directory of --report.
    #[arg(long)]
    pub force: bool,
    /// Connections that are lost log in again, pull what they missed and send again what was not acknowledged: for runs
    /// in which the node is killed.
    #[arg(long)]
    pub reconnect: bool,
    /// While it runs, write a line of JSON a second into this file: phase, connections, totals, rates, the node's processor
    /// time and memory. `-` is standard error.
    #[arg(long, value_name = "FILE")]
    pub stream: Option<PathBuf>,
    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
    /// Print run.json on standard output instead of the table.
    #[arg(long)]
    pub json: bool,
}
