//! The instrument is right: every scripted fault is reported, each exactly as often as it was done.

use loadgen::exit::Exit;
use loadgen::selftest::{Scale, selftest};

#[test]
fn every_scripted_fault_is_reported_exactly() {
    let report = selftest(Scale::Short).expect("the engine and its reference server run");
    assert!(report.is_passed(), "\n{report}");
    assert_eq!(report.exit(), Exit::Pass);
}
