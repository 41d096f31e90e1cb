//! What durability costs: commits, processor time of all servers, and the disk's own times in the same run.
//!
//! Owns the readings at the phases' edges and the figures made of them. A figure whose source is missing is missing, with
//! its reason, never zero.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::capture::{Probe, Samples, Snapshot};
use crate::disk::{DiskProbe, DiskTimes};
use crate::env::{process_seconds, process_written_bytes};
use crate::outcome::Outcome;
use crate::plan::Phase;

/// What the disk is sampled with when the node's commits could not be looked at: the usual size at 10,000 messages a second.
const COMMIT_BYTES: u64 = 16 * 1024;
/// The least: a page.
const COMMIT_BYTES_MIN: u64 = 4 * 1024;
/// The most: beyond it the time would be that of writing, not of syncing.
const COMMIT_BYTES_MAX: u64 = 1 << 20;

/// How many messages commits had. Percentiles are upper bounds: the node counts in buckets of about a third.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Groups {
    /// Commits in the measured phase.
    pub commits: f64,
    /// Messages per commit on average.
    pub mean: Option<f64>,
    /// Half of the commits had at most so many.
    pub p50: Option<f64>,
    /// Nine of ten had at most so many.
    pub p90: Option<f64>,
    /// All but one of a hundred had at most so many.
    pub p99: Option<f64>,
    /// The largest had at most so many.
    pub max: Option<f64>,
}

/// The figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DurableFigures {
    /// Acknowledged messages per second.
    pub acked_per_s: Option<f64>,
    /// Processor seconds of all servers (node with its store's threads, gateway, balancer) in the measured phase.
    pub system_cpu_s: Option<f64>,
    /// Acknowledged messages per processor second of all servers.
    pub acked_per_system_cpu_s: Option<f64>,
    /// Processor seconds of the generator's process.
    pub generator_cpu_s: Option<f64>,
    /// How many messages commits had.
    pub messages_per_commit: Groups,
    /// Bytes that the node wrote for each acknowledged message.
    pub written_bytes_per_message: Option<f64>,
    /// Bytes that the disk was sampled with: what a commit wrote on average in the warm-up.
    pub fdatasync_bytes: Option<u64>,
    /// The disk's own times while the node was at work.
    pub fdatasync_loaded: Option<DiskTimes>,
    /// The disk's own times afterwards.
    pub fdatasync_idle: Option<DiskTimes>,
    /// Why a figure is missing.
    pub missing: Vec<String>,
}

/// The readings of one moment.
#[derive(Debug)]
struct Reading {
    at: Instant,
    node: Option<Snapshot>,
    servers_s: Result<f64, String>,
    generator_s: Result<f64, String>,
    written: Result<u64, String>,
}

/// Watches a durable system through the phases of a run.
#[derive(Debug)]
pub struct DurableWatch {
    /// Where the node's files are.
    data: PathBuf,
    /// The servers' processes, the node's first.
    servers: Vec<u32>,
    warmup: Option<Reading>,
    start: Option<Reading>,
    end: Option<Reading>,
    disk: Option<DiskProbe>,
    figures: DurableFigures,
}

impl DurableWatch {
    /// Watches the node with its files in `data`; `servers` are all of the system's processes, the node's first.
    #[must_use]
    pub fn new(data: PathBuf, servers: Vec<u32>) -> Self {
        let figures = DurableFigures::default();
        Self { data, servers, warmup: None, start: None, end: None, disk: None, figures }
    }

    /// The run leaves one phase for another.
    pub fn enter(&mut self, from: Phase, to: Phase, probe: Option<&Probe>) {
        if to == Phase::Warmup {
            self.warmup = Some(self.read(probe));
        }
        if to == Phase::Measured {
            self.start = Some(self.read(probe));
            let bytes = self.commit_bytes();
            self.figures.fdatasync_bytes = Some(bytes);
            let started = DiskProbe::start(&self.data, usize::try_from(bytes).unwrap_or(4_096));
            self.disk = started.map_err(|error| self.miss(&error)).ok();
        } else if from == Phase::Measured {
            self.end = Some(self.read(probe));
        }
    }

    /// The load is over: samples the idle disk, and makes the figures.
    #[must_use]
    pub fn finish(mut self, outcome: &Outcome) -> DurableFigures {
        if let Some(disk) = self.disk.take() {
            match disk.stop() {
                Ok(sampled) => {
                    self.figures.fdatasync_loaded = Some(sampled.loaded);
                    match sampled.idle() {
                        Ok(times) => self.figures.fdatasync_idle = Some(times),
                        Err(error) => self.miss(&error),
                    }
                }
                Err(error) => self.miss(&error),
            }
        }
        if let (Some(start), Some(end)) = (self.start.take(), self.end.take()) {
            self.figures.measure(&start, &end, outcome);
        } else {
            self.figures.missing.push("the measured phase was not reached or not finished".into());
        }
        self.figures
    }

    fn miss(&mut self, error: &std::io::Error) {
        self.figures.missing.push(format!("fdatasync in {}: {error}", self.data.display()));
    }

    fn read(&self, probe: Option<&Probe>) -> Reading {
        Reading {
            at: Instant::now(),
            node: probe.map(Probe::snapshot),
            servers_s: self.servers.iter().map(|pid| process_seconds(*pid)).sum(),
            generator_s: process_seconds(std::process::id()),
            written: self
                .servers
                .first()
                .ok_or_else(|| "no process of the node".to_owned())
                .and_then(|node| process_written_bytes(*node)),
        }
    }

