//! The internal listener: liveness, readiness, metrics, selected arms. For operators and probes, never for customers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use platform::startup::Startup;
use platform::telemetry::{Metrics, statements};
use serde_json::json;
use techniques::Selection;

use super::app::AppState;
use crate::database::PoolUse;
use crate::metrics::{record_class, record_in_flight};
use crate::web::request_class::RequestClass;

/// The state of the internal listener's handlers.
#[derive(Clone)]
pub struct Internal {
    pub app: AppState,
    pub selection: Selection,
    pub metrics: Metrics,
    pub startup: Startup,
    /// True during graceful shutdown: the process is alive but not ready.
    pub draining: Arc<AtomicBool>,
}

/// The routes of the internal listener. They need no authentication, so it must not be reachable from outside.
pub fn router(internal: Internal) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/internal/variants", get(selection))
        .with_state(internal)
}

async fn readyz(State(internal): State<Internal>) -> impl IntoResponse {
    if internal.draining.load(Ordering::Relaxed) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "draining" })),
        );
    }
    if let Some((dependency, why)) = internal.startup.blocking_dependency() {
        return not_ready(dependency, &why);
    }
    let redis = internal.app.catalog.cache.health();
    // Pings on the control connection, not on one of the pool: an exhausted pool means a busy process, and if the load
    // balancer removed it from rotation, the others would become busier.
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
    for class in RequestClass::ALL {
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

async fn selection(State(internal): State<Internal>) -> impl IntoResponse {
    let Internal { selection, .. } = internal;
    Json(json!({ "preset": selection.preset.as_str(), "lessons": selection.to_map() }))
}
