//! The statistics against scipy: `stats/make_fixture.py` asked it, `stats/fixture.json` holds what it said.

use loadgen::stats::distribution::{Curves, Weighted};
use loadgen::stats::{Estimate, bootstrap, equivalence, holm, mann_whitney, normal, paired};
use loadgen::stats::{permutation, two_sample};
use serde_json::Value;

/// What arithmetic in another order may differ by.
const EQUAL: f64 = 1e-9;

fn cases(name: &str) -> Vec<Value> {
    let fixture: Value =
        serde_json::from_str(include_str!("stats/fixture.json")).expect("the fixture is JSON");
    let cases = fixture[name].as_array().expect("it has these cases").clone();
    assert!(!cases.is_empty(), "{name} has cases");
    cases
}

fn numbers(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().expect("a list");
    numbers.iter().map(|number| number.as_f64().expect("a number")).collect()
}

#[track_caller]
fn check(found: f64, case: &Value, name: &str) {
    let expected = case[name].as_f64().expect(name);
    let scale = expected.abs().max(1.0);
    assert!((found - expected).abs() <= EQUAL * scale, "{name}: {found}, scipy says {case:#}");
}

#[track_caller]
fn check_estimate(found: &Estimate, case: &Value) {
    check(found.median, case, "median");
    check(found.low, case, "low");
    check(found.high, case, "high");
    check(found.coverage, case, "coverage");
}

#[test]
fn the_rank_sum_test_is_that_of_scipy_with_and_without_ties() {
    for case in cases("two_samples") {
        let (first, second) = (numbers(&case["first"]), numbers(&case["second"]));
        let found = mann_whitney::test(&first, &second).expect("two samples");
        let expected = &case["mann_whitney"];
        assert_eq!(Some(found.is_exact), expected["is_exact"].as_bool(), "{}", case["name"]);
        check(found.u, expected, "u");
        check(found.p_less, expected, "p_less");
        check(found.p_greater, expected, "p_greater");
        check(found.p, expected, "p");
    }
}

#[test]
fn the_shift_of_two_samples_and_its_interval_agree() {
    for case in cases("two_samples") {
        let (first, second) = (numbers(&case["first"]), numbers(&case["second"]));
        check_estimate(&two_sample::shift(&first, &second).expect("a shift"), &case["shift"]);
    }
}

#[test]
fn the_shift_of_pairs_and_its_interval_agree() {
    for case in cases("paired") {
        let found = paired::hodges_lehmann(&numbers(&case["differences"])).expect("pairs");
        check_estimate(&found, &case);
    }
}

#[test]
fn equivalence_is_two_one_sided_tests() {
    for case in cases("equivalence") {
        let (first, second) = (numbers(&case["first"]), numbers(&case["second"]));
        let margin = case["margin"].as_f64().expect("a margin");
        let found = equivalence::test(&first, &second, margin).expect("two samples");
        check(found.p_low, &case, "p_low");
        check(found.p_high, &case, "p_high");
        check(found.p, &case, "p");
    }
}

#[test]
fn several_tests_are_corrected_as_holm_says() {
    for case in cases("holm") {
        let found = holm::adjust(&numbers(&case["p"]));
        for (found, expected) in found.iter().zip(numbers(&case["adjusted"])) {
            assert!((found - expected).abs() < EQUAL, "{case:#}");
        }
    }
}

#[test]
fn the_normal_distribution_is_right_far_out_too() {
    for case in cases("normal") {
        let z = case["z"].as_f64().expect("a point");
        for (found, name) in [(normal::below(z), "below"), (normal::above(z), "above")] {
            let expected = case[name].as_f64().expect(name);
            assert!((found / expected - 1.0).abs() < 1e-12, "{name} {z}: {found}, {expected}");
        }
    }
}

#[test]
fn shapes_are_as_far_apart_and_as_likely_so_by_chance() {
    for case in cases("shapes") {
        let runs = |side: &str| -> Vec<Weighted> {
            let runs = case[side].as_array().expect("runs");
            let run = |run: &Value| Weighted::new(numbers(run).into_iter().map(|value| (value, 1)));
            runs.iter().map(|values| run(values).expect("a run")).collect()
        };
        let (first, second) = (runs("first"), runs("second"));
        let (one, other) = (first.len(), second.len());
        let all: Vec<Weighted> = first.into_iter().chain(second).collect();
        let curves = Curves::new(&all);
        let in_second: Vec<bool> = (0..all.len()).map(|at| at >= one).collect();
        let found = curves.distances(&in_second);
        check(found.vertical, &case, "vertical");
        check(found.area, &case, "area");
        let mut random = fastrand::Rng::with_seed(1);
        let p =
            permutation::test(one, other, &mut random, |dealt| curves.distances(dealt).vertical);
        check(p, &case, "p");
    }
}

#[test]
fn blocks_of_one_are_the_ordinary_bootstrap() {
    for case in cases("bootstrap") {
        let series = numbers(&case["series"]);
        let mut random = fastrand::Rng::with_seed(1);
        let (low, high) = bootstrap::interval(&series, 1, &mut random).expect("a series");
        let ends = ["low", "high"].map(|end| case[end].as_f64().expect(end));
        // Both are drawn at random; the second has no value nearer than a tenth of the width to the next.
        let near = (ends[1] - ends[0]) / 8.0;
        assert!((low - ends[0]).abs() < near && (high - ends[1]).abs() < near, "{low} {high}");
    }
}
