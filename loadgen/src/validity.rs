//! Whether the measurement itself is to be trusted: VALID, DEGRADED or INVALID, with reasons.
//!
//! Owns the checks and their limits; a pure function of what was found. INVALID: the load was not the load asked for, or
//! the generator shaped the figures. DEGRADED: something beside the system under test took part; the figures are honest
//! but carry it. A source that could not be read is shown as not measured and changes nothing.

use serde::Serialize;

use crate::capture::CrossCheck;
use crate::env::{Change, ClockCost, Interference};
use crate::outcome::{Class, Outcome};
use crate::plan::Load;
use crate::report::percentile;

/// The verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Validity {
    /// Every check that could be made passed.
    Valid,
    /// The figures carry something beside the system under test.
    Degraded,
    /// The figures are not a measurement of the system under test.
    Invalid,
}

/// What one check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Within its limit.
    Pass,
    /// Beyond the limit for VALID.
    Degraded,
    /// Beyond the limit for DEGRADED.
    Invalid,
    /// The source was missing.
    NotMeasured,
    /// This kind of run has nothing to check here.
    NotApplicable,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What it found.
    pub grade: Grade,
    /// The figure, in the check's own unit.
    pub value: Option<f64>,
    /// The figure and the limit in words.
    pub finding: String,
}

/// The verdict with its reasons.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// In one word.
    pub validity: Validity,
    /// Why it is not VALID, the worst first.
    pub reasons: Vec<String>,
    /// Every check.
    pub checks: Vec<Check>,
}

/// Everything that the verdict is made of.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What the engine found.
    pub outcome: &'a Outcome,
    /// What it was asked for.
    pub load: Load,
    /// What else the machine did, when the measured phase was reached.
    pub interference: Option<&'a Interference>,
    /// What changed in the environment from start to end.
    pub changes: &'a [Change],
    /// The clock.
    pub clock: &'a ClockCost,
    /// The server's figures against the kernel's, when it is local.
    pub cross_check: Option<&'a CrossCheck>,
}

/// Judges a run.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let mut checks = of_generator(evidence);
    checks.extend(of_machine(evidence));
    checks.extend(of_figures(evidence));
    let of_grade = |grade| {
        checks
            .iter()
            .filter(move |check| check.grade == grade)
            .map(|check| format!("{}: {}", check.name, check.finding))
    };
    let (invalid, degraded) = (of_grade(Grade::Invalid), of_grade(Grade::Degraded));
    let reasons: Vec<String> = invalid.chain(degraded).collect();
    let validity = if checks.iter().any(|check| check.grade == Grade::Invalid) {
        Validity::Invalid
    } else if reasons.is_empty() {
        Validity::Valid
    } else {
        Validity::Degraded
    };
    Verdict { validity, reasons, checks }
}

/// Whether the load was the load asked for.
fn of_generator(evidence: &Evidence<'_>) -> Vec<Check> {
    let outcome = evidence.outcome;
    let phase = outcome.measured.as_secs_f64();
    let mut checks = vec![
        flag("interrupted", outcome.interrupted, "the run was interrupted", Grade::Invalid),
        population(outcome),
        rising(
            "connections lost",
            Some(outcome.disconnects.values().sum::<u64>() as f64),
            [0.0, f64::INFINITY],
            "",
        ),
    ];
    let open = match evidence.load {
        Load::None => return checks,
        Load::Open { rate_per_s } => Some(rate_per_s),
        Load::Closed { .. } => None,
    };
    let busy_limits = if open.is_some() { [0.85, 0.85] } else { [0.85, f64::INFINITY] };
    let share = |part: std::time::Duration| (phase > 0.0).then(|| part.as_secs_f64() / phase);
    checks.push(rising("generator CPU", share(outcome.engine_cpu), busy_limits, "%"));
    checks.push(rising(
        "generator run-queue wait",
        share(outcome.engine_runqueue),
        [0.01, 0.05],
        "%",
    ));
    checks.push(rising(
        "generator out of buffers",
        Some(outcome.enobufs as f64),
        [0.0, f64::INFINITY],
        "",
    ));
    checks.push(rising(
        "sends that found no room",
        Some(outcome.send_queue_overflows as f64),
        [0.0, 0.0],
        "",
    ));
    match open {
        Some(rate) => checks.extend([sends(outcome), lag(outcome), gaps(outcome, rate)]),
        None => checks.extend(["sends", "lag", "send gaps"].map(|name| Check {
            name,
            grade: Grade::NotApplicable,
            value: None,
            finding: "a closed loop has no intended times".into(),
        })),
    }
    checks
}

