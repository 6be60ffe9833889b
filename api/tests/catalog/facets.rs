//! The counts of facets and categories match the lists.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::arms::every_arm;
use crate::support::shop::TestShop;
use crate::support::until;

const FILTERS: &[&str] = &[
    "",
    "category=clothing",
    "category=kitchen&in_stock=true",
    "brand=brand-2&min_price=2000",
    "max_price=9999",
    "q=kettle",
    "q=kettle&category=home",
    "category=clearance",
    "brand=no-such-brand",
];

async fn all_items(shop: &TestShop, filters: &str) -> Vec<Value> {
    let pages = shop
        .follow(format!("/v1/products?limit=100&{filters}").trim_end_matches('&'))
        .await;
    pages
        .iter()
        .flat_map(crate::support::response::TestResponse::items)
        .collect()
}

/// The number of items per slug of `field`.
fn counts_by_slug(items: &[Value], field: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts
            .entry(item[field]["slug"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    counts
}

fn counts_in_response(counts: &Value) -> BTreeMap<String, u64> {
    let counts = counts.as_array().unwrap().iter();
    counts
        .map(|count| {
            (
                count["slug"].as_str().unwrap().to_owned(),
                count["count"].as_u64().unwrap(),
            )
        })
        .collect()
}

async fn assert_facets_match_the_list(shop: &TestShop, filters: &str) {
    let items = all_items(shop, filters).await;
    let facets = shop
        .get(format!("/v1/products/facets?{filters}").trim_end_matches('?'))
        .await
        .ok()
        .json();
    let context = format!("{filters}: {facets}");
    assert_eq!(facets["total"], items.len(), "{context}");
    assert_eq!(
        counts_in_response(&facets["brands"]),
        counts_by_slug(&items, "brand"),
        "{context}"
    );
    assert_eq!(
        counts_in_response(&facets["categories"]),
        counts_by_slug(&items, "category"),
        "{context}"
    );
    let in_stock = items.iter().filter(|item| item["in_stock"] == true).count();
    assert_eq!(facets["availability"]["in_stock"], in_stock, "{context}");
    assert_eq!(
        facets["availability"]["out_of_stock"],
        items.len() - in_stock,
        "{context}"
    );
    let mut in_bands = 0;
    for band in facets["price_bands"].as_array().unwrap() {
        let (from, to) = (
            band["from"].as_i64().unwrap(),
            band["to"].as_i64().unwrap_or(i64::MAX),
        );
        let inside = |item: &&Value| (from..to).contains(&item["price"]["amount"].as_i64().unwrap());
        let count = items.iter().filter(inside).count();
        assert_eq!(band["count"], count, "{context}");
        in_bands += count;
    }
    assert_eq!(in_bands, items.len(), "{context}");
}

#[tokio::test]
async fn facets_match_the_list() {
    every_arm(async || {
        let shop = TestShop::read_only().await;
        for filters in FILTERS {
            assert_facets_match_the_list(&shop, filters).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_category_tree_is_bounded_and_counts_omitted_categories() {
    const MAX_CATEGORIES: usize = 5_000;
    let shop = TestShop::start().await;
    let before = shop.get("/v1/categories").await.ok().items();
    shop.database
        .execute(
            "insert into categories (id, parent_id, slug, name, position)
             select gen_random_uuid(), (select id from categories where parent_id is null order by slug limit 1),
                    'more-' || number, 'More', number
             from generate_series(1, 6000) number",
        )
        .await;
    let items = until("the change is visible", async || {
        let items = shop.get("/v1/categories").await.ok().items();
        (count(&items) > 11).then_some(items)
    })
    .await;
    assert_eq!(count(&items), MAX_CATEGORIES);
    let counts =
        |items: &[Value]| -> Vec<Value> { items.iter().map(|item| item["product_count"].clone()).collect() };
    assert_eq!(counts(&items), counts(&before));
}

fn count(tree: &[Value]) -> usize {
    let below = |category: &Value| count(category["children"].as_array().unwrap());
    tree.iter().map(|category| 1 + below(category)).sum()
}

#[tokio::test]
async fn the_count_of_a_category_matches_its_list() {
    let shop = TestShop::start().await;
    let mut pending = shop.get("/v1/categories").await.ok().items();
    assert_eq!(pending.len(), 4, "top-level categories");
    let mut seen = 0;
    while let Some(category) = pending.pop() {
        let slug = category["slug"].as_str().unwrap();
        let listed = all_items(&shop, &format!("category={slug}")).await.len();
        assert_eq!(category["product_count"], listed, "{slug}");
        pending.extend(category["children"].as_array().unwrap().iter().cloned());
        seen += 1;
    }
    assert_eq!(seen, 11);
}
