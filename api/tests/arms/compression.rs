//! With `gzip`, responses are larger than with Brotli; with `none`, they are sent uncompressed.

use crate::http::compression::{LARGE, encoding};
use crate::support::arms::with_arm;
use crate::support::shop::TestShop;

async fn shop(arm: &str) -> TestShop {
    with_arm("compression", arm, TestShop::read_only).await
}

#[tokio::test]
async fn none_sends_uncompressed_responses() {
    let shop = shop("none").await;
    for accepted in ["gzip", "br", "gzip, deflate, br, zstd", "*"] {
        assert_eq!(encoding(&shop, accepted).await, None, "{accepted}");
    }
}

#[tokio::test]
async fn gzip_is_for_clients_that_accept_it() {
    let shop = shop("gzip").await;
    for (accepted, expected) in [
        ("gzip", Some("gzip")),
        ("gzip, deflate, br, zstd", Some("gzip")),
        ("br", None),
        ("gzip;q=0", None),
        ("identity", None),
    ] {
        assert_eq!(encoding(&shop, accepted).await.as_deref(), expected, "{accepted}");
    }
}

#[tokio::test]
async fn brotli_is_smaller_than_gzip() {
    let brotli = shop("brotli").await.get_compressed(LARGE, "br").await.body.len();
    let gzip = shop("gzip").await.get_compressed(LARGE, "gzip").await.body.len();
    assert!(brotli < gzip, "{brotli} and {gzip}");
}
