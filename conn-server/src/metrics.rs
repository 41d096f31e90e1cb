//! The metrics page: snapshots of all shards and the process's own figures, as Prometheus text.
//!
//! Owns the metric names. Nothing of it runs on a shard's thread: a shard only copies its counters when asked.

use std::fmt;
use std::time::Duration;

use balancer::admin::metrics_page;
use chat::{Figure, Gauges};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry as Page;

use crate::front::Figures;
use crate::process::ProcessFigures;
use crate::stats::{LAG_BUCKETS, LagHistogram, ShardSnapshot};
use crate::store_lane::{GROUP_BUCKETS, GroupHistogram, StoreReport};

/// Everything that one scrape shows.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// One of each shard that answered.
    pub(crate) shards: Vec<ShardSnapshot>,
    /// The store, if there is one.
    pub(crate) store: Option<StoreReport>,
    /// The process, if its figures could be read.
    pub(crate) process: Option<ProcessFigures>,
    /// Whether the balancer knows this node; `None` without a balancer.
    pub(crate) is_registered: Option<bool>,
}

impl Scrape {
    /// The page, with the TLS front's figures if there is one.
    pub(crate) fn into_response(self, front: Option<&Figures>) -> axum::response::Response {
        let mut page = Page::with_prefix("ringline_node");
        if let Some(front) = front {
            front.register(&mut page);
        }
        page.register_collector(Box::new(self));
        metrics_page(&page)
    }

    /// One metric with a value for each shard.
    fn per_shard(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, about): (&str, &str),
        kind: MetricType,
        value: impl Fn(&ShardSnapshot) -> u64,
    ) -> fmt::Result {
        let is_counter = matches!(kind, MetricType::Counter);
        let mut metric = encoder.encode_descriptor(name, about, None, kind)?;
        for shard in &self.shards {
            let labels = [("shard", shard.shard.0.to_string())];
            let mut metric = metric.encode_family(&labels)?;
            let value = value(shard);
            if is_counter {
                metric.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
            } else {
                metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))?;
            }
        }
        Ok(())
    }

    fn loop_times(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Of = fn(&ShardSnapshot) -> &LagHistogram;
        let times: [(&str, &str, Of); 2] = [
            ("loop_lag_seconds", "How late a shard's loop was for its deadlines", |s| &s.lateness),
            ("turn_seconds", "How long the turns of a shard's loop took", |s| &s.turn_time),
        ];
        for (name, about, of) in times {
            let mut metric = encoder.encode_descriptor(name, about, None, MetricType::Histogram)?;
            for shard in &self.shards {
                let labels = [("shard", shard.shard.0.to_string())];
                histogram(metric.encode_family(&labels)?, of(shard))?;
            }
        }
        Ok(())
    }

    fn store(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(report) = &self.store else { return Ok(()) };
        for (name, about, value) in report.stats.each() {
            let name = format!("store_{name}");
            encoder
                .encode_descriptor(&name, about, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        let is_failing = report.write_fault.is_some() || report.read_fault.is_some();
        for (name, about, value) in [
            ("store_failing", "1 while writing or reading fails", u64::from(is_failing)),
            ("store_group_high", "The most messages in one commit", report.stats.group_high),
            ("store_shown_waiting", "Messages shown that wait for the disk", report.stats.kept),
        ] {
            encoder
                .encode_descriptor(name, about, None, MetricType::Gauge)?
                .encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))?;
        }
        for (name, about, times) in [
            ("store_latency_seconds", "From a shard's batch to its answer", &report.stats.latency),
            ("store_commit_seconds", "Group commits alone", &report.stats.commit_time),
            ("store_read_seconds", "Reads alone", &report.stats.read_time),
        ] {
            let metric = encoder.encode_descriptor(name, about, None, MetricType::Histogram)?;
            histogram(metric, times)?;
        }
        let about = "Messages in a commit";
        let metric = encoder.encode_descriptor(
            "store_group_messages",
            about,
            None,
            MetricType::Histogram,
        )?;
        groups(metric, &report.stats.groups)
    }

    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(process) = &self.process {
            let about = "Processor time of the whole process, user and system";
            let mut metric =
                encoder.encode_descriptor("cpu_seconds", about, None, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, _, f64>(&process.cpu_seconds, None)?;
            let about = "Resident memory of the process";
            let mut metric =
                encoder.encode_descriptor("rss_bytes", about, None, MetricType::Gauge)?;
            metric.encode_gauge(&i64::try_from(process.rss_bytes).unwrap_or(i64::MAX))?;
        }
        if let Some(is_registered) = self.is_registered {
            let about = "1 while this node holds a lease at the balancer";
            let mut metric =
                encoder.encode_descriptor("registered", about, None, MetricType::Gauge)?;
            metric.encode_gauge(&i64::from(is_registered))?;
        }
        Ok(())
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Names and texts come from the core and the driver themselves, so that no figure can be forgotten here.
        for (index, of) in chat::Counters::default().each().enumerate() {
            let value = |shard: &ShardSnapshot| nth(shard.chat.each(), index);
            self.per_shard(&mut encoder, (of.name, of.about), MetricType::Counter, value)?;
        }
        for (index, of) in crate::stats::IoCounters::default().each().enumerate() {
            let value = |shard: &ShardSnapshot| nth(shard.io.each(), index);
            self.per_shard(&mut encoder, (of.name, of.about), MetricType::Counter, value)?;
        }
        for (index, of) in Gauges::default().each().enumerate() {
            let value = |shard: &ShardSnapshot| nth(shard.gauges.each(), index);
            self.per_shard(&mut encoder, (of.name, of.about), MetricType::Gauge, value)?;
        }
        let open = (
            "open_descriptors",
            "Connections that hold a descriptor, those being closed included.",
        );
        self.per_shard(&mut encoder, open, MetricType::Gauge, |shard| shard.open)?;
        let draining = ("draining", "1 while the shard drains.");
        self.per_shard(&mut encoder, draining, MetricType::Gauge, |shard| {
            shard.is_draining.into()
        })?;
        self.loop_times(&mut encoder)?;
        self.store(&mut encoder)?;
        self.process(&mut encoder)
    }
}

