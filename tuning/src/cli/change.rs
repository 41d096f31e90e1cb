//! The commands that change: `plan`, `apply`, `confirm`, `rollback`, and the watchdog.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::args::{ApplyArgs, ChooseArgs, PlanCommandArgs, RollbackArgs, StateArgs, WatchdogArgs};
use super::look::unknown_setting;
use super::{Failure, exit, format, open};
use crate::apply::{self as applying, ApplyError, Back};
use crate::catalogue::{How, Risk};
use crate::finding::{Change, Finding, Status};
use crate::journal::{self, Record, Stage};
use crate::render::{self, Format, change as shown};
use crate::root::Root;
use crate::state::{LockError, State};
use crate::{catalogue, check, persist, watchdog};

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let code = match error {
            LockError::Busy(_) => exit::BUSY,
            LockError::Io { .. } => exit::BROKEN,
        };
        Self::new(code, error.to_string())
    }
}

pub(super) fn state(args: &StateArgs) -> Result<State, Failure> {
    Ok(State::new(args.state.as_deref(), args.root.root.as_deref())?)
}

/// What a plan would change, and what it leaves for a reason.
#[derive(Serialize)]
pub(crate) struct Choice {
    pub(crate) changes: Vec<Change>,
    /// Setting and why it is left.
    pub(crate) left: Vec<(&'static str, String)>,
}

fn choose(findings: &[Finding], args: &ChooseArgs) -> Result<Choice, Failure> {
    for id in args.only.iter().chain(&args.skip) {
        if catalogue::find(id).is_none() {
            return Err(unknown_setting(id));
        }
    }
    let mut choice = Choice { changes: Vec::new(), left: Vec::new() };
    for finding in
        findings.iter().filter(|finding| matches!(finding.status, Status::Warn | Status::Fail))
    {
        let is_named = args.only.iter().any(|id| id == finding.id);
        if args.skip.iter().any(|id| id == finding.id) || (!args.only.is_empty() && !is_named) {
            continue;
        }
        // Whoever names a setting has looked at it, except where safety is at stake.
        let allowed = if is_named { args.risk.max(Risk::Medium) } else { args.risk };
        let why = match finding.how {
            How::File => Some(
                "belongs to a process: tuning plan --persist DIR makes files for it".to_owned(),
            ),
            How::Report => {
                Some(finding.todo.first().cloned().unwrap_or_else(|| finding.note.clone()))
            }
            How::Write if finding.changes.is_empty() => Some(finding.note.clone()),
            How::Write if finding.risk > allowed => {
                let level = finding.risk.label();
                Some(format!(
                    "risk {level}: --risk {level} to do it all the same; tuning explain {}",
                    finding.id
                ))
            }
            How::Write => None,
        };
        match why {
            Some(why) => choice.left.push((finding.id, why)),
            None => choice.changes.extend(finding.changes.iter().cloned()),
        }
    }
    Ok(choice)
}

pub(super) fn plan(args: &PlanCommandArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let plan = args.plan.plan();
    let root = open(args.state.root.root.as_deref())?;
    let findings = check(root.as_ref(), &plan);
    let choice = choose(&findings, &args.choose)?;
    let format = format(args.format.json, args.format.markdown);
    write!(out, "{}", shown::plan(&plan, &choice, format)?)?;
    let is_text = format != Format::Json;
    if let Some(path) = &args.script {
        let undo = path.with_extension("undo.sh");
        std::fs::write(path, applying::script(&choice.changes, false))?;
        std::fs::write(&undo, applying::script(&choice.changes, true))?;
        if is_text {
            writeln!(
                out,
                "\nwritten: {} and, to take it back, {}",
                path.display(),
                undo.display()
            )?;
        }
    }
    if let Some(folder) = &args.persist {
        let (records, _) = journal::all(&state(&args.state)?)?;
        let boot = journal::boot(root.as_ref());
        // What waits for an answer is not to be kept yet.
        let in_force = |record: &&Record| {
            matches!(record.stage, Stage::Applied | Stage::Confirmed) && record.begin.boot == boot
        };
        let applied: Vec<Change> = records
            .iter()
            .filter(in_force)
            .flat_map(|record| record.open_steps().map(|step| step.change.clone()))
            .collect();
        // What was left for its risk is not kept either.
        let chosen: Vec<Finding> = findings
            .into_iter()
            .filter(|finding| {
                finding.how == How::File
                    || choice.changes.iter().any(|change| change.id == finding.id)
            })
            .collect();
        let files = persist::files(&plan, &chosen, &applied, args.shard_cpus.as_deref());
        let written = persist::write(folder, &files)?;
        if is_text {
            writeln!(
                out,
                "\nwritten below {}, for you to look at and to copy to /:",
                folder.display()
            )?;
            for (path, file) in written.iter().zip(&files) {
                writeln!(out, "  {}   then: {}", path.display(), file.then)?;
            }
            if files.is_empty() {
                writeln!(out, "  nothing: the plan changes nothing")?;
            }
        }
    }
    let is_open = !choice.changes.is_empty() && args.strict;
    Ok(if is_open { exit::WARNED } else { exit::FINE })
}

pub(super) fn apply(args: &ApplyArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let plan = args.plan.plan();
    let root_path = args.state.root.root.as_deref();
    let root = open(root_path)?;
    let root = root.as_ref();
    refuse_recording(root, root_path)?;
    let state = state(&args.state)?;
    let format = format(args.format.json, args.format.markdown);
    let choice = choose(&check(root, &plan), &args.choose)?;
    if choice.changes.is_empty() {
        write!(out, "{}", shown::plan(&plan, &choice, format)?)?;
        return Ok(exit::FINE);
    }
    if format != Format::Json {
        // Whoever does not hear what would be done has not agreed to it.
        write!(out, "{}", shown::plan(&plan, &choice, format)?)
            .and_then(|()| out.flush())
            .map_err(|error| {
                Failure::new(exit::REFUSED, format!("nothing was changed: {error}"))
            })?;
    }
    if !args.yes && !is_agreed(out)? {
        writeln!(out, "Nothing was changed.")?;
        return Ok(exit::FINE);
    }
    let lock = state.lock()?;
    applying::close_old(root, &state, &lock)
        .map_err(|error| Failure::new(exit::BROKEN, error.to_string()))?;
    let mut changes = choice.changes;
    if args.possible {
        changes.retain(|change| root.check_writable(&change.path).is_ok());
        if changes.is_empty() {
            return Err(Failure::new(
                exit::REFUSED,
                "nothing was changed: none of it can be written here",
            ));
        }
    }
    // The writes take milliseconds: a terminal that closes in the middle of them waits for their end.
    let ignored = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&ignored))?;
    }
    let deadline = args.r#for.map(|time| {
        watchdog::now_ms().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    });
    let begin = applying::begin(root, &plan, deadline);
    let ready =
        |id: &str| if deadline.is_some() { watchdog::start(&state, root_path, id) } else { Ok(()) };
    match applying::apply(root, &state, &lock, begin, &changes, ready) {
        Ok(applied) => {
            write!(out, "{}", shown::applied(&applied, args.r#for, format)?)?;
            Ok(exit::FINE)
        }
        Err(error) => Err(apply_failure(&error)),
    }
}

fn refuse_recording(root: &dyn Root, path: Option<&std::path::Path>) -> Result<(), Failure> {
    let is_recording = !root.is_live() && path.is_some_and(|path| !path.is_dir());
    if is_recording {
        return Err(Failure::usage(
            "a recording is for reading; make a folder of it with tuning unpack, and name that",
        ));
    }
    Ok(())
}

fn is_agreed(out: &mut impl Write) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("nobody is there to ask: look at tuning plan, then say --yes"));
    }
    write!(out, "\nMake these changes? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn apply_failure(error: &ApplyError) -> Failure {
    let mut words = error.to_string();
    let code = match error {
        ApplyError::Unwritable(refused) => {
            for (change, why) in refused {
                words += &format!("\n  {}: {} ({})", change.path, why, shown::advice(why));
            }
            words += "\nleave them out with --skip, or all of them with --possible";
            exit::REFUSED
        }
        ApplyError::Moved(_) | ApplyError::NotBegun(_) => exit::REFUSED,
        ApplyError::Pending(_) => exit::BUSY,
        ApplyError::Failed { back, .. } => {
            words += &format!("; what came before it was taken back: {}", shown::back_words(back));
            if back.failed.is_empty() { exit::REFUSED } else { exit::HALF }
        }
    };
    Failure::new(code, words)
}

