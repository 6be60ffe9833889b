//! How answers are compressed: the lesson `compression`. An arm is the layer that is put around the routes.

#[cfg(feature = "baselines")]
pub mod gzip;
#[cfg(feature = "baselines")]
pub mod none;

pub mod brotli;

use axum::Router;
use storefront::variants::Compression;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// Wraps the routes in the arm's layer.
pub fn wrap(router: Router, arm: Compression) -> Router {
    match arm {
        #[cfg(feature = "baselines")]
        Compression::None => none::wrap(router),
        #[cfg(feature = "baselines")]
        Compression::Gzip => gzip::wrap(router),
        Compression::Brotli => brotli::wrap(router),
    }
}

/// Below about one network packet there is nothing to win, and images are compressed already.
fn worth_it() -> impl Predicate {
    const ONE_PACKET_BYTES: u64 = 1024;
    SizeAbove::new(ONE_PACKET_BYTES).and(NotForContentType::IMAGES)
}
