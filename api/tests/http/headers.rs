//! Every response, including errors, has a request id and timings; unknown routes and methods are problems.

use axum::http::{Method, Request};

use crate::support::response::TestResponse;
use crate::support::shop::TestShop;

/// `total;dur=1.234, db;dur=0.5;desc="2 queries", connection;dur=0.01, cache;dur=0.2;desc="miss"`
fn assert_has_timings(response: &TestResponse) {
    let header = response.header("server-timing").expect("timings");
    let mut names = Vec::new();
    for metric in header.split(", ") {
        let mut parts = metric.split(';');
        names.push(parts.next().unwrap());
        let millis: f64 = parts
            .next()
            .unwrap()
            .strip_prefix("dur=")
            .unwrap()
            .parse()
            .unwrap();
        assert!((0.0..60_000.0).contains(&millis), "{header}");
        if let Some(description) = parts.next() {
            let quoted = description
                .strip_prefix("desc=\"")
                .and_then(|text| text.strip_suffix('"'));
            assert!(
                quoted.is_some_and(|text| !text.is_empty() && !text.contains('"')),
                "{header}"
            );
        }
        assert_eq!(parts.next(), None, "{header}");
    }
    assert_eq!(names, ["total", "db", "connection", "cache"]);
}

#[tokio::test]
async fn every_response_has_an_id_and_timings() {
    let shop = TestShop::start().await;
    let mut ids = Vec::new();
    for path in [
        "/",
        "/v1/products",
        "/v1/products?limit=0",
        "/v1/products/none",
        "/unknown",
        "/openapi.json",
        "/docs/",
    ] {
        let response = shop.get(path).await;
        assert_has_timings(&response);
        let id = response.header("x-request-id").expect("an id").to_owned();
        assert!(
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{id}"
        );
        assert!(!ids.contains(&id), "{id} is not unique");
        ids.push(id);
    }
    let rejected = shop.method(Method::DELETE, "/v1/products").await;
    assert_has_timings(&rejected);
    assert!(rejected.header("x-request-id").is_some());
}

#[tokio::test]
async fn a_valid_request_id_is_kept_and_any_other_is_replaced() {
    let shop = TestShop::start().await;
    let sixty_four = "a".repeat(64);
    for valid in ["1", "checkout-7f.B_2", sixty_four.as_str()] {
        let request = Request::get("/v1/categories").header("x-request-id", valid);
        assert_eq!(shop.send(request).await.header("x-request-id"), Some(valid));
    }
    let too_long = "a".repeat(65);
    for invalid in [
        "",
        " ",
        "a b",
        "a\"b",
        "<script>",
        "a,b",
        "a;b",
        too_long.as_str(),
        "\u{e9}",
    ] {
        let request = Request::get("/v1/categories").header("x-request-id", invalid.as_bytes());
        let response = shop.send(request).await;
        let id = response.header("x-request-id").unwrap();
        assert!(id != invalid && id.len() == 32, "{invalid:?} became {id:?}");
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let shop = TestShop::start().await;
    for path in [
        "/unknown",
        "/v1",
        "/v1/",
        "/v1/products/",
        "/v2/products",
        "/v1/products/a/b",
        "/v1/Products",
        "/metrics",
        "/readyz",
    ] {
        let problem = shop.get(path).await.problem(404, "not_found");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{path}"
        );
    }
    for path in [
        "/",
        "/v1/products",
        "/v1/products/facets",
        "/v1/products/product-1",
        "/v1/categories",
        "/v1/search/suggestions?q=ab",
    ] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let response = shop.method(method, path).await;
            response.problem(405, "method_not_allowed");
            // RFC 9110, section 15.5.6 requires a list of the allowed methods.
            assert_eq!(response.header("allow"), Some("GET,HEAD"), "{path}");
        }
    }
}
