//! `tuning check`.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;

use super::table::{aligned, cut};
use super::{Format, cell, json, label, wrapped};
use crate::finding::{Finding, Plan, Status, Summary};
use crate::value::grouped;

#[derive(Serialize)]
struct Report<'r> {
    schema: &'static str,
    plan: &'r Plan,
    findings: &'r [Finding],
    summary: Summary,
    exit: u8,
}

/// The plan in words.
pub(crate) fn plan_words(plan: &Plan) -> String {
    let kind = if plan.direct_descriptors { "direct" } else { "process" };
    format!(
        "{} connections, {} messages/s, profile {}, {kind} descriptors",
        grouped(plan.connections),
        grouped(plan.rate),
        plan.profile.label()
    )
}

pub(crate) fn check(
    plan: &Plan,
    findings: &[Finding],
    exit: u8,
    format: Format,
    all: bool,
) -> io::Result<String> {
    let summary = Summary::of(findings.iter().map(|finding| finding.status));
    match format {
        Format::Json => {
            json(&Report { schema: "ringline.tuning.check/2", plan, findings, summary, exit })
        }
        Format::Markdown => Ok(markdown(plan, findings, summary)),
        Format::Text { colour } => Ok(text(plan, findings, summary, exit, colour, all)),
    }
}

fn is_quiet(status: Status) -> bool {
    matches!(status, Status::Ok | Status::Unsupported)
}

fn text(
    plan: &Plan,
    findings: &[Finding],
    summary: Summary,
    exit: u8,
    colour: bool,
    all: bool,
) -> String {
    let mut out = format!("Host check for {}\n\n", plan_words(plan));
    let shown: Vec<&Finding> =
        findings.iter().filter(|finding| all || !is_quiet(finding.status)).collect();
    let header = ["setting", "is", "wanted"].map(str::to_owned).to_vec();
    let row = |finding: &&Finding| {
        vec![finding.id.to_owned(), cut(&finding.current, 52), cut(&finding.wanted, 40)]
    };
    let table = aligned(std::iter::once(header).chain(shown.iter().map(row)));
    let labels = std::iter::once("").chain(shown.iter().map(|finding| finding.status.label()));
    if !shown.is_empty() {
        for (status, line) in labels.zip(table.lines()) {
            let _ = writeln!(out, "{} {line}", label(status, 7, colour)); // a String takes all
        }
    }
    if !all {
        for (status, name) in [(Status::Ok, "ok"), (Status::Unsupported, "not on this machine")] {
            let ids: Vec<&str> = findings
                .iter()
                .filter(|finding| finding.status == status)
                .map(|finding| finding.id)
                .collect();
            if !ids.is_empty() {
                let prefix = format!("{} {name}: ", label("", 7, false));
                out += &wrapped(&ids.join(", "), &prefix);
            }
        }
    }
    for finding in findings.iter().filter(|finding| !is_quiet(finding.status)) {
        let _ = write!(out, "\n{} {}\n", label(finding.status.label(), 0, colour), finding.id); // a String takes all
        out += &wrapped(&finding.note, "     ");
        if !finding.todo.is_empty() {
            out += &wrapped(finding.why, "     ");
        }
        for step in &finding.todo {
            out += &wrapped(step, "   > ");
        }
    }
    let _ = write!(out, "\n{}. Exit code {exit}. More: tuning explain ID", summary.words()); // a String takes all
    if findings.iter().any(|finding| !finding.changes.is_empty()) {
        out += "; what would be changed: tuning plan";
    }
    out + "\n"
}

fn markdown(plan: &Plan, findings: &[Finding], summary: Summary) -> String {
    let mut out = format!("## Host check\n\n{}. {}.\n\n", plan_words(plan), summary.words());
    out += "| | setting | is | wanted | what follows |\n|---|---|---|---|---|\n";
    for finding in findings {
        // A String takes all.
        let _ = writeln!(
            out,
            "| {} | `{}` | {} | {} | {} |",
            finding.status.label(),
            finding.id,
            cell(&finding.current),
            cell(&finding.wanted),
            cell(&finding.note)
        );
    }
    let todo = findings.iter().filter(|finding| !finding.todo.is_empty());
    for (index, finding) in todo.enumerate() {
        if index == 0 {
            out += "\n### To do\n\n";
        }
        let _ = writeln!(out, "- `{}`: {}", finding.id, finding.todo.join("; ")); // a String takes all
    }
    out
}
