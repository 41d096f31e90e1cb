//! The report to read: aligned, with units, and nothing that the measurement does not bear.

use std::fmt::Write;

use super::directory::stamp;
use super::percentile::{max_us, percentile};
use super::{Report, capacity, disturbed, durable, figures, latencies, logins_per_s};
use crate::outcome::Window;
use crate::plan::Load;
use crate::slo::{SloResult, Unit};
use crate::validity::{Grade, Validity};

/// Percentiles that the table shows.
const SHOWN: [f64; 4] = [50.0, 90.0, 99.0, 99.9];
/// What stands for a figure that there is not.
pub(super) const ABSENT: &str = "n/a";

pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    let sections = [
        title(report),
        connections(report),
        traffic(report),
        latency(report),
        ledger(report),
        server(report),
        durable::section(report),
        disturbed::section(report),
        generator(report),
        capacity::section(report),
        objectives(report),
        verdict(report),
    ];
    for section in sections.iter().filter(|section| !section.is_empty()) {
        out.push_str(section);
        out.push('\n');
    }
    if let Some(headline) = report.headline() {
        out.push_str(&headline);
        out.push('\n');
    }
    out
}

/// Lines of a section, each a name and its figures.
pub(super) struct Section(pub(super) String);

impl Section {
    pub(super) fn new(title: &str) -> Self {
        Self(format!("{title}\n"))
    }

    pub(super) fn line(&mut self, name: &str, text: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "  {name:<22} {text}");
    }
}

pub(super) fn headline(report: &Report) -> String {
    let outcome = &report.outcome;
    let figures = figures(outcome, &report.server, report.capacity.as_ref());
    let figure = |name: &str| figures.get(name).copied().flatten();
    let mut parts = vec![format!("{} connections held", count(outcome.established.into()))];
    if let Some(rate) = figure("delivered_per_s").filter(|_| report.offer.plan.load != Load::None) {
        parts.push(format!("{} deliveries/s", grouped(rate)));
    }
    for (name, class) in &outcome.classes {
        if let Some(p99) = percentile(&class.delivery, 99.0).value_us {
            parts.push(format!("{name} delivery p99 {}", micros(p99)));
        }
    }
    if let Some(rate) = figure("delivered_per_cpu_s") {
        parts.push(format!("{} deliveries per server CPU second", grouped(rate)));
    }
    if let Some(bytes) = figure("rss_per_connection_bytes") {
        parts.push(format!("{bytes:.0} bytes of server memory per connection"));
    }
    parts.join(", ")
}

fn title(report: &Report) -> String {
    let plan = &report.offer.plan;
    let load = match plan.load {
        Load::Open { rate_per_s } => format!("open loop, {} sends/s", grouped(rate_per_s)),
        Load::Closed { window } => format!("closed loop, {} outstanding", count(window.into())),
        Load::None => "no messages".into(),
    };
    let mut section = Section::new(&format!("ringline loadgen, {}", stamp(report.started)));
    section.line(
        "preset",
        format_args!("{}: {load}, {} bytes each", report.offer.preset, plan.body_bytes),
    );
    let seconds = (plan.warmup.as_secs_f64(), plan.duration.as_secs_f64());
    if plan.options.prime > 0 {
        let each = plan.options.prime;
        section
            .line("before", format_args!("{each} messages sent and received by each connection"));
    }
    if !plan.options.idle.is_zero() {
        section.line("silence", format_args!("{} s", plan.options.idle.as_secs_f64()));
    }
    section.line("phases", format_args!("warm-up {} s, measured {} s", seconds.0, seconds.1));
    section.line(
        "logins",
        format_args!("{}, {} connections/s", report.login, grouped(plan.ramp_per_s)),
    );
    section.line("seed, run", format_args!("{}, {:016x}", plan.seed, plan.run_id));
    for line in &report.layout {
        section.line("placement", line);
    }
    section.0
}

fn connections(report: &Report) -> String {
    let outcome = &report.outcome;
    let mut section = Section::new("connections");
    let (established, target) = (count(outcome.established.into()), count(outcome.target.into()));
    section.line("established", format_args!("{established} of {target}"));
    let rate = logins_per_s(outcome).map_or_else(|| ABSENT.into(), grouped);
    section.line("logins", format_args!("{rate}/s over {:.2} s", outcome.ramp.as_secs_f64()));
    for (reason, times) in &outcome.login_failures {
        section.line("failed logins", format_args!("{} x {reason}", count(*times)));
    }
    for (reason, times) in &outcome.disconnects {
        section.line("lost connections", format_args!("{} x {reason}", count(*times)));
    }
    section.0
}

