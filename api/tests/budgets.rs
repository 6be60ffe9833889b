//! What each route may cost: statements, bytes from Postgres, bytes to the customer. Exact, since all three are
//! counted on the same data: whoever makes a route dearer or cheaper says so by recording it. Here those that anybody
//! may read; all others, by their statements, in `budgets/buying.rs`.

mod buying;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use redis::AsyncCommands;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::support::servers::servers;
use crate::support::shop::{Changes, TestShop};
use crate::support::wire::Wire;

/// Set to 1, it makes the test write the budgets instead of comparing them.
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

/// What one request costs that no cache answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Cost {
    statements: u64,
    bytes_from_postgres: u64,
    response_bytes: u64,
    /// As a browser gets them.
    compressed_response_bytes: u64,
}

async fn forget_what_is_cached(shop: &TestShop) {
    let client = redis::Client::open(servers().redis_url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = connection.keys(format!("{}*", shop.redis_prefix)).await.unwrap();
    if !keys.is_empty() {
        let _: () = connection.del(keys).await.unwrap();
    }
}

async fn cost(shop: &TestShop, wire: &Wire, path: &str) -> Cost {
    // The first time, statements are prepared, and Postgres describes their columns.
    shop.get(path).await.ok();
    forget_what_is_cached(shop).await;
    wire.take_counted();
    let answer = shop.get(path).await.ok();
    let counted = wire.take_counted();
    assert_eq!(answer.statements(), counted.statements, "{path}");
    if shop.variants.catalog_cache.as_str() == "redis" {
        let again = shop.get(path).await.ok();
        assert_eq!(again.body, answer.body);
        assert_eq!(
            (again.statements(), wire.take_counted().bytes_from_postgres),
            (0, 0),
            "{path}"
        );
    }
    let compressed = shop.get_compressed(path, "gzip, deflate, br").await.ok();
    Cost {
        statements: counted.statements,
        bytes_from_postgres: counted.bytes_from_postgres,
        response_bytes: answer.body.len() as u64,
        compressed_response_bytes: compressed.body.len() as u64,
    }
}

async fn costs(preset: &str) -> BTreeMap<String, Cost> {
    let own = TestShop::start(preset).await;
    let wire = Wire::to(&own.database).await;
    let changes = Changes::default()
        .set("--database-url", wire.url())
        .set("--database-connections", 1);
    let mut shop = TestShop::on(own.database.clone(), own.variants, changes).await;
    shop.stop_following_the_epoch().await;
    let mut costs = BTreeMap::new();
    for path in ROUTES {
        costs.insert((*path).to_owned(), cost(&shop, &wire, path).await);
    }
    costs
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/budgets/{name}.json"))
}

/// Compares with what is recorded under the name, or records it.
fn assert_recorded<C>(name: &str, costs: &BTreeMap<String, C>)
where
    C: fmt::Debug + PartialEq + Serialize + DeserializeOwned,
{
    if std::env::var(RECORD).as_deref() == Ok("1") {
        let text = serde_json::to_string_pretty(costs).unwrap() + "\n";
        std::fs::write(file(name), text).unwrap();
    }
    let text = std::fs::read_to_string(file(name)).unwrap_or_else(|_| "{}".to_owned());
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
        "`{name}` is not within its budget:\n{differences}\
         If this is meant, record it: {RECORD}=1 cargo test -p api budgets, and say why in the commit."
    );
}

#[tokio::test]
async fn every_route_of_the_optimized_preset_costs_what_is_recorded() {
    assert_recorded("optimized", &costs("optimized").await);
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn every_route_of_the_baseline_preset_costs_what_is_recorded() {
    assert_recorded("baseline", &costs("baseline").await);
}