/// What took part beside the system under test.
fn of_machine(evidence: &Evidence<'_>) -> Vec<Check> {
    let found = evidence.interference;
    let figure = |pick: fn(&Interference) -> Option<f64>| found.and_then(pick);
    let reported = [0.0, f64::INFINITY];
    let mut checks = vec![
        rising("stolen time", figure(|i| i.steal), [0.01, 0.05], "%"),
        rising("CPU pressure", figure(|i| i.cpu_pressure), [0.05, f64::INFINITY], "%"),
        rising("cgroup throttling", figure(|i| i.throttled), [0.0, 0.0], ""),
        rising("foreign CPU", figure(|i| i.foreign_cpu), [0.10, f64::INFINITY], "%"),
        rising("packets dropped (softnet)", figure(|i| i.softnet_drops), reported, ""),
        rising("TCP retransmits", figure(|i| i.retransmits), reported, ""),
        rising("listen overflows", figure(|i| i.listen_overflows), reported, ""),
    ];
    if let Some(found) = found {
        // The reason stands where the figure would.
        let names = [
            "steal",
            "cpu_pressure",
            "throttled",
            "foreign_cpu",
            "softnet_drops",
            "retransmits",
            "listen_overflows",
        ];
        for (check, name) in checks.iter_mut().zip(names) {
            if let Some(why) = found.missing.get(name) {
                check.finding.clone_from(why);
            }
        }
    }
    let changed: Vec<&str> = evidence.changes.iter().map(|change| change.fact.as_str()).collect();
    let changed_words = format!("changed during the run: {}", changed.join(", "));
    checks.push(flag("environment", !changed.is_empty(), &changed_words, Grade::Degraded));
    checks.push(clock(evidence.clock));
    checks
}

/// Whether the figures can bear what the report says with them.
fn of_figures(evidence: &Evidence<'_>) -> Vec<Check> {
    let mut checks = vec![match evidence.cross_check {
        Some(check) => {
            rising("server figures against /proc", check.disagreement(), [0.05, f64::INFINITY], "%")
        }
        None => Check {
            name: "server figures against /proc",
            grade: Grade::NotMeasured,
            value: None,
            finding: "needs the node's figures and its process on this machine".into(),
        },
    }];
    checks.extend(heartbeats(evidence.outcome));
    if evidence.load != Load::None {
        let outcome = evidence.outcome;
        checks.extend([answers(outcome), stationarity(outcome), tail(outcome)]);
    }
    checks
}

/// A figure that is better the smaller it is: within `limits[0]` passes, within `limits[1]` degrades.
fn rising(name: &'static str, value: Option<f64>, limits: [f64; 2], unit: &str) -> Check {
    let show = |figure: f64| match unit {
        "%" => format!("{:.2} %", figure * 100.0),
        "" => format!("{figure:.0}"),
        unit => format!("{figure:.1} {unit}"),
    };
    let Some(figure) = value.filter(|figure| figure.is_finite()) else {
        return Check {
            name,
            grade: Grade::NotMeasured,
            value: None,
            finding: "not measured".into(),
        };
    };
    let grade = match figure {
        _ if figure <= limits[0] => Grade::Pass,
        _ if figure <= limits[1] => Grade::Degraded,
        _ => Grade::Invalid,
    };
    let finding = format!("{} (limit {})", show(figure), show(limits[0]));
    Check { name, grade, value: Some(figure), finding }
}

