//! The internal listener: health, readiness, metrics, variants. For operators and probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use storefront::postgres::MeasuredPool;
use storefront::startup::Startup;
use storefront::telemetry::Metrics;
use storefront::variants::Variants;

use crate::broker::Broker;
use crate::parts::Parts;

/// How long a dependency may take to answer a readiness probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the internal routes share.
#[derive(Clone)]
pub struct Health {
    /// To Postgres.
    pub pool: MeasuredPool,
    /// To RabbitMQ.
    pub broker: Arc<Broker>,
    /// How each part is.
    pub parts: Parts,
    /// What `/internal/variants` shows.
    pub variants: Variants,
    /// Renders the metrics.
    pub metrics: Metrics,
    /// How far the process's start has come.
    pub startup: Startup,
    /// Set when the process has begun to stop.
    pub draining: Arc<AtomicBool>,
}

/// All internal routes.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/internal/variants", get(variants))
        .with_state(health)
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    if health.draining.load(Ordering::Relaxed) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "draining" })),
        );
    }
    if let Some((obstacle, why)) = health.startup.blocking_dependency() {
        return not_ready(obstacle, &why);
    }
    if !health.broker.is_connected() {
        return not_ready("rabbitmq", "the connection is lost; it is opened again");
    }
    let parts = health.parts.all();
    if let Some((part, why)) = parts.iter().find_map(|(part, why)| Some((part, why.as_ref()?))) {
        return not_ready(part, why);
    }
    let works: Vec<_> = parts.into_keys().collect();
    match tokio::time::timeout(PROBE_TIMEOUT, sqlx::query("select").execute(&health.pool)).await {
        Ok(Ok(_)) => (
            StatusCode::OK,
            Json(json!({ "status": "ready", "postgres": "up", "rabbitmq": "up", "working": works })),
        ),
        Ok(Err(error)) => not_ready("postgres", &error.to_string()),
        Err(_) => not_ready("postgres", &format!("no answer within {PROBE_TIMEOUT:?}")),
    }
}

fn not_ready(dependency: &str, why: &str) -> (StatusCode, Json<Value>) {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        Json(json!({ "status": "not ready", "failing": dependency, "why": why })),
    )
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    health.pool.record_use();
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        health.metrics.render(),
    )
}

async fn variants(State(Health { variants, .. }): State<Health>) -> impl IntoResponse {
    Json(json!({ "preset": variants.preset.as_str(), "lessons": variants.to_map() }))
}