pub(super) fn confirm(args: &StateArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let root = open(args.root.root.as_deref())?;
    let state = state(args)?;
    let lock = state.lock()?;
    let id = applying::confirm(root.as_ref(), &state, &lock)
        .map_err(|error| Failure::new(exit::REFUSED, error.to_string()))?;
    writeln!(out, "{id} stays until the machine starts anew, or tuning rollback")?;
    Ok(exit::FINE)
}

pub(super) fn rollback(args: &RollbackArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let root = open(args.state.root.root.as_deref())?;
    let root = root.as_ref();
    let state = state(&args.state)?;
    let lock = state.lock()?;
    let (records, errors) = journal::all(&state)?;
    for error in &errors {
        let _ = writeln!(io::stderr(), "tuning: {error}"); // nobody is left to tell
    }
    let mut chosen: Vec<&Record> = match &args.journal {
        Some(id) => {
            let found = records.iter().find(|record| record.id == *id);
            vec![found.ok_or_else(|| {
                Failure::usage(format!("there is no journal {id:?}; tuning status lists them"))
            })?]
        }
        None => records.iter().filter(|record| record.stage.is_active()).rev().collect(),
    };
    if !args.all {
        chosen.truncate(1);
    }
    let mut all = Back::default();
    let mut names = Vec::new();
    for record in chosen {
        let back =
            match applying::roll_back(root, &state, &lock, record, "tuning rollback", args.force) {
                Err(applying::RollBackError::OtherBoot) => {
                    let closed = applying::close_old(root, &state, &lock);
                    closed.map_err(|error| Failure::new(exit::BROKEN, error.to_string()))?;
                    continue;
                }
                other => other.map_err(|error| Failure::new(exit::REFUSED, error.to_string()))?,
            };
        names.push(record.id.clone());
        all.restored.extend(back.restored);
        all.drifted.extend(back.drifted);
        all.failed.extend(back.failed);
    }
    let format = format(args.format.json, args.format.markdown);
    write!(out, "{}", shown::back(&names, &all, format)?)?;
    Ok(if all.failed.is_empty() && errors.is_empty() { exit::FINE } else { exit::HALF })
}

