//! The process: command line in, exit status out. Everything else is in the library.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use loadgen::cli::{Calibrate, Cli, Command, Planned};
use loadgen::exit::{Exit, Refusal};
use loadgen::plan::Watch;
use loadgen::selftest::Scale;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    raise_descriptor_limit();
    match dispatch(cli.command) {
        Ok(found) => Exit::strongest(&found).into(),
        Err(refusal) => {
            eprintln!("error: {:#}", refusal.reason);
            refusal.exit.into()
        }
    }
}

fn dispatch(command: Command) -> Result<Vec<Exit>, Refusal> {
    match command {
        Command::Local(args) => loadgen::local::run(&args, watch()?, run_id()?),
        Command::Run(args) => loadgen::remote::run(&args, watch()?, run_id()?),
        Command::Report { run, out } => {
            let page = loadgen::page::write(&run, out.as_deref())?;
            println!("page: {}", page.display());
            Ok(Vec::new())
        }
        Command::Selftest { short } => {
            let scale = if short { Scale::Short } else { Scale::Full };
            let report = loadgen::selftest::selftest(scale)?;
            print!("{report}");
            Ok(vec![report.exit()])
        }
        Command::Compare(args) => loadgen::compare::run(&args, &watch()?),
        Command::Calibrate(Calibrate::Record(args)) => {
            loadgen::calibrate::record(&args, &*watch()?)
        }
        Command::Calibrate(Calibrate::Check(args)) => loadgen::calibrate::check(&args),
        Command::Search(args) => loadgen::search::run(&args, &*watch()?),
        Command::Sweep(args) => loadgen::sweep::run(&args, &*watch()?),
        Command::Export(args) => loadgen::export::run(&args),
        Command::Env { json } => {
            let environment = loadgen::env::Environment::capture();
            if json {
                println!("{:#}", environment.to_json());
            } else {
                print!("{}", environment.to_text());
            }
            Ok(Vec::new())
        }
        Command::Validate(args) => {
            let ask = match args.planned {
                Some(Planned::Run(run)) => loadgen::remote::ask(&run)?,
                Some(Planned::Local(local)) => loadgen::local::ask(&local)?,
                None => loadgen::local::ask(&args.local)?,
            };
            Ok(loadgen::validate::show(&ask))
        }
        Command::Role(role) => {
            loadgen::local::role::play(role).map(|()| Vec::new()).map_err(Refusal::from)
        }
    }
}

/// What a run is stopped by: the first Ctrl-C or SIGTERM asks it to end well, the second ends it at once.
fn watch() -> Result<Arc<Watch>, Refusal> {
    let watch = Arc::new(Watch::default());
    let stop: &Arc<AtomicBool> = &watch.stop;
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down, passes, and raises it.
        flag::register_conditional_shutdown(
            signal,
            Exit::Interrupted.status().into(),
            Arc::clone(stop),
        )?;
        flag::register(signal, Arc::clone(stop))?;
    }
    Ok(watch)
}

/// Takes all descriptors that the host allows: tables of rings are bounded by the same limit, and children inherit it.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves the limit as it is; whoever needs more says so then.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Tells this run's messages from those of any other.
fn run_id() -> Result<u64, Refusal> {
    getrandom::u64().map_err(|error| Refusal::from(anyhow::anyhow!("no random numbers: {error}")))
}
