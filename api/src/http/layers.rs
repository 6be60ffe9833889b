//! The middleware stack, in order, on one page. A request goes down the list, its response comes back up.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use storefront::variants::Compression;

use super::compression;
use super::context::ContextLayer;
use crate::settings::HttpSettings;

/// Wraps all routes in
/// 1. the request's context: its id, its clock, its deadline, its guard against panics, its metrics, its log line
///    (`context.rs`),
/// 2. compression: the lesson `compression` (`compression/`),
/// 3. a bound on the body's size.
///
/// They go to axum as one layer: each call of `Router::layer` adds a boxed service, and a boxed future to every request.
pub fn wrap(router: Router, arm: Compression, settings: &HttpSettings) -> Router {
    let context = ContextLayer {
        request_timeout: settings.request_timeout,
    };
    let body_limit = DefaultBodyLimit::max(settings.max_body_bytes);
    match arm {
        #[cfg(feature = "baselines")]
        Compression::None => router.layer((context, compression::none::layer(), body_limit)),
        #[cfg(feature = "baselines")]
        Compression::Gzip => router.layer((context, compression::gzip::layer(), body_limit)),
        Compression::Brotli => router.layer((context, compression::brotli::layer(), body_limit)),
    }
}
