//! The two load engines, and which of them a run uses.
//!
//! They share what says what is measured and nothing of how. A figure that both give is the system's; one that only one
//! of them gives is that engine's own.

use clap::ValueEnum;

use crate::exit::Refusal;
use crate::trial::Engine;
use crate::{engine, poller};

/// A load engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// io_uring: any number of connections.
    #[default]
    Uring,
    /// epoll: as many connections as the process may have descriptors.
    Epoll,
}

impl EngineName {
    /// Every engine.
    pub const ALL: [Self; 2] = [Self::Uring, Self::Epoll];

    /// Its name on the command line and in reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }

    /// What does a plan.
    #[must_use]
    pub fn engine(self) -> Engine {
        match self {
            Self::Uring => engine::run,
            Self::Epoll => poller::run,
        }
    }

    /// Refuses more connections than the engine can hold.
    ///
    /// # Errors
    /// With the reason, and what to do instead.
    pub fn refuse(self, connections: u32) -> Result<(), Refusal> {
        match self {
            Self::Uring => Ok(()),
            Self::Epoll => poller::refuse(connections).map_err(Refusal::usage),
        }
    }
}

#[cfg(test)]
#[path = "engines_tests.rs"]
pub(crate) mod tests;
