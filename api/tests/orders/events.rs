//! No event is lost while the broker is down.

use serde_json::json;

use super::shop::{Shop, expect};
use crate::support::shop::Changes;

/// The outbox after one paid order, without a broker.
pub async fn outbox_without_a_broker() -> serde_json::Value {
    let shop = Shop::with(Changes::default().set("--amqp-url", "amqp://127.0.0.1:9/%2f")).await;
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
async fn the_outbox_stores_the_event_until_a_relay_publishes_it() {
    assert_eq!(outbox_without_a_broker().await, "stored");
}

#[tokio::test]
async fn the_relay_is_notified_after_the_commit() {
    let shop = Shop::start().await;
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
