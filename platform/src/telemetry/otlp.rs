//! Exports sampled traces to a collector: OTLP over HTTP, in batches, from a separate thread.

use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
use secrecy::ExposeSecret;

use super::trace::{self, KeptTrace, Kind, SpanRecord, Tracer};
use crate::settings::TelemetrySettings;

/// The time limit of exporting a batch.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The time limit of the last batch at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The endpoint can't be used.
#[derive(Debug, thiserror::Error)]
#[error("BACKSTOCK_OTLP_ENDPOINT can't be used: {0}; an example: http://127.0.0.1:4318")]
pub struct TraceError(#[from] ExporterBuildError);

/// The exporter, to be shut down with the process. Empty without an endpoint.
#[derive(Debug, Clone)]
pub struct TraceExporter(Option<std::sync::Arc<BatchSpanProcessor>>);

impl TraceExporter {
    /// Exports the remaining traces.
    pub async fn stop(self) {
        let Some(processor) = self.0 else {
            return;
        };
        // It blocks until its thread is done, so it can't run on the runtime's threads.
        let stopping = tokio::task::spawn_blocking(move || processor.shutdown_with_timeout(SHUTDOWN_TIMEOUT));
        if let Ok(Err(error)) = stopping.await {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

/// Turns tracing on if the settings name a collector. `process` is the program's name. Called once.
///
/// # Errors
/// When the endpoint isn't a URL.
pub fn init_traces(settings: &TelemetrySettings, process: &'static str) -> Result<TraceExporter, TraceError> {
    let Some(endpoint) = &settings.otlp_endpoint else {
        return Ok(TraceExporter(None));
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.expose_secret()))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    let resource = Resource::builder()
        .with_service_name(process)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance()))
        .build();
    processor.set_resource(&resource);
    let processor = std::sync::Arc::new(processor);
    let exporter = processor.clone();
    let scope = InstrumentationScope::builder("backstock").build();
    trace::install(Tracer {
        sample_threshold: (settings.trace_sample_ratio * f64::from(u32::MAX)).round() as u64
            + u64::from(settings.trace_sample_ratio >= 1.0),
        slow: settings.trace_slow,
        keep: Box::new(move |kept| {
            for span in to_span_data(kept, &scope) {
                exporter.on_end(span);
            }
        }),
    });
    Ok(TraceExporter(Some(processor)))
}

/// Distinguishes processes of one program.
fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

fn to_span_data(kept: KeptTrace, scope: &InstrumentationScope) -> impl Iterator<Item = SpanData> {
    let trace_id = TraceId::from(kept.trace_id);
    let scope = scope.clone();
    let (now, now_by_clock) = (Instant::now(), SystemTime::now());
    let by_clock = move |instant: Instant| now_by_clock - now.saturating_duration_since(instant);
    let convert = move |mut span: SpanRecord| SpanData {
        // A kept trace is always exported, sampled or not.
        span_context: SpanContext::new(
            trace_id,
            SpanId::from(span.id),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: SpanId::from(span.parent),
        parent_span_is_remote: span.parent_is_remote,
        span_kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
        },
        name: span.name.into_text(),
        start_time: by_clock(span.started),
        end_time: by_clock(span.started) + span.took,
        attributes: {
            let database = span.database.map(|name| KeyValue::new("db.system.name", name));
            span.attributes.extend(database);
            span.attributes
        },
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match span.failure {
            Some(why) => Status::error(why),
            None => Status::Unset,
        },
        instrumentation_scope: scope.clone(),
    };
    kept.spans.into_iter().map(convert)
}
