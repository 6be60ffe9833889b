//! A transaction that Postgres ends for a deadlock begins again, and what an order held comes back once.
//!
//! Who locks in an order of their own can only be made to meet an order by the clock: Postgres looks for deadlocks after
//! a second, once. So a trigger ends the shop's transactions with the same error, as often as the test says.

use axum::http::Request;
use serde_json::json;

use super::cancelling::cancel;
use super::shopping::{Buyer, Shop, expect, order, with};
use crate::support::answer::Answer;

/// Stock that comes back, not stock that is taken: a reservation that is ended begins again for itself.
const GIVING_BACK: &str = "update on variants for each row when (new.stock_quantity > old.stock_quantity)";

/// The next so many statements that make the change end as if they had met a deadlock. A sequence counts them:
/// it isn't rolled back.
async fn end_the_next(shop: &Shop, times: u32, change: &str) {
    shop.database
        .execute(&format!(
            "create sequence ended;
             create function meet_a_deadlock() returns trigger language plpgsql as $$
             begin
                 if nextval('ended') <= {times} then
                     raise exception 'deadlock detected' using errcode = 'deadlock_detected';
                 end if;
                 return new;
             end $$;
             create trigger meet_a_deadlock before {change} execute function meet_a_deadlock()"
        ))
        .await;
}

async fn cancelled_after(deadlocks: u32) -> (Shop, Answer) {
    let shop = Shop::start("optimized").await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 2)]).await;
    let placed = expect(shop.buy(&buyer, cart).await, 201).json();
    end_the_next(&shop, deadlocks, GIVING_BACK).await;
    let answer = cancel(&shop, &buyer, &placed).await;
    (shop, answer)
}

#[tokio::test]
async fn a_cancel_begins_again_and_gives_back_once() {
    let (_, undisturbed) = cancelled_after(0).await;
    let (shop, cancelled) = cancelled_after(2).await;
    // Begin, status, stock: twice in vain.
    assert_eq!(cancelled.statements(), undisturbed.ok().statements() + 2 * 3);
    assert_eq!(cancelled.ok().json()["status"], "cancelled");
    assert_eq!(shop.stock("SKU-1-0").await, 5);
    let said = "select count(*) from outbox where event = 'order.cancelled'";
    assert_eq!(shop.database.number(said).await, 1);
}

#[tokio::test]
async fn a_cancel_that_only_meets_deadlocks_may_be_tried_again() {
    let (shop, refused) = cancelled_after(4).await;
    refused.problem(503, "overloaded");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(shop.stock("SKU-1-0").await, 3);
    let status = "select status from orders";
    assert_eq!(shop.database.json(status).await, "paid");
}

#[tokio::test]
async fn an_order_that_comes_to_nothing_does_so_once() {
    for (token, status, code) in [
        ("tok_declined", 402, "payment_declined"),
        ("tok_unheard_of", 400, "invalid_parameter"),
    ] {
        let shop = Shop::start("optimized").await;
        shop.set_stock("SKU-1-0", 5).await;
        let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 2)]).await;
        end_the_next(&shop, 2, GIVING_BACK).await;
        let body = with(order(cart), "payment_token", token);
        shop.place(&Buyer::Guest, "key", &body)
            .await
            .problem(status, code);
        assert_eq!(shop.database.number("select last_value from ended").await, 3);
        assert_eq!(shop.stock("SKU-1-0").await, 5);
        let left = "select count(*) from orders where status <> 'payment_failed'";
        assert_eq!(shop.database.number(left).await, 0);
    }
}

/// Whatever else meets one: it isn't a fault of ours.
#[tokio::test]
async fn a_deadlock_that_nobody_begins_again_after_is_a_503() {
    let shop = Shop::start("optimized").await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[]).await;
    end_the_next(&shop, u32::MAX, "insert on cart_items for each row").await;
    let put = buyer.identify(Request::put(format!("/v1/carts/{cart}/items/SKU-1-0")));
    let refused = shop.send_json(put, &json!({ "quantity": 1 })).await;
    refused.problem(503, "overloaded");
    assert!(refused.header("retry-after").is_some());
}
