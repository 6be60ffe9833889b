//! Logs and metrics of a process: set up once in `main`, used everywhere through `tracing` and `metrics`.

use std::time::Duration;

pub use metrics_exporter_prometheus::PrometheusHandle;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::settings::{LogFormat, LogSettings};
use crate::variants::Variants;

/// Upper bounds of the duration histograms, in seconds. They include both objectives of the shop: 200 ms for critical
/// flows, 500 ms for the others.
const DURATION_BUCKETS_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Logs go to standard error, so that standard output stays the command's own.
///
/// # Errors
/// When the filter can't be parsed.
pub fn init_logs(settings: &LogSettings) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(&settings.filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// Installs the process-wide metrics recorder and returns the handle that renders it. Called once, in a runtime.
///
/// # Panics
/// When a recorder is already installed.
pub fn init_metrics(variants: &Variants) -> PrometheusHandle {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), DURATION_BUCKETS_SECONDS)
        .expect("the buckets are not empty")
        .install_recorder()
        .expect("no recorder was installed before");
    let upkeep = handle.clone();
    tokio::spawn(async move {
        // Folds what was recorded into the histograms, so that memory stays bounded when nobody scrapes.
        let mut interval = tokio::time::interval(Duration::from_secs(5));
        loop {
            interval.tick().await;
            upkeep.run_upkeep();
        }
    });
    describe_variants(variants);
    handle
}

fn describe_variants(variants: &Variants) {
    metrics::describe_gauge!(
        "backstock_variant_info",
        "The arm of each lesson that this process runs; always 1."
    );
    for (lesson, arm) in variants.arms() {
        metrics::gauge!("backstock_variant_info", "lesson" => lesson, "arm" => arm).set(1.0);
    }
}
