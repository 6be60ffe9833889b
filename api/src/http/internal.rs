//! The internal listener: health, readiness, metrics, variants. For operators and probes, never for customers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use storefront::starting::Start;
use storefront::telemetry::{Metrics, statements};
use storefront::variants::Variants;

use crate::database::PoolUse;
use crate::metrics::record_in_flight;
use crate::state::AppState;

/// What the internal routes share.
#[derive(Clone)]
pub struct Internal {
    /// The components.
    pub app: AppState,
    /// What `/internal/variants` shows.
    pub variants: Variants,
    /// Renders the metrics.
    pub metrics: Metrics,
    /// How far the process's start has come.
    pub start: Start,
    /// Set when the process has begun to stop: it is alive, and takes no new customers.
    pub draining: Arc<AtomicBool>,
}

/// All internal routes.
pub fn router(internal: Internal) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/internal/variants", get(variants))
        .with_state(internal)
}

async fn readyz(State(internal): State<Internal>) -> impl IntoResponse {
    if internal.draining.load(Ordering::Relaxed) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "draining" })),
        );
    }
    if let Some((obstacle, why)) = internal.start.obstacle() {
        return not_ready(obstacle, &why);
    }
    let redis = internal.app.catalog.cache.health();
    // Not from the pool: a shop whose connections are all in use is busy, and a balancer that takes it away makes the
    // others busier.
    match internal.app.side.ping().await {
        Ok(()) => (
            StatusCode::OK,
            Json(json!({ "status": "ready", "postgres": "up", "redis": redis })),
        ),
        Err(error) => not_ready("postgres", &error.to_string()),
    }
}

fn not_ready(dependency: &str, why: &str) -> (StatusCode, Json<serde_json::Value>) {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        Json(json!({ "status": "not ready", "failing": dependency, "why": why })),
    )
}

async fn metrics(State(internal): State<Internal>) -> impl IntoResponse {
    if let Some(PoolUse { open, idle, limit }) = internal.app.database.pool_use() {
        statements::record_pool(open, idle, limit);
    }
    record_in_flight();
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        internal.metrics.render(),
    )
}

async fn variants(State(internal): State<Internal>) -> impl IntoResponse {
    let Internal { variants, .. } = internal;
    Json(json!({ "preset": variants.preset.as_str(), "lessons": variants.to_map() }))
}
