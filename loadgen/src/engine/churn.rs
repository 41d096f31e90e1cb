//! Connections that come, log in and go, as fast as they can: what a login costs.
//!
//! A connection leaves as soon as it is ready, by closing its socket as a client does that is switched off, and is dialled
//! again when its socket is closed. Only while the load is on: before it everybody comes once, after it nobody does.

use std::io;

use super::Engine;
use super::conn::State;
use crate::plan::{Phase, Preset};

impl Engine<'_> {
    /// Whether whoever has come goes again.
    pub(super) fn is_churning(&self) -> bool {
        self.plan.preset == Preset::Churn && matches!(self.phase, Phase::Warmup | Phase::Measured)
    }

    /// The load begins: everybody who is there leaves.
    pub(super) fn begin_churn(&mut self, now_ns: u64) -> io::Result<()> {
        if !self.is_churning() {
            return Ok(());
        }
        for index in 0..self.plan.connections {
            if self.conns[index as usize].state == State::Ready {
                self.leave(index, now_ns)?;
            }
        }
        Ok(())
    }

    /// A connection leaves, to come again.
    pub(super) fn leave(&mut self, index: u32, now_ns: u64) -> io::Result<()> {
        self.established -= 1;
        self.conns[index as usize].again_ms = Some(0);
        self.close(index, now_ns)
    }
}
