//! What the commands say, as text, JSON and Markdown. Texts fit 100 columns, tables excepted.

pub(crate) mod change;
mod check;
mod doctor;
mod explain;
pub(crate) mod status;
pub(crate) mod table;

use std::io;

use serde::Serialize;

pub(crate) use check::{check, plan_words};
pub(crate) use doctor::doctor;
pub(crate) use explain::{explanation, explanation_json, list};

/// In which form a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people; in colour on a terminal.
    Text {
        /// Labels are coloured.
        colour: bool,
    },
    /// For programs.
    Json,
    /// For reports.
    Markdown,
}

/// Long texts are broken here.
const WIDTH: usize = 100;

pub(crate) fn json(report: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

/// A label of a verdict, coloured or not; padded to a column before, since colours have no width.
pub(crate) fn label(label: &str, width: usize, colour: bool) -> String {
    let code = match label.trim() {
        "FAIL" | "LIMIT" => "1;31",
        "WARN" | "RISK" | "UNKNOWN" => "1;33",
        "OK" => "32",
        _ => "2",
    };
    let padded = format!("{label:<width$}");
    if colour { format!("\u{1b}[{code}m{padded}\u{1b}[0m") } else { padded }
}

/// A cell of a Markdown table.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Breaks a text into lines, the first behind `prefix` and the others below its end.
pub(crate) fn wrapped(text: &str, prefix: &str) -> String {
    let indent = " ".repeat(prefix.chars().count());
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
