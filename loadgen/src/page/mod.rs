//! A run as one page: no network, light and dark, printable, readable without scripts.
//!
//! Made from `run.json` alone, so that an old run has a page too. What is not there is left out; nothing is judged here.

mod charts;
mod picture;

use std::fs;
use std::path::Path;

use anyhow::Context;
use minijinja::{Environment, context};
use serde_json::{Value, json};

use picture::{bytes, micros, short};

/// The page's file in a report's directory.
pub const FILE: &str = "report.html";

const TEMPLATE: &str = include_str!("template.html");

/// Percentiles of the table: those of the report that say something at a glance.
const SHOWN: [f64; 6] = [50.0, 90.0, 99.0, 99.9, 99.99, 99.999];

/// Reads `run.json`, or the one in a report's directory, and writes its page.
///
/// # Errors
/// When it cannot be read, is no run, or the page cannot be written.
pub fn write(run: &Path, out: Option<&Path>) -> anyhow::Result<std::path::PathBuf> {
    let file = if run.is_dir() { run.join("run.json") } else { run.to_owned() };
    let text = fs::read_to_string(&file).with_context(|| {
        format!("{} cannot be read: name a report's directory, or its run.json", file.display())
    })?;
    let run: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    anyhow::ensure!(
        run["schema"].is_u64() && run["run"].is_object(),
        "{} is no run of loadgen",
        file.display()
    );
    let beside = file.parent().unwrap_or_else(|| Path::new("."));
    let out = out.map_or_else(|| beside.join(FILE), Path::to_owned);
    let page = page(&run, &files(beside))?;
    fs::write(&out, page).with_context(|| format!("writing {}", out.display()))?;
    Ok(out)
}

/// What can be fetched from beside the page.
fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| name.ends_with(".hgrm") || name == "run.json" || name == "report.txt")
        .collect();
    names.sort();
    names
}

/// The page of a run.
///
/// # Errors
/// The template and the run do not go together.
pub(crate) fn page(run: &Value, files: &[String]) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.add_template("page.html", TEMPLATE)?;
    let template = environment.get_template("page.html")?;
    let verdict = &run["verdict"];
    Ok(template.render(context! {
        preset => run["offered"]["preset"],
        load => load(&run["offered"]),
        run => run["run"],
        build => build(&run["environment"]["start"]["build"]),
        machine => machine(&run["environment"]["start"]),
        verdict => verdict,
        cards => cards(run),
        slos => rows(&verdict["slo"], slo),
        classes => classes(run)?,
        heat => charts::heat(run).map(safe),
        charts => charts::over_time(run),
        disturbed => rows(&run["disturbed"], disturbed),
        ledger_words => ledger_words(&run["ledger"]),
        ledger => ledger(&run["ledger"]),
        examples => run["ledger"]["examples"],
        server => server(run),
        missing => run["server"]["missing"],
        checks => rows(&verdict["checks"], check),
        environment_diff => run["environment"]["diff"].as_array().filter(|diff| !diff.is_empty()).map(|diff| Value::from(diff.clone()).to_string()),
        environment => flat(&run["environment"]["start"]),
        command => command(&run["run"]["argv"]),
        files => files,
    })?)
}

/// Drawn here, not text of somebody else.
fn safe(svg: String) -> minijinja::Value {
    minijinja::Value::from_safe_string(svg)
}

fn rows(list: &Value, row: impl Fn(&Value) -> Value) -> Vec<Value> {
    list.as_array().into_iter().flatten().map(row).collect()
}

fn count(value: &Value) -> Option<String> {
    value.as_f64().map(crate::report::grouped)
}

fn load(offered: &Value) -> String {
    let connections = count(&offered["connections"]).unwrap_or_default();
    match (count(&offered["rate_per_s"]), count(&offered["closed_window"])) {
        (Some(rate), _) => format!("{rate} messages/s over {connections} connections"),
        (_, Some(window)) => format!("{window} outstanding over {connections} connections"),
        _ => format!("{connections} connections, no messages"),
    }
}

