//! `tuning plan`, `apply` and `rollback`.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use serde::Serialize;

use super::table::{aligned, cut};
use super::{Format, cell, json, plan_words, wrapped};
use crate::apply::{Applied, Back};
use crate::catalogue;
use crate::cli::Choice;
use crate::finding::{Change, Plan};

#[derive(Serialize)]
struct PlanReport<'r> {
    schema: &'static str,
    plan: &'r Plan,
    changes: &'r [Change],
    left: Vec<LeftReport<'r>>,
}

#[derive(Serialize)]
struct LeftReport<'r> {
    id: &'r str,
    why: &'r str,
}

pub(crate) fn plan(plan: &Plan, choice: &Choice, format: Format) -> io::Result<String> {
    let Choice { changes, left } = choice;
    match format {
        Format::Json => {
            let left = left.iter().map(|(id, why)| LeftReport { id, why }).collect();
            json(&PlanReport { schema: "ringline.tuning.plan/1", plan, changes, left })
        }
        Format::Markdown => {
            let mut out = format!("## Plan for {}\n\n", plan_words(plan));
            out +=
                "| setting | file | is | will be | risk | affects |\n|---|---|---|---|---|---|\n";
            for change in changes {
                let (risk, scope) = about(change);
                // A String takes all.
                let _ = writeln!(
                    out,
                    "| `{}` | `{}` | {} | {} | {risk} | {scope} |",
                    change.id,
                    change.path,
                    cell(&change.from),
                    cell(&change.to)
                );
            }
            for (id, why) in left {
                let _ = writeln!(out, "\n- not changed: `{id}`: {why}"); // a String takes all
            }
            Ok(out)
        }
        Format::Text { .. } => Ok(plan_text(plan, changes, left)),
    }
}

fn about(change: &Change) -> (&'static str, &'static str) {
    catalogue::find(&change.id)
        .map_or(("?", "?"), |setting| (setting.risk.label(), setting.scope.as_str()))
}

fn plan_text(plan: &Plan, changes: &[Change], left: &[(&str, String)]) -> String {
    let mut out = format!("Plan for {}\n\n", plan_words(plan));
    if changes.is_empty() {
        out += "Nothing to change.\n";
    } else {
        let header = ["setting", "is", "will be", "risk", "affects"].map(str::to_owned).to_vec();
        let rows = changes.iter().map(|change| {
            let (risk, scope) = about(change);
            let words =
                |text: &str| cut(&text.split_whitespace().collect::<Vec<_>>().join(" "), 32);
            vec![
                change.id.clone(),
                words(&change.from),
                words(&change.to),
                risk.to_owned(),
                scope.to_owned(),
            ]
        });
        out += &aligned(std::iter::once(header).chain(rows));
        let mut last = "";
        for change in changes.iter().filter(|change| {
            let is_new = change.id != last;
            last = &change.id;
            is_new
        }) {
            if let Some(setting) = catalogue::find(&change.id) {
                let _ = write!(out, "\n{}\n", change.id); // a String takes all
                out += &wrapped(&format!("why: {}", setting.why), "  ");
                out += &wrapped(&format!("not when: {}", setting.not_when), "  ");
            }
        }
    }
    if !left.is_empty() {
        out += "\nNot changed by tuning apply:\n";
        for (id, why) in left {
            out += &wrapped(why, &format!("  {id}: "));
        }
    }
    if !changes.is_empty() {
        out += "\nTo do it: tuning apply (with --for 10m it takes itself back unless you say tuning confirm)\n";
    }
    out
}

#[derive(Serialize)]
struct AppliedReport<'r> {
    schema: &'static str,
    journal: &'r str,
    wrote: Vec<WroteReport<'r>>,
    taken_back_after_s: Option<f64>,
}

#[derive(Serialize)]
struct WroteReport<'r> {
    #[serde(flatten)]
    change: &'r Change,
    became: &'r str,
}

pub(crate) fn applied(
    applied: &Applied,
    time: Option<Duration>,
    format: Format,
) -> io::Result<String> {
    if format == Format::Json {
        let wrote =
            applied.wrote.iter().map(|(change, became)| WroteReport { change, became }).collect();
        let taken_back_after_s = time.map(|time| time.as_secs_f64());
        return json(&AppliedReport {
            schema: "ringline.tuning.apply/1",
            journal: &applied.id,
            wrote,
            taken_back_after_s,
        });
    }
    let mut out = format!(
        "\n{} written, each read back. Journal {}\n",
        count(applied.wrote.len(), "value"),
        applied.id
    );
    for (change, became) in
        applied.wrote.iter().filter(|(change, became)| !change.form.is_same(&change.to, became))
    {
        let line = format!("{}: the kernel made {:?} of {:?}", change.path, became, change.to);
        out += &wrapped(&line, "  ");
    }
    match time {
        Some(time) => {
            let _ =
                writeln!(out, "taken back in {} s unless you say: tuning confirm", time.as_secs()); // a String takes all
        }
        None => {
            out += "to take it back: tuning rollback; to keep it over a restart: tuning plan --persist DIR\n"
        }
    }
    Ok(out)
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[derive(Serialize)]
struct BackReport<'r> {
    schema: &'static str,
    journals: &'r [String],
    #[serde(flatten)]
    back: &'r Back,
}

pub(crate) fn back(journals: &[String], back: &Back, format: Format) -> io::Result<String> {
    if format == Format::Json {
        return json(&BackReport { schema: "ringline.tuning.rollback/1", journals, back });
    }
    if journals.is_empty() {
        return Ok("Nothing is in force that this tool has written.\n".to_owned());
    }
    Ok(format!("{}: {}\n", journals.join(", "), back_words(back)))
}

/// What came of a rollback, in words.
pub(crate) fn back_words(back: &Back) -> String {
    let mut out = format!("{} as before", count(back.restored.len(), "value"));
    for left in &back.drifted {
        let found =
            left.found.as_deref().map_or_else(String::new, |found| format!(" is {found:?}:"));
        let _ = write!(
            out,
            "\n  left {}:{found} {} (--force takes it back all the same)",
            left.path, left.why
        ); // a String takes all
    }
    for left in &back.failed {
        let _ = write!(out, "\n  NOT BACK {}: {}", left.path, left.why); // a String takes all
    }
    out
}

/// What a refused write means for whoever wanted it.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    let kind = error.kind();
    if kind == io::ErrorKind::ReadOnlyFilesystem {
        "read-only, as in a container: change it on the host, or have the container's engine do it"
    } else if kind == io::ErrorKind::PermissionDenied {
        "run as root, in the machine's own namespaces"
    } else if kind == io::ErrorKind::NotFound {
        "it is gone"
    } else {
        "see tuning explain"
    }
}
