//! The negotiated encoding, its size, and that the decoded body is unchanged.

use axum::http::Method;

use crate::support::shop::TestShop;

pub const LARGE: &str = "/v1/products?limit=50&include=variants,images";

/// The encoding for a client that accepts `accepted`, if any.
pub async fn encoding(shop: &TestShop, accepted: &str) -> Option<String> {
    let plain = shop.get(LARGE).await.ok();
    let response = shop.get_compressed(LARGE, accepted).await.ok();
    assert_eq!(response.decoded(), plain.body, "{accepted}");
    let encoding = response.header("content-encoding").map(str::to_owned);
    if encoding.is_some() {
        // The generated listing compresses far better than this bound.
        assert!(
            response.body.len() * 3 < plain.body.len(),
            "{} of {}",
            response.body.len(),
            plain.body.len()
        );
        assert!(
            response
                .header("vary")
                .is_some_and(|vary| vary.contains("accept-encoding")),
            "{:?}",
            response.headers
        );
        assert_eq!(
            response.header("content-length"),
            None,
            "the length isn't known in advance"
        );
    } else {
        assert_eq!(response.body, plain.body);
    }
    encoding
}

#[tokio::test]
async fn brotli_is_for_clients_that_accept_it_and_gzip_for_the_others() {
    let shop = TestShop::read_only().await;
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
async fn small_responses_are_not_compressed() {
    let shop = TestShop::read_only().await;
    for path in [
        "/v1/products?limit=1",
        "/v1/products?limit=0",
        "/v1/products/nothing",
        "/v1/search/suggestions?q=zz",
    ] {
        let response = shop.get_compressed(path, "br, gzip").await;
        assert!(response.body.len() < 1024, "{path}");
        assert_eq!(response.header("content-encoding"), None, "{path}");
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let shop = TestShop::read_only().await;
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
