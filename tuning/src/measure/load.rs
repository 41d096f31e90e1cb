//! One run of `loadgen`, and what is taken from its report.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What is compared: a name, and whether more of it is better.
pub const FIGURES: [(&str, bool); 6] = [
    ("logins per second", true),
    ("messages acknowledged per second", true),
    ("messages per second of the node's processor", true),
    ("response p50 in us", false),
    ("response p99 in us", false),
    ("delivery p99 in us", false),
];

/// Exit codes of `loadgen` that come with a report: all well, an objective missed, INVALID.
const REPORTED: [i32; 3] = [0, 3, 5];

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// In the order of [`FIGURES`]; `None` where the run has no such figure.
    pub figures: [Option<f64>; 6],
    /// Whether `loadgen` itself calls the run a measurement.
    pub is_valid: bool,
}

/// Why a run gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be started.
    #[error(
        "{program}: {error}; build it (cargo build --release -p loadgen) or name it with --loadgen"
    )]
    Start {
        /// The program.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// It ended without a report.
    #[error("loadgen ended with {code}: {said}")]
    Ended {
        /// Its exit code.
        code: String,
        /// Its last words.
        said: String,
    },
    /// Its report is not understood.
    #[error("loadgen's report is not what this tool knows: {0}")]
    Report(String),
}

impl Load {
    /// Runs `loadgen` and reads its report. Its files go below `folder` and are removed: the figures are what is kept.
    ///
    /// # Errors
    /// When there is no report.
    pub fn run(program: &Path, arguments: &[OsString], folder: &Path) -> Result<Self, LoadError> {
        let start =
            |error: io::Error| LoadError::Start { program: program.display().to_string(), error };
        let reports = folder.join(format!("run-{}", std::process::id()));
        let output = Command::new(program)
            .args(arguments)
            .args(["--json", "--quiet", "--report"])
            .arg(&reports)
            .stdin(Stdio::null())
            .output();
        let _ = fs::remove_dir_all(&reports); // a run that failed may have made none
        let output = output.map_err(start)?;
        let code = output.status.code();
        if !code.is_some_and(|code| REPORTED.contains(&code)) {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: Vec<&str> = said.lines().rev().take(3).collect();
            let said = said.into_iter().rev().collect::<Vec<_>>().join(" / ");
            let code = match code {
                Some(8) => {
                    "status 8, the target could not be reached or connections did not come up"
                        .to_owned()
                }
                Some(code) => format!("status {code}"),
                None => "a signal".to_owned(),
            };
            return Err(LoadError::Ended { code, said });
        }
        let report = serde_json::from_slice(&output.stdout)
            .map_err(|error| LoadError::Report(error.to_string()))?;
        Self::of(&report)
    }

    fn of(report: &Value) -> Result<Self, LoadError> {
        let validity = report["verdict"]["validity"].as_str();
        let validity = validity.ok_or_else(|| LoadError::Report("it has no verdict".to_owned()))?;
        let classes = report["classes"].as_object();
        // Of several classes the slowest counts.
        let latency = |kind: &str, p: f64| {
            let of = |class: &Value| {
                let percentiles = class[kind]["percentiles"].as_array()?;
                percentiles.iter().find(|entry| entry["p"].as_f64() == Some(p))?["value_us"]
                    .as_f64()
            };
            classes.into_iter().flatten().filter_map(|(_, class)| of(class)).reduce(f64::max)
        };
        let figures = [
            report["connections"]["logins_per_s"].as_f64(),
            report["achieved"]["acked_per_s"].as_f64(),
            report["window"]["messages_per_server_cpu_s"].as_f64(),
            latency("response", 50.0),
            latency("response", 99.0),
            latency("delivery", 99.0),
        ];
        // What is zero or less has no ratio.
        let figures =
            figures.map(|figure| figure.filter(|figure| figure.is_finite() && *figure > 0.0));
        Ok(Self { figures, is_valid: validity != "INVALID" })
    }

    /// The first figures, for whoever watches.
    #[must_use]
    pub fn words(&self) -> String {
        let show = |index: usize| {
            self.figures[index].map_or_else(|| "n/a".to_owned(), |figure| format!("{figure:.0}"))
        };
        let mark = if self.is_valid { "" } else { ", INVALID" };
        format!("{} logins/s, {} acked/s, p99 {} us{mark}", show(0), show(1), show(4))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_taken_from_a_report() {
        let class = |p99: f64| json!({"response": {"percentiles": [{"p": 50.0, "value_us": 10.0}, {"p": 99.0, "value_us": p99}]}});
        let report = json!({
            "verdict": {"validity": "INVALID"},
            "connections": {"logins_per_s": 521.7},
            "achieved": {"acked_per_s": 500.0},
            "window": {"messages_per_server_cpu_s": null},
            "classes": {"private": class(90.0), "room": class(120.0)},
        });
        let load = Load::of(&report).unwrap();
        assert_eq!(load.figures, [Some(521.7), Some(500.0), None, Some(10.0), Some(120.0), None]);
        assert!(!load.is_valid);
        assert!(Load::of(&json!({})).is_err());
    }

    #[test]
    fn a_generator_that_is_not_there_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = Load::run(Path::new("/nowhere/loadgen"), &[], folder.path()).unwrap_err();
        assert!(error.to_string().contains("--loadgen"), "{error}");
        let error = Load::run(Path::new("/bin/false"), &[], folder.path()).unwrap_err();
        assert!(matches!(error, LoadError::Ended { .. }), "{error}");
        let error = Load::run(Path::new("/bin/true"), &[], folder.path()).unwrap_err();
        assert!(matches!(error, LoadError::Report(_)), "{error}");
    }
}
