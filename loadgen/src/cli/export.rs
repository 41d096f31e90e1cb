//! The words of `loadgen export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// A format of another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Percentiles of one latency, for HdrHistogram's plotter.
    Hgrm,
    /// HdrHistogram's interval log, with every latency.
    Hlog,
    /// Percentiles of every latency as a table.
    Csv,
    /// The run's seconds as a table.
    Series,
    /// OpenMetrics text.
    Openmetrics,
}

/// `loadgen export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The run: a directory that `--report` made.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The format.
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// Only the latencies of this class; by default all classes merged. Only with hgrm.
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// Which latency: lag, service, response or delivery. Only with hgrm.
    #[arg(long, default_value = "delivery", value_name = "KIND")]
    pub kind: String,
    /// Where to write it; by default to standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite the file of --out.
    #[arg(long)]
    pub force: bool,
}
