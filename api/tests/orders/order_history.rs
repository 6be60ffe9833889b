//! The number of statements of each arm of `order_history`.

use axum::http::Request;

use super::shop::{Shop, expect};
use crate::support::arms::{arm, lesson};
use crate::support::shop::Changes;

/// The statements of pages with up to 1, 3 and 5 orders; there are 4.
async fn statements(order_history: &str) -> Vec<u64> {
    let shop = Shop::with(arm(lesson("order_history"), order_history), Changes::default()).await;
    shop.set_stock("SKU-1-0", 100).await;
    let buyer = shop.customer().await;
    let list = async |limit: u32| {
        let request = Request::get(format!("/v1/orders?limit={limit}"));
        shop.send(buyer.identify(request)).await.ok()
    };
    assert_eq!(list(5).await.statements(), 1, "there are no orders yet");
    for _ in 0..4 {
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        expect(shop.buy(&buyer, cart).await, 201);
    }
    let mut statements = Vec::new();
    for limit in [1, 3, 5] {
        statements.push(list(limit).await.statements());
    }
    statements
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn n_plus_one_sends_a_statement_per_order_of_the_page() {
    assert_eq!(statements("n_plus_one").await, [2, 4, 5]);
}

#[tokio::test]
async fn batched_sends_one_statement_for_all_orders_of_the_page() {
    assert_eq!(statements("batched").await, [2, 2, 2]);
}
