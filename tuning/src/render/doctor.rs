//! `tuning doctor`.

use std::fmt::Write as _;
use std::io;

use super::{Format, cell, json, label, plan_words, wrapped};
use crate::doctor::{Answer, Severity};

pub(crate) fn doctor(answer: &Answer, exit: u8, format: Format, all: bool) -> io::Result<String> {
    match format {
        Format::Json => json(answer),
        Format::Markdown => {
            let mut out = format!(
                "## Doctor, {:.1} s, plan {}\n\n| | what | seen | to do |\n|---|---|---|---|\n",
                answer.seconds,
                plan_words(&answer.plan)
            );
            for diagnosis in &answer.diagnoses {
                let todo = cell(&diagnosis.todo.join("; "));
                // A String takes all.
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {todo} |",
                    diagnosis.severity.label(),
                    diagnosis.about,
                    cell(&diagnosis.says)
                );
            }
            Ok(out)
        }
        Format::Text { colour } => Ok(text(answer, exit, colour, all)),
    }
}

fn text(answer: &Answer, exit: u8, colour: bool, all: bool) -> String {
    let node = answer.pid.map_or_else(String::new, |pid| format!(", node is process {pid}"));
    let mut out =
        format!("Watched {:.1} s{node}; plan: {}\n\n", answer.seconds, plan_words(&answer.plan));
    let is_quiet = |severity| matches!(severity, Severity::Ok | Severity::Unsupported);
    let count = |severity| {
        answer.diagnoses.iter().filter(|diagnosis| diagnosis.severity == severity).count()
    };
    for diagnosis in
        answer.diagnoses.iter().filter(|diagnosis| all || !is_quiet(diagnosis.severity))
    {
        // The label's colour has no width, so the text is broken without it.
        let plain = format!("{:<7} {}: ", diagnosis.severity.label(), diagnosis.about);
        let block = wrapped(&diagnosis.says, &plain);
        let rest = block.get(7..).unwrap_or_default();
        out += &label(diagnosis.severity.label(), 7, colour);
        out += rest;
        for step in &diagnosis.todo {
            out += &wrapped(step, "      > ");
        }
    }
    if !all {
        let well: Vec<&str> = answer
            .diagnoses
            .iter()
            .filter(|diagnosis| diagnosis.severity == Severity::Ok)
            .map(|diagnosis| diagnosis.about)
            .collect();
        out += &label("OK", 7, colour);
        out += wrapped(&well.join(", "), "        ").get(7..).unwrap_or_default();
    }
    // A String takes all.
    let _ = write!(
        out,
        "\n{} limits, {} risks, {} well, {} unknown, {} not on this machine. Exit code {exit}\n",
        count(Severity::Limit),
        count(Severity::Risk),
        count(Severity::Ok),
        count(Severity::Unknown),
        count(Severity::Unsupported)
    );
    out
}
