//! The number of statements of a request, according to three independent counters: the service, the proxy in
//! front of Postgres, and Postgres itself.

use sqlx::{ConnectOptions, Row};

use crate::support::arms::each_arm;
use crate::support::database::{Database, execute};
use crate::support::postgres_proxy::PostgresProxy;
use crate::support::servers::servers;
use crate::support::shop::{Changes, TestShop};

/// The number of statements executed in the database, according to Postgres.
async fn counted_by_postgres(database: &Database) -> u64 {
    // From another database, so that this statement isn't counted.
    let mut server = servers().postgres.connect().await.unwrap();
    execute(
        &mut server,
        "select pg_advisory_lock(7236411); create extension if not exists pg_stat_statements;
         select pg_advisory_unlock(7236411)",
    )
    .await;
    let row = sqlx::query(
        // The planner evaluates `title_query` for a constant, and Postgres counts the body of the function as
        // a statement.
        "select coalesce(sum(calls), 0)::bigint from pg_stat_statements
         where toplevel and dbid = (select oid from pg_database where datname = $1)
           and query not like 'select regexp_replace(words::text%'",
    )
    .bind(database.name())
    .fetch_one(&mut server)
    .await
    .unwrap();
    row.get::<i64, _>(0).unsigned_abs()
}

/// The number of statements of a request, on which all counters agree.
pub async fn statements(shop: &TestShop, proxy: &PostgresProxy, path: &str) -> u64 {
    proxy.take_traffic();
    let before = counted_by_postgres(&shop.database).await;
    let reported = shop.get(path).await.ok().statements();
    let sent = proxy.take_traffic().statements;
    let executed = counted_by_postgres(&shop.database).await - before;
    assert_eq!(
        (reported, sent),
        (sent, executed),
        "{path}: (reported, sent) = (sent, executed)"
    );
    reported
}

pub async fn shop_behind_a_proxy() -> (TestShop, PostgresProxy) {
    let own = TestShop::start().await;
    let proxy = PostgresProxy::start(&own.database);
    let changes = Changes::default()
        .set("--database-url", proxy.url())
        .without_cache();
    let mut shop = TestShop::on(own.database.clone(), changes).await;
    shop.stop_following_changes().await;
    drop(own);
    (shop, proxy)
}

#[tokio::test]
async fn details_take_one_statement_for_all_products_of_the_page() {
    let (shop, proxy) = shop_behind_a_proxy().await;
    for limit in [1, 7, 20, 100] {
        for include in ["variants,images", "variants", "images"] {
            let path = format!("/v1/products?limit={limit}&include={include}");
            assert_eq!(statements(&shop, &proxy, &path).await, 2, "{path}");
        }
        let none = format!("/v1/products?limit={limit}");
        assert_eq!(statements(&shop, &proxy, &none).await, 1);
    }
    // The in-process replicas are loaded on first use.
    shop.get("/v1/products/facets?in_stock=false").await.ok();
    // The first search reads the planner's statistics.
    shop.get("/v1/products?q=coat").await.ok();
    shop.get("/v1/search/suggestions?q=zz").await.ok();
    for (path, expected) in [
        ("/v1/products?category=clearance&include=variants,images", 1),
        ("/v1/products?category=clothing&in_stock=true&sort=rating", 1),
        // The planner's estimate, then the search, then the details.
        ("/v1/products?q=lantern&include=variants", 3),
        // Estimate and search for the words, the correction, then estimate and search for the corrected
        // words.
        ("/v1/products?q=lantrn", 5),
        ("/v1/products/product-1?include=variants,images,reviews", 3),
        ("/v1/products/product-2", 1),
        ("/v1/products/product-1/reviews", 2),
        // Counted in the process.
        ("/v1/products/facets", 0),
        ("/v1/categories", 0),
        ("/v1/search/suggestions?q=la", 1),
    ] {
        assert_eq!(statements(&shop, &proxy, path).await, expected, "{path}");
    }
}

/// A list shows only the first variants and images of each product; a product page shows all.
#[tokio::test]
async fn a_list_bounds_the_details_per_product_and_a_product_page_shows_all() {
    each_arm("listing", async || {
        let changes = Changes::default().set("--max-list-details", 2);
        let shop = TestShop::start_with(changes).await;
        for include in ["variants", "images", "variants,images"] {
            let page = shop
                .get(&format!("/v1/products?limit=100&include={include}"))
                .await
                .ok();
            for part in include.split(',') {
                let most = page
                    .items()
                    .iter()
                    .map(|item| item[part].as_array().unwrap().len())
                    .max();
                assert_eq!(most, Some(2), "{include}");
            }
        }
        let first = |json: &serde_json::Value| json["variants"][0]["sku"].clone();
        let list = shop.get("/v1/products?limit=100&include=variants").await.ok();
        let slug = list.items()[0]["slug"].as_str().unwrap().to_owned();
        let alone = shop
            .get(&format!("/v1/products/{slug}?include=variants"))
            .await
            .ok()
            .json();
        assert_eq!(first(&list.items()[0]), first(&alone));
        let three = shop
            .get("/v1/products/product-2?include=variants")
            .await
            .ok()
            .json();
        assert_eq!(three["variants"].as_array().unwrap().len(), 3);
    })
    .await;
}