fn traffic(report: &Report) -> String {
    let outcome = &report.outcome;
    if report.offer.plan.load == Load::None {
        return String::new();
    }
    let measured = outcome.measured.as_secs_f64();
    let mut section = Section::new(&format!("traffic, over the measured {measured:.2} s"));
    let line = |name: &str, total: u64, section: &mut Section| {
        let rate = if measured > 0.0 { grouped(total as f64 / measured) } else { ABSENT.into() };
        section.line(name, format_args!("{:>14}   {rate:>12}/s", count(total)));
    };
    if matches!(report.offer.plan.load, Load::Open { .. }) {
        line("due", outcome.intended, &mut section);
    }
    line("sent", outcome.sent, &mut section);
    line("acknowledged", outcome.acked, &mut section);
    line("delivered", outcome.delivered, &mut section);
    section.0
}

fn latency(report: &Report) -> String {
    let mut out = String::new();
    for (name, class) in &report.outcome.classes {
        let _ = write!(out, "latency, {name:<14}");
        for p in SHOWN {
            let _ = write!(out, "{:>12}", format!("p{p}"));
        }
        let _ = writeln!(out, "{:>12}{:>14}", "max", "samples");
        for (kind, histogram) in latencies(class) {
            let _ = write!(out, "  {kind:<21}");
            for p in SHOWN {
                let value = percentile(histogram, p).value_us.map_or_else(|| ABSENT.into(), micros);
                let _ = write!(out, "{value:>12}");
            }
            let max = max_us(histogram).map_or_else(|| ABSENT.into(), micros);
            let _ = writeln!(out, "{max:>12}{:>14}", count(histogram.len()));
        }
    }
    if !out.is_empty() {
        out.push_str("  response = lag + service: lag is the generator's own lateness, counted from the time the send was due\n");
    }
    out
}

fn ledger(report: &Report) -> String {
    let ledger = &report.outcome.ledger;
    let mut section = Section::new("ledger, over the whole run");
    let (sent, acked, delivered) =
        (count(ledger.sent), count(ledger.acked), count(ledger.delivered));
    section.line(
        "messages",
        format_args!("{sent} sent, {acked} acknowledged, {delivered} deliveries"),
    );
    section.line(
        "violations",
        format_args!(
            "{} lost, {} duplicate, {} reordered, {} corrupt, {} misrouted",
            ledger.lost, ledger.duplicate, ledger.reordered, ledger.corrupt, ledger.misrouted
        ),
    );
    section.line(
        "beside",
        format_args!(
            "{} indeterminate, {} refused, {} of other runs",
            ledger.indeterminate, ledger.refused, ledger.foreign
        ),
    );
    for violation in &report.outcome.violations {
        section.line("violation", violation);
    }
    section.0
}

/// What the server's threads cost, if its process is known.
fn by_threads(window: &Window, section: &mut Section) {
    let cpu_s = window.server_cpu.map_or(0.0, |cpu| cpu.as_secs_f64());
    let waited_s = window.server_waited.map_or(0.0, |waited| waited.as_secs_f64());
    if cpu_s > 0.0 {
        let per_cpu_s = |count: u64| grouped(count as f64 / cpu_s);
        section.line(
            "by its threads",
            format_args!(
                "{:.1} % of one processor, {:.1} % waiting for one; per CPU second {} messages, {} deliveries, {} logins",
                cpu_s / window.length.as_secs_f64() * 100.0,
                waited_s / window.length.as_secs_f64() * 100.0,
                per_cpu_s(window.acked),
                per_cpu_s(window.delivered),
                per_cpu_s(window.logins)
            ),
        );
    }
}

