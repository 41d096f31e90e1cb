//! Pins the engine's thread to its processor for the time of a run.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Puts the thread's processors back when dropped.
pub(super) struct Pin {
    before: Option<CpuSet>,
}

impl Pin {
    /// Pins the calling thread to a processor, or leaves it as it is.
    pub(super) fn to(cpu: Option<usize>) -> io::Result<Self> {
        let Some(cpu) = cpu else { return Ok(Self { before: None }) };
        let before = sched_getaffinity(None)?;
        if cpu >= CpuSet::MAX_CPU || !before.is_set(cpu) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("this process may not use processor {cpu}: see its affinity or cpuset"),
            ));
        }
        let mut only = CpuSet::new();
        only.set(cpu);
        sched_setaffinity(None, &only)?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // The thread ends soon in any case; there is nobody to tell.
            let _ = sched_setaffinity(None, before);
        }
    }
}
