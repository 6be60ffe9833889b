//! With `offset`, deep pages cost more, added products cause duplicates, and the parameter is `page` instead of
//! `after`.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::catalog::pagination::{buffers_by_page, mean, traverse_while_products_are_added};
use crate::http::documents::{document, parameters};
use crate::support::arms::with_arm;
use crate::support::shop::TestShop;

#[tokio::test]
async fn with_offset_each_added_product_repeats_another() {
    let shop = with_arm("pagination", "offset", TestShop::start).await;
    let visited = traverse_while_products_are_added(&shop).await;
    let distinct: HashSet<String> = visited.iter().map(Value::to_string).collect();
    assert_eq!(
        visited.len() - distinct.len(),
        3,
        "one duplicate per added product"
    );
}

#[tokio::test]
async fn with_offset_the_cost_of_a_page_grows_with_its_depth() {
    let buffers = with_arm("pagination", "offset", buffers_by_page).await;
    let (first, last) = (mean(&buffers[..5]), mean(&buffers[buffers.len() - 5..]));
    assert!(
        last > 3.0 * first,
        "first pages: {first}, last pages: {last}: {buffers:?}"
    );
}

#[tokio::test]
async fn offset_rejects_cursors_and_invalid_page_numbers() {
    let next = TestShop::read_only()
        .await
        .get("/v1/products")
        .await
        .next()
        .unwrap();
    let offset = with_arm("pagination", "offset", TestShop::read_only).await;
    let problem = offset.get(&next).await.problem(400, "invalid_parameter");
    assert_eq!(problem["parameter"], "after");
    for page in ["0", "-1", "x", "", "1.5", "100000001"] {
        let path = format!("/v1/products?page={page}");
        let problem = offset.get(&path).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], "page");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("from 1 to 100000000"),
            "{problem}"
        );
    }
    // A page far past the end is empty.
    let far = offset
        .get("/v1/products?page=100000000&limit=100")
        .await
        .ok()
        .json();
    assert_eq!(far, json!({ "items": [], "next": null }));
}

#[tokio::test]
async fn the_openapi_document_describes_the_selected_arm() {
    for (arm, expected, unexpected) in [("offset", "page", "after"), ("cursor", "after", "page")] {
        let shop = with_arm("pagination", arm, TestShop::read_only).await;
        let parameters = parameters(&document(&shop).await, "/v1/products");
        assert!(
            parameters.contains(expected) && !parameters.contains(unexpected),
            "{arm}: {parameters:?}"
        );
    }
}
