//! **Technique**: compress the response with Brotli at level 4 while it is sent, for clients that accept it; with
//! gzip at the same level for those that accept only gzip.
//! **Cost**: CPU that grows with the response's size. Level 4 suits responses that are compressed on every request;
//! 11, the encoder's highest, suits files that are compressed once (`cargo bench -p api` prints both).
//! **Fails when**: the network is faster than the compressor, as on a LAN: it then only adds CPU and latency.
//! **Source**: RFC 7932 (Brotli); RFC 9110 section 12.5.3 (`accept-encoding`).

use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;

use super::worth_it;

pub(in crate::server) fn layer() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new()
        .quality(CompressionLevel::Precise(4))
        .compress_when(worth_it())
}
