//! With `scan`, facets read something of every product, in a statement per request.

use crate::catalog::facet_cost::Shop;
use crate::catalog::facet_updates::COUNTED;
use crate::support::arms::with_arm;
use crate::support::shop::{Changes, TestShop};

/// The maximum of entries per page, in an index with all counted columns.
const MAX_ENTRIES_PER_PAGE: u64 = 200;

#[tokio::test]
async fn a_scan_reads_something_of_every_product() {
    with_arm("facets", "scan", async || {
        let shop = Shop::start(Changes::default()).await;
        let active = "select count(*) from products where active";
        let shown = shop.shop.database.number(active).await as u64;
        for path in ["/v1/products/facets", "/v1/products/facets?in_stock=true"] {
            let buffers = shop.buffers(path).await;
            assert!(
                buffers * MAX_ENTRIES_PER_PAGE > shown,
                "{path}: {buffers} buffers"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_scan_takes_a_statement_per_request() {
    with_arm("facets", "scan", async || {
        let mut shop = TestShop::start().await;
        shop.stop_following_changes().await;
        for path in COUNTED {
            assert_eq!(shop.get(path).await.ok().statements(), 1, "{path}");
        }
    })
    .await;
}
