//! Every check of the verdict, once passing and once failing.

use std::time::Duration;

use super::*;
use crate::outcome::Second;
use crate::sample::{class, constant, even, outcome};

struct Scene {
    outcome: Outcome,
    load: Load,
    interference: Interference,
    changes: Vec<Change>,
    clock: ClockCost,
    cross_check: CrossCheck,
}

fn quiet() -> Scene {
    Scene {
        outcome: outcome(|_| {}),
        load: Load::Open { rate_per_s: 10_000.0 },
        interference: Interference {
            steal: Some(0.0),
            cpu_pressure: Some(0.01),
            throttled: Some(0.0),
            foreign_cpu: Some(0.02),
            softnet_drops: Some(0.0),
            retransmits: Some(0.0),
            listen_overflows: Some(0.0),
            ..Interference::default()
        },
        changes: Vec::new(),
        clock: ClockCost { source: Some("tsc".into()), read: Duration::from_nanos(25) },
        cross_check: CrossCheck {
            node_cpu_s: 4.0,
            proc_cpu_s: 4.1,
            node_rss_bytes: 5e7,
            proc_rss_bytes: 5e7,
        },
    }
}

fn verdict_of(alter: impl FnOnce(&mut Scene)) -> Verdict {
    let mut scene = quiet();
    alter(&mut scene);
    judge(&Evidence {
        outcome: &scene.outcome,
        load: scene.load,
        interference: Some(&scene.interference),
        changes: &scene.changes,
        clock: &scene.clock,
        cross_check: Some(&scene.cross_check),
    })
}

/// One thing is spoilt: the verdict is as said and names the check.
#[track_caller]
fn spoilt(name: &str, validity: Validity, alter: impl FnOnce(&mut Scene)) {
    let verdict = verdict_of(alter);
    assert_eq!(verdict.validity, validity, "{:?}", verdict.reasons);
    assert!(verdict.reasons.iter().any(|reason| reason.starts_with(name)), "{:?}", verdict.reasons);
}

/// One thing is at its limit: all is well.
#[track_caller]
fn fine(alter: impl FnOnce(&mut Scene)) {
    let verdict = verdict_of(alter);
    assert_eq!(verdict.validity, Validity::Valid, "{:?}", verdict.reasons);
    assert_eq!(verdict.reasons, Vec::<String>::new());
}

#[test]
fn a_quiet_run_is_valid_and_every_check_was_made() {
    let verdict = verdict_of(|_| {});
    assert_eq!(verdict.validity, Validity::Valid, "{:?}", verdict.reasons);
    assert!(verdict.checks.iter().all(|check| check.grade == Grade::Pass), "{:?}", verdict.checks);
    assert_eq!(verdict.checks.len(), 23);
}

#[test]
fn the_sends_must_be_those_that_were_due() {
    fine(|scene| scene.outcome.sent = 99_900);
    spoilt("sends", Validity::Invalid, |scene| scene.outcome.sent = 99_899);
    spoilt("sends", Validity::Invalid, |scene| scene.outcome.intended = 0);
    fine(|scene| scene.outcome.send_queue_overflows = 0);
    spoilt("sends that found no room", Validity::Invalid, |scene| {
        scene.outcome.send_queue_overflows = 1
    });
}

#[test]
fn lag_is_bounded_by_itself_and_by_the_response() {
    let with_lag = |lag_us, response_us| {
        move |scene: &mut Scene| {
            let mut private = class(response_us);
            private.lag = even(lag_us);
            scene.outcome.classes.insert("private".into(), private);
        }
    };
    fine(with_lag(190, 10_000));
    spoilt("lag p99", Validity::Degraded, with_lag(300, 10_000));
    spoilt("lag p99", Validity::Invalid, with_lag(1_100, 20_000));
    spoilt("lag p99", Validity::Degraded, with_lag(190, 1_000));
    let short = |scene: &mut Scene| {
        let mut private = class(10_000);
        private.lag = hdrhistogram::Histogram::new(3).unwrap();
        private.lag.record_n(1_500_000, 5_000).unwrap();
        scene.outcome.classes.insert("private".into(), private);
    };
    spoilt("lag p90", Validity::Invalid, short);
}

