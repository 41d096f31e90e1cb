//! `tuning status` and `verify`: what this tool has written, and whether it still stands.

use std::io;

use serde::Serialize;

use super::table::{aligned, cut};
use super::{Format, cell, json};
use crate::cli::exit;
use crate::journal::{self, JournalError, Record, Stage, Step};
use crate::root::Root;
use crate::watchdog;

/// How a value that was written stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stands {
    /// As written.
    Ok,
    /// Somebody else has set it since.
    Drifted,
    /// It is gone, or cannot be read.
    Unknown,
    /// Taken back, or never written.
    Over,
}

#[derive(Serialize)]
pub(crate) struct Line {
    id: String,
    path: String,
    from: String,
    to: String,
    now: Option<String>,
    stands: Stands,
}

#[derive(Serialize)]
pub(crate) struct Journal {
    id: String,
    time: String,
    stage: Stage,
    is_of_this_boot: bool,
    seconds_left: Option<u64>,
    watchdog: Option<u32>,
    lines: Vec<Line>,
}

#[derive(Serialize)]
pub(crate) struct Looked {
    schema: &'static str,
    journals: Vec<Journal>,
    damaged: Vec<String>,
}

impl Looked {
    /// 4 if a value has drifted, else 5 if one cannot be read, else 0.
    pub(crate) fn exit_code(&self) -> u8 {
        let mut lines = self.journals.iter().flat_map(|journal| &journal.lines);
        if lines.clone().any(|line| line.stands == Stands::Drifted) {
            exit::FAILED
        } else if !self.damaged.is_empty() || lines.any(|line| line.stands == Stands::Unknown) {
            exit::UNREADABLE
        } else {
            exit::FINE
        }
    }
}

/// Looks at what was written; at what is over too, with `all`.
pub(crate) fn look(
    root: &dyn Root,
    records: &[Record],
    errors: &[JournalError],
    all: bool,
) -> Looked {
    let boot = journal::boot(root);
    let line = |is_active: bool, step: &Step| {
        let text = root.read(&step.change.path);
        let ours = step.became.as_deref().unwrap_or(&step.change.to);
        let stands = match &text {
            _ if !is_active || step.is_over => Stands::Over,
            Ok(text) if step.change.form.is_same(text, ours) => Stands::Ok,
            Ok(_) => Stands::Drifted,
            Err(_) => Stands::Unknown,
        };
        Line {
            id: step.change.id.clone(),
            path: step.change.path.clone(),
            from: step.change.from.clone(),
            to: step.change.to.clone(),
            now: text.ok().map(|text| text.trim().to_owned()),
            stands,
        }
    };
    let journals = records.iter().filter_map(|record| {
        let is_of_this_boot = record.begin.boot == boot;
        let is_active = record.stage.is_active() && is_of_this_boot;
        let is_waiting = is_active && !matches!(record.stage, Stage::Confirmed);
        let deadline = record.begin.deadline_ms.filter(|_| is_waiting);
        (is_active || all).then(|| Journal {
            id: record.id.clone(),
            time: record.begin.time.clone(),
            stage: record.stage,
            is_of_this_boot,
            seconds_left: deadline
                .map(|deadline| deadline.saturating_sub(watchdog::now_ms()).div_ceil(1_000)),
            watchdog: if deadline.is_some() { watchdog::watcher(record) } else { None },
            lines: record.steps.iter().map(|step| line(is_active, step)).collect(),
        })
    });
    Looked {
        schema: "ringline.tuning.status/1",
        journals: journals.collect(),
        damaged: errors.iter().map(ToString::to_string).collect(),
    }
}

pub(crate) fn status(looked: &Looked, format: Format) -> io::Result<String> {
    if format == Format::Json {
        return json(looked);
    }
    let mut out = String::new();
    for journal in &looked.journals {
        let boot =
            if journal.is_of_this_boot { "" } else { ", before the machine was started anew" };
        out += &format!("{}  {}{boot}\n", journal.id, journal.stage.label());
        if let Some(seconds) = journal.seconds_left {
            out += &match journal.watchdog {
                Some(pid) => format!("  taken back in {seconds} s by process {pid}, unless you say: tuning confirm\n"),
                None => "  NOBODY WATCHES: it will not take itself back. Say tuning confirm, or tuning rollback\n".to_owned(),
            };
        }
        let words = |text: &str| cut(&text.split_whitespace().collect::<Vec<_>>().join(" "), 32);
        let stands = |line: &Line| match line.stands {
            Stands::Ok => "as written",
            Stands::Drifted => "DRIFTED: somebody else has set it",
            Stands::Unknown => "UNREADABLE",
            Stands::Over => "over",
        };
        let now = |line: &Line| line.now.as_deref().map_or_else(|| "?".to_owned(), words);
        if format == Format::Markdown {
            out += "\n| setting | was | written | is | |\n|---|---|---|---|---|\n";
            for line in &journal.lines {
                let cells = [&line.id, &cell(&line.from), &cell(&line.to), &now(line)]
                    .map(String::as_str)
                    .join(" | ");
                out += &format!("| {cells} | {} |\n", stands(line));
            }
            continue;
        }
        let header = ["  setting", "was", "written", "is", ""].map(str::to_owned).to_vec();
        let rows = journal.lines.iter().map(|line| {
            vec![
                format!("  {}", line.id),
                words(&line.from),
                words(&line.to),
                now(line),
                stands(line).to_owned(),
            ]
        });
        out += &aligned(std::iter::once(header).chain(rows));
    }
    if looked.journals.is_empty() {
        out += "Nothing is in force that this tool has written.\n";
    }
    for damaged in &looked.damaged {
        out += &format!("DAMAGED {damaged}\n");
    }
    Ok(out)
}