fn server(report: &Report) -> String {
    let server = &report.server;
    let mut section = Section::new("server");
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| ABSENT.into());
    let shards = server.shards.map_or_else(|| ABSENT.into(), |shards| shards.to_string());
    section.line(
        "node",
        format_args!(
            "{}, {shards} shard(s), store {}, durability {}",
            word(&server.io),
            word(&server.store),
            word(&server.durability)
        ),
    );
    let figure =
        |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| ABSENT.into(), show);
    section.line(
        "CPU",
        format_args!("{} in the measured phase", figure(server.cpu_s, |s| format!("{s:.2} s"))),
    );
    section.line(
        "per CPU second",
        format_args!(
            "{} delivered, {} acknowledged",
            figure(server.delivered_per_cpu_s, grouped),
            figure(server.acked_per_cpu_s, grouped)
        ),
    );
    section.line(
        "memory",
        format_args!(
            "{} at the start, {} at the end of the hold, {} per connection",
            figure(server.rss_start_bytes, mebibytes),
            figure(server.rss_bytes, mebibytes),
            figure(server.rss_per_connection_bytes, |bytes| format!("{bytes:.0} B"))
        ),
    );
    section.line(
        "driver",
        format_args!(
            "{} system calls per message, {} completions per enter",
            figure(server.syscalls_per_message, |calls| format!("{calls:.3}")),
            figure(server.cqes_per_enter, |cqes| format!("{cqes:.2}"))
        ),
    );
    if let Some(mesh) = &server.mesh {
        section.line(
            "between shards",
            format_args!(
                "{} pieces of mail and {} wake-ups per message, {} pieces per batch, {} of {} batches needed no wake-up",
                figure(mesh.mails_per_message, |mails| format!("{mails:.3}")),
                figure(mesh.wakes_per_message, |wakes| format!("{wakes:.3}")),
                figure(mesh.mails_per_batch, |mails| format!("{mails:.2}")),
                grouped(mesh.wakes_spared),
                grouped(mesh.batches)
            ),
        );
    }
    by_threads(&report.outcome.window, &mut section);
    for why in &server.missing {
        section.line("missing", why);
    }
    section.0
}

fn generator(report: &Report) -> String {
    let outcome = &report.outcome;
    let mut section = Section::new("generator");
    section.line("engine", report.offer.engine.label());
    let share = |part: std::time::Duration| {
        let whole = outcome.measured.as_secs_f64();
        if whole > 0.0 {
            format!("{:.1} %", part.as_secs_f64() / whole * 100.0)
        } else {
            ABSENT.into()
        }
    };
    section.line(
        "CPU",
        format_args!(
            "{} of one processor, {} more spent spinning before due sends, {} waiting for a processor",
            share(outcome.engine_cpu),
            share(outcome.engine_spin),
            share(outcome.engine_runqueue)
        ),
    );
    section.line(
        "heartbeats, gaps",
        format_args!("{} sent, {} gaps pulled", count(outcome.heartbeats), outcome.gaps_pulled),
    );
    section.0
}

fn objectives(report: &Report) -> String {
    if report.slo.is_empty() {
        return String::new();
    }
    let mut section = Section::new("objectives");
    for SloResult { expr, value, unit, pass, note } in &report.slo {
        let value = match (value, unit) {
            (Some(value), Unit::Us) => micros(*value),
            (Some(value), Unit::Bytes | Unit::PerS | Unit::S | Unit::Count) => grouped(*value),
            (None, _) => format!("{ABSENT} ({})", note.as_deref().unwrap_or("not measured")),
        };
        let word = if *pass { "pass" } else { "MISS" };
        section.line(word, format_args!("{expr}   measured {value}"));
    }
    section.0
}

fn verdict(report: &Report) -> String {
    let word = match report.verdict.validity {
        Validity::Valid => "VALID",
        Validity::Degraded => "DEGRADED",
        Validity::Invalid => {
            "INVALID: no headline, the figures above are not a measurement of the system"
        }
    };
    let mut section = Section::new(&format!("verdict: {word}"));
    for reason in &report.verdict.reasons {
        section.line("because", reason);
    }
    let unmeasured = report.verdict.checks.iter().filter(|check| check.grade == Grade::NotMeasured);
    for check in unmeasured {
        section.line("not checked", format_args!("{}: {}", check.name, check.finding));
    }
    section.0
}

/// Microseconds in the unit that leaves three digits or so.
pub(super) fn micros(us: f64) -> String {
    match us {
        _ if us < 1_000.0 => format!("{us:.1} us"),
        _ if us < 1_000_000.0 => format!("{:.2} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / 1_048_576.0)
}

/// A figure with its thousands apart; small ones keep two decimals.
pub(crate) fn grouped(value: f64) -> String {
    if value.abs() < 100.0 && value.fract() != 0.0 {
        format!("{value:.2}")
    } else {
        count(value.round() as u64)
    }
}

pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_easy_to_read() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(grouped(0.5), "0.50");
        assert_eq!(grouped(9_999.6), "10,000");
        assert_eq!(micros(12.34), "12.3 us");
        assert_eq!(micros(1_500.0), "1.50 ms");
        assert_eq!(micros(2_500_000.0), "2.50 s");
    }
}