#[test]
fn gaps_must_follow_the_law() {
    let with_gaps = |late| {
        move |scene: &mut Scene| {
            let mut gaps = constant(100_000);
            gaps.record_n(1_000_000, late).unwrap();
            scene.outcome.send_gaps = gaps;
        }
    };
    fine(with_gaps(5_000));
    spoilt("send gaps", Validity::Degraded, with_gaps(6_000));
    spoilt("send gaps", Validity::Invalid, with_gaps(60_000));
    let early = |scene: &mut Scene| {
        scene.load = Load::Open { rate_per_s: 1_000.0 };
        scene.outcome.send_gaps = constant(1_000_000);
        scene.outcome.send_gaps.record_n(10_000, 60_000).unwrap();
    };
    spoilt("send gaps", Validity::Invalid, early);
}

#[test]
fn the_generator_must_have_had_its_processor_and_time_to_spare() {
    fine(|scene| scene.outcome.engine_cpu = Duration::from_millis(8_500));
    spoilt("generator CPU", Validity::Invalid, |scene| {
        scene.outcome.engine_cpu = Duration::from_millis(8_501)
    });
    spoilt("generator CPU", Validity::Degraded, |scene| {
        scene.load = Load::Closed { window: 256 };
        scene.outcome.engine_cpu = Duration::from_secs(9);
    });
    // A deliberate spin is no load.
    fine(|scene| scene.outcome.engine_spin = Duration::from_secs(6));
    fine(|scene| scene.outcome.engine_runqueue = Duration::from_millis(100));
    let waited =
        |ms| move |scene: &mut Scene| scene.outcome.engine_runqueue = Duration::from_millis(ms);
    spoilt("generator run-queue wait", Validity::Degraded, waited(101));
    spoilt("generator run-queue wait", Validity::Invalid, waited(501));
    spoilt("generator out of buffers", Validity::Degraded, |scene| scene.outcome.enobufs = 1);
}

#[test]
fn the_connections_must_be_there_and_stay() {
    spoilt("connections", Validity::Invalid, |scene| scene.outcome.established = 999);
    spoilt("connections lost", Validity::Degraded, |scene| {
        scene.outcome.disconnects.insert("reset".into(), 1);
    });
    spoilt("interrupted", Validity::Invalid, |scene| scene.outcome.interrupted = true);
}

#[test]
fn other_uses_of_the_machine_degrade() {
    fine(|scene| scene.interference.steal = Some(0.01));
    spoilt("stolen time", Validity::Degraded, |scene| scene.interference.steal = Some(0.011));
    spoilt("stolen time", Validity::Invalid, |scene| scene.interference.steal = Some(0.06));
    fine(|scene| scene.interference.cpu_pressure = Some(0.05));
    spoilt("CPU pressure", Validity::Degraded, |scene| {
        scene.interference.cpu_pressure = Some(0.06)
    });
    spoilt("cgroup throttling", Validity::Invalid, |scene| {
        scene.interference.throttled = Some(1.0)
    });
    fine(|scene| scene.interference.foreign_cpu = Some(0.1));
    spoilt("foreign CPU", Validity::Degraded, |scene| scene.interference.foreign_cpu = Some(0.11));
    spoilt("packets dropped", Validity::Degraded, |scene| {
        scene.interference.softnet_drops = Some(1.0)
    });
    spoilt("TCP retransmits", Validity::Degraded, |scene| {
        scene.interference.retransmits = Some(1.0)
    });
    spoilt("listen overflows", Validity::Degraded, |scene| {
        scene.interference.listen_overflows = Some(1.0)
    });
}

