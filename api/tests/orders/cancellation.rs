//! Cancelling an order returns its stock, coupon and money, exactly once.

use axum::http::Request;
use serde_json::{Value, json};

use super::shop::{Buyer, Shop, expect, order};
use crate::support::gateway::FaultMode;
use crate::support::response::TestResponse;
use crate::support::shop::Changes;

pub async fn cancel(shop: &Shop, buyer: &Buyer, order: &Value) -> TestResponse {
    let request = Request::post(format!("/v1/orders/{}/cancel", order["id"].as_str().unwrap()));
    let request = match order["order_token"].as_str() {
        Some(token) => request.header("x-order-token", token),
        None => buyer.identify(request),
    };
    shop.send(request).await
}

#[tokio::test]
async fn cancelling_a_paid_order_returns_stock_coupon_and_money() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    shop.set_stock("SKU-1-1", 5).await;
    shop.database
        .execute(
            "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day')",
        )
        .await;
    for buyer in [shop.customer().await, Buyer::Guest] {
        let cart = shop.cart(&buyer, &[("SKU-1-0", 2), ("SKU-1-1", 1)]).await;
        shop.database
            .execute(&format!(
                "update carts set coupon_code = 'TEN' where id = '{cart}'"
            ))
            .await;
        let placed = expect(shop.buy(&buyer, cart).await, 201).json();
        assert_eq!(shop.database.number("select uses from coupons").await, 1);
        let cancelled = cancel(&shop, &buyer, &placed).await.ok().json();
        assert_eq!(cancelled["status"], "cancelled");
        let events: Vec<&Value> = cancelled["timeline"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| &event["event"])
            .collect();
        assert_eq!(events, [&json!("created"), &json!("paid"), &json!("cancelled")]);
        // Cancelling is idempotent.
        assert_eq!(cancel(&shop, &buyer, &placed).await.ok().json(), cancelled);
        assert_eq!((shop.stock("SKU-1-0").await, shop.stock("SKU-1-1").await), (5, 5));
        assert_eq!(shop.database.number("select uses from coupons").await, 0);
        let payment = shop.gateway.payment(placed["id"].as_str().unwrap()).unwrap();
        assert_eq!(payment.status, "voided");
    }
    let events_in_outbox = shop
        .database
        .json("select jsonb_agg(event order by id) from outbox")
        .await;
    assert_eq!(
        events_in_outbox,
        json!(["order.paid", "order.cancelled", "order.paid", "order.cancelled"])
    );
    assert_eq!(
        shop.database
            .number("select count(*) from orders where payment_voided_at is null")
            .await,
        0
    );
}

#[tokio::test]
async fn the_event_has_the_trace_context_of_the_request() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 2)]).await;
    let placed = expect(shop.buy(&buyer, cart).await, 201).json();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let path = format!("/v1/orders/{}/cancel", placed["id"].as_str().unwrap());
    let request = buyer.identify(Request::post(path)).header("traceparent", trace);
    shop.send(request).await.ok();
    let events_in_outbox = "select jsonb_agg(trace_context) from outbox where event = 'order.cancelled'";
    assert_eq!(shop.database.json(events_in_outbox).await, json!([trace]));
}

#[tokio::test]
async fn twenty_concurrent_cancellations_return_the_stock_once() {
    let changes = Changes::default().set("--database-connections", 6);
    let shop = Shop::with(changes).await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 2)]).await;
    let placed = expect(shop.buy(&buyer, cart).await, 201).json();
    let all = futures_util::future::join_all((0..20).map(|_| cancel(&shop, &buyer, &placed))).await;
    assert!(all.iter().all(|response| response.status == 200));
    assert_eq!(shop.stock("SKU-1-0").await, 5);
    let events_in_outbox = "select count(*) from outbox where event = 'order.cancelled'";
    assert_eq!(shop.database.number(events_in_outbox).await, 1);
}

#[tokio::test]
async fn an_order_with_an_unknown_payment_can_be_cancelled_and_its_payment_is_voided() {
    let shop = Shop::with(Changes::default().set("--payment-timeout-ms", 200)).await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 2)]).await;
    shop.gateway.inject(FaultMode::Stalled);
    let pending = expect(shop.place(&buyer, "key", &order(cart)).await, 202).json();
    shop.gateway.inject(FaultMode::Healthy);
    assert_eq!(
        cancel(&shop, &buyer, &pending).await.ok().json()["status"],
        "cancelled"
    );
    assert_eq!(
        (
            shop.gateway.count_with_status("voided"),
            shop.stock("SKU-1-0").await
        ),
        (1, 5)
    );
    // The idempotency key still refers to this order.
    let resumed = expect(shop.place(&buyer, "key", &order(cart)).await, 201).json();
    assert_eq!(
        (&resumed["id"], &resumed["status"]),
        (&pending["id"], &json!("cancelled"))
    );
    assert_eq!(shop.gateway.count_with_status("authorized"), 0);
}

#[tokio::test]
async fn a_void_that_the_gateway_does_not_confirm_is_left_to_the_worker() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 2)]).await;
    let placed = expect(shop.buy(&buyer, cart).await, 201).json();
    shop.gateway.inject(FaultMode::Broken);
    cancel(&shop, &buyer, &placed).await.ok();
    let unvoided = "select count(*) from orders
                where status = 'cancelled' and payment_voided_at is null and payment_id is not null";
    assert_eq!(
        (shop.database.number(unvoided).await, shop.stock("SKU-1-0").await),
        (1, 5)
    );
}

#[tokio::test]
async fn an_order_that_is_shipping_or_failed_can_not_be_cancelled() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 50).await;
    let buyer = shop.customer().await;
    for state in [
        "status = 'fulfilled'",
        "status = 'delivered'",
        "status = 'payment_failed'",
        "shipping_started_at = now()",
    ] {
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        let placed = expect(shop.buy(&buyer, cart).await, 201).json();
        let before = shop.stock("SKU-1-0").await;
        shop.database
            .execute(&format!(
                "update orders set {state} where number = {}",
                placed["number"]
            ))
            .await;
        cancel(&shop, &buyer, &placed)
            .await
            .problem(409, "order_not_cancellable");
        assert_eq!(
            (
                shop.stock("SKU-1-0").await,
                shop.gateway.count_with_status("voided")
            ),
            (before, 0)
        );
    }
}
