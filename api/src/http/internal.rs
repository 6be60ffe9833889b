//! The internal listener: liveness, readiness, metrics, variants. For operators and probes, never for customers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use storefront::startup::Startup;
use storefront::telemetry::{Metrics, statements};
use storefront::variants::Variants;

use crate::database::{Class, PoolUse};
use crate::metrics::{record_class, record_in_flight};
use crate::state::AppState;

/// What the handlers of the internal listener read.
#[derive(Clone)]
pub struct Internal {
    pub app: AppState,
    pub variants: Variants,
    pub metrics: Metrics,
    pub startup: Startup,
    /// True during graceful shutdown: the process is alive but not ready.
    pub draining: Arc<AtomicBool>,
}

/// The routes of the internal listener. They need no sign-in, so the listener must not be reachable from outside.
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
    if let Some((obstacle, why)) = internal.startup.blocking_dependency() {
        return not_ready(obstacle, &why);
    }
    let redis = internal.app.catalog.cache.health();
    // Not over the pool: a full pool means a busy shop, and a balancer that removes it from rotation makes the others
    // busier.
    match internal.app.control.ping().await {
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
    for class in Class::ALL {
        if let Some(usage) = internal.app.database.class_use(class) {
            record_class(class, usage);
        }
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
