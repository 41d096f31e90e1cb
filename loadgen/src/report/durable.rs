//! The section of the report that says what durability cost, with the disk's own times beside the acknowledgements'.

use super::Report;
use super::percentile::percentile;
use super::table::{ABSENT, Section, count, grouped, micros};
use crate::disk::DiskTimes;

pub(super) fn section(report: &Report) -> String {
    let Some(durable) = &report.durable else { return String::new() };
    let figure = |value: Option<f64>| value.map_or_else(|| ABSENT.into(), grouped);
    let seconds =
        |value: Option<f64>| value.map_or_else(|| ABSENT.into(), |value| format!("{value:.2} s"));
    let mut section = Section::new("durability");
    section.line(
        "acknowledged",
        format_args!(
            "{}/s, {} per CPU second of all servers ({}); the generator used {}",
            figure(durable.acked_per_s),
            figure(durable.acked_per_system_cpu_s),
            seconds(durable.system_cpu_s),
            seconds(durable.generator_cpu_s),
        ),
    );
    let groups = &durable.messages_per_commit;
    section.line(
        "commits",
        format_args!(
            "{}, of {} messages each (p50 <= {}, p90 <= {}, p99 <= {}, max <= {})",
            grouped(groups.commits),
            figure(groups.mean),
            figure(groups.p50),
            figure(groups.p90),
            figure(groups.p99),
            figure(groups.max),
        ),
    );
    section.line(
        "written",
        format_args!("{} bytes per message", figure(durable.written_bytes_per_message)),
    );
    for (name, class) in &report.outcome.classes {
        let at = |p| percentile(&class.response, p).value_us.map_or_else(|| ABSENT.into(), micros);
        section.line(
            &format!("{name} acks"),
            format_args!("p50 {}, p99 {}, p99.9 {}", at(50.0), at(99.0), at(99.9)),
        );
    }
    let bytes = durable.fdatasync_bytes.map_or_else(|| ABSENT.into(), count);
    for (name, times) in [
        ("fdatasync under load", durable.fdatasync_loaded),
        ("fdatasync at rest", durable.fdatasync_idle),
    ] {
        let words = times.map_or_else(|| ABSENT.into(), |times| words(&times, &bytes));
        section.line(name, words);
    }
    for why in &durable.missing {
        section.line("missing", why);
    }
    section.0
}

fn words(times: &DiskTimes, bytes: &str) -> String {
    let time = |value: Option<f64>| value.map_or_else(|| ABSENT.into(), micros);
    format!(
        "p50 {}, p99 {}, p99.9 {}, max {} of {} samples of {bytes} bytes",
        time(times.p50_us),
        time(times.p99_us),
        time(times.p99_9_us),
        time(times.max_us),
        count(times.samples),
    )
}