pub(super) fn watch(args: &WatchdogArgs) -> Result<u8, Failure> {
    let root = open(args.state.root.root.as_deref())?;
    let state = state(&args.state)?;
    match watchdog::process(root.as_ref(), &state, &args.journal) {
        Ok(watchdog::Watched::TakenBack(back)) if !back.failed.is_empty() => Ok(exit::HALF),
        Ok(_) => Ok(exit::FINE),
        Err(error) => Err(Failure::new(exit::HALF, error.to_string())),
    }
}

pub(super) fn status(args: &super::args::StatusArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let root = open(args.state.root.root.as_deref())?;
    let (records, errors) = journal::all(&state(&args.state)?)?;
    let format = format(args.format.json, args.format.markdown);
    let looked = render::status::look(root.as_ref(), &records, &errors, args.all);
    write!(out, "{}", render::status::status(&looked, format)?)?;
    Ok(if errors.is_empty() { exit::FINE } else { exit::UNREADABLE })
}

pub(super) fn verify(args: &super::args::StatusArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let root = open(args.state.root.root.as_deref())?;
    let (records, errors) = journal::all(&state(&args.state)?)?;
    let format = format(args.format.json, args.format.markdown);
    let looked = render::status::look(root.as_ref(), &records, &errors, false);
    write!(out, "{}", render::status::status(&looked, format)?)?;
    Ok(looked.exit_code())
}