    /// What a commit wrote on average since the warm-up began, in whole pages.
    fn commit_bytes(&self) -> u64 {
        let found = self.warmup.as_ref().zip(self.start.as_ref()).and_then(|(from, to)| {
            let bytes = to.written.as_ref().ok()?.saturating_sub(*from.written.as_ref().ok()?);
            let commits = commits(to)? - commits(from)?;
            (commits >= 1.0).then(|| (bytes as f64 / commits) as u64)
        });
        let bytes = found.unwrap_or(COMMIT_BYTES).clamp(COMMIT_BYTES_MIN, COMMIT_BYTES_MAX);
        bytes.next_multiple_of(COMMIT_BYTES_MIN)
    }
}

fn commits(reading: &Reading) -> Option<f64> {
    reading.node.as_ref()?.samples()?.sum("ringline_node_store_commits_total")
}

impl DurableFigures {
    fn measure(&mut self, start: &Reading, end: &Reading, outcome: &Outcome) {
        // The readings lie a little beside the phase's edges: the rate over their distance, times the phase.
        let measured = outcome.measured.as_secs_f64();
        let apart = end.at.duration_since(start.at).as_secs_f64();
        let scale = if apart > 0.0 { measured / apart } else { 1.0 };
        let acked = (outcome.acked > 0).then_some(outcome.acked as f64);
        self.acked_per_s = acked.filter(|_| measured > 0.0).map(|acked| acked / measured);
        let mut seconds = |from: &Result<f64, String>, to: &Result<f64, String>| match (from, to) {
            (Ok(from), Ok(to)) => Some((to - from) * scale),
            (Err(why), _) | (_, Err(why)) => {
                self.missing.push(why.clone());
                None
            }
        };
        self.system_cpu_s = seconds(&start.servers_s, &end.servers_s);
        self.generator_cpu_s = seconds(&start.generator_s, &end.generator_s);
        let per = |value: Option<f64>, by: Option<f64>| Some(value? / by.filter(|by| *by > 0.0)?);
        self.acked_per_system_cpu_s = per(acked, self.system_cpu_s);
        let written = match (&start.written, &end.written) {
            (Ok(from), Ok(to)) => Some(to.saturating_sub(*from) as f64 * scale),
            (Err(why), _) | (_, Err(why)) => {
                self.missing.push(why.clone());
                None
            }
        };
        self.written_bytes_per_message = per(written, acked);
        let pages = start.node.as_ref().zip(end.node.as_ref());
        match pages.and_then(|(start, end)| start.samples().zip(end.samples())) {
            Some((start, end)) => self.messages_per_commit = Groups::between(start, end),
            None => self.missing.push("the node's metrics could not be read".into()),
        }
    }
}

impl Groups {
    /// Of the commits between two pages of metrics.
    fn between(start: &Samples, end: &Samples) -> Self {
        const METRIC: &str = "ringline_node_store_group_messages";
        let delta = |name: &str| {
            let name = format!("{METRIC}_{name}");
            Some((end.sum(&name)? - start.sum(&name)?).max(0.0))
        };
        let (commits, messages) = (delta("count").unwrap_or(0.0), delta("sum").unwrap_or(0.0));
        if commits == 0.0 {
            return Self::default();
        }
        // Both pages have the same buckets; each counts everything up to its bound.
        let before = start.buckets(METRIC);
        let up_to: Vec<(f64, f64)> = end
            .buckets(METRIC)
            .into_iter()
            .map(|(bound, count)| {
                let earlier = before.iter().find(|(other, _)| *other == bound);
                (bound, count - earlier.map_or(0.0, |(_, count)| *count))
            })
            .collect();
        let at = |share: f64| {
            let bound = up_to.iter().find(|(_, count)| *count >= commits * share);
            bound.map(|(bound, _)| *bound).filter(|bound| bound.is_finite())
        };
        let (p50, p90, p99, max) = (at(0.5), at(0.9), at(0.99), at(1.0));
        Self { commits, mean: Some(messages / commits), p50, p90, p99, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(counts: [u64; 4], sum: u64) -> Samples {
        let [one, two, three, all] = counts;
        Samples::parse(&format!(
            "ringline_node_store_group_messages_bucket{{le=\"1.0\"}} {one}\n\
             ringline_node_store_group_messages_bucket{{le=\"2.0\"}} {two}\n\
             ringline_node_store_group_messages_bucket{{le=\"12.0\"}} {three}\n\
             ringline_node_store_group_messages_bucket{{le=\"+Inf\"}} {all}\n\
             ringline_node_store_group_messages_count {all}\n\
             ringline_node_store_group_messages_sum {sum}\n"
        ))
    }

    #[test]
    fn commits_of_the_phase_alone_are_counted() {
        let groups = Groups::between(&page([50, 50, 50, 50], 50), &page([60, 120, 150, 150], 650));
        assert_eq!((groups.commits, groups.mean), (100.0, Some(6.0)));
        assert_eq!((groups.p50, groups.p90, groups.p99), (Some(2.0), Some(12.0), Some(12.0)));
        let open = Groups::between(&page([0; 4], 0), &page([1, 1, 1, 2], 50_001));
        assert_eq!((open.p50, open.max), (Some(1.0), None));
        assert_eq!(Groups::between(&page([1; 4], 1), &page([1; 4], 1)), Groups::default());
    }
}
