//! What was measured of the arms of one scenario, as `report.json` has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::metric::{Metric, Verdict};

/// Whether a scenario shows the technique winning or losing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shows {
    /// The optimized arm is expected to win.
    Gain,
    /// The optimized arm is expected to lose, or to be in the way.
    Loss,
}

/// The arms of a lesson under one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScenarioReport {
    /// Short and unique within the lesson.
    pub name: String,
    /// `distance_ms`, `depth`, `offered_rps` and others.
    pub parameters: BTreeMap<String, Value>,
    /// What the scenario is there to show.
    pub shows: Shows,
    /// The baseline first.
    pub arms: Vec<ArmReport>,
    /// Each arm against the baseline. Above 1 is always better.
    pub ratios: Vec<Ratio>,
    /// Why nothing was measured: the data cannot show it, or the mode leaves it out.
    #[serde(default)]
    pub skipped: Option<String>,
}

/// The parameter that names the arms for which the generator was too busy in a slice.
const SATURATED: &str = "generator_was_the_bottleneck_for";

impl ScenarioReport {
    /// Adds arms for which the generator was the bottleneck in a slice.
    pub fn note_saturated_generator(&mut self, arms: Vec<String>) {
        let mut named: Vec<String> = self
            .saturated_generator()
            .map(|known| known.split(", ").map(str::to_owned).collect())
            .unwrap_or_default();
        named.extend(arms);
        named.sort_unstable();
        named.dedup();
        if !named.is_empty() {
            self.parameters.insert(SATURATED.into(), named.join(", ").into());
        }
    }

    /// The arms for which the generator was the bottleneck in a slice.
    pub fn saturated_generator(&self) -> Option<&str> {
        self.parameters.get(SATURATED)?.as_str()
    }
}

/// One arm under one workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmReport {
    /// The arm's name.
    pub name: String,
    /// Counted, not timed.
    pub cost: Cost,
    /// From `/proc`, over the same slices as the latency.
    pub cpu_us_per_request: CpuCost,
    /// From the intended send time to the last byte.
    pub latency_ms: Latency,
    /// The highest rate that kept the lesson's objective (full mode).
    pub capacity_rps: Option<f64>,
    /// Answers that were not the expected one, and connections that broke.
    pub errors: Option<u64>,
    /// What else the workload did: rejected requests, bytes of write-ahead log, hit ratio.
    pub outcomes: BTreeMap<String, Value>,
    /// Closed-loop throughput at the scenario's concurrency.
    #[serde(default)]
    pub throughput_rps: Option<f64>,
    /// The offered rate that was achieved.
    #[serde(default)]
    pub achieved_rps: Option<f64>,
    /// Requests that could not be sent in time.
    #[serde(default)]
    pub dropped: Option<u64>,
    /// All latencies: an HdrHistogram in nanoseconds, serialized as V2 with deflate, in base64.
    #[serde(default)]
    pub histogram: Option<String>,
    /// The same from the intended send time to the first byte.
    #[serde(default)]
    pub first_byte_histogram: Option<String>,
    /// The statements of one request, as Postgres normalized them.
    #[serde(default)]
    pub statements: Vec<StatementCost>,
}

/// What one request costs, counted on a sequential pass.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Statements that Postgres executed.
    pub queries_per_request: Option<f64>,
    /// Rows that those statements returned or changed.
    pub rows_per_request: Option<f64>,
    /// Shared buffers hit or read.
    pub buffers_per_request: Option<f64>,
    /// Exchanges between the api and its stores, counted on the wire.
    pub round_trips_per_request: Option<f64>,
    /// The body's length as it was sent.
    pub response_bytes: Option<f64>,
    /// Bytes that Postgres sent to the api, counted on the wire.
    #[serde(default)]
    pub postgres_bytes: Option<f64>,
    /// Bytes that Redis sent to the api, counted on the wire.
    #[serde(default)]
    pub redis_bytes: Option<f64>,
    /// Bytes of write-ahead log.
    #[serde(default)]
    pub wal_bytes: Option<f64>,
    /// Path, headers and body as the client sends them, where the arms make them differ.
    #[serde(default)]
    pub request_bytes: Option<f64>,
}

/// Processor time by process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuCost {
    /// The api.
    pub api: Option<f64>,
    /// The worker.
    pub worker: Option<f64>,
    /// All processes of the Postgres server.
    pub postgres: Option<f64>,
    /// Redis.
    pub redis: Option<f64>,
    /// The broker.
    pub rabbitmq: Option<f64>,
}

impl CpuCost {
    /// The parts that were measured, in a fixed order.
    pub fn parts(&self) -> [(&'static str, Option<f64>); 5] {
        [
            ("api", self.api),
            ("worker", self.worker),
            ("postgres", self.postgres),
            ("redis", self.redis),
            ("rabbitmq", self.rabbitmq),
        ]
    }

    /// Their sum. `None` without Postgres, which runs elsewhere then: a sum without the store that most of the work is
    /// done in would praise whatever moves work there.
    pub fn total(&self) -> Option<f64> {
        self.postgres?;
        Some(self.parts().into_iter().filter_map(|(_, us)| us).sum())
    }
}

/// Quantiles of latency. Those that the samples do not carry are `null`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: Option<f64>,
    /// From 1 000 samples.
    pub p95: Option<f64>,
    /// From 10 000 samples.
    pub p99: Option<f64>,
    /// From 100 000 samples.
    pub p999: Option<f64>,
    /// How many.
    pub samples: u64,
}

/// One statement's share of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatementCost {
    /// The text with its constants replaced.
    pub text: String,
    /// Executions.
    pub calls_per_request: f64,
    /// Rows returned or changed.
    pub rows_per_request: f64,
    /// Shared buffers hit or read.
    pub buffers_per_request: f64,
    /// The node types of its generic plan, from the root, where the lab asked for it.
    #[serde(default)]
    pub plan: Option<String>,
    /// Why there is no plan, where the lab asked for it in vain.
    #[serde(default)]
    pub no_plan_because: Option<String>,
}

/// One arm against another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// What is compared.
    pub metric: Metric,
    /// The arm.
    pub arm: String,
    /// The arm that it is compared with.
    pub against: String,
    /// Above 1: `arm` is better.
    pub value: f64,
    /// The 95 % interval over the blocks; of a counted metric, the value twice.
    pub ci95: [f64; 2],
    /// After Holm's correction over the scenario's metrics, and against the noise floor.
    pub verdict: Verdict,
    /// Counted, not timed: it has no spread.
    #[serde(default)]
    pub exact: bool,
    /// The ratio of each block.
    #[serde(default)]
    pub blocks: Vec<f64>,
}
