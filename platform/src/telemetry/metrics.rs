//! Metrics of a process, and those that api and worker share. Names follow Prometheus
//! (<https://prometheus.io/docs/practices/naming/>): base units, `_total` for counters; every label has a
//! bounded set of values.

use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tokio::runtime;

use super::trace::{self, Name, Span};
use crate::settings::{Switch, TelemetrySettings};

/// Upper bounds of the duration histograms, in seconds. They include the objectives of an interactive service: 200 ms for
/// critical flows, 500 ms for the others.
const DURATION_BUCKETS_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Upper bounds of the age of a message when it is handled, in seconds: from a queue that keeps up to one
/// that was stopped for an hour.
const AGE_BUCKETS_SECONDS: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
];

/// Renders `/metrics`. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorded: PrometheusHandle,
    process: Collector,
    runtime: runtime::Handle,
}

impl Metrics {
    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        // Metrics of the system and the runtime are read at scrape time.
        self.process.collect();
        let runtime = self.runtime.metrics();
        metrics::gauge!("tokio_alive_tasks").set(runtime.num_alive_tasks() as f64);
        metrics::gauge!("tokio_global_queue_depth").set(runtime.global_queue_depth() as f64);
        let busy: Duration = (0..runtime.num_workers())
            .map(|worker| runtime.worker_total_busy_duration(worker))
            .sum();
        metrics::gauge!("tokio_workers").set(runtime.num_workers() as f64);
        metrics::gauge!("tokio_busy_seconds").set(busy.as_secs_f64());
        self.recorded.render()
    }
}

/// Installs the process-wide recorder. `process` is the program's name. Called once, within a runtime.
///
/// # Panics
/// When a recorder is already installed.
pub fn init_metrics(settings: &TelemetrySettings, process: &'static str) -> Metrics {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), DURATION_BUCKETS_SECONDS)
        .and_then(|builder| {
            let ages = Matcher::Full("message_age_seconds".to_owned());
            builder.set_buckets_for_metric(ages, AGE_BUCKETS_SECONDS)
        })
        .expect("the buckets are not empty");
    let recorder = builder.build_recorder();
    let recorded = recorder.handle();
    // Without a recorder, all metrics are no-ops.
    if settings.metrics == Switch::On {
        metrics::set_global_recorder(recorder).expect("no recorder was installed before");
    }
    let handle = recorded.clone();
    tokio::spawn(async move {
        // Folds recorded samples into the histograms, so that memory stays bounded without scrapes.
        let mut interval = tokio::time::interval(Duration::from_secs(5));
        loop {
            interval.tick().await;
            handle.run_upkeep();
        }
    });
    let process_collector = Collector::default();
    process_collector.describe();
    describe();
    super::statements::describe();
    metrics::gauge!("backstock_build_info", "process" => process, "version" => env!("CARGO_PKG_VERSION"))
        .set(1.0);
    Metrics {
        recorded,
        process: process_collector,
        runtime: runtime::Handle::current(),
    }
}

fn describe() {
    metrics::describe_gauge!("backstock_build_info", "The program and its version; always 1.");
    metrics::describe_gauge!("tokio_workers", "Threads that run requests or messages.");
    metrics::describe_gauge!("tokio_alive_tasks", "Tasks that have started and not finished.");
    metrics::describe_gauge!(
        "tokio_global_queue_depth",
        "Tasks waiting for a thread, in the queue shared by all threads."
    );
    metrics::describe_gauge!(
        "tokio_busy_seconds",
        "Time that all threads together spent running tasks."
    );
    metrics::describe_histogram!(
        "third_party_duration_seconds",
        "Time until a third party responded, including retries."
    );
}

/// A call to a third party, measured and traced.
pub struct ThirdPartyCall {
    party: &'static str,
    operation: &'static str,
    started: Instant,
    span: Span,
}

impl ThirdPartyCall {
    /// Starts the clock and a span. `party` and `operation` are labels of metrics, each from a bounded set.
    pub fn start(party: &'static str, operation: &'static str) -> Self {
        Self {
            party,
            operation,
            started: Instant::now(),
            span: trace::client(|| Name::Shared(format!("{party} {operation}").into()), None),
        }
    }

    /// The header that makes the other side's work part of this trace.
    pub fn traceparent(&self) -> Option<String> {
        self.span.parent().map(|parent| parent.to_string())
    }

    /// Records the end of the call. `outcome` is one of a bounded set.
    pub fn finish(mut self, outcome: &'static str) {
        metrics::histogram!(
            "third_party_duration_seconds",
            "party" => self.party,
            "operation" => self.operation,
            "outcome" => outcome,
        )
        .record(self.started.elapsed());
        self.span.attribute("outcome", outcome);
        if outcome == "unknown" {
            self.span.failed("timeout or fault");
        }
    }
}
