//! The I/O drivers: each moves bytes between sockets and the same sans-IO core.
//!
//! A driver is a function `run(host, listeners, …)` that owns a shard's sockets and loops, one turn at a time:
//!
//! 1. `Host::begin_turn`: the clocks, mail, store outcomes.
//! 2. Events: each is checked against the generation of the slot's present owner, then fed to the core.
//! 3. `Host::finish_inputs`.
//! 4. The connection lanes, in the order of `chat::Effects`: flush, pause, resume, shutdown, abort. One send is in
//!    flight per connection at most. A connection is closed when its receive and its send have both ended, and only
//!    then `handle_closed` is called.
//! 5. `Host::end_turn`: mail and store lanes.
//! 6. Accepting is armed or cancelled as the shard's fill and phase want it.
//! 7. `Host::wait` tells how long to wait; one call into the kernel submits and waits.
//!
//! No trait object, no callback per frame: drivers share the host, this contract and the conformance suite. The drivers on
//! runtimes do the same with a task per connection (`tasks`).

pub mod epoll;
mod gate;
pub mod monoio;
mod tasks;
pub mod tokio_uring;
pub mod uring;

use std::fmt;
use std::str::FromStr;

/// A driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DriverKind {
    /// io_uring: the production driver.
    Uring,
    /// Readiness with epoll: the oracle and the baseline.
    Epoll,
    /// The runtime monoio, for comparison.
    Monoio,
    /// The runtime tokio-uring, for comparison.
    TokioUring,
}

impl DriverKind {
    /// Every compiled driver.
    pub const ALL: &[Self] = &[Self::Uring, Self::Epoll, Self::Monoio, Self::TokioUring];

    /// Its name on the command line and in reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
            Self::Monoio => "monoio",
            Self::TokioUring => "tokio_uring",
        }
    }

    /// What it can do.
    #[must_use]
    pub const fn caps(self) -> Caps {
        match self {
            Self::Uring => Caps {
                direct_descriptors: true,
                buffer_ring: true,
                cancel_on_close: true,
                sized_queues: true,
            },
            Self::Epoll => Caps {
                direct_descriptors: false,
                buffer_ring: false,
                cancel_on_close: false,
                sized_queues: false,
            },
            // What the runtimes keep to themselves cannot be sized or counted.
            Self::Monoio | Self::TokioUring => Caps {
                direct_descriptors: false,
                buffer_ring: false,
                cancel_on_close: true,
                sized_queues: false,
            },
        }
    }

    /// Asks the kernel, before any thread starts, whether it can be used, and says how it would be set up.
    ///
    /// # Errors
    /// What is missing and what to do about it, in words.
    pub fn probe(self) -> Result<String, String> {
        match self {
            Self::Uring => uring::probe(),
            Self::Epoll => Ok(epoll::FLAGS.to_owned()),
            Self::Monoio => monoio::probe(),
            Self::TokioUring => tokio_uring::probe(),
        }
    }
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What a driver can do: the conformance suite skips by this table and by nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Connections use no descriptors of the process, so that it can hold more than RLIMIT_NOFILE.
    pub direct_descriptors: bool,
    /// Receives take buffers from a shared pool, which can be exhausted.
    pub buffer_ring: bool,
    /// Operations are in flight in the kernel and have to be ended before a close.
    pub cancel_on_close: bool,
    /// Its queues have the sizes of `UringConfig`, and it counts when they are full.
    pub sized_queues: bool,
}

/// Which driver is wished for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoChoice {
    /// io_uring where the kernel allows it, else epoll, with the reason told.
    #[default]
    Auto,
    /// This one or none.
    Only(DriverKind),
}

impl FromStr for IoChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let kind = DriverKind::ALL.iter().find(|kind| kind.label() == text);
        kind.copied().map(Self::Only).ok_or_else(|| {
            let names: Vec<_> = DriverKind::ALL.iter().map(|kind| kind.label()).collect();
            format!("there is no I/O driver called {text:?}: choose auto, {}", names.join(", "))
        })
    }
}

impl fmt::Display for IoChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(kind) => kind.fmt(f),
        }
    }
}

/// Which driver is used, how, and why: printed at start and part of every report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverReport {
    /// The driver.
    pub kind: DriverKind,
    /// Its set-up, as a list of flags.
    pub flags: String,
    /// Why this one.
    pub reason: String,
}

/// Chooses a driver by asking the kernel.
///
/// # Errors
/// If a driver was asked for by name and is not to be had: the text says why and what to do.
pub fn choose(choice: IoChoice) -> Result<DriverReport, String> {
    match choice {
        IoChoice::Only(kind) => match kind.probe() {
            Ok(flags) => Ok(DriverReport { kind, flags, reason: format!("{kind} was asked for") }),
            Err(why) => Err(format!("{kind} cannot be used: {why}; or start with --io epoll")),
        },
        IoChoice::Auto => {
            let (kind, reason) = match uring::probe() {
                Ok(_) => {
                    (DriverKind::Uring, "the kernel has all that the ring driver needs".into())
                }
                Err(why) => (DriverKind::Epoll, format!("io_uring cannot be used: {why}")),
            };
            Ok(DriverReport { kind, flags: kind.probe()?, reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_reads_as_it_is_written() {
        for text in ["auto", "uring", "epoll", "monoio", "tokio_uring"] {
            assert_eq!(text.parse::<IoChoice>().unwrap().to_string(), text);
        }
        assert!("poll".parse::<IoChoice>().unwrap_err().contains("epoll, monoio, tokio_uring"));
    }

    #[test]
    fn epoll_is_always_to_be_had() {
        let report = choose(IoChoice::Only(DriverKind::Epoll)).unwrap();
        assert_eq!(report.kind, DriverKind::Epoll);
    }
}
