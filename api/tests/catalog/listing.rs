//! How many statements each arm of `listing` sends, counted by three that can't agree by accident: the service itself,
//! the wire to Postgres, and Postgres.

use sqlx::{ConnectOptions, Row};

use crate::support::arms::{arm, lesson};
use crate::support::database::{Database, execute};
use crate::support::servers::servers;
use crate::support::shop::{Changes, TestShop};
use crate::support::wire::Wire;

/// Statements that were executed in the database, as its server counted them.
async fn counted_by_postgres(database: &Database) -> u64 {
    // From another database, so that this is not counted.
    let mut server = servers().postgres.connect().await.unwrap();
    execute(
        &mut server,
        "select pg_advisory_lock(7236411); create extension if not exists pg_stat_statements;
         select pg_advisory_unlock(7236411)",
    )
    .await;
    let row = sqlx::query(
        // The planner evaluates `title_query` of a constant, and Postgres counts that function's body as a statement.
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

/// How many statements a request takes.
async fn statements(shop: &TestShop, wire: &Wire, path: &str) -> u64 {
    wire.take_counted();
    let before = counted_by_postgres(&shop.database).await;
    let said = shop.get(path).await.ok().statements();
    let sent = wire.take_counted().statements;
    let run = counted_by_postgres(&shop.database).await - before;
    assert_eq!((said, sent), (sent, run), "{path}: (said, sent) = (sent, run)");
    said
}

async fn shop_on_a_wire(listing: &str) -> (TestShop, Wire) {
    let variants = arm(lesson("listing"), listing);
    let own = TestShop::start(&variants.to_string()).await;
    let wire = Wire::to(&own.database).await;
    let changes = Changes::default().set("--database-url", wire.url());
    let mut shop = TestShop::on(own.database.clone(), variants, changes).await;
    shop.stop_following_the_epoch().await;
    drop(own);
    (shop, wire)
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn n_plus_one_sends_two_statements_for_each_product_of_the_page() {
    let (shop, wire) = shop_on_a_wire("n_plus_one").await;
    for limit in [1, 7, 20, 100] {
        let both = format!("/v1/products?limit={limit}&include=variants,images");
        assert_eq!(statements(&shop, &wire, &both).await, 1 + 2 * limit);
        let one = format!("/v1/products?limit={limit}&include=images");
        assert_eq!(statements(&shop, &wire, &one).await, 1 + limit);
        let none = format!("/v1/products?limit={limit}");
        assert_eq!(statements(&shop, &wire, &none).await, 1);
    }
    let product = "/v1/products/product-1?include=variants,images,reviews";
    assert_eq!(statements(&shop, &wire, product).await, 4);
}

#[tokio::test]
async fn batched_sends_one_statement_for_all_products_of_the_page() {
    let (shop, wire) = shop_on_a_wire("batched").await;
    for limit in [1, 7, 20, 100] {
        for include in ["variants,images", "variants", "images"] {
            let path = format!("/v1/products?limit={limit}&include={include}");
            assert_eq!(statements(&shop, &wire, &path).await, 2, "{path}");
        }
        let none = format!("/v1/products?limit={limit}");
        assert_eq!(statements(&shop, &wire, &none).await, 1);
    }
    // What the process holds is loaded when it is first needed.
    shop.get("/v1/products/facets?in_stock=false").await.ok();
    shop.get("/v1/search/suggestions?q=zz").await.ok();
    for (path, expected) in [
        ("/v1/products?category=clearance&include=variants,images", 1),
        ("/v1/products?category=clothing&in_stock=true&sort=rating", 1),
        // The planner is asked, then the words are looked up, then details.
        ("/v1/products?q=lantern&include=variants", 3),
        // Both for the words, which are corrected, and both for the correction.
        ("/v1/products?q=lantrn", 5),
        ("/v1/products/product-1?include=variants,images,reviews", 3),
        ("/v1/products/product-2", 1),
        ("/v1/products/product-1/reviews", 2),
        // Counted in the process.
        ("/v1/products/facets", 0),
        ("/v1/categories", 0),
        ("/v1/search/suggestions?q=la", 1),
    ] {
        assert_eq!(statements(&shop, &wire, path).await, expected, "{path}");
    }
}

/// Lists show the first of each product's variants and images; the product itself shows all.
#[tokio::test]
async fn a_list_bounds_the_details_of_each_product_and_a_product_shows_all() {
    for each in lesson("listing").arms {
        let variants = arm(lesson("listing"), each.name);
        let changes = Changes::default().set("--max-list-details", 2);
        let shop = TestShop::start_with(&variants.to_string(), changes).await;
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
                assert_eq!(most, Some(2), "{} {include}", each.name);
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
    }
}
