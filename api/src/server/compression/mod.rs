//! Response compression: the lesson `compression`. An arm is a layer around the routes (`../layers.rs`).

#[cfg(feature = "baselines")]
pub mod gzip;
#[cfg(feature = "baselines")]
pub mod none;

pub mod brotli;

use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// A response that fits in about one packet gains nothing, and images are compressed already.
fn worth_it() -> impl Predicate {
    const ONE_PACKET_BYTES: u64 = 1024;
    SizeAbove::new(ONE_PACKET_BYTES).and(NotForContentType::IMAGES)
}
