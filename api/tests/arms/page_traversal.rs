//! Following `next` visits every product of a list exactly once under arms of lessons other than `pagination`.

use crate::catalog::page_traversal::{assert_visits_all, filters};
use crate::support::arms::every_arm;
use crate::support::catalogue::{SORTS, active_products};
use crate::support::shop::TestShop;

#[tokio::test]
async fn every_other_arm_visits_every_product_once_and_in_order() {
    every_arm(async || {
        let shop = TestShop::read_only().await;
        let products = active_products(&shop.database).await;
        for (sort, filters) in SORTS.iter().zip(filters()) {
            assert_visits_all(&shop, &products, &filters, sort, 43).await;
        }
    })
    .await;
}
