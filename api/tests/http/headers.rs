//! Every answer, also one that refuses, has an id and its timings; what no route takes is a problem.

use axum::http::{Method, Request};

use crate::support::answer::Answer;
use crate::support::shop::TestShop;

/// `total;dur=1.234, db;dur=0.5;desc="2 queries", connection;dur=0.01, cache;dur=0.2;desc="miss"`
fn assert_has_timings(answer: &Answer) {
    let header = answer.header("server-timing").expect("timings");
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
async fn every_answer_has_an_id_and_timings() {
    let shop = TestShop::start("optimized").await;
    let mut ids = Vec::new();
    for path in [
        "/",
        "/v1/products",
        "/v1/products?limit=0",
        "/v1/products/none",
        "/nowhere",
        "/openapi.json",
        "/docs/",
    ] {
        let answer = shop.get(path).await;
        assert_has_timings(&answer);
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert!(
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{id}"
        );
        assert!(!ids.contains(&id), "{id} is given twice");
        ids.push(id);
    }
    let refused = shop.method(Method::DELETE, "/v1/products").await;
    assert_has_timings(&refused);
    assert!(refused.header("x-request-id").is_some());
}

#[tokio::test]
async fn a_plain_id_is_kept_and_any_other_is_replaced() {
    let shop = TestShop::start("optimized").await;
    let sixty_four = "a".repeat(64);
    for good in ["1", "checkout-7f.B_2", sixty_four.as_str()] {
        let request = Request::get("/v1/categories").header("x-request-id", good);
        assert_eq!(shop.send(request).await.header("x-request-id"), Some(good));
    }
    let too_long = "a".repeat(65);
    for bad in [
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
        let request = Request::get("/v1/categories").header("x-request-id", bad.as_bytes());
        let answer = shop.send(request).await;
        let id = answer.header("x-request-id").unwrap();
        assert!(id != bad && id.len() == 32, "{bad:?} became {id:?}");
    }
}

#[tokio::test]
async fn what_no_route_takes_is_a_problem() {
    let shop = TestShop::start("optimized").await;
    for path in [
        "/nowhere",
        "/v1",
        "/v1/",
        "/v1/products/",
        "/v2/products",
        "/v1/products/a/b",
        "/v1/Products",
        "/internal/variants",
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
            let answer = shop.method(method, path).await;
            answer.problem(405, "method_not_allowed");
            // RFC 9110, section 15.5.6: it must say what is allowed.
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{path}");
        }
    }
}
