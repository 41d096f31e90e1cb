//! The section of the report that says what holding the connections cost.

use super::Report;
use super::table::{ABSENT, Section, count, micros};
use crate::capacity::{CapacityFigures, KernelMemory};

pub(super) fn section(report: &Report) -> String {
    let Some(found) = &report.capacity else { return String::new() };
    let mut section = Section::new("capacity");
    memory(found, &mut section);
    heartbeats(found, &mut section);
    if let Some(idle) = &found.idle {
        section.line(
            "silence",
            format_args!(
                "{:.1} s with {:.0} heartbeats/s: node {}, generator {} of a processor, {} of the node for each heartbeat",
                idle.seconds,
                idle.heartbeats_per_s,
                figure(idle.node_cpu_share, percent),
                figure(idle.generator_cpu_share, percent),
                figure(idle.node_cpu_us_per_heartbeat, micros),
            ),
        );
    }
    let teardown = &found.teardown;
    section.line(
        "teardown",
        format_args!(
            "goodbyes {:.2} s, all closed {}, kernel memory back {} ({} of what it was before, {} of what it grew by)",
            teardown.goodbyes_s,
            figure(teardown.closed_s, seconds),
            figure(teardown.kernel_back_s, seconds),
            figure(teardown.kernel_residue, signed_percent),
            figure(teardown.kernel_residue_of_growth, signed_percent),
        ),
    );
    section.0
}

fn memory(found: &CapacityFigures, section: &mut Section) {
    let memory = &found.memory;
    let bytes = |value: Option<f64>| figure(value, |bytes| format!("{} B", count(bytes as u64)));
    section.line(
        "memory per connection",
        format_args!(
            "node {} (start included), generator {} (start included), kernel {}",
            bytes(memory.node_rss_total_per_connection_bytes),
            bytes(memory.generator_rss_total_per_connection_bytes),
            bytes(memory.kernel_per_connection_bytes),
        ),
    );
    let total = |kernel: &Option<KernelMemory>| {
        kernel.as_ref().map_or_else(
            || ABSENT.into(),
            |kernel| format!("{} MiB", count(kernel.total_bytes() / (1024 * 1024))),
        )
    };
    section.line(
        "kernel memory",
        format_args!(
            "{} before, {} at the end of the hold, {} after",
            total(&memory.kernel_before),
            total(&memory.kernel_full),
            total(&memory.kernel_after)
        ),
    );
    let mut caches: Vec<(&String, &f64)> = memory
        .kernel_caches_per_connection_bytes
        .iter()
        .filter(|(_, each)| **each >= 8.0)
        .collect();
    caches.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    if !caches.is_empty() {
        let parts: Vec<String> =
            caches.iter().map(|(name, each)| format!("{name} {each:.0}")).collect();
        section.line("of which, in bytes", parts.join(", "));
    }
}

fn heartbeats(found: &CapacityFigures, section: &mut Section) {
    let beats = &found.heartbeats;
    let (Some(least), Some(most)) = (beats.interval_min_ms, beats.interval_max_ms) else { return };
    let every = if least == most {
        format!("{:.1} s", f64::from(least) / 1e3)
    } else {
        format!("{:.1} to {:.1} s", f64::from(least) / 1e3, f64::from(most) / 1e3)
    };
    section.line(
        "heartbeats",
        format_args!(
            "every {every}; {} answered, {} not, {} sessions expired",
            count(beats.answered),
            count(beats.unanswered),
            count(beats.expired)
        ),
    );
    section.line(
        "answered after due",
        format_args!(
            "p50 {}, p99 {}, p99.9 {}, max {}; max in the ramp {}",
            figure(beats.p50_us, micros),
            figure(beats.p99_us, micros),
            figure(beats.p999_us, micros),
            figure(beats.max_us, micros),
            figure(beats.ramp_max_us, micros),
        ),
    );
}

fn figure(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| ABSENT.into(), show)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn signed_percent(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

fn seconds(value: f64) -> String {
    format!("{value:.2} s")
}
