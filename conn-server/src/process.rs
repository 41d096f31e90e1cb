//! The process's own figures, as the kernel keeps them in `/proc/self`.

use std::time::Duration;

/// What the process has used and holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ProcessFigures {
    /// Processor time of all its threads, kernel threads of its rings included, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
}

impl ProcessFigures {
    /// Reads them now.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub(crate) fn read() -> procfs::ProcResult<Self> {
        let stat = procfs::process::Process::myself()?.stat()?;
        let ticks = stat.utime.saturating_add(stat.stime);
        let seconds = Duration::from_secs(ticks).as_secs_f64() / ticks_per_second();
        Ok(Self { cpu_seconds: seconds, rss_bytes: stat.rss * procfs::page_size() })
    }
}

fn ticks_per_second() -> f64 {
    let ticks = u32::try_from(procfs::ticks_per_second()).unwrap_or(100);
    f64::from(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_holds_what_it_touches() {
        let before = ProcessFigures::read().unwrap();
        let block = std::hint::black_box(vec![7_u8; 64 << 20]);
        let after = ProcessFigures::read().unwrap();
        assert!(after.rss_bytes >= before.rss_bytes + (32 << 20), "{before:?} {after:?}");
        assert!(after.cpu_seconds >= before.cpu_seconds);
        drop(block);
    }
}