fn flag(name: &'static str, raised: bool, words: &str, grade: Grade) -> Check {
    let (grade, finding) = if raised { (grade, words) } else { (Grade::Pass, "no") };
    Check { name, grade, value: None, finding: finding.into() }
}

fn population(outcome: &Outcome) -> Check {
    let (established, target) = (outcome.established, outcome.target);
    let grade = if established >= target { Grade::Pass } else { Grade::Invalid };
    let mut finding = format!("{established} of {target} established");
    let failed = outcome.login_failures.iter().max_by_key(|(_, times)| **times);
    if let Some((reason, times)) = failed.filter(|_| established < target) {
        finding.push_str(&format!("; most often: {reason} ({times} times){}", cure(reason)));
    }
    Check { name: "connections", grade, value: Some(f64::from(established)), finding }
}

/// What helps against a failure of the ramp, where it is known.
fn cure(reason: &str) -> &'static str {
    let cures = [
        ("login_timeout", ": the node is behind, use a lower --ramp"),
        ("address not available", ": more --source addresses or a wider ip_local_port_range"),
        ("goodbye: full", ": start the node with more --connections"),
        ("no answer", ": look at the node's log and load"),
        ("connection refused", ": nobody listens there"),
        ("out of memory", ": `loadgen validate` says how much is needed"),
    ];
    cures.iter().find(|(sign, _)| reason.contains(sign)).map_or("", |(_, cure)| cure)
}

/// Answers to heartbeats that come later than this after the heartbeat was due are late, in microseconds.
const BEAT_US_MAX: f64 = 1_000_000.0;

/// Punctual heartbeats are what says that neither side has fallen behind its connections.
fn heartbeats(outcome: &Outcome) -> Option<Check> {
    let times = outcome.beats.punctuality.as_ref()?;
    let late = percentile::percentile(times, 99.9).value_us?;
    Some(rising("heartbeat answers p99.9", Some(late), [BEAT_US_MAX, f64::INFINITY], "us"))
}

/// A stimulus that falls short of the one asked for makes every latency a latency of something else.
fn sends(outcome: &Outcome) -> Check {
    let share =
        if outcome.intended == 0 { 0.0 } else { outcome.sent as f64 / outcome.intended as f64 };
    let grade = if share >= 0.999 { Grade::Pass } else { Grade::Invalid };
    let finding = format!(
        "{} of {} due were sent, {:.3} % (limit 99.9 %)",
        outcome.sent,
        outcome.intended,
        share * 100.0
    );
    Check { name: "sends", grade, value: Some(share), finding }
}

/// Latencies of the answered say nothing of a system that answered only some. (Nothing sent is the business of `sends`.)
fn answers(outcome: &Outcome) -> Check {
    let share = if outcome.sent == 0 { 1.0 } else { outcome.acked as f64 / outcome.sent as f64 };
    let grade = match share {
        _ if share >= 0.999 => Grade::Pass,
        _ if share >= 0.99 => Grade::Degraded,
        _ => Grade::Invalid,
    };
    let finding = format!(
        "{} of {} sent were acknowledged, {:.3} % (limit 99.9 %)",
        outcome.acked,
        outcome.sent,
        share * 100.0
    );
    Check { name: "acknowledgements", grade, value: Some(share), finding }
}

/// A send later than this is late, in microseconds.
const LAG_US_MAX: f64 = 200.0;
/// Beyond so many times its limit, lag is no longer a blemish but the figure itself.
const LAG_INVALID_TIMES: f64 = 5.0;

/// Runs too short for a p99 are judged by a percentile that their samples can bear.
const LAG_PERCENTILES: [(f64, &str); 3] = [(99.0, "lag p99"), (90.0, "lag p90"), (50.0, "lag p50")];

fn lag(outcome: &Outcome) -> Check {
    let worst = |p: f64, pick: fn(&Class) -> &hdrhistogram::Histogram<u64>| {
        let values = outcome
            .classes
            .values()
            .filter_map(|class| percentile::percentile(pick(class), p).value_us);
        values.reduce(f64::max)
    };
    for (p, name) in LAG_PERCENTILES {
        if let Some(lag) = worst(p, |class| &class.lag) {
            let response = worst(p, |class| &class.response);
            let limit = response.map_or(LAG_US_MAX, |response| LAG_US_MAX.min(response / 10.0));
            return rising(name, Some(lag), [limit, limit * LAG_INVALID_TIMES], "us");
        }
    }
    rising("lag", None, [0.0, 0.0], "us")
}

