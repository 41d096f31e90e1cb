//! The report as others read it: the fields of `run.json`, the headline's rule, the files.

use std::time::{Duration, UNIX_EPOCH};

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::capture::CrossCheck;
use crate::cli::{Cli, Command};
use crate::sample::{class, outcome};
use crate::slo::Unit;

fn report(alter: impl FnOnce(&mut Report)) -> Report {
    let Command::Local(args) = Cli::try_parse_from(["loadgen", "local"]).unwrap().command else {
        panic!("it is `local`")
    };
    let mut environment = Environment::default();
    environment.set("kernel.release", "6.18.0");
    let mut report = Report {
        offer: Offer::new(&args.load, 0xABCD).unwrap(),
        argv: vec!["loadgen".into(), "local".into()],
        started: UNIX_EPOCH + Duration::from_secs(1),
        login: "gateway",
        layout: vec!["shards on processor 0, the generator on 1".into()],
        outcome: outcome(|_| {}),
        server: ServerFigures {
            io: Some("uring".into()),
            shards: Some(1),
            cpu_s: Some(2.0),
            rss_bytes: Some(4e7),
            rss_start_bytes: Some(3e7),
            rss_per_connection_bytes: Some(300.0),
            delivered_per_cpu_s: Some(50_000.0),
            cross_check: Some(CrossCheck {
                node_cpu_s: 2.0,
                proc_cpu_s: 2.0,
                node_rss_bytes: 4e7,
                proc_rss_bytes: 4e7,
            }),
            ..ServerFigures::default()
        },
        durable: None,
        capacity: None,
        disturbed: Vec::new(),
        server_series: Vec::new(),
        environment_start: environment.clone(),
        environment_end: environment,
        interference: Some(Interference::default()),
        verdict: Verdict { validity: Validity::Valid, reasons: Vec::new(), checks: Vec::new() },
        slo: vec![SloResult {
            expr: "delivery.p99 < 5ms".into(),
            value: Some(1_980.0),
            unit: Unit::Us,
            pass: true,
            note: None,
        }],
    };
    alter(&mut report);
    report
}

/// Every path of a document with its type, lists by their first element, in order.
fn structure(name: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(field, value)| structure(&format!("{name}.{field}"), value, out));
        }
        Value::Array(items) => match items.first() {
            Some(item) => structure(&format!("{name}[]"), item, out),
            None => out.push(format!("{name}[]")),
        },
        Value::Null => out.push(format!("{name}: null")),
        Value::Bool(_) => out.push(format!("{name}: bool")),
        Value::Number(_) => out.push(format!("{name}: number")),
        Value::String(_) => out.push(format!("{name}: string")),
    }
}

/// What other programs read. A field that goes or changes its type breaks them: raise the schema's number then.
const PROMISED: &[&str] = &[
    ".schema: number",
    ".verdict.validity: string",
    ".verdict.reasons[]",
    ".verdict.slo[].expr: string",
    ".verdict.slo[].value: number",
    ".verdict.slo[].pass: bool",
    ".verdict.correctness: string",
    ".connections.target: number",
    ".connections.established: number",
    ".connections.logins_per_s: number",
    ".achieved.sent_per_s: number",
    ".achieved.acked_per_s: number",
    ".achieved.delivered_per_s: number",
    ".classes.private.lag.percentiles[].p: number",
    ".classes.private.lag.percentiles[].value_us: number",
    ".classes.private.service.percentiles[].value_us: number",
    ".classes.private.response.percentiles[].value_us: number",
    ".classes.private.delivery.percentiles[].value_us: number",
    ".classes.private.delivery.percentiles[].n_beyond: number",
    ".classes.private.delivery.hdr_v2_ns_b64: string",
    ".ledger.sent: number",
    ".ledger.acked: number",
    ".ledger.delivered: number",
    ".ledger.lost: number",
    ".ledger.duplicate: number",
    ".ledger.reordered: number",
    ".ledger.corrupt: number",
    ".ledger.misrouted: number",
    ".ledger.indeterminate: number",
    ".generator.engine: string",
    ".server.io: string",
    ".server.shards: number",
    ".server.cpu_s: number",
    ".server.rss_bytes: number",
    ".server.rss_start_bytes: number",
    ".server.rss_per_connection_bytes: number",
    ".server.delivered_per_cpu_s: number",
    ".server.syscalls_per_message: null",
    ".environment.start.kernel.release: string",
    ".environment.diff[]",
    ".offered.rate_per_s: number",
    ".run.argv[]: string",
    ".series[].t_s: number",
];

