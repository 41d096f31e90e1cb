//! A comparison as a whole: what is refused, what is found, what the pages say.

use serde_json::Value;

use super::*;
use crate::stored::sample::run;

fn side(name: &str, factor: f64, alter: fn(&mut Value)) -> Side {
    let runs = [1.0, 1.004, 0.996, 1.002, 0.998];
    Side { name: name.into(), runs: runs.map(|noise| run(1e5 * factor * noise, alter)).to_vec() }
}

fn compared(factor: f64, alter: fn(&mut Value), terms: &Terms) -> Result<Comparison, Refusal> {
    compare(side("old", 1.0, |_| {}), side("<new>", factor, alter), terms)
}

#[track_caller]
fn refused(alter: fn(&mut Value), because: &str) {
    let refusal = compared(1.0, alter, &Terms::default()).unwrap_err();
    assert_eq!(refusal.exit, Exit::Invalid);
    assert!(refusal.reason.to_string().contains(because), "{}", refusal.reason);
}

#[test]
fn a_slower_side_is_worse_and_ends_with_a_regression() {
    let found = compared(0.8, |_| {}, &Terms::default()).unwrap();
    assert_eq!(found.verdict, Word::Worse);
    assert_eq!(exits(&found, true), [Exit::Regression]);
    assert_eq!(Exit::strongest(&exits(&found, false)).status(), 6);
    let faster = compared(1.25, |_| {}, &Terms::default()).unwrap();
    assert_eq!((faster.verdict, exits(&faster, true)), (Word::Better, vec![]));
}

#[test]
fn equal_sides_are_equivalent_and_of_one_run_inconclusive() {
    let equal = compared(1.0, |_| {}, &Terms::default()).unwrap();
    assert_eq!((equal.verdict, exits(&equal, true)), (Word::Equivalent, vec![]));
    let one = |name: &str| Side { name: name.into(), runs: vec![run(1e5, |_| {})] };
    let single = compare(one("a"), one("b"), &Terms::default()).unwrap();
    assert!(single.notes[0].contains("single run"), "{:?}", single.notes);
    assert_eq!((exits(&single, false), exits(&single, true)), (vec![], vec![Exit::Inconclusive]));
}

#[test]
fn lost_messages_outrank_whatever_the_figures_say() {
    let found = compared(1.5, |document| document["ledger"]["lost"] = 1.into(), &Terms::default());
    assert_eq!(exits(&found.unwrap(), false), [Exit::Delivery]);
}

#[test]
fn what_was_measured_otherwise_is_refused_by_name_and_allowed_by_name() {
    let kernel: fn(&mut Value) =
        |document| document["environment"]["start"]["kernel"]["release"] = "7.0".into();
    refused(kernel, "kernel.release: \"6.18\"; \"7.0\"");
    refused(|document| document["offered"]["connections"] = 10.into(), "--allow-env");
    let terms = Terms { allowed: vec!["kernel".into()], ..Terms::default() };
    let found = compared(1.0, kernel, &terms).unwrap();
    assert!(found.notes[0].contains("kernel.release differs"), "{:?}", found.notes);
    assert!(found.to_text().contains("ALLOWED") && found.to_html().contains("allowed by hand"));
}

#[test]
fn invalid_runs_are_refused_or_left_out_loudly() {
    let spoil: fn(&mut Value) = |document| {
        document["verdict"]["validity"] = "INVALID".into();
        document["verdict"]["reasons"] = serde_json::json!(["lag p99: 900 us"]);
    };
    refused(spoil, "lag p99");
    let with = |invalid| {
        let mut second = side("new", 1.0, |_| {});
        second.runs.push(run(1e5, spoil));
        compare(side("old", 1.0, |_| {}), second, &Terms { invalid, ..Terms::default() })
    };
    assert!(with(InvalidRuns::Refuse).is_err());
    let excluded = with(InvalidRuns::Exclude).unwrap();
    assert_eq!(excluded.sides[1].len(), 5);
    assert!(excluded.notes[0].contains("left out: sample is INVALID"), "{:?}", excluded.notes);
    assert_eq!(with(InvalidRuns::Include).unwrap().sides[1].len(), 6);
}

#[test]
fn declared_metrics_alone_are_tested() {
    let metrics = vec![metrics::parse("acked_per_s").unwrap()];
    let found = compared(0.8, |_| {}, &Terms { metrics, ..Terms::default() }).unwrap();
    assert_eq!(found.findings.len(), 1);
    assert!(found.others.iter().all(|other| other.verdict.is_none()));
    let metrics = vec![metrics::parse("syscalls_per_message").unwrap()];
    let refusal = compared(1.0, |_| {}, &Terms { metrics, ..Terms::default() }).unwrap_err();
    assert_eq!(refusal.exit, Exit::Usage, "it was not measured");
    assert!(metrics::parse("speed").unwrap_err().contains("delivered_per_s"));
}

#[test]
fn no_more_metrics_are_tested_than_five_runs_bear() {
    let found = compared(1.0, |_| {}, &Terms::default()).unwrap();
    assert_eq!(found.findings.len(), PRIMARY_MAX);
    assert!(found.others.iter().any(|other| other.metric == "acked_per_s"));
}

#[test]
fn the_page_is_whole_and_takes_no_word_for_markup() {
    let found = compared(0.9, |_| {}, &Terms::default()).unwrap();
    let page = found.to_html();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.contains("&lt;new&gt;") && !page.contains("<new>"));
    for foreign in ["<script", "http://", "https://", "NaN", "inf"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn the_text_and_the_json_say_the_same() {
    let found = compared(0.8, |_| {}, &Terms::default()).unwrap();
    let text = found.to_text();
    assert!(text.contains("WORSE") && text.ends_with("verdict: worse\n"), "{text}");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["findings"][0]["metric"], "delivered_per_s");
    assert_eq!(json["findings"][0]["verdict"], "worse");
    assert_eq!(json["verdict"], "worse");
    assert!(json.get("sides").is_none());
}
