//! The number of statements of a page of orders.

use axum::http::Request;

use super::shop::{Shop, expect};

/// The statements of pages with up to 1, 3 and 5 orders; there are 4.
pub async fn statements() -> Vec<u64> {
    let shop = Shop::start().await;
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
async fn the_lines_of_all_orders_of_a_page_take_one_statement() {
    assert_eq!(statements().await, [2, 2, 2]);
}
