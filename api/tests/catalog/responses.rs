//! The shape of each route's response.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::arms::every_arm;
use crate::support::response::TestResponse;
use crate::support::shop::TestShop;

/// Snapshot and request.
const ROUTES: &[(&str, &str)] = &[
    ("list", "/v1/products?limit=3"),
    (
        "list_with_everything",
        "/v1/products?limit=2&include=variants,images&sort=price_desc",
    ),
    (
        "list_of_fields",
        "/v1/products?limit=2&fields=price,slug&sort=rating",
    ),
    (
        "list_of_fields_and_variants",
        "/v1/products?limit=1&fields=slug&include=variants",
    ),
    ("list_without_items", "/v1/products?category=clearance"),
    ("facets", "/v1/products/facets?category=coats"),
    ("facets_of_nothing", "/v1/products/facets?category=clearance"),
    ("product", "/v1/products/product-20"),
    (
        "product_with_everything",
        "/v1/products/product-2?include=variants,images,reviews",
    ),
    (
        "product_bare",
        "/v1/products/product-12?include=variants,images,reviews",
    ),
    ("reviews", "/v1/products/product-1/reviews?limit=2"),
    ("reviews_of_none", "/v1/products/product-4/reviews"),
    ("categories", "/v1/categories"),
    ("suggestions", "/v1/search/suggestions?q=navy%20li"),
];

/// Keeps only whether there is a next page, because its address is opaque.
fn normalized(response: &TestResponse) -> Value {
    let mut body = response.json();
    if body["next"].is_string() {
        body["next"] = json!("[next]");
    }
    body
}

#[tokio::test]
async fn each_route_responds_in_its_shape() {
    every_arm(async || {
        let shop = TestShop::read_only().await;
        for (name, path) in ROUTES {
            let response = shop.get(path).await.ok();
            assert_eq!(response.header("content-type"), Some("application/json"));
            insta::with_settings!({ description => *path, prepend_module_to_snapshot => false }, {
                insta::assert_json_snapshot!(*name, normalized(&response));
            });
        }
    })
    .await;
}

#[tokio::test]
async fn equivalent_parameters_get_the_same_response() {
    let shop = TestShop::start().await;
    let same = async |one: &str, other: &str| {
        assert_eq!(
            shop.get(one).await.ok().json(),
            shop.get(other).await.ok().json(),
            "{one} and {other}"
        );
    };
    same("/v1/products?limit=4", "/v1/products?sort=newest&limit=4").await;
    same("/v1/products?q=kettle", "/v1/products?q=kettle&sort=relevance").await;
    same("/v1/products", "/v1/products?limit=20").await;
    same(
        "/v1/products?limit=4&include=images,variants&fields=title,slug",
        "/v1/products?fields=slug,%20title&include=variants,images&limit=4",
    )
    .await;
    same(
        "/v1/products?category=%20knives%20",
        "/v1/products?category=knives",
    )
    .await;
}

#[tokio::test]
async fn head_responds_like_get_without_a_body() {
    let shop = TestShop::start().await;
    for (_, path) in ROUTES {
        let get = shop.get(path).await.ok();
        let head = shop.method(Method::HEAD, path).await.ok();
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert_eq!(head.header("link"), get.header("link"), "{path}");
        assert_eq!(
            head.header("content-length"),
            Some(get.body.len().to_string().as_str()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn inactive_and_unknown_products_are_not_found() {
    let shop = TestShop::start().await;
    // `product-11` is inactive.
    for slug in [
        "no-such-product",
        "product-11",
        "%00",
        "%FF",
        "%F0%9F%92%A9",
        "a%2Fb",
        &"x".repeat(300),
    ] {
        for path in [
            format!("/v1/products/{slug}"),
            format!("/v1/products/{slug}/reviews"),
        ] {
            let problem = shop.get(&path).await.problem(404, "not_found");
            assert!(
                problem["detail"]
                    .as_str()
                    .unwrap()
                    .contains("no product has this slug"),
                "{path}"
            );
        }
    }
}
