//! A run as lines of JSON while it goes on: one a second, and one where a phase begins. For whoever draws it live, stops it,
//! or keeps it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use crate::plan::{Phase, Watch};
use crate::server_series::ServerSeries;

/// The distance of two lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// Totals at one moment.
#[derive(Clone, Copy, Debug)]
struct Totals {
    at: Instant,
    sent: u64,
    acked: u64,
    delivered: u64,
}

/// Lines under way.
pub struct Stream {
    place: PathBuf,
    /// Gone when a line could not be written: the run is worth more than its lines.
    out: Option<Box<dyn Write>>,
    begun: Instant,
    phase: Phase,
    last: Totals,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Stream {
    /// Lines into this file, which is made anew; `-` is standard error, since standard output is the report's.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn open(place: &Path) -> anyhow::Result<Self> {
        let out: Box<dyn Write> = if place == Path::new("-") {
            Box::new(io::stderr())
        } else {
            let file = File::create(place);
            Box::new(file.with_context(|| format!("--stream {}", place.display()))?)
        };
        let now = Instant::now();
        Ok(Self {
            place: place.to_owned(),
            out: Some(out),
            begun: now,
            phase: Phase::Start,
            last: Totals { at: now, sent: 0, acked: 0, delivered: 0 },
        })
    }

    /// Writes a line if it is time for one, or if another phase has begun.
    pub fn tick(&mut self, phase: Phase, watch: &Watch, server: &ServerSeries) {
        let now = Instant::now();
        if self.phase == phase && now.duration_since(self.last.at) < INTERVAL {
            return;
        }
        let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let totals = Totals {
            at: now,
            sent: read(&watch.sent),
            acked: read(&watch.acked),
            delivered: read(&watch.delivered),
        };
        let length = now.duration_since(self.last.at).as_secs_f64().max(1e-9);
        let per_s = |from: u64, to: u64| (to.saturating_sub(from) as f64 / length).round();
        let node = server.latest();
        let line = json!({
            "elapsed_s": now.duration_since(self.begun).as_secs_f64(),
            "phase": name(phase),
            "established": watch.established.load(Ordering::Relaxed),
            "sent": totals.sent,
            "acked": totals.acked,
            "delivered": totals.delivered,
            "sent_per_s": per_s(self.last.sent, totals.sent),
            "acked_per_s": per_s(self.last.acked, totals.acked),
            "delivered_per_s": per_s(self.last.delivered, totals.delivered),
            "node_cpu_percent": node.map(|node| node.user_percent + node.kernel_percent),
            "node_rss_bytes": node.map(|node| node.rss_bytes),
        });
        (self.phase, self.last) = (phase, totals);
        if let Some(out) = &mut self.out
            && let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush())
        {
            self.out = None;
            eprintln!("warning: no more lines into {}: {error}", self.place.display());
        }
    }
}

const fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Start => "start",
        Phase::Ramp => "ramp",
        Phase::Prime => "prime",
        Phase::Idle => "idle",
        Phase::Warmup => "warmup",
        Phase::Measured => "measured",
        Phase::Drain => "drain",
        Phase::Close => "close",
        Phase::Done => "done",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_where_a_phase_begins_and_says_what_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("run.ndjson");
        let mut stream = Stream::open(&file).unwrap();
        let (watch, server) = (Watch::default(), ServerSeries::new(None));
        stream.tick(Phase::Ramp, &watch, &server);
        watch.acked.store(7, Ordering::Relaxed);
        stream.tick(Phase::Ramp, &watch, &server);
        stream.tick(Phase::Measured, &watch, &server);
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "one a second, and one a phase: {text}");
        assert_eq!((&lines[0]["phase"], &lines[1]["phase"]), (&"ramp".into(), &"measured".into()));
        assert_eq!(lines[1]["acked"], 7);
        assert!(lines[1]["node_rss_bytes"].is_null());
    }

    #[test]
    fn a_place_that_takes_no_lines_ends_them_and_not_the_run() {
        let (watch, server) = (Watch::default(), ServerSeries::new(None));
        let mut full = Stream::open(Path::new("/dev/full")).unwrap();
        full.tick(Phase::Ramp, &watch, &server);
        assert!(full.out.is_none());
        full.tick(Phase::Measured, &watch, &server);
        assert!(Stream::open(Path::new("/nowhere/run.ndjson")).is_err());
    }
}
