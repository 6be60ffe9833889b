//! The lesson `compression`: who gets what, and that it is smaller and the same.

use axum::http::Method;

use crate::support::arms::{arm, lesson};
use crate::support::shop::TestShop;

const LARGE: &str = "/v1/products?limit=50&include=variants,images";

async fn shop(compression: &str) -> TestShop {
    TestShop::start(&arm(lesson("compression"), compression).to_string()).await
}

/// What a client that accepts `accepted` gets, if it is encoded at all.
async fn encoding(shop: &TestShop, accepted: &str) -> Option<String> {
    let plain = shop.get(LARGE).await.ok();
    let answer = shop.get_compressed(LARGE, accepted).await.ok();
    assert_eq!(answer.decoded(), plain.body, "{accepted}");
    let encoding = answer.header("content-encoding").map(str::to_owned);
    if encoding.is_some() {
        // The generated listing compresses far better than this.
        assert!(
            answer.body.len() * 3 < plain.body.len(),
            "{} of {}",
            answer.body.len(),
            plain.body.len()
        );
        assert!(
            answer
                .header("vary")
                .is_some_and(|vary| vary.contains("accept-encoding")),
            "{:?}",
            answer.headers
        );
        assert_eq!(
            answer.header("content-length"),
            None,
            "the length is known when the end is sent"
        );
    } else {
        assert_eq!(answer.body, plain.body);
    }
    encoding
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn none_sends_answers_as_they_are() {
    let shop = shop("none").await;
    for accepted in ["gzip", "br", "gzip, deflate, br, zstd", "*"] {
        assert_eq!(encoding(&shop, accepted).await, None, "{accepted}");
    }
}

#[tokio::test]
#[cfg(feature = "baselines")]
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
async fn brotli_is_for_clients_that_accept_it_and_gzip_for_the_others() {
    let shop = shop("brotli").await;
    for (accepted, expected) in [
        ("br", Some("br")),
        ("gzip, deflate, br, zstd", Some("br")),
        ("gzip", Some("gzip")),
        ("gzip, br;q=0", Some("gzip")),
        ("identity", None),
        ("deflate", None),
    ] {
        assert_eq!(encoding(&shop, accepted).await.as_deref(), expected, "{accepted}");
    }
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn brotli_is_smaller_than_gzip() {
    let brotli = shop("brotli").await.get_compressed(LARGE, "br").await.body.len();
    let gzip = shop("gzip").await.get_compressed(LARGE, "gzip").await.body.len();
    assert!(brotli < gzip, "{brotli} and {gzip}");
}

#[tokio::test]
async fn what_fits_into_a_packet_is_sent_as_it_is() {
    let shop = shop("brotli").await;
    for path in [
        "/v1/products?limit=1",
        "/v1/products?limit=0",
        "/v1/products/nothing",
        "/v1/search/suggestions?q=zz",
    ] {
        let answer = shop.get_compressed(path, "br, gzip").await;
        assert!(answer.body.len() < 1024, "{path}");
        assert_eq!(answer.header("content-encoding"), None, "{path}");
    }
}

#[tokio::test]
async fn head_says_what_get_would_send() {
    let shop = shop("brotli").await;
    let get = shop.get_compressed(LARGE, "br").await.ok();
    let request = axum::http::Request::builder()
        .method(Method::HEAD)
        .uri(LARGE)
        .header("accept-encoding", "br");
    let head = shop.send(request).await.ok();
    assert!(head.body.is_empty());
    for header in ["content-type", "link", "vary"] {
        assert_eq!(head.header(header), get.header(header), "{header}");
    }
}
