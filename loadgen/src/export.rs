//! `loadgen export`: a stored run in the formats of other tools. Owns their wording; reads only `run.json`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::cli::{ExportArgs, ExportFormat};
use crate::compare::metrics::METRICS;
use crate::exit::{Exit, Refusal};
use crate::report::directory::is_taken;
use crate::report::hgrm;
use crate::report::percentile::{REPORTED, percentile};
use crate::stored::StoredRun;

/// Exports a run to a file or to standard output.
///
/// # Errors
/// When the run cannot be read, has not what is asked for, or the file is there already.
pub fn run(args: &ExportArgs) -> Result<Vec<Exit>, Refusal> {
    if let Some(path) = args.out.as_ref().filter(|path| is_taken(path) && !args.force) {
        return Err(Refusal::usage(format!(
            "{} is there already: name another file with --out, or overwrite it with --force",
            path.display()
        )));
    }
    let run = StoredRun::read(&args.run).map_err(|error| Refusal::usage(format!("{error:#}")))?;
    let text = match args.format {
        ExportFormat::Hgrm => hgrm::text(chosen(&run, args)?),
        ExportFormat::Hlog => hlog(&run)?,
        ExportFormat::Csv => csv(&run),
        ExportFormat::Series => series(&run),
        ExportFormat::Openmetrics => openmetrics(&run),
    };
    match &args.out {
        Some(path) => std::fs::write(path, text)
            .with_context(|| format!("{}: name another file with --out", path.display()))?,
        None => print!("{text}"),
    }
    Ok(Vec::new())
}

/// The one histogram that a format without names can hold.
fn chosen<'a>(run: &'a StoredRun, args: &ExportArgs) -> Result<&'a Histogram<u64>, Refusal> {
    let found = match &args.class {
        Some(class) => run.classes.get(&(class.clone(), args.kind.clone())),
        None => run.latencies.get(&args.kind),
    };
    found.ok_or_else(|| {
        let names: Vec<String> =
            run.classes.keys().map(|(class, kind)| format!("{class} {kind}")).collect();
        Refusal::usage(format!(
            "this run has no such latency: choose --class and --kind among {}",
            names.join(", ")
        ))
    })
}

/// The interval log of HdrHistogram, in nanoseconds: one interval, the measured phase, for each class and kind.
fn hlog(run: &StoredRun) -> anyhow::Result<String> {
    let mut out = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let comment = format!("run {} started {}", run.text("/run/id"), run.text("/run/started"));
    let length = Duration::try_from_secs_f64(run.number("/achieved/measured_s").unwrap_or(0.0))
        .unwrap_or_default();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment(&comment).with_max_value_divisor(1e6);
    let mut log = builder.begin_log_with(&mut out, &mut serializer).context("the log's head")?;
    for ((class, kind), histogram) in run.classes.iter().filter(|(_, h)| !h.is_empty()) {
        let name = format!("{class}.{kind}");
        log.write_histogram(histogram, Duration::ZERO, length, Tag::new(&name))
            .map_err(|error| anyhow::anyhow!("the histogram {name}: {error:?}"))?;
    }
    drop(log);
    String::from_utf8(out).context("the log is text")
}

/// A row for each percentile of each class and kind; empty where too few samples lie beyond.
fn csv(run: &StoredRun) -> String {
    let mut out = String::from("class,kind,count,percentile,value_us,n_beyond\n");
    for ((class, kind), histogram) in &run.classes {
        for p in REPORTED {
            let found = percentile(histogram, p);
            let value = found.value_us.map(|value| value.to_string()).unwrap_or_default();
            let (count, beyond) = (histogram.len(), found.n_beyond);
            put(&mut out, format_args!("{},{kind},{count},{p},{value},{beyond}\n", cell(class)));
        }
    }
    out
}

/// The columns of the run's seconds.
const SERIES: [&str; 6] = ["t_s", "intended", "sent", "acked", "delivered", "connections"];

/// A row for each second of the run.
fn series(run: &StoredRun) -> String {
    let mut out = SERIES.join(",") + "\n";
    for second in run.document["series"].as_array().into_iter().flatten() {
        let cells = SERIES.map(|name| {
            let number = second[name].as_number();
            number.map(ToString::to_string).unwrap_or_default()
        });
        put(&mut out, format_args!("{}\n", cells.join(",")));
    }
    out
}

