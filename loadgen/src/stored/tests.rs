//! What is read of a report, and what is refused.

use serde_json::json;

use super::sample::{document, run};
use super::*;

#[test]
fn facts_have_dotted_names_and_leave_out_what_moves() {
    let facts = run(1e5, |_| {}).facts();
    assert_eq!(facts["kernel.release"], "6.18");
    assert_eq!(facts["offered.connections"], 1000);
    assert_eq!(facts["offered.login"], "direct");
    assert_eq!(facts["system.io"], "uring");
    assert!(!facts.keys().any(|name| name.starts_with("now") || name.starts_with("missing")));
}

#[test]
fn latencies_of_classes_are_merged() {
    let run = run(1e5, |document| {
        let class = document["classes"]["private"].clone();
        document["classes"]["room"] = class;
    });
    assert_eq!(run.latencies["delivery"].len(), 400_000);
    assert_eq!(run.classes.len(), 2);
}

#[test]
fn a_class_that_is_much_slower_than_the_first_is_merged_too() {
    let run = run(1e5, |fast| {
        fast["classes"]["room"] = document(1e5, 3e7, 3.0)["classes"]["private"].clone();
    });
    assert!(run.latencies["delivery"].max() > 25_000_000_000, "thirty seconds are in it");
}

#[test]
fn what_is_no_report_is_refused_with_its_reason() {
    let refused = |document| format!("{:#}", StoredRun::new("x".into(), document).unwrap_err());
    assert!(refused(json!({})).contains("no report"));
    assert!(refused(json!({ "schema": 99 })).contains("schema 99"));
    let mut broken = document(1e5, 1e3, 1.0);
    broken["classes"]["private"]["delivery"]["hdr_v2_ns_b64"] = "AAAA".into();
    assert!(refused(broken).contains("cut short"));
}

#[test]
fn a_directory_is_a_run_or_holds_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    assert!(format!("{:#}", runs_in(path).unwrap_err()).contains("holds no run"));
    assert!(format!("{:#}", runs_in(&path.join("none")).unwrap_err()).contains("--report"));
    for name in ["b", "a"] {
        fs::create_dir(path.join(name)).unwrap();
        fs::write(path.join(name).join("run.json"), document(1e5, 1e3, 1.0).to_string()).unwrap();
    }
    assert_eq!(runs_in(path).unwrap(), [path.join("a"), path.join("b")]);
    assert_eq!(runs_in(&path.join("a")).unwrap(), [path.join("a")]);
    let run = StoredRun::read(&path.join("a")).unwrap();
    assert_eq!(run.number("/achieved/measured_s"), Some(3.0));
    assert_eq!((run.violations(), run.is_invalid()), (0, false));
}