/// The distance between the gaps seen and the constant gap asked for. Each send may be late by the lag limit, so a gap
/// counts as fitting within that much of the constant one; the distance is the largest share of gaps on one side of it.
fn gaps(outcome: &Outcome, rate_per_s: f64) -> Check {
    let gaps = &outcome.send_gaps;
    let constant = 1e9 / rate_per_s;
    let tolerance = LAG_US_MAX * 1e3;
    let distance = (!gaps.is_empty()).then(|| {
        let count = gaps.len() as f64;
        let early = match constant - tolerance {
            low if low > 1.0 => gaps.count_between(0, low as u64 - 1) as f64,
            _ => 0.0,
        };
        let high = (constant + tolerance) as u64;
        let late = if high < gaps.high() {
            gaps.count_between(high + 1, gaps.max().max(high + 1)) as f64
        } else {
            0.0
        };
        early.max(late) / count
    });
    rising("send gaps", distance, [0.05, 0.25], "%")
}

fn clock(clock: &ClockCost) -> Check {
    let ns = clock.read.as_nanos();
    let source = clock.source.as_deref().unwrap_or("unknown");
    let fine = source == "tsc" && ns < 50;
    let grade = match &clock.source {
        Some(_) if fine => Grade::Pass,
        None if ns < 50 => Grade::NotMeasured,
        _ => Grade::Degraded,
    };
    let finding = format!("source {source}, {ns} ns a reading (wanted: tsc, below 50 ns)");
    Check { name: "clock", grade, value: Some(ns as f64), finding }
}

/// Seconds of each third at the least: over fewer, the drift of a healthy run is noise.
const THIRD_S_MIN: usize = 3;

/// Acknowledgements per second in the last third against the first.
fn stationarity(outcome: &Outcome) -> Check {
    let name = "stationarity";
    let whole = outcome.measured.as_secs() as i64;
    let acked: Vec<f64> = outcome
        .series
        .iter()
        .filter(|second| (0..whole).contains(&second.t))
        .map(|second| second.acked as f64)
        .collect();
    let third = acked.len() / 3;
    if third < THIRD_S_MIN {
        let finding = format!("needs {} s of measuring, had {}", 3 * THIRD_S_MIN, acked.len());
        return Check { name, grade: Grade::NotMeasured, value: None, finding };
    }
    let (first, last): (f64, f64) =
        (acked[..third].iter().sum(), acked[acked.len() - third..].iter().sum());
    let drift = if first > 0.0 { (last / first - 1.0).abs() } else { f64::NAN };
    let mut check = rising(name, Some(drift), [0.05, f64::INFINITY], "%");
    check.finding =
        format!("acknowledgements of the last third against the first: {}", check.finding);
    check
}

/// A p99 needs a hundred samples beyond it, or the latencies have no tail to speak of.
fn tail(outcome: &Outcome) -> Check {
    let name = "tail samples";
    let samples = |class: &Class| class.response.len().max(class.delivery.len());
    if outcome.classes.values().all(|class| samples(class) == 0) {
        return flag(name, true, "no answer was measured", Grade::Invalid);
    }
    let thin = outcome.classes.iter().map(|(name, class)| (name, samples(class)));
    let thin =
        thin.filter(|(_, samples)| percentile::beyond(*samples, 99.0) < percentile::BEYOND_MIN);
    let thin: Vec<String> = thin.map(|(name, samples)| format!("{name} has {samples}")).collect();
    let words = format!("too few for a p99 (10,000 are needed): {}", thin.join(", "));
    flag(name, !thin.is_empty(), &words, Grade::Degraded)
}

#[cfg(test)]
#[path = "validity_tests.rs"]
mod tests;
