//! Several runs as a shell makes them: in turns, compared again from what they left, and exported.
//!
//! What is asserted is what was made and said, never how fast: one run a side can tell nothing, and must say so.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const SMALL: &str = "local --connections 20 --ramp 500/s --rate 200/s --warmup 0s --duration 300ms --login direct \
                     --store memory --durability none";

fn loadgen(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .current_dir(directory)
        .args(args)
        .output()
        .expect("the program runs")
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn runs_made_in_turns_are_compared_kept_compared_again_and_exported() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let epoll = format!("{SMALL} --io epoll");
    let words = ["compare", "--vs", SMALL, "--vs", &epoll, "--runs", "1", "--out", "kept"];
    let made =
        loadgen(path, &[&words[..], &["--invalid", "include", "--html", "page.html"]].concat());
    let text = said(&made);
    assert_eq!(made.status.code(), Some(0), "{text}");
    assert!(text.contains("single run") && text.contains("inconclusive: too few runs"), "{text}");
    assert!(text.contains("compared system.io: first \"uring\" second \"epoll\""), "{text}");
    let page = std::fs::read_to_string(path.join("page.html")).expect("a page");
    assert!(page.contains("</html>"));

    // The same from what was kept, as JSON; and required to tell, which it cannot.
    let stored = ["compare", "kept/001-first", "--with", "kept/002-second", "--invalid", "include"];
    let again = loadgen(path, &[&stored[..], &["--json", "--require-conclusive"]].concat());
    assert_eq!(again.status.code(), Some(7), "{}", said(&again));
    let json: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(json["findings"][0]["metric"], "delivered_per_s");
    assert_eq!(json["findings"][0]["verdict"], "inconclusive");

    // The page is not overwritten, and nothing is run for it in vain.
    let refused = loadgen(path, &[&stored[..], &["--html", "page.html"]].concat());
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("--force"));

    for (format, sign) in [
        ("hgrm", "#[Mean"),
        ("hlog", "Tag=private.delivery"),
        ("csv", "private,response,"),
        ("series", "t_s,intended"),
        ("openmetrics", "# EOF"),
    ] {
        let exported = loadgen(path, &["export", "kept/001-first", "--format", format]);
        assert_eq!(exported.status.code(), Some(0), "{}", said(&exported));
        assert!(said(&exported).contains(sign), "{format}: {}", said(&exported));
    }
}

#[test]
fn a_report_is_not_overwritten_unless_that_is_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let kept = directory.path().join("kept");
    std::fs::create_dir(&kept).expect("a directory");
    std::fs::write(kept.join("run.json"), "{}").expect("a file");
    let words: Vec<&str> = SMALL.split_whitespace().chain(["--report", "kept"]).collect();
    let refused = loadgen(directory.path(), &words);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("kept is there already"), "{}", said(&refused));
    assert_eq!(std::fs::read_to_string(kept.join("run.json")).expect("a file"), "{}");
    let forced = loadgen(directory.path(), &[&words[..], &["--force"]].concat());
    assert_eq!(forced.status.code(), Some(0), "{}", said(&forced));
    assert!(std::fs::read_to_string(kept.join("run.json")).expect("a file").contains("schema"));
}

#[test]
fn what_cannot_be_compared_searched_or_swept_is_refused_before_anything_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = |words: &str, because: &str| {
        let output = loadgen(directory.path(), &words.split_whitespace().collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{words}: {}", said(&output));
        assert!(said(&output).contains(because), "{words}: {}", said(&output));
    };
    refused("compare none --with nothing", "holds no run");
    refused("compare none", "--with");
    refused("compare --vs local", "twice");
    refused("compare --vs local --vs selftest", "begins with `local`");
    refused("compare none --with nothing --metric speed", "is not known");
    refused("search -- local", "--slo");
    refused("search --slo lost==0 -- local --rate 5/s", "leave --rate out");
    refused("search --slo lost==0 --from 9k --to 5k -- local", "exchange them");
    refused("sweep --axis connections -- local", "connections=1k,10k");
    refused("sweep --axis speed=1,2 -- local", "--speed");
    refused("calibrate check none.json", "calibrate record");
    refused("export none --format csv", "none");
}
