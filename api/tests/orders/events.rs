//! Who can lose an event: the arms of `events` with a broker that is away.

use serde_json::json;

use super::shopping::{Shop, expect};
use crate::support::arms::{arm, lesson};
use crate::support::shop::Changes;

/// The outbox after one paid order, with nobody to publish to.
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
        json!("kept")
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
async fn outbox_keeps_the_event_until_somebody_relays_it() {
    assert_eq!(outbox_without_a_broker("outbox").await, "kept");
}

#[tokio::test]
async fn the_relay_is_woken_after_the_commit() {
    let shop = Shop::start("optimized").await;
    shop.set_stock("SKU-1-0", 5).await;
    let mut listener = sqlx::postgres::PgListener::connect(&shop.database.url())
        .await
        .unwrap();
    listener.listen(storefront::messages::WAKE_CHANNEL).await.unwrap();
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    expect(shop.buy(&buyer, cart).await, 201);
    listener.recv().await.unwrap();
    assert_eq!(shop.database.number("select count(*) from outbox").await, 1);
}
