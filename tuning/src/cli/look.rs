//! The commands that only look: `check`, `explain`, `record`.

use std::io::Write;

use super::args::{CheckArgs, DoctorArgs, ExplainArgs, RecordArgs, UnpackArgs};
use super::{Failure, exit, format, open};
use crate::doctor::{Look, diagnose};
use crate::finding::{Plan, Profile, Summary};
use crate::measure::kept;
use crate::render::{self, Format};
use crate::root::{Recording, record as record_machine};
use crate::state::State;
use crate::{catalogue, check as check_machine};

pub(super) fn check(args: &CheckArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let plan = args.plan.plan();
    let root = open(args.root.root.as_deref())?;
    let findings = check_machine(root.as_ref(), &plan);
    let code = Summary::of(findings.iter().map(|finding| finding.status)).exit_code(args.strict);
    let format = format(args.format.json, args.format.markdown);
    write!(out, "{}", render::check(&plan, &findings, code, format, args.all)?)?;
    Ok(code)
}

pub(super) fn doctor(args: &DoctorArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let root = open(args.root.root.as_deref())?;
    let look = Look {
        node: args.node.clone().unwrap_or_default(),
        pid: args.server_pid,
        window: args.window,
    };
    let format = format(args.format.json, args.format.markdown);
    loop {
        let answer = diagnose(root.as_ref(), &args.plan.plan(), &look);
        let code = answer.exit_code(args.strict);
        write!(out, "{}", render::doctor(&answer, code, format, args.all)?)?;
        if !args.watch {
            return Ok(code);
        }
        writeln!(out)?;
        out.flush()?;
    }
}

pub(super) fn explain(args: &ExplainArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let format = format(args.format.json, args.format.markdown);
    let Some(id) = &args.id else {
        write!(out, "{}", render::list(format)?)?;
        return Ok(exit::FINE);
    };
    let setting = catalogue::find(id).ok_or_else(|| unknown_setting(id))?;
    let state = State::new(args.state.state.as_deref(), args.state.root.root.as_deref())?;
    let measured = kept::of(&state, id);
    if format == Format::Json {
        write!(out, "{}", render::explanation_json(setting, &measured)?)?;
        return Ok(exit::FINE);
    }
    let lines: Vec<String> = measured.iter().flat_map(kept::Measured::words).collect();
    write!(out, "{}", render::explanation(setting, &lines, format))?;
    Ok(exit::FINE)
}

/// What is said about an id that is not there.
pub(super) fn unknown_setting(id: &str) -> Failure {
    let near = catalogue::near(id);
    let hint = if near.is_empty() {
        "tuning explain lists them all".to_owned()
    } else {
        format!("near it: {}", near.join(", "))
    };
    Failure::usage(format!("there is no setting {id:?}; {hint}"))
}

pub(super) fn record(args: &RecordArgs, out: &mut impl Write) -> Result<u8, Failure> {
    // Every profile asks for something of its own.
    let profiles = [Profile::Latency, Profile::Throughput, Profile::Capacity];
    let text = record_machine("A machine, as `tuning record` read it.", |root| {
        for profile in profiles {
            let plan =
                Plan { connections: 1_000_000, rate: 100_000, profile, direct_descriptors: true };
            drop(check_machine(root, &plan)); // what was read is what matters
        }
    });
    std::fs::write(&args.file, &text)
        .map_err(|error| Failure::new(exit::BROKEN, format!("{}: {error}", args.file.display())))?;
    let files = text.lines().filter(|line| line.starts_with("@ ")).count();
    writeln!(
        out,
        "{files} files of this machine are in {}; look through it before you give it away",
        args.file.display()
    )?;
    Ok(exit::FINE)
}

pub(super) fn unpack(args: &UnpackArgs) -> Result<u8, Failure> {
    let named = |error: std::io::Error| {
        Failure::new(exit::UNREADABLE, format!("{}: {error}", args.recording.display()))
    };
    let recording = Recording::load(&args.recording).map_err(named)?;
    recording.unpack(&args.folder).map_err(|error| {
        Failure::new(exit::BROKEN, format!("{}: {error}", args.folder.display()))
    })?;
    Ok(exit::FINE)
}
