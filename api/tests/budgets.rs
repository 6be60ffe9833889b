//! The budget of each route: statements, bytes from Postgres and response bytes. Budgets are exact, because
//! the data is always the same: a change that makes a route more or less expensive has to record the new
//! cost. This file covers the public routes; `budgets/operations.rs` covers the statements of all others.

pub mod operations;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use redis::AsyncCommands;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::support::postgres_proxy::PostgresProxy;
use crate::support::servers::servers;
use crate::support::shop::{Changes, TestShop};

/// If it is 1, the tests write the budgets instead of comparing them.
const RECORD: &str = "BACKSTOCK_RECORD_BUDGETS";

const ROUTES: &[&str] = &[
    "/v1/products",
    "/v1/products?limit=100",
    "/v1/products?include=variants,images",
    "/v1/products?category=clothing&sort=price_asc",
    "/v1/products?brand=brand-1&in_stock=true&sort=best_selling",
    "/v1/products?q=lantern",
    "/v1/products?fields=slug,price",
    "/v1/products/facets",
    "/v1/products/facets?category=home&q=kettle",
    "/v1/products/product-1",
    "/v1/products/product-1?include=variants,images,reviews",
    "/v1/products/product-1/reviews",
    "/v1/categories",
    "/v1/search/suggestions?q=na",
];

/// The cost of one request that misses the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    statements: u64,
    bytes_from_postgres: u64,
    response_bytes: u64,
    /// With the encodings that browsers accept.
    compressed_response_bytes: u64,
}

async fn clear_cache(shop: &TestShop) {
    let client = redis::Client::open(servers().redis_url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = connection.keys(format!("{}*", shop.redis_prefix)).await.unwrap();
    if !keys.is_empty() {
        let _: () = connection.del(keys).await.unwrap();
    }
}

async fn cost(shop: &TestShop, proxy: &PostgresProxy, path: &str) -> Cost {
    // The first request prepares the statements, and Postgres describes their columns.
    shop.get(path).await.ok();
    clear_cache(shop).await;
    proxy.take_traffic();
    let response = shop.get(path).await.ok();
    let traffic = proxy.take_traffic();
    assert_eq!(response.statements(), traffic.statements, "{path}");
    let compressed = shop.get_compressed(path, "gzip, deflate, br").await.ok();
    Cost {
        statements: traffic.statements,
        bytes_from_postgres: traffic.bytes_from_postgres,
        response_bytes: response.body.len() as u64,
        compressed_response_bytes: compressed.body.len() as u64,
    }
}

async fn shop_behind_a_proxy() -> (TestShop, PostgresProxy) {
    let own = TestShop::start().await;
    let proxy = PostgresProxy::start(&own.database);
    let changes = Changes::default()
        .set("--database-url", proxy.url())
        .set("--database-connections", 1);
    let mut shop = TestShop::on(own.database.clone(), changes).await;
    shop.stop_following_changes().await;
    (shop, proxy)
}

pub async fn costs() -> BTreeMap<String, Cost> {
    let (shop, proxy) = shop_behind_a_proxy().await;
    let mut costs = BTreeMap::new();
    for path in ROUTES {
        costs.insert((*path).to_owned(), cost(&shop, &proxy, path).await);
    }
    costs
}

/// Compares the costs with the recorded budget in this file, or records them.
pub fn assert_recorded<C>(file: &str, costs: &BTreeMap<String, C>)
where
    C: fmt::Debug + PartialEq + Serialize + DeserializeOwned,
{
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file);
    if std::env::var(RECORD).as_deref() == Ok("1") {
        let text = serde_json::to_string_pretty(costs).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
    let budgets: BTreeMap<String, C> = serde_json::from_str(&text).unwrap();
    let mut differences = String::new();
    for path in costs
        .keys()
        .chain(budgets.keys().filter(|path| !costs.contains_key(*path)))
    {
        let (cost, budget) = (costs.get(path), budgets.get(path));
        if cost != budget {
            differences += &format!("{path}\n    costs   {cost:?}\n    budget  {budget:?}\n");
        }
    }
    assert!(
        differences.is_empty(),
        "tests/{file}: not within its budget:\n{differences}\
         If this is intended, record it: {RECORD}=1 cargo test -p api budgets, and say why in the commit."
    );
}

#[tokio::test]
async fn every_route_is_within_its_budget() {
    assert_recorded("budgets/routes.json", &costs().await);
}

#[tokio::test]
async fn a_cached_response_costs_nothing_from_postgres() {
    let (shop, proxy) = shop_behind_a_proxy().await;
    for path in ROUTES {
        let response = shop.get(path).await.ok();
        proxy.take_traffic();
        let again = shop.get(path).await.ok();
        assert_eq!(again.body, response.body);
        assert_eq!(
            (again.statements(), proxy.take_traffic().bytes_from_postgres),
            (0, 0),
            "{path}"
        );
    }
}
