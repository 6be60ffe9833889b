//! **Technique**: compress the response with gzip at level 6 while it is sent, for clients that accept it.
//! **Cost**: CPU that grows with the response's size. Level 6 is zlib's default; higher levels cost more CPU than the
//! bytes they save are worth (`cargo bench -p api` prints each level).
//! **Fails when**: the network is faster than the compressor, as on a LAN: it then only adds CPU and latency.
//! **Source**: RFC 1952 (gzip); RFC 9110 section 12.5.3 (`accept-encoding`).

use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;

use super::worth_it;

pub(in crate::server) fn layer() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new()
        .no_br()
        .quality(CompressionLevel::Precise(6))
        .compress_when(worth_it())
}
