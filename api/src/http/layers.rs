//! The middleware stack, in order, on one page. A request goes down the list, its response comes back up.

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::Response;
use axum::response::IntoResponse;
use storefront::variants::Compression;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use super::compression;
use super::context::ContextLayer;
use super::error::ApiError;
use crate::settings::HttpSettings;

/// Wraps all routes in
/// 1. the request's context: its id, its clock, its deadline, its metrics, its log line (`context.rs`),
/// 2. compression: the lesson `compression` (`compression/`),
/// 3. a guard that turns a panic into a 500,
/// 4. a bound on the body's size.
pub fn wrap(router: Router, arm: Compression, settings: &HttpSettings) -> Router {
    let guarded = router.layer(
        ServiceBuilder::new()
            .layer(CatchPanicLayer::custom(panicked))
            .layer(DefaultBodyLimit::max(settings.max_body_bytes)),
    );
    compression::wrap(guarded, arm).layer(ContextLayer {
        request_timeout: settings.request_timeout,
    })
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let message = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|message| (*message).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned());
    ApiError::internal(message).into_response()
}
