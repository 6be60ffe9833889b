//! The cost of facets, the category tree and suggestions doesn't grow with the number of products: with
//! 20,000 of them, each reads a bounded number of pages, and those without search words none.

use std::sync::Arc;

use serde_json::Value;

use crate::support::database::{Content, Database};
use crate::support::postgres_proxy::{PostgresProxy, log_plans};
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

/// The maximum that one of these may read, in pages of 8 KB, cached or not.
const MAX_BUFFERS: u64 = 2_000;

const FACETS: &[&str] = &[
    "/v1/products/facets",
    "/v1/products/facets?category=leaf-7",
    "/v1/products/facets?category=top-2",
    "/v1/products/facets?brand=brand-1",
    "/v1/products/facets?category=middle-3&brand=brand-1&in_stock=true",
    "/v1/products/facets?min_price=5000&max_price=20000",
    "/v1/products/facets?in_stock=false",
    "/v1/categories",
];

const BOUNDED: &[&str] = &[
    // An unknown category is looked up in Postgres, because it may be new.
    "/v1/products/facets?category=no-such-category",
    // Words in half of the titles, in 1 %, in five, in none; in all descriptions; misspelled.
    "/v1/products/facets?q=sturdy",
    "/v1/products/facets?q=walnut",
    "/v1/products/facets?q=walnut&category=top-1",
    "/v1/products/facets?q=zephyrine",
    "/v1/products/facets?q=qwertzuiop",
    "/v1/products/facets?q=finished",
    "/v1/products/facets?q=walnutt",
    "/v1/products/facets?q=s",
];

const SUGGESTIONS: &[&str] = &[
    "/v1/search/suggestions?q=st",
    "/v1/search/suggestions?q=sturdy%20m",
    "/v1/search/suggestions?q=wal",
    "/v1/search/suggestions?q=zephyrine",
    "/v1/search/suggestions?q=qwertzuiop",
    "/v1/search/suggestions?q=199",
    "/v1/search/suggestions?q=%25%25",
    "/v1/search/suggestions?q=!!",
];

/// Connections that load in-process replicas.
const LOADING: &str = "select count(*) from pg_stat_activity
     where datname = current_database() and application_name = 'backstock-api replicas'";

/// A shop with 20,000 products, behind a proxy that collects its query plans.
pub struct Shop {
    pub shop: TestShop,
    proxy: PostgresProxy,
}

impl Shop {
    pub async fn start(changes: Changes) -> Self {
        let database = Arc::new(Database::new(Content::ManyProducts).await);
        log_plans(&database).await;
        let proxy = PostgresProxy::start(&database);
        let changes = Changes::default()
            .set("--database-url", proxy.url())
            .merge(changes)
            .without_cache();
        let mut shop = TestShop::on(database, changes).await;
        // The first requests load the in-process replicas.
        shop.get("/v1/products/facets").await.ok();
        shop.get("/v1/search/suggestions?q=plain").await.ok();
        shop.stop_following_changes().await;
        // The first read of the feed may have triggered a reload.
        until("all loads are finished", async || {
            let loading = shop.database.number(LOADING).await;
            (loading == 0).then_some(())
        })
        .await;
        Self { shop, proxy }
    }

    /// The number of pages that a request reads.
    pub async fn buffers(&self, path: &str) -> u64 {
        self.proxy.take_plans();
        self.shop.get(path).await.ok();
        let plans = self.proxy.take_plans();
        plans.iter().map(|plan| blocks_read(&plan["Plan"])).sum()
    }
}

fn blocks_read(plan: &Value) -> u64 {
    let blocks = |key: &str| plan[key].as_u64().unwrap_or(0);
    blocks("Shared Hit Blocks") + blocks("Shared Read Blocks")
}

#[tokio::test]
async fn columns_and_titles_bound_the_pages_that_a_request_reads() {
    let shop = Shop::start(Changes::default()).await;
    for path in FACETS {
        assert_eq!(shop.buffers(path).await, 0, "{path}: it is served from memory");
    }
    for path in BOUNDED.iter().chain(SUGGESTIONS) {
        let buffers = shop.buffers(path).await;
        assert!(buffers <= MAX_BUFFERS, "{path}: {buffers} buffers");
    }
    // Plans are collected.
    assert!(shop.buffers("/v1/products/facets?q=sturdy").await > 100);
}

#[tokio::test]
async fn suggestions_read_few_pages_even_with_few_titles_in_memory() {
    let changes = Changes::default().set("--suggestion-products", 500);
    let shop = Shop::start(changes).await;
    for path in SUGGESTIONS {
        let buffers = shop.buffers(path).await;
        assert!(buffers <= MAX_BUFFERS, "{path}: {buffers} buffers");
    }
}

#[tokio::test]
async fn suggestions_do_not_depend_on_the_number_of_titles_in_memory() {
    let all = Shop::start(Changes::default()).await;
    let few = Shop::start(Changes::default().set("--suggestion-products", 100)).await;
    for path in SUGGESTIONS {
        let (all, few) = (all.shop.get(path).await.ok(), few.shop.get(path).await.ok());
        assert_eq!(all.json(), few.json(), "{path}");
    }
}

#[tokio::test]
async fn counts_of_common_words_are_bounded_and_marked_approximate() {
    let shop = Shop::start(Changes::default().set("--facet-candidates", 100)).await;
    let facets = async |path: &str| shop.shop.get(path).await.ok().json();
    let common = facets("/v1/products/facets?q=sturdy").await;
    // Some of the 100 candidates are inactive.
    let total = common["total"].as_u64().unwrap();
    assert!(
        (80..=100).contains(&total) && common["approximate"] == true,
        "{common}"
    );
    let in_stock = facets("/v1/products/facets?q=sturdy&in_stock=true").await;
    assert_eq!(in_stock["approximate"], true, "{in_stock}");
    // Half of the titles begin so. A sample of the table is counted, the same each time.
    for path in ["/v1/products/facets?q=stur", "/v1/products/facets?q=the+stur"] {
        let prefix = facets(path).await;
        let total = prefix["total"].as_u64().unwrap();
        assert!(
            (30..=100).contains(&total) && prefix["approximate"] == true,
            "{path}: {prefix}"
        );
        assert_eq!(facets(path).await, prefix, "{path}");
        let buffers = shop.buffers(path).await;
        assert!((1..200).contains(&buffers), "{path}: {buffers} buffers");
    }
    let rare = facets("/v1/products/facets?q=zephyrine").await;
    assert_eq!((&rare["total"], rare.get("approximate")), (&5.into(), None));
}
