//! **Technique**: the answer is compressed with gzip, level 6, while it is sent, for clients that accept it.
//! **Cost**: CPU that grows with the answer's size. Level 6 is zlib's own default; levels above it cost more CPU than
//! they save bytes (`cargo bench -p api` prints both for each level).
//! **Fails when**: the network is faster than the compressor, as on a LAN: then it only adds CPU and latency.
//! **Source**: RFC 1952 (gzip); RFC 9110 section 12.5.3 (`accept-encoding`).

use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;

use super::worth_it;

/// See the module.
pub(in crate::http) fn layer() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new()
        .no_br()
        .quality(CompressionLevel::Precise(6))
        .compress_when(worth_it())
}
