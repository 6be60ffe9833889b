//! How answers are compressed: the lesson `compression`. An arm is the layer that is put around the routes, in
//! `../layers.rs`.

#[cfg(feature = "baselines")]
pub mod gzip;
#[cfg(feature = "baselines")]
pub mod none;

pub mod brotli;

use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// Below about one network packet there is nothing to win, and images are compressed already.
fn worth_it() -> impl Predicate {
    const ONE_PACKET_BYTES: u64 = 1024;
    SizeAbove::new(ONE_PACKET_BYTES).and(NotForContentType::IMAGES)
}
