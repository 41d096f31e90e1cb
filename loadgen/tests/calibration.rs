//! The comparison's own false alarms, on runs that were really made: `calibration/series.json`, which
//! `loadgen calibrate record` writes. Replacing that file is all that a new recording needs.

use loadgen::calibrate::replay;
use loadgen::calibrate::series::Series;

/// Series that are drawn from the drift of the one recorded.
const SIMULATED: usize = 2_000;

#[test]
fn false_alarms_on_recorded_runs_are_within_the_level() {
    let series = Series::parse(include_str!("calibration/series.json")).expect("a series");
    let found = replay::calibrate(&series, SIMULATED).expect("it is long enough");
    println!("{}\n{}", series.head.name, found.to_text());
    assert_eq!(found.replayed.windows, series.runs.len() - replay::WINDOW + 1);
    assert_eq!(found.simulated.windows, SIMULATED);
    assert!(found.replayed.is_within_level(), "{}", found.to_text());
    assert!(found.simulated.is_within_level(), "{}", found.to_text());
}
