//! The catalogue as a page of documentation.

use std::fmt::Write as _;

use crate::catalogue::{self, Setting};

/// What each group is about.
const GROUPS: [(&str, &str); 8] = [
    ("limits", "What a process may have"),
    ("cgroup", "Control groups"),
    ("uring", "io_uring"),
    ("tcp", "TCP"),
    ("path", "The way of a packet"),
    ("nic", "Network cards"),
    ("cpu", "Processors"),
    ("mem", "Memory"),
];

/// The whole page.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# The catalogue\n\n\
         Made from `src/catalogue/*.toml` by `WRITE=1 cargo test -p tuning --test catalogue_page`, which fails when this page and \
         they\ndiffer. `tuning explain ID` prints the same, and what was measured on your machine with it.\n\n\
         In formulas: `connections` and `rate` are the plan's, `latency`, `throughput` and `capacity` are 1 for the plan's profile \
         and\nelse 0, `direct` is 1 with direct descriptors, `descriptors` what the plan takes of the process, `cpus`, `memory` and \
         `swap`\nthe machine's (in bytes), `is` the value as it is. `pow2` is the next power of two.\n",
    );
    let all = catalogue::all();
    // A String takes all that is written.
    let _ = write!(
        page,
        "\n{} settings.\n\n| setting | what | wanted | changed by | risk | evidence |\n|---|---|---|---|---|---|\n",
        all.len()
    );
    for setting in all {
        let _ = writeln!(
            page,
            "| [{id}](#{anchor}) | {} | {} | {} | {} | {} |",
            setting.title,
            cell(&setting.wanted()),
            by(setting),
            setting.risk.label(),
            setting.evidence.label().split([' ', ',']).next().unwrap_or_default(),
            id = setting.id,
            anchor = setting.id.replace('.', ""),
        );
    }
    for (group, title) in GROUPS {
        let _ = write!(page, "\n## {title}\n");
        for setting in all.iter().filter(|setting| setting.group() == group) {
            page.push_str(&entry(setting));
        }
    }
    page
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn by(setting: &Setting) -> &'static str {
    match setting.how {
        catalogue::How::Write => "apply",
        catalogue::How::File => "a file",
        catalogue::How::Report => "told only",
    }
}

fn entry(setting: &Setting) -> String {
    let mut out =
        format!("\n### {}\n\n**{}.** {}\n\n", setting.id, first_up(&setting.title), setting.why);
    let paths: Vec<_> = setting.paths.iter().map(|path| format!("`{path}`")).collect();
    let steps = setting.steps("(the value)");
    let steps = if steps.is_empty() { "nothing".to_owned() } else { steps.join("; ") };
    let rows = [
        ("read from", paths.join(", ")),
        ("wanted", setting.wanted()),
        ("affects", format!("the {}", setting.scope)),
        ("changed by", setting.how.label().to_owned()),
        ("to do", steps),
        ("not when", setting.not_when.clone()),
        ("risk", format!("{}. {}", setting.risk.label(), setting.harm)),
        ("undo", setting.undo().to_owned()),
        ("evidence", format!("{}. {}", setting.evidence.label(), setting.rests_on)),
    ];
    for (name, text) in rows {
        let _ = writeln!(out, "- *{name}*: {text}"); // a String takes all
    }
    out
}

fn first_up(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
