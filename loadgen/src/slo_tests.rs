//! The objectives' language, told by examples.

use super::*;

fn classes(name: &str, delivery_us: impl Iterator<Item = u64>) -> BTreeMap<String, Class> {
    let empty = || Histogram::new(3).unwrap();
    let mut delivery = empty();
    delivery_us.for_each(|us| delivery.record(us * 1_000).unwrap());
    let class = Class { lag: empty(), service: empty(), response: empty(), delivery };
    BTreeMap::from([(name.to_owned(), class)])
}

fn figures(entries: &[(&'static str, f64)]) -> Figures {
    entries.iter().map(|(name, value)| (*name, Some(*value))).collect()
}

#[track_caller]
fn judge(expr: &str) -> (bool, Option<f64>) {
    let classes = classes("private", 1..=10_000);
    let figures = figures(&[
        ("lost", 0.0),
        ("logins_per_s", 4_900.0),
        ("rss_per_connection_bytes", 600.0),
        ("delivered_per_cpu_s", 60_000.0),
    ]);
    let result = expr.parse::<Slo>().unwrap().judge(&classes, &figures);
    (result.pass, result.value)
}

#[track_caller]
fn refused(expr: &str, because: &str) {
    let error = expr.parse::<Slo>().expect_err("it should be refused").to_string();
    assert!(error.contains(because), "{error}");
}

#[test]
fn latencies_compare_in_the_unit_that_is_written() {
    let p99 = judge("delivery.p99 < 10ms");
    assert!(p99.0, "{p99:?}");
    assert!((p99.1.unwrap() / 9_900.0 - 1.0).abs() < 0.002, "{p99:?}");
    assert!(!judge("delivery.p99<9000us").0);
    assert!(judge("delivery.p99 <= 1s").0);
    assert!(judge("delivery.max >= 10 ms").0);
    assert!(judge("delivery.mean > 4ms").0);
    assert!(judge("private.delivery.p50 < 6ms").0);
}

#[test]
fn a_dot_within_a_percentile_is_part_of_it() {
    let slo: Slo = "response.p99.9<=20ms".parse().unwrap();
    assert_eq!(
        slo.metric,
        Metric::Latency { class: None, kind: Kind::Response, at: At::Percentile(99.9) }
    );
    assert_eq!(slo.limit, 20_000.0);
}

#[test]
fn figures_compare_bare_or_with_their_unit() {
    assert_eq!(judge("lost == 0"), (true, Some(0.0)));
    assert_eq!(judge("lost=0"), (true, Some(0.0)));
    assert_eq!(judge("lost != 0"), (false, Some(0.0)));
    assert_eq!(judge("logins_per_s > 1000"), (true, Some(4_900.0)));
    assert_eq!(judge("logins_per_s > 5k/s"), (false, Some(4_900.0)));
    assert_eq!(judge("rss_per_connection_bytes < 512"), (false, Some(600.0)));
    assert_eq!(judge("server.rss_per_connection_bytes < 1KiB"), (true, Some(600.0)));
    assert_eq!(judge("delivered_per_cpu_s >= 60000"), (true, Some(60_000.0)));
    assert_eq!(judge("delivered_per_cpu_s >= 60_001"), (false, Some(60_000.0)));
}

#[test]
fn what_was_not_measured_does_not_pass() {
    let none = BTreeMap::new();
    let unmeasured = "cpu_s < 5".parse::<Slo>().unwrap().judge(&none, &Figures::new());
    assert!(!unmeasured.pass && unmeasured.value.is_none() && unmeasured.note.is_some());
    let few = classes("room", 1..=50);
    let tail = "delivery.p99 < 1s".parse::<Slo>().unwrap().judge(&few, &Figures::new());
    assert!(!tail.pass && tail.note.unwrap().contains("fewer than 100"));
    let class = "private.delivery.max < 1s".parse::<Slo>().unwrap().judge(&few, &Figures::new());
    assert!(class.note.unwrap().contains("room"));
    let empty = "lag.p50 < 1s".parse::<Slo>().unwrap().judge(&few, &Figures::new());
    assert!(!empty.pass);
}

#[test]
fn several_classes_are_merged_and_not_averaged() {
    let mut both = classes("private", std::iter::repeat_n(1_000, 900));
    both.extend(classes("room", std::iter::repeat_n(9_000, 100)));
    let slo: Slo = "delivery.p50 < 2ms".parse().unwrap();
    let result = slo.judge(&both, &Figures::new());
    assert!(result.pass, "{result:?}");
}

#[test]
fn errors_say_what_would_be_right() {
    refused("delivery.p99", "no comparison");
    refused("delivery.p99 < 5", "needs a unit: us, ms or s");
    refused("delivery.p99 < fast", "does not begin with a number");
    refused("delivery.p99 <", "limit is missing");
    refused("delivery.p200 < 5ms", "between 0 and 100");
    refused("delivery.q99 < 5ms", "`q99` is not known");
    refused("delivery < 5ms", "which part");
    refused("latency.p99 < 5ms", "the metric `latency.p99` is not known");
    refused("lost < 5ms", "does not fit");
    refused("lost ! 5", "`!` alone");
    refused("rss_bytes < infMiB", "does not begin with a number");
    refused("", "no comparison");
}
