//! The two servers: processes of this program, on the first processor, ready when they say so.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use loadgen::cli::{Role, RoleArgs};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getppid, getrlimit, kill_process,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;

use crate::floor;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    /// The raw ring.
    Floor,
    /// The chat node.
    Node,
}

/// A server's part.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Which server
    pub(crate) who: Who,
    /// End with this process
    #[arg(long)]
    pub(crate) parent: i32,
    /// The processor for all of its threads
    #[arg(long)]
    pub(crate) cpu: usize,
    /// The server's own command line
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

/// Plays a server until it is ended.
///
/// # Errors
/// The server's own.
pub(crate) fn play(args: ServeArgs) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("PR_SET_PDEATHSIG")?;
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get());
    ensure!(parent == Some(args.parent), "the process that started this one has ended");
    ensure!(args.cpu < CpuSet::MAX_CPU, "there is no processor {}", args.cpu);
    let mut only = CpuSet::new();
    only.set(args.cpu);
    sched_setaffinity(None, &only).context("pinning a server")?;
    match args.who {
        Who::Floor => {
            let line = std::iter::once("floor".to_owned()).chain(args.args);
            floor::Floor::open(&floor::Args::parse_from(line))?.announce()?.serve()
        }
        Who::Node => {
            let args = args.args.into_iter().map(Into::into).collect();
            loadgen::local::role::play(RoleArgs { parent: None, role: Role::Node, args })
        }
    }
}

/// Takes all descriptors that the host allows: tables of rings are bounded by that limit, and servers inherit it.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves the limit as it is; whoever needs more says so then.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    /// What it said when it was ready.
    ready: Value,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server and waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends instead; what it had to say about that is on standard error.
    pub(crate) fn start(who: Who, cpu: usize, args: &[String]) -> anyhow::Result<Self> {
        let word =
            who.to_possible_value().map_or_else(String::new, |value| value.get_name().into());
        let mut command = Command::new("/proc/self/exe");
        command.args(["serve", &word, "--cpu", &cpu.to_string()]);
        command.args(["--parent", &std::process::id().to_string(), "--"]).args(args);
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("starting the {word}"))?;
        let stdout = process.stdout.take().context("a child's standard output")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ready = serde_json::from_str(&line).with_context(|| {
            format!("the {word} said `{}` and not that it is ready", line.trim())
        })?;
        Ok(Self { process, ready, _stdout: stdout })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A field of what it said when it was ready.
    ///
    /// # Errors
    /// When it did not say that.
    pub(crate) fn said(&self, field: &str) -> anyhow::Result<String> {
        let text = self.ready.get(field).and_then(Value::as_str);
        text.map(str::to_owned).with_context(|| format!("the ready line has no `{field}`"))
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// When it had ended by itself, which no measurement survives.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.process.try_wait()? {
            anyhow::bail!("a server ended by itself: {status}");
        }
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process id")?, Signal::TERM)?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill(); // It may have ended.
        let _ = self.process.wait();
    }
}
