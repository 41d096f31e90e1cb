//! What a run leaves behind: a table to read, `run.json` for programs, a page to look at, `.hgrm` files for plotters.
//!
//! Owns the wording and the layout. Never judges: the verdicts come in, and a headline goes out only with a verdict that
//! bears one.

mod capacity;
pub mod directory;
mod disturbed;
mod durable;
pub mod hgrm;
mod json;
pub mod percentile;
mod table;

pub use json::SCHEMA;
pub(crate) use table::{count as grouped_count, grouped};

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hdrhistogram::Histogram;

use crate::capacity::CapacityFigures;
use crate::capture::ServerFigures;
use crate::durable::DurableFigures;
use crate::env::{Environment, Interference};
use crate::offer::Offer;
use crate::outcome::{Class, Outcome};
use crate::server_series::ServerSecond;
use crate::slo::{Figures, SloResult};
use crate::trial::Disturbed;
use crate::validity::{Validity, Verdict};

/// Everything that a report says.
#[derive(Debug)]
pub struct Report {
    /// What was asked for.
    pub offer: Offer,
    /// The command line.
    pub argv: Vec<String>,
    /// When it began.
    pub started: SystemTime,
    /// How the connections got leave to log in: `gateway` or `direct`.
    pub login: &'static str,
    /// Which process ran on which processor, in words.
    pub layout: Vec<String>,
    /// What the engine found.
    pub outcome: Outcome,
    /// What the server used.
    pub server: ServerFigures,
    /// What durability cost, if the node kept anything here.
    pub durable: Option<DurableFigures>,
    /// What holding the connections cost.
    pub capacity: Option<CapacityFigures>,
    /// What was done to the system in the measured phase.
    pub disturbed: Vec<Disturbed>,
    /// What the node used, second by second.
    pub server_series: Vec<ServerSecond>,
    /// The environment before the ramp.
    pub environment_start: Environment,
    /// The environment after the run.
    pub environment_end: Environment,
    /// What else the machine did.
    pub interference: Option<Interference>,
    /// Whether to trust it.
    pub verdict: Verdict,
    /// The objectives.
    pub slo: Vec<SloResult>,
}

/// One latency of a class, by name.
fn latencies(class: &Class) -> [(&'static str, &Histogram<u64>); 4] {
    [
        ("lag", &class.lag),
        ("service", &class.service),
        ("response", &class.response),
        ("delivery", &class.delivery),
    ]
}

/// The figures that objectives can name, of a run.
#[must_use]
pub fn figures(
    outcome: &Outcome,
    server: &ServerFigures,
    capacity: Option<&CapacityFigures>,
) -> Figures {
    let count = |count: u64| Some(count as f64);
    let measured = outcome.measured.as_secs_f64();
    let rate = |count: u64| (measured > 0.0).then(|| count as f64 / measured);
    let ledger = &outcome.ledger;
    let mut figures = Figures::from([
        ("sent", count(ledger.sent)),
        ("acked", count(ledger.acked)),
        ("delivered", count(ledger.delivered)),
        ("lost", count(ledger.lost)),
        ("duplicate", count(ledger.duplicate)),
        ("reordered", count(ledger.reordered)),
        ("corrupt", count(ledger.corrupt)),
        ("misrouted", count(ledger.misrouted)),
        ("indeterminate", count(ledger.indeterminate)),
        ("refused", count(ledger.refused)),
        ("disconnects", count(outcome.disconnects.values().sum())),
        ("established", count(outcome.established.into())),
        ("logins_per_s", logins_per_s(outcome)),
        ("sent_per_s", rate(outcome.sent)),
        ("acked_per_s", rate(outcome.acked)),
        ("delivered_per_s", rate(outcome.delivered)),
        ("cpu_s", server.cpu_s),
        ("rss_bytes", server.rss_bytes),
        ("rss_start_bytes", server.rss_start_bytes),
        ("rss_per_connection_bytes", server.rss_per_connection_bytes),
        ("delivered_per_cpu_s", server.delivered_per_cpu_s),
        ("syscalls_per_message", server.syscalls_per_message),
        ("cqes_per_enter", server.cqes_per_enter),
        ("ramp_s", Some(outcome.ramp.as_secs_f64()).filter(|_| outcome.established > 0)),
    ]);
    figures.extend(CapacityFigures::named(capacity));
    figures
}

fn logins_per_s(outcome: &Outcome) -> Option<f64> {
    let ramp = outcome.ramp.as_secs_f64();
    (ramp > 0.0 && outcome.established > 0).then(|| f64::from(outcome.established) / ramp)
}

/// Whether the delivery ledger has anything in it that must not be.
#[must_use]
pub const fn is_delivery_violated(outcome: &Outcome) -> bool {
    let ledger = &outcome.ledger;
    ledger.lost + ledger.duplicate + ledger.reordered + ledger.corrupt + ledger.misrouted > 0
}

impl Report {
    /// The run in one line, if its measurement bears one.
    #[must_use]
    pub fn headline(&self) -> Option<String> {
        match self.verdict.validity {
            Validity::Invalid => None,
            Validity::Valid => Some(table::headline(self)),
            Validity::Degraded => {
                Some(format!("{} (degraded: see the verdict)", table::headline(self)))
            }
        }
    }

    /// The report to read.
    #[must_use]
    pub fn to_table(&self) -> String {
        table::text(self)
    }

    /// The report for programs.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json::document(self)
    }

    /// Writes `run.json`, `report.txt`, `report.html` and the `.hgrm` files into `directory`, which is created. Gives the files.
    ///
    /// # Errors
    /// When the directory or a file cannot be written.
    pub fn write(&self, directory: &Path) -> std::io::Result<Vec<PathBuf>> {
        fs::create_dir_all(directory)?;
        let mut files = Vec::new();
        let mut put = |name: String, text: String| {
            let path = directory.join(name);
            fs::write(&path, text)?;
            files.push(path);
            Ok::<(), std::io::Error>(())
        };
        put("run.json".into(), format!("{:#}\n", self.to_json()))?;
        put("report.txt".into(), self.to_table())?;
        for (name, class) in &self.outcome.classes {
            for (kind, histogram) in latencies(class).into_iter().filter(|(_, h)| !h.is_empty()) {
                put(format!("{name}-{kind}-us.hgrm"), hgrm::text(histogram))?;
            }
        }
        let page = crate::page::write(directory, None).map_err(std::io::Error::other)?;
        files.push(page);
        Ok(files)
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