fn build(build: &Value) -> String {
    let revision = build["git_rev"].as_str().unwrap_or("unknown revision");
    let dirty = if build["git_dirty"] == true { ", changed" } else { "" };
    let profile = build["profile"].as_str().unwrap_or_default();
    format!("{}{dirty}, {profile} build", revision.get(..12).unwrap_or(revision))
}

fn machine(environment: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let processors = &environment["cpu"]["online"];
    let memory = environment["memory"]["total_bytes"].as_f64().map_or_else(String::new, bytes);
    let kernel = text(&environment["kernel"]["release"]);
    format!("{processors} x {}, {memory}, Linux {kernel}", text(&environment["cpu"]["model"]))
}

fn cards(run: &Value) -> Vec<Value> {
    let percentile = |class: &str| {
        let all = run["classes"][class]["delivery"]["percentiles"].as_array()?;
        all.iter().find(|p| p["p"] == 99.0)?["value_us"].as_f64().map(micros)
    };
    let per_second = |name: &str| count(&run["achieved"][name]);
    let server = |name: &str| count(&run["server"][name]);
    let cards = [
        ("connections held", count(&run["connections"]["established"])),
        ("acknowledged/s", per_second("acked_per_s")),
        ("delivered/s", per_second("delivered_per_s")),
        ("private delivery p99", percentile("private")),
        ("room delivery p99", percentile("room")),
        ("delivered per server CPU s", server("delivered_per_cpu_s")),
        (
            "system calls per message",
            run["server"]["syscalls_per_message"].as_f64().map(|calls| format!("{calls:.3}")),
        ),
        ("node bytes per connection", server("rss_per_connection_bytes")),
    ];
    let shown = cards.into_iter().filter_map(|(name, value)| Some((name, value?)));
    shown.map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn slo(slo: &Value) -> Value {
    let pass = slo["pass"] == true;
    let measured =
        slo["value"].as_f64().map(|value| match slo["unit"].as_str().unwrap_or_default() {
            "us" => micros(value),
            "bytes" => bytes(value),
            "count" => short(value),
            unit => format!("{} {unit}", short(value)),
        });
    json!({
        "text": slo["expr"],
        "measured": measured.unwrap_or_else(|| words(&slo["note"])),
        "word": if pass { "met" } else { "MISSED" },
        "class": if pass { "good" } else { "bad" },
    })
}

fn check(check: &Value) -> Value {
    let grade = check["grade"].as_str().unwrap_or_default();
    let class = match grade {
        "pass" => "good",
        "invalid" => "bad",
        "degraded" => "warn",
        _ => "soft",
    };
    json!({ "name": check["name"], "finding": check["finding"], "grade": grade, "class": class })
}

fn disturbed(row: &Value) -> Value {
    let seconds =
        |value: &Value| value.as_f64().map_or_else(|| "-".into(), |s| format!("{s:.2} s"));
    let rate = |name: &str| count(&row["acked_per_s"][name]).unwrap_or_else(|| "-".into());
    json!({
        "what": row["what"], "from": seconds(&row["from_s"]), "until": seconds(&row["until_s"]),
        "before": rate("before"), "meanwhile": rate("meanwhile"), "after": rate("after"),
    })
}

/// Each class of messages: its spectrum and its table.
fn classes(run: &Value) -> anyhow::Result<Vec<minijinja::Value>> {
    let all = run["classes"].as_object().into_iter().flatten();
    let with = all.filter(|(_, class)| class["response"]["count"].as_u64() > Some(0));
    with.map(|(name, class)| {
        let kinds = ["lag", "service", "response", "delivery"];
        let rows: Vec<Value> = kinds.iter().map(|kind| latency(kind, &class[*kind])).collect();
        Ok(context! {
            name => name,
            spectrum => charts::spectrum(name, class)?.map(safe),
            columns => SHOWN.map(|p| p.to_string()),
            rows => rows,
        })
    })
    .collect()
}

fn latency(name: &str, of: &Value) -> Value {
    let value = |p: f64| {
        let all = of["percentiles"].as_array()?;
        all.iter().find(|found| found["p"] == p)?["value_us"].as_f64().map(micros)
    };
    let us = |field: &str| of[field].as_f64().map_or_else(|| "-".into(), micros);
    json!({
        "name": name,
        "values": SHOWN.map(|p| value(p).unwrap_or_else(|| "-".into())),
        "max": us("max_us"), "mean": us("mean_us"), "count": count(&of["count"]),
    })
}

const VIOLATIONS: [&str; 5] = ["lost", "duplicate", "reordered", "corrupt", "misrouted"];

fn ledger_words(ledger: &Value) -> String {
    let of = |name: &str| count(&ledger[name]).unwrap_or_else(|| "0".into());
    let broken = VIOLATIONS.iter().any(|name| ledger[*name].as_u64() > Some(0));
    let words = if broken {
        "Promises were broken"
    } else {
        "Every acknowledged message reached every recipient once, in order and unchanged"
    };
    format!(
        "{words}: {} sent, {} acknowledged, {} deliveries, over the whole run.",
        of("sent"),
        of("acked"),
        of("delivered")
    )
}

fn ledger(ledger: &Value) -> Vec<Value> {
    let row = |name: &&str, is_bad: bool| {
        let broken = is_bad && ledger[*name].as_u64() > Some(0);
        json!({ "name": name, "value": count(&ledger[*name]), "class": if broken { "bad" } else { "" } })
    };
    let beside = ["indeterminate", "refused", "foreign"];
    VIOLATIONS
        .iter()
        .map(|name| row(name, true))
        .chain(beside.iter().map(|name| row(name, false)))
        .collect()
}

fn server(run: &Value) -> Vec<Value> {
    let server = &run["server"];
    let figure = |value: &Value| value.as_f64().map(short);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let rows = [
        ("driver", text(&server["io"])),
        ("ring", text(&server["io_flags"])),
        ("shards", count(&server["shards"])),
        (
            "store, durability",
            text(&server["store"])
                .zip(text(&server["durability"]))
                .map(|(store, durability)| format!("{store}, {durability}")),
        ),
        ("processor time", server["cpu_s"].as_f64().map(|cpu| format!("{cpu:.2} s"))),
        (
            "of one processor",
            run["window"]["server_utilisation"]
                .as_f64()
                .map(|share| format!("{:.1} %", share * 100.0)),
        ),
        ("acknowledged per CPU second", count(&server["acked_per_cpu_s"])),
        ("delivered per CPU second", count(&server["delivered_per_cpu_s"])),
        ("system calls per message", figure(&server["syscalls_per_message"])),
        ("completions per enter", figure(&server["cqes_per_enter"])),
        ("memory at the start", server["rss_start_bytes"].as_f64().map(bytes)),
        ("memory at the end of the hold", server["rss_bytes"].as_f64().map(bytes)),
        ("memory per connection", server["rss_per_connection_bytes"].as_f64().map(bytes)),
        (
            "kernel memory per connection, both ends",
            run["capacity"]["memory"]["kernel_per_connection_bytes"].as_f64().map(bytes),
        ),
        ("messages per commit", figure(&run["durable"]["messages_per_commit"]["mean"])),
    ];
    let shown = rows.into_iter().filter_map(|(name, value)| Some((name, value?)));
    shown.map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// A tree of facts as rows `a.b.c`.
fn flat(value: &Value) -> Vec<Value> {
    fn walk(name: &str, value: &Value, out: &mut Vec<Value>) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    let name =
                        if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                    walk(&name, value, out);
                }
            }
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                out.push(json!({ "name": name, "value": words(value) }));
            }
        }
    }
    let mut out = Vec::new();
    walk("", value, &mut out);
    out
}

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The command line, as a shell takes it.
fn command(argv: &Value) -> String {
    let quote = |word: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) {
            word.to_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    let words = argv.as_array().into_iter().flatten().filter_map(Value::as_str);
    words.map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
