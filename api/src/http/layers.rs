//! The middleware stack, in order, on one page. A request goes down the list, its response comes back up.

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::Response;
use axum::response::IntoResponse;
use storefront::variants::Compression;
use tower::ServiceBuilder;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use super::context::ContextLayer;
use super::error::ApiError;
use crate::settings::HttpSettings;

/// Wraps all routes in
/// 1. the request's context: its id, its clock, its deadline, its metrics, its log line (`context.rs`),
/// 2. compression: the lesson `compression`,
/// 3. a guard that turns a panic into a 500,
/// 4. a bound on the body's size.
pub fn wrap(router: Router, compression: Compression, settings: &HttpSettings) -> Router {
    let guarded = router.layer(
        ServiceBuilder::new()
            .layer(CatchPanicLayer::custom(panicked))
            .layer(DefaultBodyLimit::max(settings.max_body_bytes)),
    );
    compress(guarded, compression).layer(ContextLayer {
        request_timeout: settings.request_timeout,
    })
}

/// The lesson `compression`.
///
/// **Technique**: the answer is compressed while it is sent, when the client accepts it and it is worth it.
/// **Cost**: CPU that grows with the answer's size; the levels are chosen where more CPU buys few bytes.
/// **Fails when**: the network is faster than the compressor, as on a LAN: then it only adds latency and CPU.
/// **Source**: RFC 9110 section 12.5.3; RFC 7932 (Brotli).
fn compress(router: Router, arm: Compression) -> Router {
    // tower-http's own default for Brotli is 11, which takes about fifty times as long as 4.
    const BROTLI: CompressionLevel = CompressionLevel::Precise(4);
    #[cfg(feature = "baselines")]
    const GZIP: CompressionLevel = CompressionLevel::Precise(6);
    let layer = CompressionLayer::new();
    match arm {
        #[cfg(feature = "baselines")]
        Compression::None => router,
        #[cfg(feature = "baselines")]
        Compression::Gzip => router.layer(layer.no_br().quality(GZIP).compress_when(worth_it())),
        Compression::Brotli => router.layer(layer.quality(BROTLI).compress_when(worth_it())),
    }
}

/// Below about one network packet there is nothing to win, and images are compressed already.
fn worth_it() -> impl Predicate {
    const ONE_PACKET_BYTES: u64 = 1024;
    SizeAbove::new(ONE_PACKET_BYTES).and(NotForContentType::IMAGES)
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let message = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|message| (*message).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned());
    ApiError::internal(message).into_response()
}
