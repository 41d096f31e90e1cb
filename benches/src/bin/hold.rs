//! Holds many connections and writes what one costs: memory, heartbeats, teardown.
//!
//! `idle`: bytes of the node for each idle session that has lived, the worst of four counts. `million`, `two-million`: that
//! many logged-in, heartbeating connections on this one machine, a silence of 60 s, then 60 s of messages between random
//! pairs, then goodbyes. Each is one `loadgen local` of the same command line as anybody would give.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use benches::facts::{collect_for, write_json, write_markdown};
use benches::runs::{figure, grouped, run_loadgen};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};

/// Holds many connections and writes what one costs
#[derive(Parser)]
#[command(version)]
struct Args {
    /// What to hold
    row: Row,
    /// Show the figures, write nothing
    #[arg(long)]
    dry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Row {
    /// 90,000 to 130,000 idle sessions that have lived
    Idle,
    /// 1,000,000 connections
    Million,
    /// 2,000,000 connections, heartbeats every minute
    TwoMillion,
}

/// Counts around the powers of two at which tables grow, and at which their growth costs most.
const IDLE_COUNTS: [u32; 4] = [90_000, 100_000, 115_000, 130_000];
/// Bytes that an idle session may cost.
const IDLE_GOAL: f64 = 256.0;
/// The longest that a run may take.
const RUN_MAX: Duration = Duration::from_secs(1800);

/// A figure of a report: where it is, what it is called, and what it may be at most.
type Wanted = (&'static str, &'static str, Option<f64>);

const HELD: &[Wanted] = &[
    ("/connections/established", "connections held", None),
    ("/connections/ramp_s", "ramp, s", None),
    (
        "/capacity/memory/node_rss_total_per_connection_bytes",
        "node, start included, B",
        Some(768.0),
    ),
    (
        "/capacity/memory/generator_rss_total_per_connection_bytes",
        "generator, start included, B",
        Some(768.0),
    ),
    ("/capacity/memory/kernel_per_connection_bytes", "kernel, both ends, B", None),
    ("/capacity/idle/heartbeats_per_s", "heartbeats per second in silence", None),
    ("/capacity/idle/node_cpu_share", "node in silence, processors", None),
    ("/capacity/idle/node_cpu_us_per_heartbeat", "node per heartbeat, us", None),
    ("/capacity/heartbeats/interval_min_ms", "heartbeat interval, ms", None),
    ("/capacity/heartbeats/expired", "sessions expired", Some(0.0)),
    ("/capacity/heartbeats/p999_us", "heartbeat answer after due, p99.9, us", Some(1e6)),
    ("/capacity/heartbeats/max_us", "the same, most", None),
    ("/window/delivered", "messages delivered in 60 s", None),
    ("/ledger/lost", "lost", Some(0.0)),
    ("/ledger/duplicate", "duplicate", Some(0.0)),
    ("/ledger/reordered", "reordered", Some(0.0)),
    ("/capacity/teardown/closed_s", "teardown, s", Some(60.0)),
    (
        "/capacity/teardown/kernel_residue_of_growth",
        "kernel memory that stayed, of its growth",
        Some(0.05),
    ),
];

const IDLE: &[Wanted] = &[
    ("/offered/connections", "connections", None),
    ("/server/rss_per_connection_bytes", "node, B per session", Some(IDLE_GOAL)),
    ("/server/rss_start_bytes", "node before the first, B", None),
    ("/capacity/memory/node_rss_total_per_connection_bytes", "node, start included, B", None),
    ("/server/shards", "shards", None),
];

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let (name, title, words) = match args.row {
        Row::Idle => ("idle", "Idle sessions", IDLE_COUNTS.map(idle_words).to_vec()),
        Row::Million => {
            ("capacity-million", "A million connections", vec![held_words(1_000_000, "")])
        }
        Row::TwoMillion => (
            "capacity-two-million",
            "Two million connections",
            vec![held_words(2_000_000, "--heartbeat-interval 60s --heartbeat-timeout 180s")],
        ),
    };
    let wanted = if args.row == Row::Idle { IDLE } else { HELD };
    let mut reports = Vec::new();
    for words in &words {
        println!("loadgen {}", words.join(" "));
        let report = kept(run_loadgen(words, RUN_MAX)?);
        println!("{}", table(wanted, std::slice::from_ref(&report)));
        reports.push(report);
    }
    let is_met = wanted.iter().all(|wanted| reports.iter().all(|report| meets(wanted, report)));
    if !args.dry {
        let row = args.row.to_possible_value().context("a row has a name")?;
        let facts = collect_for(&format!(
            "cargo build --release -p loadgen && cargo run --release -p benches --bin hold -- {}",
            row.get_name()
        ));
        let headline = headline(args.row, &reports);
        write_json(name, &facts, &json!({ "headline": headline, "runs": reports }))?;
        let commands: Vec<String> =
            words.iter().map(|words| format!("loadgen {}", words.join(" "))).collect();
        let body = format!("```text\n{}\n```\n\n{}", commands.join("\n"), table(wanted, &reports));
        write_markdown(name, title, &facts, &body)?;
    }
    // The same exit status as that of a run that misses an objective.
    Ok(if is_met { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn words(of: &str) -> Vec<String> {
    of.split_whitespace().map(str::to_owned).collect()
}

fn idle_words(connections: u32) -> Vec<String> {
    words(&format!(
        "local --preset idle --connections {connections} --prime 16 --login direct --store memory --durability none \
         --ramp 20000/s --duration 8s"
    ))
}

/// Two million are told to beat once a minute from the first on: those who come to an empty node keep what it tells them, and
/// a million that beats every 30 s leaves two processors no time for the logins of the second.
fn held_words(connections: u32, beats: &str) -> Vec<String> {
    words(&format!(
        "local --preset pairs --connections {connections} --rate 1000/s --login direct --store memory --durability none \
         --receive polled --ramp 40000/s --idle 60s --warmup 2s --duration 60s {beats}"
    ))
}

/// What of a report is kept: not the machine's own description, which the facts have, nor each second's figures.
fn kept(mut report: Value) -> Value {
    if let Some(report) = report.as_object_mut() {
        for section in ["environment", "series", "run"] {
            report.remove(section);
        }
    }
    report
}

fn meets((path, _, most): &Wanted, report: &Value) -> bool {
    most.is_none_or(|most| figure(report, path).is_some_and(|found| found <= most))
}

/// One column for each report.
fn table(wanted: &[Wanted], reports: &[Value]) -> String {
    let mut text = format!("| figure | goal |{}\n", " found |".repeat(reports.len()));
    text.push_str(&format!("|---|--:|{}\n", "--:|".repeat(reports.len())));
    for wanted @ (path, name, most) in wanted {
        let goal = most.map(|most| format!("at most {}", shown(most))).unwrap_or_default();
        text.push_str(&format!("| {name} | {goal} |"));
        for report in reports {
            let found = figure(report, path).map_or_else(|| "n/a".to_owned(), shown);
            let mark = if meets(wanted, report) { "" } else { " (missed)" };
            text.push_str(&format!(" {found}{mark} |"));
        }
        text.push('\n');
    }
    text
}

/// Three digits behind the point of small figures, none of large ones.
fn shown(figure: f64) -> String {
    if figure.abs() < 100.0 && figure.fract() != 0.0 {
        return format!("{figure:.3}");
    }
    grouped(figure)
}

/// The rows of README's table.
fn headline(row: Row, reports: &[Value]) -> Value {
    let of = |report: &Value, path: &str| figure(report, path).unwrap_or(f64::NAN);
    if row == Row::Idle {
        let each = reports.iter().map(|report| of(report, "/server/rss_per_connection_bytes"));
        let worst = each.fold(f64::NAN, f64::max);
        let verdict = if worst <= IDLE_GOAL { "reached" } else { "not reached" };
        return json!([{
            "work": "idle sessions that have lived, the worst of 90,000, 100,000, 115,000 and 130,000",
            "figure": format!("{} B of the node for each", shown(worst.round())),
            "goal": format!("at most {} ({verdict})", shown(IDLE_GOAL)),
        }]);
    }
    let Some(report) = reports.first() else { return json!([]) };
    let is_met = HELD.iter().all(|wanted| meets(wanted, report));
    json!([{
        "work": format!("{} connections on one machine, heartbeating", shown(of(report, "/connections/established"))),
        "figure": format!(
            "{} B of the node, {} B of the kernel for each; heartbeat answers p99.9 {} ms; teardown {} s",
            shown(of(report, "/capacity/memory/node_rss_total_per_connection_bytes").round()),
            shown(of(report, "/capacity/memory/kernel_per_connection_bytes").round()),
            shown((of(report, "/capacity/heartbeats/p999_us") / 1000.0).round()),
            shown(of(report, "/capacity/teardown/closed_s").round()),
        ),
        "goal": if is_met { "all met" } else { "some missed: see the page" },
    }])
}
