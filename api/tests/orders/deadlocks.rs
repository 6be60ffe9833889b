//! A deadlock with somebody who locks in an order of their own: whoever Postgres ends begins again, and what an order held
//! comes back once.

use axum::http::Request;
use sqlx::postgres::PgConnection;

use super::cancelling::cancel;
use super::shopping::{Buyer, Shop, expect, order, with};
use crate::support::database::execute;
use crate::support::gateway::Mood;
use crate::support::until;

/// Somebody who holds a variant, and will want the order that wants the variant. Postgres ends the one who has waited for
/// a second; this one would wait for a minute, so it is the shop's.
async fn holding_a_variant(shop: &Shop) -> PgConnection {
    let mut other = shop.database.connect().await;
    execute(
        &mut other,
        "set deadlock_timeout = '1min'; begin; select from variants where sku = 'SKU-1-0' for update",
    )
    .await;
    other
}

/// Wants what the shop has locked, once the shop waits, and is content when it has it.
async fn deadlocked(shop: &Shop, mut other: PgConnection) {
    until("the shop waits for the variant", async || {
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        (shop.database.number(waiting).await == 1).then_some(())
    })
    .await;
    execute(&mut other, "select from orders for update; commit").await;
}

async fn deadlocks(shop: &Shop) -> i64 {
    shop.database
        .number("select deadlocks from pg_stat_database where datname = current_database()")
        .await
}

async fn assert_there_was_one(shop: &Shop) {
    until("Postgres has counted a deadlock", async || {
        (deadlocks(shop).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cancel_that_a_deadlock_ends_begins_again_and_gives_back_once() {
    let shop = Shop::start("optimized").await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 2)]).await;
    let placed = expect(shop.buy(&buyer, cart).await, 201).json();
    let other = holding_a_variant(&shop).await;
    let (cancelled, ()) = tokio::join!(cancel(&shop, &buyer, &placed), deadlocked(&shop, other));
    assert_eq!(cancelled.ok().json()["status"], "cancelled");
    assert_eq!(shop.stock("SKU-1-0").await, 5);
    assert_there_was_one(&shop).await;
    let said = "select count(*) from outbox where event = 'order.cancelled'";
    assert_eq!(shop.database.number(said).await, 1);
}

#[tokio::test]
async fn a_declined_order_that_a_deadlock_meets_is_declined_and_gives_back_once() {
    let shop = Shop::start("optimized").await;
    shop.set_stock("SKU-1-0", 5).await;
    let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 2)]).await;
    shop.gateway.is(Mood::Silent);
    let body = with(order(cart), "payment_token", "tok_declined");
    let meeting = async {
        until("it is at the gateway", async || {
            (shop.gateway.payments() == 1).then_some(())
        })
        .await;
        let other = holding_a_variant(&shop).await;
        shop.gateway.is(Mood::Well);
        deadlocked(&shop, other).await;
    };
    let (declined, ()) = tokio::join!(shop.place(&Buyer::Guest, "key", &body), meeting);
    declined.problem(402, "payment_declined");
    assert_eq!(shop.stock("SKU-1-0").await, 5);
    assert_there_was_one(&shop).await;
    // The same key gets the same answer.
    let again = shop.place(&Buyer::Guest, "key", &body).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    again.problem(402, "payment_declined");
}

/// Whatever else meets one: it isn't a fault of ours, and may be tried again.
#[tokio::test]
async fn a_deadlock_that_nobody_begins_again_after_is_a_503() {
    let shop = Shop::start("optimized").await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[]).await;
    shop.database
        .execute(
            "create function deadlock() returns trigger language plpgsql as $$
             begin raise exception 'deadlock detected' using errcode = '40P01'; end $$;
             create trigger deadlock before insert on cart_items for each row execute function deadlock()",
        )
        .await;
    let put = buyer.identify(Request::put(format!("/v1/carts/{cart}/items/SKU-1-0")));
    let refused = shop.send_json(put, &serde_json::json!({ "quantity": 1 })).await;
    refused.problem(503, "overloaded");
    assert!(refused.header("retry-after").is_some());
}
