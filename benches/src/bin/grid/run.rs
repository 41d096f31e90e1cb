//! One run of a cell: `loadgen local` in a process of its own, and what its report says.

use std::time::{Duration, Instant};

use anyhow::Context;
use benches::runs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cells::Turn;

/// How much longer than planned a run may take before it is ended: starting and stopping a node on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Connections that are started each second: a grid has many ramps.
const RAMP_PER_S: u32 = 20_000;

/// How long the phases of a run are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phases {
    pub(crate) warmup: Duration,
    pub(crate) measured: Duration,
}

/// What one run found. Latencies are those of a closed loop, from sending to delivery: they compare engines under the
/// same number of outstanding messages and are nobody's experience of a quiet server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Messages delivered for each second of the node's processor time.
    pub(crate) per_cpu_s: f64,
    /// System calls of the node's driver for each message.
    pub(crate) syscalls_per_message: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) delivered_per_s: Option<f64>,
    /// The share of a processor that the node used: well below 1, and the generator was what was measured.
    pub(crate) node_busy: Option<f64>,
    /// The same of the generator's thread.
    pub(crate) generator_busy: Option<f64>,
    /// The instrument's own verdict, and why.
    pub(crate) validity: String,
    pub(crate) reasons: Vec<String>,
}

/// One line of the raw data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The pass over the grid.
    pub(crate) pass: u32,
    #[serde(flatten)]
    pub(crate) cell: crate::cells::Cell,
    pub(crate) engine: String,
    /// Messages outstanding.
    pub(crate) window: u32,
    /// What it takes to do it again.
    pub(crate) command: String,
    /// How long it took, with everything.
    pub(crate) seconds: f64,
    pub(crate) found: Option<Found>,
    /// Why there is nothing.
    pub(crate) failed: Option<String>,
}

/// The words of a run's command line.
pub(crate) fn words(turn: &Turn, phases: Phases, generator: &str) -> Vec<String> {
    let cell = turn.cell;
    let line = format!(
        "local --io {} --closed {} --connections {} --size {} --burst {} --store memory --durability none --shards 1 \
         --login direct --engine {generator} --ramp {RAMP_PER_S}/s --warmup {}ms --duration {}ms",
        turn.engine,
        cell.window(),
        cell.connections,
        cell.size,
        cell.burst,
        phases.warmup.as_millis(),
        phases.measured.as_millis(),
    );
    line.split_whitespace().map(str::to_owned).collect()
}

/// How long a run is planned to take, without starting and stopping.
pub(crate) fn planned(turn: &Turn, phases: Phases) -> Duration {
    let ramp = f64::from(turn.cell.connections) / f64::from(RAMP_PER_S);
    phases.warmup + phases.measured + Duration::from_secs_f64(ramp)
}

/// Runs it. A run that fails is a row that says so: the grid goes on.
pub(crate) fn run(turn: &Turn, phases: Phases, generator: &str) -> Row {
    let words = words(turn, phases, generator);
    let begin = Instant::now();
    let report = runs::run(&words, planned(turn, phases) + PATIENCE);
    let (found, failed) = match report.and_then(|report| found(&report)) {
        Ok(found) => (Some(found), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    Row {
        pass: turn.pass,
        cell: turn.cell,
        engine: turn.engine.clone(),
        window: turn.cell.window(),
        command: format!("loadgen {}", words.join(" ")),
        seconds: begin.elapsed().as_secs_f64(),
        found,
        failed,
    }
}

fn found(report: &Value) -> anyhow::Result<Found> {
    let figure = |path: &str| runs::figure(report, path);
    let measured = figure("/achieved/measured_s").filter(|seconds| *seconds > 0.0);
    let share = |cpu_s: Option<f64>| Some(cpu_s? / measured?);
    let reasons = report.pointer("/verdict/reasons").and_then(Value::as_array);
    let strings = |values: &Vec<Value>| {
        values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    Ok(Found {
        per_cpu_s: figure("/window/deliveries_per_server_cpu_s")
            .context("nothing was delivered")?,
        syscalls_per_message: figure("/server/syscalls_per_message"),
        p50_us: runs::percentile(report, "delivery", 50.0),
        p99_us: runs::percentile(report, "delivery", 99.0),
        delivered_per_s: figure("/achieved/delivered_per_s"),
        node_busy: figure("/window/server_utilisation"),
        generator_busy: share(figure("/generator/cpu_s")),
        validity: report["verdict"]["validity"].as_str().unwrap_or("unknown").to_owned(),
        reasons: reasons.map(strings).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Cell;
    use serde_json::json;

    #[test]
    fn a_report_gives_its_figures_and_none_that_it_has_not() {
        let report = json!({
            "achieved": { "measured_s": 2.0, "delivered_per_s": 50.0 },
            "window": { "deliveries_per_server_cpu_s": 100.0, "server_utilisation": 0.5 },
            "server": { "syscalls_per_message": null },
            "generator": { "cpu_s": 1.5 },
            "classes": { "private": { "delivery": { "percentiles": [
                { "p": 50.0, "value_us": 7.0 }, { "p": 99.0, "value_us": null } ] } } },
            "verdict": { "validity": "VALID", "reasons": [] },
        });
        let found = found(&report).unwrap();
        assert_eq!(
            (found.per_cpu_s, found.node_busy, found.generator_busy),
            (100.0, Some(0.5), Some(0.75))
        );
        assert_eq!(
            (found.p50_us, found.p99_us, found.syscalls_per_message),
            (Some(7.0), None, None)
        );
        assert!(super::found(&json!({})).is_err());
    }

    #[test]
    fn the_words_are_a_command_line_that_loadgen_takes() {
        use clap::Parser;
        let cell = Cell { burst: 16, size: 16_384, connections: 1_000 };
        let turn = Turn { pass: 1, cell, engine: "epoll".into() };
        let phases =
            Phases { warmup: Duration::from_millis(500), measured: Duration::from_secs(3) };
        let line = std::iter::once("loadgen".to_owned()).chain(words(&turn, phases, "uring"));
        let cli = loadgen::cli::Cli::try_parse_from(line).unwrap();
        let loadgen::cli::Command::Local(args) = cli.command else { panic!("it is `local`") };
        assert_eq!(args.load.closed, Some(1_024));
        assert_eq!(args.load.duration, Duration::from_secs(3));
    }
}
