//! Sends the traces that are kept to a collector: OpenTelemetry's protocol over HTTP, in batches, from a thread of its own.

use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};

use secrecy::ExposeSecret;

use super::trace::{self, Kept, Kind, SpanRecord, Tracer};
use crate::settings::TelemetrySettings;

/// How long a collector may take over a batch.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last batch may take when the process stops.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why traces can't be sent.
#[derive(Debug, thiserror::Error)]
#[error("BACKSTOCK_OTLP_ENDPOINT can't be used: {0}; an example: http://127.0.0.1:4318")]
pub struct TraceError(#[from] ExporterBuildError);

/// The exporter, to be told when the process stops. Without an endpoint there is none.
#[derive(Debug, Clone)]
pub struct Exporting(Option<std::sync::Arc<BatchSpanProcessor>>);

impl Exporting {
    /// Sends what is left.
    pub async fn stop(self) {
        let Some(processor) = self.0 else {
            return;
        };
        // It waits for its own thread, which no task may do.
        let stopping = tokio::task::spawn_blocking(move || processor.shutdown_with_timeout(GOODBYE_TIMEOUT));
        if let Ok(Err(error)) = stopping.await {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

/// Switches traces on where the settings name a collector. `process` is the program's name. Called once.
///
/// # Errors
/// When the endpoint is no URL.
pub fn init_traces(settings: &TelemetrySettings, process: &'static str) -> Result<Exporting, TraceError> {
    let Some(endpoint) = &settings.otlp_endpoint else {
        return Ok(Exporting(None));
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
    let keeper = processor.clone();
    let scope = InstrumentationScope::builder("backstock").build();
    trace::install(Tracer {
        drawn_below: (settings.trace_sample_ratio * f64::from(u32::MAX)).round() as u64
            + u64::from(settings.trace_sample_ratio >= 1.0),
        slow: settings.trace_slow,
        keep: Box::new(move |kept| {
            for span in in_its_terms(kept, &scope) {
                keeper.on_end(span);
            }
        }),
    });
    Ok(Exporting(Some(processor)))
}

/// Tells the processes of one program apart.
fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

fn in_its_terms(kept: Kept, scope: &InstrumentationScope) -> impl Iterator<Item = SpanData> {
    let trace_id = TraceId::from(kept.trace_id);
    let scope = scope.clone();
    let (now, now_by_clock) = (Instant::now(), SystemTime::now());
    let by_clock = move |instant: Instant| now_by_clock - now.saturating_duration_since(instant);
    let convert = move |mut span: SpanRecord| SpanData {
        // What is kept is kept for good, drawn or not.
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
