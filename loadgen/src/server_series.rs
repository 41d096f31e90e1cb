//! What the node's process uses, second by second: processor time and memory, as `/proc/PID/stat` says.

use std::time::{Duration, Instant};

use serde::Serialize;

/// The distance of two samples: a read of `/proc` each, on the thread that shows progress.
const INTERVAL: Duration = Duration::from_secs(1);
/// Samples kept: a day, as long as a run may last.
const SAMPLES_MAX: usize = 24 * 3_600;

/// One sample, and what was used since the one before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ServerSecond {
    /// Seconds since the measured phase began (negative: ramp and warm-up).
    pub t_s: f64,
    /// Time in user code, in percent of one processor.
    pub user_percent: f64,
    /// Time in the kernel, in percent of one processor.
    pub kernel_percent: f64,
    /// Resident memory.
    pub rss_bytes: u64,
}

/// Counters at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    user: u64,
    kernel: u64,
    rss_bytes: u64,
}

/// Samples under way.
#[derive(Debug)]
pub struct ServerSeries {
    pid: Option<u32>,
    samples: Vec<Sample>,
}

impl ServerSeries {
    /// Of this process; nothing of none.
    #[must_use]
    pub const fn new(pid: Option<u32>) -> Self {
        Self { pid, samples: Vec::new() }
    }

    /// Takes a sample if it is time for one. A process that has ended gives none.
    pub fn tick(&mut self) {
        let is_due = self.samples.last().is_none_or(|last| last.at.elapsed() >= INTERVAL);
        if is_due
            && self.samples.len() < SAMPLES_MAX
            && let Some(sample) = self.pid.and_then(sample)
        {
            self.samples.push(sample);
        }
    }

    /// What was used between the last two samples.
    #[must_use]
    pub fn latest(&self) -> Option<ServerSecond> {
        let pair = self.samples.last_chunk::<2>()?;
        row(pair, pair[1].at)
    }

    /// The series, by the start of the measured phase; empty without one.
    #[must_use]
    pub fn rows(&self, measured: Option<Instant>) -> Vec<ServerSecond> {
        let Some(measured) = measured else { return Vec::new() };
        self.samples.windows(2).filter_map(|pair| row(pair, measured)).collect()
    }
}

/// What was used between two samples.
fn row(pair: &[Sample], measured: Instant) -> Option<ServerSecond> {
    let [before, after] = pair else { return None };
    let length = after.at.duration_since(before.at).as_secs_f64();
    let percent = |from: u64, to: u64| {
        let ticks = to.saturating_sub(from) as f64 / procfs::ticks_per_second() as f64;
        ticks / length * 100.0
    };
    let t_s = after.at.saturating_duration_since(measured).as_secs_f64()
        - measured.saturating_duration_since(after.at).as_secs_f64();
    Some(ServerSecond {
        t_s,
        user_percent: percent(before.user, after.user),
        kernel_percent: percent(before.kernel, after.kernel),
        rss_bytes: after.rss_bytes,
    })
}

fn sample(pid: u32) -> Option<Sample> {
    let stat = procfs::process::Process::new(pid.cast_signed()).ok()?.stat().ok()?;
    let rss_bytes = stat.rss.saturating_mul(procfs::page_size());
    Some(Sample { at: Instant::now(), user: stat.utime, kernel: stat.stime, rss_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_between_two_samples_is_a_share_of_one_processor() {
        let measured = Instant::now();
        let ticks = procfs::ticks_per_second();
        let at = |seconds: u64, user: u64| Sample {
            at: measured + Duration::from_secs(seconds),
            user,
            kernel: 0,
            rss_bytes: 4_096,
        };
        let series = ServerSeries { pid: None, samples: vec![at(1, 0), at(3, ticks)] };
        let rows = series.rows(Some(measured));
        assert_eq!(
            rows,
            [ServerSecond { t_s: 3.0, user_percent: 50.0, kernel_percent: 0.0, rss_bytes: 4_096 }]
        );
        assert!(series.rows(None).is_empty());
    }

    #[test]
    fn this_process_is_seen_and_none_is_not() {
        let mut mine = ServerSeries::new(Some(std::process::id()));
        mine.tick();
        mine.tick();
        assert_eq!(mine.samples.len(), 1, "one a second");
        let mut none = ServerSeries::new(None);
        none.tick();
        assert!(none.samples.is_empty());
    }
}
