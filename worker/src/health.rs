//! The internal listener: liveness, readiness, metrics and selected arms, for operators and probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use platform::postgres::InstrumentedPool;
use platform::startup::Startup;
use platform::telemetry::Metrics;
use serde_json::{Value, json};
use techniques::Selection;

use crate::broker::Broker;
use crate::components::HealthRegistry;

/// How long Postgres may take to respond to a readiness probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The state of the internal routes.
#[derive(Clone)]
pub struct InternalState {
    pub pool: InstrumentedPool,
    pub broker: Arc<Broker>,
    pub components: HealthRegistry,
    /// Shown by `/internal/variants`.
    pub selection: Selection,
    pub metrics: Metrics,
    pub startup: Startup,
    /// Set when graceful shutdown begins.
    pub draining: Arc<AtomicBool>,
}

/// All internal routes.
pub fn router(state: InternalState) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/internal/variants", get(selection))
        .with_state(state)
}

async fn readyz(State(state): State<InternalState>) -> impl IntoResponse {
    if state.draining.load(Ordering::Relaxed) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "draining" })),
        );
    }
    if let Some((dependency, why)) = state.startup.blocking_dependency() {
        return not_ready(dependency, &why);
    }
    if !state.broker.is_connected() {
        return not_ready("rabbitmq", "the connection was lost; reconnecting");
    }
    let components = state.components.all();
    if let Some((component, why)) = components
        .iter()
        .find_map(|(component, why)| Some((component, why.as_ref()?)))
    {
        return not_ready(component, why);
    }
    let working: Vec<_> = components.into_keys().collect();
    match tokio::time::timeout(PROBE_TIMEOUT, sqlx::query("select").execute(&state.pool)).await {
        Ok(Ok(_)) => (
            StatusCode::OK,
            Json(json!({ "status": "ready", "postgres": "up", "rabbitmq": "up", "working": working })),
        ),
        Ok(Err(error)) => not_ready("postgres", &error.to_string()),
        Err(_) => not_ready("postgres", &format!("no response within {PROBE_TIMEOUT:?}")),
    }
}

fn not_ready(dependency: &str, why: &str) -> (StatusCode, Json<Value>) {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        Json(json!({ "status": "not ready", "failing": dependency, "why": why })),
    )
}

async fn metrics(State(state): State<InternalState>) -> impl IntoResponse {
    state.pool.record_use();
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        state.metrics.render(),
    )
}

async fn selection(State(InternalState { selection, .. }): State<InternalState>) -> impl IntoResponse {
    Json(json!({ "preset": selection.preset.as_str(), "lessons": selection.to_map() }))
}
