//! Which arms of `events` lose an event while the broker is down.

use serde_json::json;

use super::shop::{Shop, expect};
use crate::support::arms::{arm, lesson};
use crate::support::shop::Changes;

/// The outbox after one paid order, without a broker.
async fn outbox_without_a_broker(events: &str) -> serde_json::Value {
    let shop = Shop::with(
        arm(lesson("events"), events),
        Changes::default().set("--amqp-url", "amqp://127.0.0.1:9/%2f"),
    )
    .await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    let order = expect(shop.buy(&buyer, cart).await, 201).json();
    let rows = shop
        .database
        .json(
            "select coalesce(jsonb_agg(jsonb_build_object('event', event, 'body', body)), '[]') from outbox",
        )
        .await;
    let body = json!({ "v": 1, "order_id": order["id"] });
    if rows == json!([{ "event": "order.paid", "body": body }]) {
        json!("stored")
    } else {
        rows
    }
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn dual_write_loses_the_event() {
    assert_eq!(outbox_without_a_broker("dual_write").await, json!([]));
}

#[tokio::test]
async fn outbox_stores_the_event_until_a_relay_publishes_it() {
    assert_eq!(outbox_without_a_broker("outbox").await, "stored");
}

#[tokio::test]
async fn the_relay_is_notified_after_the_commit() {
    let shop = Shop::start("optimized").await;
    shop.set_stock("SKU-1-0", 5).await;
    let mut listener = sqlx::postgres::PgListener::connect(&shop.database.url())
        .await
        .unwrap();
    listener.listen(shop::messages::WAKE_CHANNEL).await.unwrap();
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    expect(shop.buy(&buyer, cart).await, 201);
    listener.recv().await.unwrap();
    assert_eq!(shop.database.number("select count(*) from outbox").await, 1);
}
