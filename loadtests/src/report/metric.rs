//! What is measured, and what a comparison says of it.

use serde::{Deserialize, Serialize};

/// A quantity of which one arm can have more or less than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Median latency.
    LatencyP50,
    /// 95th percentile of latency.
    LatencyP95,
    /// 99th percentile of latency.
    LatencyP99,
    /// Processor time of all processes of the shop, for each request.
    CpuTotal,
    /// Processor time of the api.
    CpuApi,
    /// Processor time of Postgres.
    CpuPostgres,
    /// Closed-loop throughput.
    Throughput,
    /// Highest rate within the objective.
    Capacity,
    /// Statements.
    Queries,
    /// Rows.
    Rows,
    /// Shared buffers.
    Buffers,
    /// Exchanges with the stores.
    RoundTrips,
    /// Bytes of the answer's body.
    ResponseBytes,
    /// Bytes that Postgres sent.
    PostgresBytes,
    /// Bytes of write-ahead log.
    WalBytes,
    /// Bytes of the request.
    RequestBytes,
}

impl Metric {
    /// As a reader says it.
    pub const fn label(self) -> &'static str {
        match self {
            Metric::LatencyP50 => "latency, median",
            Metric::LatencyP95 => "latency, p95",
            Metric::LatencyP99 => "latency, p99",
            Metric::CpuTotal => "CPU, all processes",
            Metric::CpuApi => "CPU, api",
            Metric::CpuPostgres => "CPU, Postgres",
            Metric::Throughput => "throughput",
            Metric::Capacity => "capacity",
            Metric::Queries => "statements",
            Metric::Rows => "rows",
            Metric::Buffers => "shared buffers",
            Metric::RoundTrips => "round trips",
            Metric::ResponseBytes => "bytes of the answer",
            Metric::PostgresBytes => "bytes from Postgres",
            Metric::WalBytes => "bytes of write-ahead log",
            Metric::RequestBytes => "bytes of the request",
        }
    }

    /// Whether more of it is better. Of all others, less is.
    pub const fn more_is_better(self) -> bool {
        matches!(self, Metric::Throughput | Metric::Capacity)
    }

    /// How many times better `arm` is than `against`: above 1 is better, whatever the metric.
    pub fn improvement(self, against: f64, arm: f64) -> f64 {
        if self.more_is_better() {
            arm / against
        } else {
            against / arm
        }
    }
}

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The arm is better.
    #[serde(rename = "better")]
    Better,
    /// The arm is worse.
    #[serde(rename = "worse")]
    Worse,
    /// The interval touches 1, or the noise floor.
    #[serde(rename = "no measurable difference")]
    NoMeasurableDifference,
}

impl Verdict {
    /// As in `report.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::NoMeasurableDifference => "no measurable difference",
        }
    }
}