fn nth(mut figures: impl Iterator<Item = Figure>, index: usize) -> u64 {
    figures.nth(index).map_or(0, |figure| figure.value)
}

fn histogram(mut metric: MetricEncoder<'_>, times: &LagHistogram) -> fmt::Result {
    let bound = |bucket| LagHistogram::bound_seconds(bucket).unwrap_or(f64::INFINITY);
    let buckets: [_; LAG_BUCKETS] = std::array::from_fn(|i| (bound(i), times.counts[i]));
    let sum = Duration::from_nanos(times.sum_ns).as_secs_f64();
    metric.encode_histogram::<NoLabelSet>(sum, times.count(), &buckets, None)
}

fn groups(mut metric: MetricEncoder<'_>, groups: &GroupHistogram) -> fmt::Result {
    // Exact: far below 2^53.
    #[allow(clippy::cast_precision_loss, reason = "messages of a commit, and of all commits")]
    let bound = |bucket| GroupHistogram::bound(bucket).map_or(f64::INFINITY, |most| most as f64);
    let buckets: [_; GROUP_BUCKETS] = std::array::from_fn(|i| (bound(i), groups.counts[i]));
    #[allow(clippy::cast_precision_loss, reason = "as above")]
    let sum = groups.sum as f64;
    metric.encode_histogram::<NoLabelSet>(sum, groups.count(), &buckets, None)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prometheus_client::encoding::text;

    use super::*;
    use crate::store_lane::StoreStats;

    fn shard(number: u16) -> ShardSnapshot {
        let mut lateness = LagHistogram::default();
        lateness.record(Duration::from_micros(3));
        ShardSnapshot {
            shard: wire::ShardId(number),
            chat: chat::Counters { logins: 7 + u64::from(number), ..Default::default() },
            gauges: Gauges { sessions: 5, ..Default::default() },
            io: crate::stats::IoCounters { enters: 11, ..Default::default() },
            turn_time: LagHistogram::default(),
            lateness,
            open: 6,
            is_draining: number == 1,
        }
    }

    fn store() -> StoreReport {
        let mut stats = StoreStats { appended: 9, ..StoreStats::default() };
        (stats.write_links.broken, stats.read_links.broken) = (2, 3);
        stats.groups.record(3);
        StoreReport { stats, write_fault: None, read_fault: None, committing: None }
    }

    fn page(scrape: Scrape) -> String {
        let mut page = Page::with_prefix("ringline_node");
        page.register_collector(Box::new(scrape));
        let mut text = String::new();
        text::encode(&mut text, &page).unwrap();
        text
    }

    #[test]
    fn every_kind_of_figure_is_shown_by_shard() {
        let process = ProcessFigures { cpu_seconds: 1.5, rss_bytes: 4096 };
        let scrape = Scrape {
            shards: vec![shard(0), shard(1)],
            store: Some(store()),
            process: Some(process),
            is_registered: Some(true),
        };
        let page = page(scrape);
        for line in [
            "# HELP ringline_node_logins_refused Logins refused: bad token.",
            "# HELP ringline_node_spill_bytes Bytes put aside for torn frames and paused connections.",
            "ringline_node_logins_total{shard=\"0\"} 7",
            "ringline_node_logins_total{shard=\"1\"} 8",
            "ringline_node_enters_total{shard=\"1\"} 11",
            "ringline_node_sessions{shard=\"0\"} 5",
            "ringline_node_draining{shard=\"1\"} 1",
            "ringline_node_loop_lag_seconds_count{shard=\"0\"} 1",
            "ringline_node_loop_lag_seconds_bucket{le=\"0.000004\",shard=\"0\"} 1",
            "ringline_node_loop_lag_seconds_bucket{le=\"+Inf\",shard=\"0\"} 1",
            "ringline_node_cpu_seconds_total 1.5",
            "ringline_node_rss_bytes 4096",
            "ringline_node_registered 1",
            "ringline_node_store_appended_total 9",
            "ringline_node_store_connections_broken_total 5",
            "# HELP ringline_node_store_appended Messages written.",
            "ringline_node_store_latency_seconds_count 0",
            "ringline_node_store_failing 0",
            "ringline_node_store_group_messages_bucket{le=\"3.0\"} 1",
            "ringline_node_store_group_messages_sum 3.0",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn no_two_figures_share_a_name() {
        let page = page(Scrape {
            shards: vec![],
            store: Some(store()),
            process: None,
            is_registered: None,
        });
        let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut seen = HashSet::new();
        for name in names.filter_map(|line| line.split(' ').next()) {
            assert!(seen.insert(name.to_owned()), "{name} twice");
        }
        assert!(seen.len() > 60);
    }
}
