//! The page of a run that has everything, of one that has nothing, and of one that tries to write into it.

use serde_json::json;

use super::*;

fn run() -> Value {
    json!({
        "schema": 1,
        "run": { "id": "1", "started": "now", "seed": 1, "layout": ["here"], "interrupted": false,
                 "argv": ["loadgen", "local", "--slo", "delivery.p99 < 5ms"] },
        "offered": { "preset": "pairs", "connections": 10_000, "rate_per_s": 10_000.0, "warmup_s": 1.0 },
        "verdict": { "validity": "INVALID", "correctness": "clean", "headline": null, "reasons": ["lag"], "checks": [
            { "name": "lag p99", "finding": "1 ms", "grade": "invalid" } ], "slo": [] },
        "series": [
            { "t_s": -1, "intended": 5, "sent": 5, "acked": 5, "delivered": 5, "connections": 10_000 },
            { "t_s": 0, "intended": 9, "sent": 9, "acked": 9, "delivered": 9, "connections": 10_000,
              "response_us": [[100, 7], [2_000, 2]] } ],
        "disturbed": [{ "what": "mysql:freeze", "from_s": 0.2, "until_s": 0.8,
                        "acked_per_s": { "before": 5.0, "meanwhile": null, "after": 9.0 } }],
        "ledger": { "sent": 14, "acked": 14, "delivered": 14, "lost": 0 },
    })
}

#[test]
fn everything_that_is_there_is_shown() {
    let page = page(&run(), &["run.json".into()]).unwrap();
    for part in [
        "banner INVALID",
        "10,000 messages&#x2f;s over 10,000 connections",
        "class=\"heat\"",
        "Messages over time",
        "mysql:freeze",
        "loadgen local --slo &#x27;delivery.p99 &lt; 5ms&#x27;",
        "href=\"run.json\"",
        "lag p99",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    // The one address in it is a name that is never fetched.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    let fetches = ["http://", "https://", "src=", "@import", "url("];
    assert!(fetches.iter().all(|fetch| !page.contains(fetch)), "it needs no network");
}

#[test]
fn a_run_without_figures_has_a_page_too() {
    let page =
        page(&json!({ "schema": 1, "run": {}, "verdict": { "validity": "VALID" } }), &[]).unwrap();
    assert!(page.contains("banner VALID") && !page.contains("<svg"), "{page}");
}

#[test]
fn what_a_run_says_cannot_become_part_of_the_page() {
    let mut run = run();
    let bad = "</td><script>alert(1)</script>\"><img src=x>";
    run["verdict"]["reasons"] = json!([bad]);
    run["disturbed"][0]["what"] = bad.into();
    run["run"]["argv"] = json!([bad]);
    run["ledger"]["examples"] = json!([bad]);
    run["environment"] = json!({ "start": { "cpu": { "model": bad } } });
    let page = page(&run, &[bad.into()]).unwrap();
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
}

#[test]
fn what_is_no_run_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |text: &str| {
        fs::write(directory.path().join("run.json"), text).unwrap();
        format!("{:#}", write(directory.path(), None).unwrap_err())
    };
    assert!(refused("{").contains("no JSON") && refused("[]").contains("no run"));
    assert!(
        format!("{:#}", write(&directory.path().join("none"), None).unwrap_err())
            .contains("run.json")
    );
}