#[test]
fn the_promised_fields_are_there_with_their_types() {
    let mut found = Vec::new();
    structure("", &report(|_| {}).to_json(), &mut found);
    for promised in PROMISED {
        assert!(
            found.iter().any(|field| field == promised),
            "{promised} is missing from {found:#?}"
        );
    }
}

#[test]
fn the_histograms_within_are_those_of_the_run() {
    use base64::Engine as _;
    let report = report(|_| {});
    let json = report.to_json();
    let text = json["classes"]["private"]["service"]["hdr_v2_ns_b64"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let mut reader = hdrhistogram::serialization::Deserializer::new();
    let read: Histogram<u64> = reader.deserialize(&mut bytes.as_slice()).unwrap();
    assert_eq!(read, report.outcome.classes["private"].service);
}

#[test]
fn a_percentile_without_a_tail_is_null_and_reads_na() {
    let report = report(|report| {
        let mut room = class(1_000);
        room.delivery = Histogram::new(3).unwrap();
        room.delivery.record_n(5_000, 150).unwrap();
        report.outcome.classes.insert("room".into(), room);
    });
    let json = report.to_json();
    let p99 = &json["classes"]["room"]["delivery"]["percentiles"][2];
    assert_eq!((&p99["p"], &p99["value_us"]), (&Value::from(99.0), &Value::Null));
    assert!(report.to_table().contains("n/a"));
}

#[test]
fn an_invalid_run_has_no_headline() {
    let headline = report(|_| {}).headline().unwrap();
    assert!(headline.starts_with("1,000 connections held, 10,000 deliveries/s"), "{headline}");
    assert!(report(|_| {}).to_table().ends_with(&format!("{headline}\n")));
    let invalid = report(|report| {
        report.verdict.validity = Validity::Invalid;
        report.verdict.reasons.push("lag p99: 5000.0 us (limit 200.0 us)".into());
    });
    assert_eq!(invalid.headline(), None);
    assert_eq!(invalid.to_json()["verdict"]["headline"], Value::Null);
    let table = invalid.to_table();
    assert!(table.contains("verdict: INVALID") && table.contains("lag p99: 5000.0 us"), "{table}");
    assert!(!table.contains("connections held"), "{table}");
    let degraded = report(|report| report.verdict.validity = Validity::Degraded);
    assert!(degraded.headline().unwrap().contains("degraded"));
}

#[test]
fn violations_are_shown_one_by_one() {
    let report = report(|report| {
        report.outcome.ledger.lost = 1;
        report.outcome.violations.push("lost: sender 4, stream 2, seq 17".into());
    });
    assert!(is_delivery_violated(&report.outcome));
    assert_eq!(report.to_json()["verdict"]["correctness"], "violated");
    assert!(report.to_table().contains("lost: sender 4, stream 2, seq 17"));
}

#[test]
fn the_files_lie_in_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("new/run");
    let files = report(|_| {}).write(&below).unwrap();
    let names: Vec<String> =
        files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(
        names,
        [
            "run.json",
            "report.txt",
            "private-lag-us.hgrm",
            "private-service-us.hgrm",
            "private-response-us.hgrm",
            "private-delivery-us.hgrm",
            "report.html"
        ]
    );
    let json: Value = serde_json::from_str(&fs::read_to_string(&files[0]).unwrap()).unwrap();
    assert_eq!(json["run"]["id"], "000000000000abcd");
}

#[test]
fn every_figure_that_an_objective_can_name_is_provided() {
    let figures = figures(&outcome(|_| {}), &ServerFigures::default(), None);
    for figure in crate::slo::FIGURES {
        assert!(figures.contains_key(figure.name), "{} is not provided", figure.name);
    }
    assert_eq!(figures.len(), crate::slo::FIGURES.len());
}
