//! Instructions per operation, counted by callgrind: the same on a busy machine as on a quiet one.
//!
//! Without a command it prints the table; `check` compares it with the recorded baseline and fails when an operation has
//! become dearer; `record` makes the present counts the baseline. Only what runs inside `ringline_collected` is counted.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use benches::baseline::{Baseline, Context, Verdict};
use benches::facts;
use benches::work::{SUBJECTS, Subject, Work, subject_of};
use clap::{Parser, Subcommand};

/// Counts instructions per operation under callgrind.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Only subjects whose name contains this.
    #[arg(long, global = true, default_value = "")]
    only: String,
}

#[derive(Subcommand)]
enum Action {
    /// Fails if an operation takes more instructions than the baseline allows.
    Check,
    /// Makes the present counts the baseline, and writes them to the results.
    Record,
    /// Does one piece of work, for callgrind to count: not for people.
    #[command(hide = true)]
    Collect {
        /// Which.
        name: String,
    },
}

/// What is counted, and nothing else. Its name is what callgrind is told.
#[inline(never)]
fn ringline_collected(work: &mut dyn Work) {
    work.run();
    // A jump instead of a call would hide the end of this function from callgrind.
    std::hint::black_box(());
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(Action::Collect { name }) = &args.action {
        collect(subject_of(name).context("there is no such piece of work")?);
        return Ok(ExitCode::SUCCESS);
    }
    let is_wanted = |subject: &&Subject| subject.name.contains(&args.only);
    let subjects: Vec<&Subject> = SUBJECTS.iter().filter(is_wanted).collect();
    ensure!(!subjects.is_empty(), "no subject's name contains {:?}", args.only);
    let is_record = matches!(args.action, Some(Action::Record));
    ensure!(
        !is_record || args.only.is_empty(),
        "a baseline holds every subject: record without --only"
    );
    let counted = count(&subjects)?;
    match args.action {
        Some(Action::Check) => return check(&counted),
        Some(Action::Record) => record(&counted)?,
        Some(Action::Collect { .. }) | None => {}
    }
    for (subject, (_, count)) in subjects.iter().zip(&counted.instructions) {
        println!("{:24} {count:12.1}   per {}", subject.name, subject.operation);
    }
    Ok(ExitCode::SUCCESS)
}

/// Does a piece of work, warm.
fn collect(subject: &Subject) {
    let mut work = (subject.make)();
    work.prepare(subject.counted_warm_up());
    work.run();
    work.prepare(subject.counted_operations());
    ringline_collected(work.as_mut());
    work.check();
}

/// Counts every subject, each in a process of its own so that none sees what another left behind.
fn count(subjects: &[&Subject]) -> anyhow::Result<Baseline> {
    let context = Context::of_this_machine()?;
    let mut instructions = Vec::new();
    for subject in subjects {
        let total =
            callgrind(subject.name).with_context(|| format!("counting {}", subject.name))?;
        let count = total as f64 / subject.counted_operations() as f64;
        instructions.push((subject.name.to_owned(), (count * 10.0).round() / 10.0));
    }
    Ok(Baseline { context, instructions })
}

/// The instructions of a subject's counted part: this program again, under callgrind.
fn callgrind(name: &str) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*ringline_collected*"])
        .arg("--callgrind-out-file=/dev/null")
        .arg(std::env::current_exe().context("finding this program")?)
        .args(["collect", name])
        .output()
        .context("starting valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed:\n{said}");
    let total = said.lines().find_map(|line| line.split_once("Collected :"));
    let total: u64 = total.context("callgrind told no count")?.1.trim().parse()?;
    ensure!(total > 0, "nothing was counted: callgrind did not find the collected function");
    Ok(total)
}

fn check(counted: &Baseline) -> anyhow::Result<ExitCode> {
    let recorded = Baseline::read()?;
    let margin = recorded.margin_percent(&counted.context);
    if let Some(difference) = recorded.context.difference(&counted.context) {
        println!("{difference}\nso the margin is {margin} % here\n");
    }
    println!("{:24} {:>12} {:>12} {:>8}", "instructions per", "baseline", "now", "change");
    let (mut dearer, mut cheaper) = (0, 0);
    for (name, now) in &counted.instructions {
        let verdict = recorded.judge(name, *now, margin);
        let before = recorded.of(name).map_or_else(|| "-".into(), |before| format!("{before:.1}"));
        println!("{name:24} {before:>12} {now:12.1} {verdict}");
        dearer += u32::from(verdict.is_dearer());
        cheaper += u32::from(matches!(verdict, Verdict::Cheaper(_) | Verdict::New));
    }
    if cheaper > 0 {
        println!("\n{cheaper} cheaper or new: keep the gain by recording it again:\n  {RECORD}");
    }
    if dearer > 0 {
        eprintln!(
            "\n{dearer} operations take over {margin} % more instructions than recorded. Make them cheaper; or, if the \
             price is right, say why in the commit that records it:\n  {RECORD}"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

const RECORD: &str = "cargo run --release -p benches --bin counts -- record";

fn record(counted: &Baseline) -> anyhow::Result<()> {
    counted.write()?;
    let facts = facts::collect();
    facts::write_json("counts", &facts, counted)?;
    let mut table = String::from(
        "Counted by callgrind, so nothing of the kernel is in them. The processor that callgrind shows to programs has \
         no SHA instructions: tokens and logins are dearer here than in fact.\n\n\
         | work | instructions | per |\n|---|---|---|\n",
    );
    for (name, count) in &counted.instructions {
        let operation = subject_of(name).map_or("operation", |subject| subject.operation);
        table.push_str(&format!("| {name} | {count:.1} | {operation} |\n"));
    }
    facts::write_markdown("counts", "Instructions per operation", &facts, &table)?;
    Ok(())
}
