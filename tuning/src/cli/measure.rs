//! `tuning measure` and `tuning hold`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::args::{HoldArgs, MeasureArgs};
use super::change::state;
use super::look::unknown_setting;
use super::{Failure, exit, format, open};
use crate::apply::close_old;
use crate::catalogue::{How, Setting};
use crate::finding::{Change, Plan};
use crate::measure::{self as measuring, MeasureError, Order, Place, kept};
use crate::render::{self, Format, change as shown};
use crate::root::Root;
use crate::value::choices;
use crate::{catalogue, check_one, watchdog};

/// A load that shows connects and capacity, and ends soon.
const DEFAULT_LOAD: [&str; 13] = [
    "local",
    "--connections",
    "500",
    "--ramp",
    "2000/s",
    "--closed",
    "64",
    "--store",
    "memory",
    "--duration",
    "5s",
    "--warmup",
    "1s",
];

pub(super) fn measure(args: &MeasureArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let setting = catalogue::find(&args.id).ok_or_else(|| unknown_setting(&args.id))?;
    let root_path = args.state.root.root.as_deref();
    let root = open(root_path)?;
    let root = root.as_ref();
    let plan = args.plan.plan();
    let changes = sides(root, &plan, setting, args.value.as_deref())?;
    let state = state(&args.state)?;
    let lock = state.lock()?;
    let broken = |error: &dyn std::fmt::Display| Failure::new(exit::BROKEN, error.to_string());
    close_old(root, &state, &lock).map_err(|error| broken(&error))?;
    for change in &changes {
        root.check_writable(&change.path).map_err(|error| {
            Failure::new(
                exit::REFUSED,
                format!("{}: {error} ({})", change.path, shown::advice(&error)),
            )
        })?;
    }
    let beside = std::env::current_exe()?.with_file_name("loadgen");
    let arguments = if args.load.is_empty() {
        DEFAULT_LOAD.iter().map(Into::into).collect()
    } else {
        args.load.clone()
    };
    let order = Order {
        changes,
        runs: args.runs,
        loadgen: args.loadgen.clone().unwrap_or(beside),
        arguments,
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in
        [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
    {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let limit = u64::try_from(args.limit.as_millis()).unwrap_or(u64::MAX);
    let deadline = watchdog::now_ms().saturating_add(limit);
    let ready = |id: &str| watchdog::start(&state, root_path, id);
    let format = format(args.format.json, args.format.markdown);
    // Progress goes where it does not mix with the answer.
    let mut tell = |line: &str| drop(writeln!(io::stderr(), "{line}"));
    let place = Place { root, state: &state, lock: &lock, plan: &plan, stop: &stop };
    let (outcome, back) = measuring::measure(&place, &order, deadline, ready, &mut tell);
    if !back.failed.is_empty() {
        return Err(Failure::new(
            exit::HALF,
            format!("the value is not back: {}", shown::back_words(&back)),
        ));
    }
    let measured = outcome.map_err(|error| {
        let code = match error {
            MeasureError::Interrupted => exit::INTERRUPTED,
            MeasureError::Load { .. } => exit::BROKEN,
            MeasureError::Write { .. }
            | MeasureError::NotTaken { .. }
            | MeasureError::NotBegun(_) => exit::REFUSED,
        };
        Failure::new(code, format!("{error}; the value is as it was"))
    })?;
    kept::keep(&state, &measured)?;
    if format == Format::Json {
        write!(out, "{}", render::json(&measured)?)?;
    } else {
        let bullet = if format == Format::Markdown { "- " } else { "" };
        for line in measured.words() {
            writeln!(out, "{bullet}{line}")?;
        }
        writeln!(out, "{bullet}the value is as it was; kept for: tuning explain {}", measured.id)?;
    }
    Ok(exit::FINE)
}

/// The value as it is, and the other one.
fn sides(
    root: &dyn Root,
    plan: &Plan,
    setting: &'static Setting,
    value: Option<&str>,
) -> Result<Vec<Change>, Failure> {
    if setting.how != How::Write {
        return Err(Failure::usage(format!(
            "{} is not for this tool to change, so it cannot measure it",
            setting.id
        )));
    }
    let Some(value) = value else {
        let finding = check_one(root, plan, setting);
        if finding.changes.is_empty() {
            let id = &setting.id;
            return Err(Failure::usage(format!(
                "{id} is {} and needs no change for this plan: name the other value with --value",
                finding.current
            )));
        }
        return Ok(finding.changes);
    };
    let path = setting.paths.first().filter(|path| !path.contains('*'));
    let path = path.ok_or_else(|| {
        Failure::usage(format!("{} has several files: leave --value out", setting.id))
    })?;
    let from = root
        .read(path)
        .map_err(|error| Failure::new(exit::UNREADABLE, format!("{path}: {error}")))?;
    if setting.form.canonical(value).is_none() || setting.form.canonical(&from).is_none() {
        return Err(Failure::usage(format!("{value:?} is not of the form of {:?}", from.trim())));
    }
    let possible = choices(&from);
    if !possible.is_empty() && !possible.contains(&value) {
        return Err(Failure::usage(format!("{value:?} cannot be chosen: {}", possible.join(", "))));
    }
    if setting.form.is_same(value, &from) {
        return Err(Failure::usage(format!("{} is {value} already", setting.id)));
    }
    let from = from.trim().to_owned();
    Ok(vec![Change {
        id: setting.id.clone(),
        path: path.clone(),
        form: setting.form,
        from,
        to: value.to_owned(),
    }])
}

/// Runs a command while the processor's deep idle states are held off.
pub(super) fn hold(args: &HoldArgs) -> Result<u8, Failure> {
    let path = "/dev/cpu_dma_latency";
    let micros = i32::try_from(args.latency.as_micros()).unwrap_or(i32::MAX);
    let refused = |error: io::Error| {
        Failure::new(exit::REFUSED, format!("{path}: {error} ({})", shown::advice(&error)))
    };
    // The wish lasts as long as this file is open, and ends with this process however that ends.
    let mut file = OpenOptions::new().write(true).open(path).map_err(refused)?;
    file.write_all(&micros.to_ne_bytes()).map_err(refused)?;
    let (program, arguments) =
        args.command.split_first().ok_or_else(|| Failure::usage("name a command"))?;
    // Ctrl-C is for the command; this process ends after it.
    let ignored = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&ignored))?;
    let status = Process::new(program).args(arguments).status();
    let status = status.map_err(|error| {
        Failure::new(exit::BROKEN, format!("{}: {error}", program.to_string_lossy()))
    })?;
    drop(file);
    if ignored.load(Ordering::Relaxed) {
        return Ok(exit::INTERRUPTED);
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::BROKEN))
}