#[test]
fn a_missing_source_is_shown_and_changes_nothing() {
    let verdict = verdict_of(|scene| {
        scene.interference.cpu_pressure = None;
        scene.interference.missing.insert("cpu_pressure", "no /proc/pressure".into());
    });
    assert_eq!(verdict.validity, Validity::Valid);
    let check = verdict.checks.iter().find(|check| check.name == "CPU pressure").unwrap();
    assert_eq!((check.grade, check.finding.as_str()), (Grade::NotMeasured, "no /proc/pressure"));
}

#[test]
fn the_environment_must_not_change() {
    spoilt("environment", Validity::Degraded, |scene| {
        let fact = "cpu.governor".to_owned();
        scene.changes.push(Change { fact, start: "performance".into(), end: "powersave".into() });
    });
}

#[test]
fn the_clock_must_be_cheap_and_a_counter() {
    fine(|scene| scene.clock.read = Duration::from_nanos(49));
    spoilt("clock", Validity::Degraded, |scene| scene.clock.read = Duration::from_nanos(50));
    spoilt("clock", Validity::Degraded, |scene| scene.clock.source = Some("hpet".into()));
    fine(|scene| scene.clock.source = None);
}

#[test]
fn the_servers_figures_must_agree_with_the_kernels() {
    fine(|scene| scene.cross_check.proc_cpu_s = 4.3);
    spoilt("server figures", Validity::Degraded, |scene| scene.cross_check.proc_cpu_s = 5.0);
    spoilt("server figures", Validity::Degraded, |scene| scene.cross_check.proc_rss_bytes = 9e7);
}

#[test]
fn the_first_and_the_last_third_must_be_alike() {
    let last_third = |acked| {
        move |scene: &mut Scene| {
            for second in &mut scene.outcome.series[7..] {
                second.acked = acked;
            }
        }
    };
    fine(last_third(10_400));
    spoilt("stationarity", Validity::Degraded, last_third(9_000));
    // The ramp and the drain are no part of it.
    fine(|scene| scene.outcome.series.insert(0, Second { t: -1, ..Second::default() }));
    let short = verdict_of(|scene| scene.outcome.measured = Duration::from_secs(5));
    let check = short.checks.iter().find(|check| check.name == "stationarity").unwrap();
    assert_eq!(check.grade, Grade::NotMeasured);
}

#[test]
fn what_is_not_answered_is_named() {
    fine(|scene| scene.outcome.acked = 99_900);
    spoilt("acknowledgements", Validity::Degraded, |scene| scene.outcome.acked = 99_899);
    spoilt("acknowledgements", Validity::Invalid, |scene| scene.outcome.acked = 36_810);
}

#[test]
fn a_tail_needs_samples() {
    let with_room = |samples| {
        move |scene: &mut Scene| {
            let mut room = class(1_000);
            for histogram in [&mut room.response, &mut room.delivery] {
                histogram.reset();
            }
            room.response.record_n(1_000_000, 500).unwrap();
            room.delivery.record_n(1_000_000, samples).unwrap();
            scene.outcome.classes.insert("room".into(), room);
        }
    };
    fine(with_room(10_000));
    spoilt("tail samples", Validity::Degraded, with_room(9_999));
    spoilt("tail samples", Validity::Invalid, |scene| scene.outcome.classes.clear());
}

#[test]
fn silence_has_no_stimulus_to_check() {
    let verdict = verdict_of(|scene| {
        scene.load = Load::None;
        scene.outcome.classes.clear();
        scene.outcome.intended = 0;
        scene.outcome.sent = 0;
    });
    assert_eq!(verdict.validity, Validity::Valid, "{:?}", verdict.reasons);
}

#[test]
fn the_worst_reason_comes_first() {
    let verdict = verdict_of(|scene| {
        scene.interference.retransmits = Some(3.0);
        scene.outcome.sent = 0;
    });
    assert_eq!(verdict.validity, Validity::Invalid);
    assert!(verdict.reasons[0].starts_with("sends"), "{:?}", verdict.reasons);
    assert!(verdict.reasons[1].starts_with("TCP retransmits"), "{:?}", verdict.reasons);
}
