//! Limits of the stock that unpaid orders can reserve.

use super::cancellation::cancel;
use super::shop::{Buyer, Shop, expect};
use crate::support::arms::each_arm;
use crate::support::gateway::FaultMode;
use crate::support::shop::Changes;

fn changes() -> Changes {
    Changes::default()
        .set("--max-open-orders", 2)
        .set("--guest-max-units", 5)
        .set("--payment-timeout-ms", 200)
}

#[tokio::test]
async fn a_customer_has_a_bounded_number_of_unpaid_orders() {
    each_arm("stock", async || {
        let shop = Shop::with(changes()).await;
        shop.set_stock("SKU-1-0", 100).await;
        let (buyer, other) = (shop.customer().await, shop.customer().await);
        // Paid orders don't count.
        for _ in 0..3 {
            let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
            expect(shop.buy(&buyer, cart).await, 201);
        }
        shop.gateway.inject(FaultMode::Stalled);
        let mut pending = Vec::new();
        for _ in 0..2 {
            let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
            pending.push(expect(shop.buy(&buyer, cart).await, 202).json());
        }
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        let response = shop.buy(&buyer, cart).await;
        response.problem(409, "too_many_open_orders");
        assert_eq!((shop.order_count().await, shop.stock("SKU-1-0").await), (5, 95));
        let others = shop.cart(&other, &[("SKU-1-0", 1)]).await;
        expect(shop.buy(&other, others).await, 202);
        shop.gateway.inject(FaultMode::Healthy);
        cancel(&shop, &buyer, &pending[0]).await.ok();
        expect(shop.buy(&buyer, cart).await, 201);
    })
    .await;
}

#[tokio::test]
async fn a_guest_can_order_a_bounded_number_of_units() {
    let shop = Shop::with(changes()).await;
    shop.set_stock("SKU-1-0", 100).await;
    let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 6)]).await;
    let response = shop.buy(&Buyer::Guest, cart).await;
    response.problem(409, "too_many_units");
    assert!(response.text().contains("SKU-1-0"));
    let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 5)]).await;
    expect(shop.buy(&Buyer::Guest, cart).await, 201);
    let customer = shop.customer().await;
    let cart = shop.cart(&customer, &[("SKU-1-0", 6)]).await;
    expect(shop.buy(&customer, cart).await, 201);
}
