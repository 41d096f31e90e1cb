//! Findings and explanations as text and JSON.

use std::fmt::Write as _;
use std::io;

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::catalogue::{self, Setting};
use crate::finding::{Finding, Plan, Status, Summary};

/// Long texts are broken here.
const WIDTH: usize = 100;

#[derive(Serialize)]
struct Report<'r> {
    schema: &'static str,
    plan: &'r Plan,
    findings: &'r [Finding],
    summary: Summary,
    exit: u8,
}

pub(crate) fn json(plan: &Plan, findings: &[Finding], exit: u8) -> io::Result<String> {
    let summary = Summary::of(findings);
    let report = Report { schema: "ringline.tuning.check/1", plan, findings, summary, exit };
    Ok(serde_json::to_string_pretty(&report)?)
}

fn aligned(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for row in rows {
        table.add_row(row);
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

pub(crate) fn table(plan: &Plan, findings: &[Finding], exit: u8) -> String {
    let kind = if plan.direct_descriptors { "direct" } else { "process" };
    let mut out =
        format!("Host check for {} connections, {kind} descriptors\n\n", plan.connections);
    let header = ["", "setting", "is", "wanted"].map(str::to_owned).to_vec();
    let rows = findings.iter().map(|finding| {
        let label = finding.status.label().to_owned();
        vec![label, finding.id.to_owned(), finding.current.clone(), finding.wanted.clone()]
    });
    out += &aligned(std::iter::once(header).chain(rows));
    for finding in findings.iter().filter(|finding| finding.status != Status::Ok) {
        let _ = write!(out, "\n{} {}: {}\n", finding.status.label(), finding.id, finding.note); // a String takes all
        if !finding.todo.is_empty() {
            out += &wrapped(finding.why, "     ");
        }
        for step in &finding.todo {
            out += &wrapped(step, "   > ");
        }
    }
    let summary = Summary::of(findings);
    let parts = [
        (summary.fail, "failed"),
        (summary.warn, "warned"),
        (summary.ok, "ok"),
        (summary.unsupported, "not on this machine"),
        (summary.unknown, "unreadable"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    let _ = write!(out, "\n{}. Exit code {exit}. More: tuning explain ID\n", parts.join(", ")); // a String takes all
    out
}

pub(crate) fn list() -> String {
    aligned(catalogue::all().iter().map(|setting| vec![setting.id.clone(), setting.title.clone()]))
}

pub(crate) fn explanation(setting: &Setting) -> String {
    let mut out = format!("{}: {}\n", setting.id, setting.title);
    let parts = [
        ("Why", &setting.why),
        ("Read from", &setting.paths.join(", ")),
        ("Affects", &format!("the {}", setting.scope)),
        ("Not when", &setting.not_when),
        ("Risk", &setting.risk),
        ("Undo", &setting.undo),
        ("Rests on", &setting.evidence),
    ];
    for (title, text) in parts {
        let _ = write!(out, "\n{title}\n{}", wrapped(text, "    ")); // a String takes all
        if title == "Why" {
            out += "\nTo do\n";
            for step in &setting.todo {
                out += &wrapped(&step.replace("{value}", "(what check wants)"), "  > ");
            }
        }
    }
    out
}

/// Breaks a text into lines, the first behind `prefix` and the others below its end.
fn wrapped(text: &str, prefix: &str) -> String {
    let indent = " ".repeat(prefix.len());
    let mut out = String::new();
    let mut line = prefix.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out += &line;
            out.push('\n');
            line.clone_from(&indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    out + &line + "\n"
}
