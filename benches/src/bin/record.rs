//! Runs a command and keeps what it said as a result, with the facts: for measurements that are made by a test or by a
//! program of another crate.
//!
//! `cargo run --release -p benches --bin record -- hostile "Hostile input" "cargo test … -- --nocapture" --lines figure`

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, ensure};
use benches::facts;
use clap::Parser;
use serde_json::json;

/// Runs a command and keeps what it said in benches/results.
#[derive(Parser)]
struct Args {
    /// The result's name: benches/results/NAME.json and NAME.md.
    name: String,
    /// What the page is called.
    title: String,
    /// A line for the shell, run in the checkout.
    command: String,
    /// Keep only lines that contain one of these.
    #[arg(long, value_name = "TEXT")]
    lines: Vec<String>,
    /// What the figures say, for the page.
    #[arg(long, default_value = "", value_name = "TEXT")]
    note: String,
    /// This many times.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    times: u32,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let is_name =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    ensure!(args.name.chars().all(is_name), "a name is of a-z, 0-9 and '-'");
    let facts = facts::collect_for(&args.command);
    let mut runs = Vec::new();
    for _ in 0..args.times {
        runs.push(run(&args)?);
    }
    let shown: Vec<String> =
        runs.iter().map(|lines| format!("```text\n{}\n```", lines.join("\n"))).collect();
    facts::write_json(&args.name, &facts, &json!({ "runs": runs }))?;
    let body = format!("{}\n\n{}", shown.join("\n\n"), args.note);
    facts::write_markdown(&args.name, &args.title, &facts, &body)?;
    Ok(ExitCode::SUCCESS)
}

/// What one run said.
fn run(args: &Args) -> anyhow::Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a workspace")?;
    let mut shell = Command::new("sh");
    // Both outputs in one, as a person sees them.
    shell.args(["-c", &format!("{{ {}; }} 2>&1", args.command)]).current_dir(root);
    let output = shell.stderr(Stdio::inherit()).output().context("starting a shell")?;
    let said = String::from_utf8_lossy(&output.stdout).replace(&root.display().to_string(), ".");
    print!("{said}");
    ensure!(output.status.success(), "the command failed ({}): nothing is kept", output.status);
    let is_kept = |line: &&str| {
        args.lines.is_empty() || args.lines.iter().any(|text| line.contains(text.as_str()))
    };
    let lines: Vec<String> = said.lines().filter(is_kept).map(str::to_owned).collect();
    ensure!(!lines.is_empty(), "the command said nothing that is to be kept");
    Ok(lines)
}
