//! Lists and details are found by indexes, according to the plans of executed statements.

use serde_json::Value;

use crate::support::database::{Content, Database};
use crate::support::postgres_proxy::{PostgresProxy, log_plans};
use crate::support::shop::{Changes, TestShop};

/// A node of a plan and all its descendants.
fn nodes(plan: &Value) -> Vec<&Value> {
    let mut all = vec![plan];
    for child in plan["Plans"].as_array().into_iter().flatten() {
        all.extend(nodes(child));
    }
    all
}

/// The plans of the statements of each request.
pub async fn plans(paths: &[&str]) -> Vec<Vec<Value>> {
    let own = TestShop::start().await;
    log_plans(&own.database).await;
    let proxy = PostgresProxy::start(&own.database);
    let changes = Changes::default()
        .set("--database-url", proxy.url())
        .without_cache();
    let mut shop = TestShop::on(own.database.clone(), changes).await;
    shop.stop_following_changes().await;
    // The first merged list of a minute reads the statistics as well.
    shop.get("/v1/products?category=clothing").await.ok();
    let mut all = Vec::new();
    for path in paths {
        proxy.take_plans();
        shop.get(path).await.ok();
        all.push(proxy.take_plans());
    }
    all
}

pub fn uses_index(plans: &[Value], index: &str) -> bool {
    plans
        .iter()
        .flat_map(|plan| nodes(&plan["Plan"]))
        .any(|node| node["Index Name"] == index)
}

pub fn reads_whole_table(plans: &[Value], table: &str) -> bool {
    plans
        .iter()
        .flat_map(|plan| nodes(&plan["Plan"]))
        .any(|node| node["Node Type"] == "Seq Scan" && node["Relation Name"] == table)
}

/// The maximum of rows that a sort in the plans received.
pub fn most_rows_sorted(plans: &[Value]) -> u64 {
    let sorts = plans
        .iter()
        .flat_map(|plan| nodes(&plan["Plan"]))
        .filter(|node| node["Node Type"] == "Sort");
    sorts
        .map(|sort| sort["Plans"][0]["Actual Rows"].as_f64().unwrap() as u64)
        .max()
        .unwrap_or(0)
}

/// Each list, and the index that returns its rows in order.
pub const LISTS: &[(&str, &str)] = &[
    ("/v1/products?limit=5", "products_newest_idx"),
    ("/v1/products?limit=5&sort=price_asc", "products_price_idx"),
    ("/v1/products?limit=5&sort=price_desc", "products_price_idx"),
    (
        "/v1/products?limit=5&sort=best_selling",
        "products_best_selling_idx",
    ),
    ("/v1/products?limit=5&sort=rating", "products_rating_idx"),
    (
        "/v1/products?limit=5&category=garden",
        "products_category_newest_idx",
    ),
    (
        "/v1/products?limit=5&category=clothing",
        "products_category_newest_idx",
    ),
    (
        "/v1/products?limit=5&category=garden&sort=price_asc",
        "products_category_price_idx",
    ),
    (
        "/v1/products?limit=5&category=garden&sort=best_selling",
        "products_category_best_selling_idx",
    ),
    ("/v1/products?limit=5&brand=brand-4", "products_brand_newest_idx"),
    (
        "/v1/products?limit=5&brand=brand-4&sort=price_desc",
        "products_brand_price_idx",
    ),
];

#[tokio::test]
async fn an_index_returns_the_rows_of_each_list_in_order() {
    let paths: Vec<&str> = LISTS.iter().map(|(path, _)| *path).collect();
    for (plans, (path, index)) in plans(&paths).await.iter().zip(LISTS) {
        assert_eq!(plans.len(), 1, "{path}");
        assert!(uses_index(plans, index), "{path}: {plans:#?}");
        assert!(!reads_whole_table(plans, "products"), "{path}: {plans:#?}");
        // At most a page per category is sorted, never the table. Statements read 21, 51 or 101 rows.
        assert!(most_rows_sorted(plans) <= 21 * 6, "{path}: {plans:#?}");
    }
}

/// Details of a product, with their table and index.
pub const DETAILS: &[(&str, &str, &str)] = &[
    (
        "/v1/products/product-1?include=variants",
        "variants",
        "variants_product_id_idx",
    ),
    (
        "/v1/products/product-1?include=images",
        "images",
        "images_product_id_idx",
    ),
    (
        "/v1/products/product-1/reviews",
        "reviews",
        "reviews_product_id_idx",
    ),
];

#[tokio::test]
async fn details_are_found_by_an_index_on_their_foreign_key() {
    let paths: Vec<&str> = DETAILS.iter().map(|(path, ..)| *path).collect();
    for (plans, (path, table, index)) in plans(&paths).await.iter().zip(DETAILS) {
        assert!(uses_index(plans, index), "{path}: {plans:#?}");
        assert!(!reads_whole_table(plans, table), "{path}: {plans:#?}");
    }
}

#[tokio::test]
async fn the_indexes_in_the_database_match_the_file() {
    assert_indexes_match_the_file("chosen").await;
}

pub async fn assert_indexes_match_the_file(name: &str) {
    let database = Database::new(Content::Schema).await;
    let found = database
        .json(
            "select coalesce(jsonb_agg(c.relname order by c.relname collate \"C\"), '[]')
             from pg_index i join pg_class c on c.oid = i.indexrelid
             where c.relnamespace = 'public'::regnamespace
               and not exists (select from pg_constraint where conindid = i.indexrelid)",
        )
        .await;
    let file = format!("{}/../migrations/indexes/{name}.sql", env!("CARGO_MANIFEST_DIR"));
    let sql = std::fs::read_to_string(file).unwrap();
    let mut declared: Vec<&str> = sql
        .lines()
        .filter_map(|line| line.strip_prefix("create index ")?.split(' ').next())
        .collect();
    declared.sort_unstable();
    assert_eq!(found, serde_json::json!(declared));
}