/// Quoted where it must be.
pub(crate) fn cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// OpenMetrics text: latencies as summaries in seconds, figures as gauges, the ledger's kinds as gauges of a run that has
/// ended.
fn openmetrics(run: &StoredRun) -> String {
    let mut out = String::new();
    let id = label(run.text("/run/id"));
    out.push_str(
        "# TYPE loadgen_latency_seconds summary\n# UNIT loadgen_latency_seconds seconds\n",
    );
    out.push_str("# HELP loadgen_latency_seconds Latencies by class and kind.\n");
    for ((class, kind), histogram) in &run.classes {
        let labels = format!("run=\"{id}\",class=\"{}\",kind=\"{}\"", label(class), label(kind));
        for p in REPORTED {
            if let Some(us) = percentile(histogram, p).value_us {
                // Rounded, so that 99.9 % is 0.999.
                let (quantile, seconds) = ((p * 1e4).round() / 1e6, us / 1e6);
                let name = "loadgen_latency_seconds";
                put(
                    &mut out,
                    format_args!("{name}{{{labels},quantile=\"{quantile}\"}} {seconds}\n"),
                );
            }
        }
        let count = histogram.len();
        let sum = if count == 0 { 0.0 } else { histogram.mean() * count as f64 / 1e9 };
        put(&mut out, format_args!("loadgen_latency_seconds_count{{{labels}}} {count}\n"));
        put(&mut out, format_args!("loadgen_latency_seconds_sum{{{labels}}} {sum}\n"));
    }
    let mut gauge = |name: &str, words: &str, value: f64| {
        put(
            &mut out,
            format_args!(
                "# TYPE loadgen_{name} gauge\n# HELP loadgen_{name} {words}\nloadgen_{name}{{run=\"{id}\"}} {value}\n"
            ),
        );
    };
    for metric in METRICS {
        if let Some(value) = (metric.read)(run) {
            gauge(metric.name, metric.words, value);
        }
    }
    for (name, value) in run.document["ledger"].as_object().into_iter().flatten() {
        if let Some(count) = value.as_f64() {
            gauge(&format!("ledger_{name}"), "Messages of the ledger, over the whole run.", count);
        }
    }
    out + "# EOF\n"
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Writing to a String cannot fail.
fn put(out: &mut String, part: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::stored::sample;

    fn run() -> StoredRun {
        sample::run(1e5, |document| {
            document["series"] =
                serde_json::json!([{ "t_s": -1, "sent": 5 }, { "t_s": 0, "sent": 9 }]);
        })
    }

    #[test]
    fn the_interval_log_gives_the_histograms_again() {
        use base64::Engine as _;
        let (run, text) = (run(), hlog(&run()).unwrap());
        let entries = IntervalLogIterator::new(text.as_bytes()).map(Result::unwrap);
        let found = entries.filter_map(|entry| {
            if let LogEntry::Interval(found) = entry { Some(found) } else { None }
        });
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].tag().unwrap().as_str(), "private.delivery");
        assert_eq!(found[0].duration(), Duration::from_secs(3));
        let engine = base64::engine::general_purpose::STANDARD;
        let bytes = engine.decode(found[0].encoded_histogram()).unwrap();
        let again: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(again, run.latencies["delivery"]);
    }

    #[test]
    fn tables_have_a_row_for_each_percentile_and_each_second() {
        let table = csv(&run());
        assert_eq!(table.lines().count(), 1 + REPORTED.len());
        assert!(
            table.lines().nth(3).unwrap().starts_with("private,delivery,200000,99,"),
            "{table}"
        );
        // Two of 200,000 lie beyond 99.999 %: no figure.
        assert!(table.ends_with(",99.999,,2\n"), "{table}");
        assert_eq!(series(&run()).lines().nth(1), Some("-1,,5,,,"));
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    }

    #[test]
    fn openmetrics_end_as_they_must_and_name_their_units() {
        let text = openmetrics(&run());
        assert!(text.ends_with("# EOF\n"));
        assert!(text.contains("kind=\"delivery\",quantile=\"0.999\"}"), "{text}");
        assert!(text.contains(
            "loadgen_latency_seconds_count{run=\"00\",class=\"private\",kind=\"delivery\"} 200000"
        ));
        assert!(text.contains("\nloadgen_delivered_per_s{run=\"00\"} 100000\n"), "{text}");
        assert!(text.contains("loadgen_ledger_lost{run=\"00\"} 0"));
        let families = text.lines().filter(|line| line.starts_with("# TYPE"));
        let unique: std::collections::BTreeSet<&str> = families.clone().collect();
        assert_eq!(unique.len(), families.count(), "a family is described once");
    }

    #[test]
    fn a_latency_that_is_not_there_is_named_with_those_that_are() {
        let args = |class: Option<&str>, kind: &str| ExportArgs {
            run: "x".into(),
            format: ExportFormat::Hgrm,
            class: class.map(str::to_owned),
            kind: kind.into(),
            out: None,
            force: false,
        };
        let run = run();
        assert!(chosen(&run, &args(None, "delivery")).is_ok());
        assert!(chosen(&run, &args(Some("private"), "delivery")).is_ok());
        let refusal = chosen(&run, &args(Some("room"), "lag")).unwrap_err();
        assert!(refusal.reason.to_string().contains("private delivery"), "{}", refusal.reason);
    }
}
