//! Facets, the category tree and suggestions are flat in the number of products: with 20,000 of them, none reads more
//! than a bounded number of pages, and those without words none. `facets=scan` reads something of every product.

use std::sync::Arc;

use serde_json::Value;

use crate::support::arms::{arm, lesson};
use crate::support::database::{Content, Database};
use crate::support::shop::{Changes, TestShop};
use crate::support::until;
use crate::support::wire::{Wire, tell_plans};

/// What the worst of these may read, in pages of 8 KB, found in memory or not.
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
    // Postgres is asked whether it knows the category meanwhile.
    "/v1/products/facets?category=no-such-category",
    // In half of the titles, in one of a hundred, in five, in none; in all descriptions; misspelt.
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

/// Connections over which a process loads what it holds.
const LOADING: &str = "select count(*) from pg_stat_activity
     where datname = current_database() and application_name = 'backstock-api replicas'";

/// A shop over 20,000 products, and what it asks Postgres.
struct Shop {
    shop: TestShop,
    wire: Wire,
}

impl Shop {
    async fn start(arm_name: &str, changes: Changes) -> Self {
        let variants = arm(lesson("facets"), arm_name);
        let database = Arc::new(Database::new(Content::ManyProducts, variants.indexes).await);
        tell_plans(&database).await;
        let wire = Wire::to(&database).await;
        let changes = Changes::default()
            .set("--database-url", wire.url())
            .and(changes)
            .without_a_cache();
        let mut shop = TestShop::on(database, variants, changes).await;
        // What a process holds is loaded by the first requests.
        shop.get("/v1/products/facets").await.ok();
        shop.get("/v1/search/suggestions?q=plain").await.ok();
        shop.stop_following_the_epoch().await;
        // The first read of the feed may have made it load them again.
        until("nothing is loaded any more", async || {
            let loading = shop.database.number(LOADING).await;
            (loading == 0).then_some(())
        })
        .await;
        Self { shop, wire }
    }

    /// The pages that a request reads.
    async fn buffers(&self, path: &str) -> u64 {
        self.wire.take_plans();
        self.shop.get(path).await.ok();
        let plans = self.wire.take_plans();
        plans.iter().map(|plan| read(&plan["Plan"])).sum()
    }
}

fn read(plan: &Value) -> u64 {
    let blocks = |key: &str| plan[key].as_u64().unwrap_or(0);
    blocks("Shared Hit Blocks") + blocks("Shared Read Blocks")
}

#[tokio::test]
async fn columns_and_titles_bound_what_a_request_reads() {
    let shop = Shop::start("columns", Changes::default()).await;
    for path in FACETS {
        assert_eq!(shop.buffers(path).await, 0, "{path}: all of it is in the process");
    }
    for path in BOUNDED.iter().chain(SUGGESTIONS) {
        let buffers = shop.buffers(path).await;
        assert!(buffers <= MAX_BUFFERS, "{path}: {buffers} buffers");
    }
}

#[tokio::test]
async fn suggestions_read_little_when_few_titles_are_held() {
    let changes = Changes::default().set("--suggestion-products", 500);
    let shop = Shop::start("columns", changes).await;
    for path in SUGGESTIONS {
        let buffers = shop.buffers(path).await;
        assert!(buffers <= MAX_BUFFERS, "{path}: {buffers} buffers");
    }
}

#[tokio::test]
async fn suggestions_are_the_same_however_many_titles_are_held() {
    let all = Shop::start("columns", Changes::default()).await;
    let few = Shop::start("columns", Changes::default().set("--suggestion-products", 100)).await;
    for path in SUGGESTIONS {
        let (all, few) = (all.shop.get(path).await.ok(), few.shop.get(path).await.ok());
        assert_eq!(all.json(), few.json(), "{path}");
    }
}

#[tokio::test]
async fn common_words_are_counted_up_to_the_bound_and_said_to_be_approximate() {
    let shop = Shop::start("columns", Changes::default().set("--facet-candidates", 100)).await;
    let facets = async |path: &str| shop.shop.get(path).await.ok().json();
    let common = facets("/v1/products/facets?q=sturdy").await;
    // Of 100 candidates some are not shown.
    let total = common["total"].as_u64().unwrap();
    assert!(
        (80..=100).contains(&total) && common["approximate"] == true,
        "{common}"
    );
    let in_category = facets("/v1/products/facets?q=sturdy&in_stock=true").await;
    assert_eq!(in_category["approximate"], true, "{in_category}");
    let rare = facets("/v1/products/facets?q=zephyrine").await;
    assert_eq!((&rare["total"], rare.get("approximate")), (&5.into(), None));
}

/// Entries of an index that holds all that is counted, on a page.
#[cfg(feature = "baselines")]
const MOST_ENTRIES: u64 = 200;

#[tokio::test]
#[cfg(feature = "baselines")]
async fn a_scan_reads_something_of_every_product() {
    let shop = Shop::start("scan", Changes::default()).await;
    let shown = shop
        .shop
        .database
        .number("select count(*) from products where active")
        .await as u64;
    for path in ["/v1/products/facets", "/v1/products/facets?in_stock=true"] {
        let buffers = shop.buffers(path).await;
        assert!(buffers * MOST_ENTRIES > shown, "{path}: {buffers} buffers");
    }
}
