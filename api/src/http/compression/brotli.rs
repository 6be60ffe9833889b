//! **Technique**: the answer is compressed with Brotli, level 4, while it is sent, for clients that accept it; with
//! gzip at the same level for clients that accept only that.
//! **Cost**: CPU that grows with the answer's size. Level 4 is meant for answers that are made anew each time; 11, the
//! encoder's highest, is for files that are compressed once (`cargo bench -p api` prints both).
//! **Fails when**: the network is faster than the compressor, as on a LAN: then it only adds CPU and latency.
//! **Source**: RFC 7932 (Brotli); RFC 9110 section 12.5.3 (`accept-encoding`).

use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;

use super::worth_it;

/// See the module.
pub(in crate::http) fn layer() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new()
        .quality(CompressionLevel::Precise(4))
        .compress_when(worth_it())
}
