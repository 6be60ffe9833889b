//! A transaction that Postgres aborts because of a deadlock is retried, and the stock of an order is returned
//! exactly once.
//!
//! A real deadlock would depend on timing, because Postgres checks for deadlocks once, after a second.
//! Instead, a trigger aborts transactions with the same error, as often as the test chooses.

use axum::http::Request;
use serde_json::json;

use super::cancellation::cancel;
use super::shop::{Buyer, Shop, expect, order, with};
use crate::support::response::TestResponse;

/// Only statements that return stock, because a reservation has its own retries.
const STOCK_RETURN: &str = "update on variants for each row when (new.stock_quantity > old.stock_quantity)";

/// Aborts the next `times` statements that make this change, as a deadlock would. A sequence counts them,
/// because a sequence isn't rolled back.
async fn abort_next(shop: &Shop, times: u32, change: &str) {
    shop.database
        .execute(&format!(
            "create sequence aborted;
             create function simulate_deadlock() returns trigger language plpgsql as $$
             begin
                 if nextval('aborted') <= {times} then
                     raise exception 'deadlock detected' using errcode = 'deadlock_detected';
                 end if;
                 return new;
             end $$;
             create trigger simulate_deadlock before {change} execute function simulate_deadlock()"
        ))
        .await;
}

async fn cancelled_after(deadlocks: u32) -> (Shop, TestResponse) {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 2)]).await;
    let placed = expect(shop.buy(&buyer, cart).await, 201).json();
    abort_next(&shop, deadlocks, STOCK_RETURN).await;
    let response = cancel(&shop, &buyer, &placed).await;
    (shop, response)
}

#[tokio::test]
async fn a_cancellation_is_retried_and_returns_the_stock_once() {
    let (_, without_deadlock) = cancelled_after(0).await;
    let (shop, cancelled) = cancelled_after(2).await;
    // Two failed attempts with begin, status and stock.
    assert_eq!(cancelled.statements(), without_deadlock.ok().statements() + 2 * 3);
    assert_eq!(cancelled.ok().json()["status"], "cancelled");
    assert_eq!(shop.stock("SKU-1-0").await, 5);
    let cancellations = "select count(*) from outbox where event = 'order.cancelled'";
    assert_eq!(shop.database.number(cancellations).await, 1);
}

#[tokio::test]
async fn a_cancellation_that_always_deadlocks_is_a_503() {
    let (shop, response) = cancelled_after(4).await;
    response.problem(503, "overloaded");
    assert!(response.header("retry-after").is_some());
    assert_eq!(shop.stock("SKU-1-0").await, 3);
    let status = "select status from orders";
    assert_eq!(shop.database.json(status).await, "paid");
}

#[tokio::test]
async fn a_failed_order_is_compensated_once() {
    for (token, status, code) in [
        ("tok_declined", 402, "payment_declined"),
        ("tok_unheard_of", 400, "invalid_parameter"),
    ] {
        let shop = Shop::start().await;
        shop.set_stock("SKU-1-0", 5).await;
        let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 2)]).await;
        abort_next(&shop, 2, STOCK_RETURN).await;
        let body = with(order(cart), "payment_token", token);
        shop.place(&Buyer::Guest, "key", &body)
            .await
            .problem(status, code);
        assert_eq!(shop.database.number("select last_value from aborted").await, 3);
        assert_eq!(shop.stock("SKU-1-0").await, 5);
        let others = "select count(*) from orders where status <> 'payment_failed'";
        assert_eq!(shop.database.number(others).await, 0);
    }
}

/// In a transaction without retries, a deadlock is a transient error, not an internal one.
#[tokio::test]
async fn a_deadlock_without_a_retry_is_a_503() {
    let shop = Shop::start().await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[]).await;
    abort_next(&shop, u32::MAX, "insert on cart_items for each row").await;
    let put = buyer.identify(Request::put(format!("/v1/carts/{cart}/items/SKU-1-0")));
    let response = shop.send_json(put, &json!({ "quantity": 1 })).await;
    response.problem(503, "overloaded");
    assert!(response.header("retry-after").is_some());
}
