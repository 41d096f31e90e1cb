//! The floor's arguments. Its ring is as large as the node's.

use anyhow::{Context, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::traffic::{ACKS_MAX, FRAME_BYTES};

/// What is done for each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// One receive, one send: back to whoever sent it.
    Echo,
    /// One receive, one send: to the partner.
    Forward,
    /// One receive, two sends: to the partner, and an acknowledgement back.
    Acked,
    /// One receive, an acknowledgement back, and a send to every other connection for all that a turn brought.
    Fanout,
    /// No messages: connections come, log in and go.
    Login,
    /// No messages: connections log in and stay.
    Idle,
}

impl Mode {
    /// Its word on the command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Forward => "forward",
            Self::Acked => "acked",
            Self::Fanout => "fanout",
            Self::Login => "login",
            Self::Idle => "idle",
        }
    }
}

/// The least that an io_uring server must do for a chat message: what a node is measured against.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "floor")]
pub(crate) struct Args {
    /// What is done for each message
    #[arg(value_enum)]
    pub(crate) mode: Mode,

    /// Where to listen on 127.0.0.1; 0 chooses a free port
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,

    /// Connections at most; a login's number lies below it
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) max: u32,

    /// The processor to run on [default: any]
    #[arg(long, value_name = "N")]
    pub(crate) cpu: Option<usize>,

    /// Submissions per enter
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub(crate) submissions: u32,

    /// Completions that can wait
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    pub(crate) completions: u32,

    /// Receive buffers: a power of two, at most 32,768
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) buffers: u16,

    /// Bytes of each: two bursts of 16 messages do not quite fit in 4,096
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    pub(crate) buffer_bytes: u32,
}

/// Refuses what the loop could not do.
pub(super) fn check(args: &Args) -> anyhow::Result<()> {
    ensure!(args.max > 0, "--max must be above zero");
    ensure!(
        args.buffers.is_power_of_two() && args.buffers <= 32_768,
        "--buffers must be a power of two, 32,768 at most"
    );
    let most = (ACKS_MAX - 1) * FRAME_BYTES;
    ensure!(
        (FRAME_BYTES..=most).contains(&(args.buffer_bytes as usize)),
        "--buffer-bytes must lie between {FRAME_BYTES} and {most}"
    );
    Ok(())
}

/// Pins the process, as long as it has one thread.
pub(super) fn pin(cpu: usize) -> anyhow::Result<()> {
    ensure!(cpu < CpuSet::MAX_CPU, "there is no processor {cpu}");
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).with_context(|| format!("pinning to processor {cpu}"))
}
