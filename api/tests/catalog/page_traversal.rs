//! Following `next` visits every product of a list exactly once, in order, and terminates.

use serde_json::Value;
use uuid::Uuid;

use crate::support::arms::{each_arm, every_arm};
use crate::support::catalogue::{Filters, Product, SORTS, active_products, expected};
use crate::support::shop::TestShop;

pub fn filters() -> Vec<Filters> {
    let category = |slug: &str| Some(slug.to_owned());
    vec![
        Filters::default(),
        // Three levels, with products in inner categories.
        Filters {
            category: category("clothing"),
            ..Filters::default()
        },
        Filters {
            category: category("knives"),
            in_stock: Some(true),
            ..Filters::default()
        },
        Filters {
            brand: Some("brand-3".to_owned()),
            ..Filters::default()
        },
        Filters {
            min_price: Some(3_000),
            max_price: Some(12_000),
            in_stock: Some(false),
            ..Filters::default()
        },
        Filters {
            category: category("clearance"),
            ..Filters::default()
        },
        Filters {
            category: category("no-such-category"),
            ..Filters::default()
        },
        Filters {
            brand: Some("no-such-brand".to_owned()),
            ..Filters::default()
        },
    ]
}

pub async fn assert_visits_all(
    shop: &TestShop,
    products: &[Product],
    filters: &Filters,
    sort: &str,
    limit: usize,
) {
    let path = format!("/v1/products?sort={sort}&limit={limit}&{}", filters.query());
    let pages = shop.follow(path.trim_end_matches('&')).await;
    let visited: Vec<Uuid> = pages
        .iter()
        .flat_map(|page| page.each("id"))
        .map(|id| serde_json::from_value(id).unwrap())
        .collect();
    let expected = expected(products, filters, sort);
    assert_eq!(visited, expected, "{path}");
    assert_eq!(
        pages.len(),
        expected.len().div_ceil(limit).max(1),
        "{path}: the number of pages"
    );
    for page in &pages {
        let link = page.next().map(|next| format!("<{next}>; rel=\"next\""));
        assert_eq!(page.header("link"), link.as_deref(), "{path}");
    }
}

#[tokio::test]
async fn every_product_is_visited_once_and_in_order() {
    each_arm("pagination", async || {
        let shop = TestShop::read_only().await;
        let products = active_products(&shop.database).await;
        assert!(products.len() > 300 && products.len() < 420, "some are inactive");
        for sort in SORTS {
            for filters in filters() {
                for limit in [7, 100] {
                    assert_visits_all(&shop, &products, &filters, sort, limit).await;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_list_that_fills_a_page_exactly_has_no_next_page() {
    let shop = TestShop::start().await;
    let count = shop.get("/v1/products/facets?brand=brand-3").await.json()["total"].clone();
    let list = format!("/v1/products?brand=brand-3&limit={count}");
    assert_eq!(shop.get(&list).await.ok().json()["next"], Value::Null);
}

#[tokio::test]
async fn a_search_by_relevance_is_visited_completely() {
    every_arm(async || {
        let shop = TestShop::read_only().await;
        for words in ["lantern", "jewel", "navy"] {
            let whole = shop.get(&format!("/v1/products?q={words}&limit=100")).await.ok();
            let pages = shop.follow(&format!("/v1/products?q={words}&limit=9")).await;
            let visited: Vec<Value> = pages.iter().flat_map(|page| page.each("id")).collect();
            let total = shop.get(&format!("/v1/products/facets?q={words}")).await.json()["total"].clone();
            assert_eq!(total, visited.len(), "{words}");
            assert!(visited.len() > 9, "{words}");
            assert_eq!(visited[..whole.items().len()], whole.each("id"), "{words}");
        }
    })
    .await;
}

#[tokio::test]
async fn reviews_are_visited_once_and_newest_first() {
    let shop = TestShop::start().await;
    let expected = shop
        .database
        .json(
            "select jsonb_agg(id order by created_at desc, id desc) from reviews
             where product_id = (select id from products where slug = 'product-1')",
        )
        .await;
    assert_eq!(expected.as_array().unwrap().len(), 45);
    for limit in [1, 4, 45, 100] {
        let pages = shop
            .follow(&format!("/v1/products/product-1/reviews?limit={limit}"))
            .await;
        let visited: Vec<Value> = pages.iter().flat_map(|page| page.each("id")).collect();
        assert_eq!(Value::Array(visited), expected, "limit {limit}");
        let link = pages[0].next().map(|next| format!("<{next}>; rel=\"next\""));
        assert_eq!(pages[0].header("link"), link.as_deref());
    }
}
