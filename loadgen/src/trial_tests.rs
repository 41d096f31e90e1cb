//! A run with an engine that follows a script: the order of phases, the report's files, the exit status.

use std::path::Path;
use std::sync::atomic::Ordering;

use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};
use crate::plan::Grant;
use crate::sample;

struct NoGrants;

impl GrantSource for NoGrants {
    fn request(&mut self, _index: u32) {}

    fn poll(&mut self) -> Option<Result<Grant, (u32, String)>> {
        None
    }
}

fn well(plan: &Plan, _: &mut dyn GrantSource, watch: &Watch) -> std::io::Result<Outcome> {
    for phase in
        [Phase::Ramp, Phase::Warmup, Phase::Measured, Phase::Drain, Phase::Close, Phase::Done]
    {
        watch.enter(phase);
    }
    watch.established.store(plan.connections, Ordering::Relaxed);
    Ok(sample::outcome(|outcome| {
        outcome.target = plan.connections;
        outcome.established = plan.connections;
    }))
}

fn losing(plan: &Plan, grants: &mut dyn GrantSource, watch: &Watch) -> std::io::Result<Outcome> {
    let mut outcome = well(plan, grants, watch)?;
    outcome.ledger.lost = 1;
    Ok(outcome)
}

fn short_of_one(
    plan: &Plan,
    grants: &mut dyn GrantSource,
    watch: &Watch,
) -> std::io::Result<Outcome> {
    let mut outcome = well(plan, grants, watch)?;
    outcome.established -= 1;
    Ok(outcome)
}

fn broken(_: &Plan, _: &mut dyn GrantSource, watch: &Watch) -> std::io::Result<Outcome> {
    watch.enter(Phase::Done);
    Err(std::io::Error::other("no ring"))
}

fn run(
    engine: Engine,
    directory: &Path,
    words: &[&str],
    require_valid: bool,
) -> Result<Exit, Refusal> {
    let fixed = ["loadgen", "local", "--quiet", "--report"].map(Into::into).into_iter();
    let line = fixed.chain([directory.as_os_str().to_owned()]).chain(words.iter().map(Into::into));
    let Command::Local(args) = Cli::try_parse_from(line).unwrap().command else {
        panic!("it is `local`")
    };
    let trial = Trial {
        args: &args.load,
        offer: Offer::new(&args.load, 1).unwrap(),
        login: "direct",
        layout: Vec::new(),
        grants: Box::new(NoGrants),
        probe: None,
        processes: Vec::new(),
        data: None,
        require_valid,
        watch: Arc::default(),
        engine,
        disturbance: None,
    };
    trial.run().map(|found| Exit::strongest(&found))
}

#[test]
fn a_run_without_a_blemish_passes_and_leaves_its_report() {
    let directory = tempfile::tempdir().unwrap();
    let exit =
        run(well, directory.path(), &["--slo", "delivery.p99 < 5ms", "--slo", "lost == 0"], false);
    assert_eq!(exit.unwrap(), Exit::Pass);
    let json = std::fs::read_to_string(directory.path().join("run.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verdict"]["slo"][1]["pass"], true);
    assert_eq!(json["server"]["cpu_s"], serde_json::Value::Null);
    assert!(directory.path().join("private-response-us.hgrm").exists());
}

#[test]
fn what_is_found_decides_the_exit_status() {
    let directory = tempfile::tempdir().unwrap();
    let exit =
        |engine: Engine, words: &[&str]| run(engine, directory.path(), words, false).unwrap();
    assert_eq!(exit(well, &["--slo", "logins_per_s > 1M"]), Exit::SloMissed);
    assert_eq!(exit(losing, &["--slo", "lost == 0"]), Exit::Delivery);
    assert_eq!(exit(short_of_one, &["--slo", "lost > 0"]), Exit::Ramp);
}

#[test]
fn validity_counts_only_where_it_is_required() {
    let directory = tempfile::tempdir().unwrap();
    // A connection short is INVALID whatever the machine does meanwhile.
    assert_eq!(run(short_of_one, directory.path(), &[], false).unwrap(), Exit::Ramp);
    assert_eq!(run(short_of_one, directory.path(), &[], true).unwrap(), Exit::Invalid);
}

#[test]
fn an_engine_that_cannot_run_is_an_error_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let refusal = run(broken, directory.path(), &[], false).unwrap_err();
    assert_eq!(refusal.exit, Exit::Internal);
    assert!(format!("{:#}", refusal.reason).contains("no ring"));
}

#[test]
fn a_report_that_cannot_be_written_says_where_to_put_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let refusal = run(well, &file, &[], false).unwrap_err();
    assert!(format!("{:#}", refusal.reason).contains("--report"), "{:#}", refusal.reason);
}
