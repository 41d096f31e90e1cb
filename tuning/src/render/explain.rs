//! `tuning explain`.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;

use super::table::aligned;
use super::{Format, cell, json, wrapped};
use crate::catalogue::{self, Evidence, How, Risk, Setting};
use crate::measure::kept::Measured;

#[derive(Serialize)]
struct Listed<'s> {
    id: &'s str,
    title: &'s str,
    wanted: String,
    risk: Risk,
    evidence: Evidence,
}

/// All settings in short.
pub(crate) fn list(format: Format) -> io::Result<String> {
    if format == Format::Json {
        let listed = |setting: &'static Setting| Listed {
            id: &setting.id,
            title: &setting.title,
            wanted: setting.wanted(),
            risk: setting.risk,
            evidence: setting.evidence,
        };
        return json(&catalogue::all().iter().map(listed).collect::<Vec<_>>());
    }
    if format == Format::Markdown {
        let row = |setting: &Setting| {
            format!("| `{}` | {} | {} |\n", setting.id, setting.title, cell(&setting.wanted()))
        };
        let rows: String = catalogue::all().iter().map(row).collect();
        return Ok(format!("| setting | what | wanted |\n|---|---|---|\n{rows}"));
    }
    Ok(aligned(catalogue::all().iter().map(|setting| {
        let risk = format!("risk {}", setting.risk.label());
        vec![setting.id.clone(), setting.title.clone(), risk, setting.evidence.label().to_owned()]
    })))
}

#[derive(Serialize)]
struct Explained<'s> {
    schema: &'static str,
    id: &'s str,
    title: &'s str,
    why: &'s str,
    wanted: String,
    not_when: &'s str,
    risk: Risk,
    harm: &'s str,
    scope: &'s str,
    read_from: &'s [String],
    changed_by: How,
    todo: Vec<String>,
    undo: &'s str,
    evidence: Evidence,
    rests_on: &'s str,
    measured_here: &'s [Measured],
}

pub(crate) fn explanation_json(setting: &Setting, measured: &[Measured]) -> io::Result<String> {
    json(&Explained {
        schema: "ringline.tuning.explain/1",
        id: &setting.id,
        title: &setting.title,
        why: &setting.why,
        wanted: setting.wanted(),
        not_when: &setting.not_when,
        risk: setting.risk,
        harm: &setting.harm,
        scope: &setting.scope,
        read_from: &setting.paths,
        changed_by: setting.how,
        todo: setting.steps("(what check wants)"),
        undo: setting.undo(),
        evidence: setting.evidence,
        rests_on: &setting.rests_on,
        measured_here: measured,
    })
}

/// Everything about a setting; `measured` is what was measured on this machine, a line each.
pub(crate) fn explanation(setting: &Setting, measured: &[String], format: Format) -> String {
    let steps = setting.steps("(what check wants)");
    let parts = [
        ("Why", setting.why.clone()),
        ("Wanted", setting.wanted()),
        ("Not when", setting.not_when.clone()),
        ("Risk", format!("{}: {}", setting.risk.label(), setting.harm)),
        ("Affects", format!("the {}", setting.scope)),
        ("Read from", setting.paths.join(", ")),
        ("Changed by", setting.how.label().replace('`', "")),
        ("Undo", setting.undo().to_owned()),
        ("Rests on", format!("{}. {}", setting.evidence.label(), setting.rests_on)),
    ];
    if format == Format::Markdown {
        let mut out = format!("### {}: {}\n\n", setting.id, setting.title);
        for (title, text) in parts {
            let _ = writeln!(out, "- **{title}**: {text}"); // a String takes all
        }
        for step in steps {
            let _ = writeln!(out, "- **To do**: {step}"); // a String takes all
        }
        for line in measured {
            let _ = writeln!(out, "- **Measured here**: {line}"); // a String takes all
        }
        return out;
    }
    let mut out = format!("{}: {}\n", setting.id, setting.title);
    for (title, text) in parts {
        let _ = write!(out, "\n{title}\n{}", wrapped(&text, "    ")); // a String takes all
        if title == "Wanted" && !steps.is_empty() {
            out += "\nTo do\n";
            for step in &steps {
                out += &wrapped(step, "  > ");
            }
        }
    }
    out += "\nMeasured on this machine\n";
    if measured.is_empty() {
        let how = if setting.how == How::Write {
            format!("nothing yet: tuning measure {}", setting.id)
        } else {
            "nothing: only what this tool may change can be measured by it".to_owned()
        };
        out += &wrapped(&how, "    ");
    }
    for line in measured {
        out += &wrapped(line, "    ");
    }
    out
}
