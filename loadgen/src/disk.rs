//! How long the disk itself takes for what a commit asks of it: a write behind the last one, and `fdatasync`.
//!
//! Owns a file beside the node's and a thread that syncs it now and then. Knows nothing of messages: its times stand beside
//! the node's so that a reader sees what of an acknowledgement's time is the disk's.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// The time between two samples: a hundred a second tell of the disk and are no load beside some hundred commits.
const PAUSE: Duration = Duration::from_millis(10);
/// Samples of the idle disk.
const IDLE_SAMPLES: u32 = 200;
/// The time between two of them.
const IDLE_PAUSE: Duration = Duration::from_millis(5);
/// Where the file begins again at its start, as a write-ahead log does: from there on it grows no more.
const FILE_BYTES: u64 = 64 << 20;
/// A sample lasts at most this long in the histogram.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// A percentile needs so many samples beyond it: fewer than for latencies, because the disk is asked seldom.
const BEYOND_MIN: u64 = 10;

/// Percentiles of the samples; one with fewer than ten samples beyond it is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct DiskTimes {
    /// How many samples.
    pub samples: u64,
    /// The median, in microseconds.
    pub p50_us: Option<f64>,
    /// In microseconds.
    pub p90_us: Option<f64>,
    /// In microseconds.
    pub p99_us: Option<f64>,
    /// In microseconds.
    pub p99_9_us: Option<f64>,
    /// The longest, in microseconds.
    pub max_us: Option<f64>,
}

impl DiskTimes {
    fn of(times: &Histogram<u64>) -> Self {
        let at = |p: f64| {
            let beyond = times.len() as f64 * (1.0 - p / 100.0);
            let is_known = beyond.round() as u64 >= BEYOND_MIN;
            is_known.then(|| times.value_at_percentile(p) as f64 / 1e3)
        };
        Self {
            samples: times.len(),
            p50_us: at(50.0),
            p90_us: at(90.0),
            p99_us: at(99.0),
            p99_9_us: at(99.9),
            max_us: (!times.is_empty()).then(|| times.max() as f64 / 1e3),
        }
    }
}

/// The file that is synced. Removed at the end.
#[derive(Debug)]
struct Subject {
    file: File,
    path: PathBuf,
    page: Vec<u8>,
    at: u64,
    times: Histogram<u64>,
}

impl Subject {
    fn new(directory: &Path, bytes: usize) -> io::Result<Self> {
        let path = directory.join("fdatasync.probe");
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        let times = Histogram::new_with_bounds(1, LONGEST_NS, 3).map_err(io::Error::other)?;
        Ok(Self { file, path, page: vec![0x5a; bytes], at: 0, times })
    }

    fn sample(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.page, self.at)?;
        self.at += self.page.len() as u64;
        if self.at + self.page.len() as u64 > FILE_BYTES {
            self.at = 0;
        }
        let begin = Instant::now();
        self.file.sync_data()?;
        let took = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.times.saturating_record(took.max(1));
        Ok(())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // Its directory goes at the end of the run.
    }
}

/// A disk that is sampled.
#[derive(Debug)]
pub struct DiskProbe {
    stop: Sender<()>,
    thread: JoinHandle<io::Result<Subject>>,
}

impl DiskProbe {
    /// Begins to sample the file system of `directory` with writes of so many bytes.
    ///
    /// # Errors
    /// When the file or the thread cannot be had.
    pub fn start(directory: &Path, bytes: usize) -> io::Result<Self> {
        let mut subject = Subject::new(directory, bytes)?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("lg-disk".into()).spawn(move || {
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                subject.sample()?;
            }
            Ok(subject)
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends it: the times so far, while the node was at work. `idle` then samples the disk that has nothing else to do.
    ///
    /// # Errors
    /// When the disk refused.
    pub fn stop(self) -> io::Result<Sampled> {
        drop(self.stop);
        let subject =
            self.thread.join().map_err(|_| io::Error::other("the disk's thread panicked"))??;
        Ok(Sampled { loaded: DiskTimes::of(&subject.times), subject })
    }
}

/// A disk whose times under load are known.
#[derive(Debug)]
pub struct Sampled {
    /// While the node was at work.
    pub loaded: DiskTimes,
    subject: Subject,
}

impl Sampled {
    /// Samples the disk that has nothing else to do: for a second or so.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn idle(mut self) -> io::Result<DiskTimes> {
        self.subject.times.reset();
        for _ in 0..IDLE_SAMPLES {
            self.subject.sample()?;
            thread::sleep(IDLE_PAUSE);
        }
        Ok(DiskTimes::of(&self.subject.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_need_samples_beyond_them() {
        let mut times = Histogram::new(3).unwrap();
        (1..=1_000).for_each(|us| times.record(us * 1_000).unwrap());
        let found = DiskTimes::of(&times);
        assert!((found.p50_us.unwrap() / 500.0 - 1.0).abs() < 0.01, "{found:?}");
        assert!(found.p99_us.is_some() && found.p99_9_us.is_none(), "{found:?}");
        assert_eq!(DiskTimes::of(&Histogram::new(3).unwrap()), DiskTimes::default());
    }

    #[test]
    fn a_file_is_synced_and_gone_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let mut subject = Subject::new(directory.path(), 4_096).unwrap();
        for _ in 0..3 {
            subject.sample().unwrap();
        }
        assert_eq!((subject.times.len(), subject.at), (3, 3 * 4_096));
        subject.at = FILE_BYTES - 8_192;
        subject.sample().unwrap();
        subject.sample().unwrap();
        assert_eq!(subject.at, 0);
        drop(subject);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
