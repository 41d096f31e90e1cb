//! The rows of the table: what load, what is counted, which ratio is to be reached.

use clap::ValueEnum;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Deliveries per processor second of the server.
    Delivered,
    /// Logins per processor second of the server.
    Logins,
    /// The 99th percentile of delivery, at half of the rate that saturates the node.
    Latency,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    /// On the command line and in the file's name.
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) work: &'static str,
    /// What the floor does.
    pub(crate) floor_mode: &'static str,
    /// What loadgen is told; the seconds come in addition.
    pub(crate) load: &'static str,
    /// Connections of the load.
    pub(crate) connections: u32,
    /// What is compared.
    pub(crate) measure: Measure,
    /// Node / floor.
    pub(crate) goal: f64,
}

impl Row {
    /// Whether a ratio above the goal is what is wished.
    pub(crate) const fn is_more_better(&self) -> bool {
        !matches!(self.measure, Measure::Latency)
    }

    /// The unit of what is compared.
    pub(crate) const fn unit(&self) -> &'static str {
        match self.measure {
            Measure::Delivered => "deliveries/CPU-s",
            Measure::Logins => "logins/CPU-s",
            Measure::Latency => "us p99",
        }
    }
}

/// A row's name, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowName {
    /// Private messages, 1,000 connections, 256 outstanding
    Private,
    /// The same with 10,000 connections
    Private10k,
    /// Bursts of 16 per sender, 4,096 outstanding
    Burst,
    /// A room of 1,000, 4 messages outstanding
    Room,
    /// Logins with direct tokens
    Login,
    /// Open loop at half of the node's saturation rate
    Latency,
    /// Every row
    All,
}

static ROWS: [(RowName, Row); 6] = [
    (
        RowName::Private,
        Row {
            name: "private",
            work: "private messages, 1,000 connections, 256 outstanding",
            floor_mode: "acked",
            load: "--preset pairs --connections 1000 --closed 256",
            connections: 1_000,
            measure: Measure::Delivered,
            goal: 0.85,
        },
    ),
    (
        RowName::Private10k,
        Row {
            name: "private10k",
            work: "private messages, 10,000 connections, 256 outstanding",
            floor_mode: "acked",
            load: "--preset pairs --connections 10000 --closed 256",
            connections: 10_000,
            measure: Measure::Delivered,
            goal: 0.85,
        },
    ),
    (
        RowName::Burst,
        Row {
            name: "burst",
            work: "private messages in bursts of 16, 1,000 connections, 4,096 outstanding",
            floor_mode: "acked",
            load: "--preset pairs --connections 1000 --burst 16 --closed 4096",
            connections: 1_000,
            measure: Measure::Delivered,
            goal: 0.75,
        },
    ),
    (
        RowName::Room,
        Row {
            name: "room",
            work: "a room of 1,000, 4 messages outstanding",
            floor_mode: "fanout",
            load: "--preset rooms --room-size 1000 --connections 1000 --closed 4",
            connections: 1_000,
            measure: Measure::Delivered,
            goal: 0.9,
        },
    ),
    (
        RowName::Login,
        Row {
            name: "login",
            work: "logins with direct tokens, 256 at a time",
            floor_mode: "login",
            load: "--preset churn --connections 256",
            connections: 256,
            measure: Measure::Logins,
            goal: 0.7,
        },
    ),
    (
        RowName::Latency,
        Row {
            name: "latency",
            work: "private messages, 1,000 connections, half of the saturation rate",
            floor_mode: "acked",
            load: "--preset pairs --connections 1000",
            connections: 1_000,
            measure: Measure::Latency,
            goal: 1.5,
        },
    ),
];

/// The rows that were asked for, in their order.
pub(crate) fn chosen(names: &[RowName]) -> Vec<&'static Row> {
    let is_chosen = |name: &RowName| names.contains(name) || names.contains(&RowName::All);
    ROWS.iter().filter(|(name, _)| is_chosen(name)).map(|(_, row)| row).collect()
}
