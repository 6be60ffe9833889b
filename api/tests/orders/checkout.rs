//! The work after a payment is left to the worker, with the simulated third parties.

use serde_json::{Value, json};

use super::shop::{Shop, expect};
use crate::support::shop::Changes;
use crate::support::simulators::Simulators;

/// The state after the response to one order.
pub struct StateAfterOrder {
    pub response_status: Value,
    pub status: Value,
    pub events: Value,
    /// The work that is recorded as done, so the worker skips it.
    pub done: Value,
    pub sales: i64,
    pub mails: u64,
    pub labels: u64,
    pub captured: u64,
}

pub async fn state_after_order() -> StateAfterOrder {
    let simulators = Simulators::start().await;
    let changes = Changes::default()
        .set("--payment-url", &simulators.payment)
        .set("--carrier-url", &simulators.carrier)
        .set("--smtp-url", &simulators.smtp);
    let shop = Shop::with(changes).await;
    shop.set_stock("SKU-1-0", 5).await;
    // Including sales that the lists don't sort by yet.
    let sold = "select sales_count + coalesce((select sold from product_sales where product_id = id), 0)
                from products where slug = 'product-1'";
    let before = shop.database.number(sold).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 3)]).await;
    let response_status = expect(shop.buy(&buyer, cart).await, 201).json()["status"].clone();
    let events = "select jsonb_agg(event order by id) from order_events";
    let done = "select coalesce(jsonb_agg(consumer order by consumer), '[]') from inbox
                where message_id = (select message_id from outbox)";
    let totals = async |url: &str| Simulators::get(url, "/v1/totals").await;
    StateAfterOrder {
        response_status,
        status: shop.database.json("select status from orders").await,
        events: shop.database.json(events).await,
        done: shop.database.json(done).await,
        sales: shop.database.number(sold).await - before,
        mails: Simulators::get(&simulators.inbox, "/messages/count").await["received"]
            .as_u64()
            .unwrap(),
        labels: totals(&simulators.carrier).await["labels"].as_u64().unwrap(),
        captured: totals(&simulators.payment).await["captured"].as_u64().unwrap(),
    }
}

#[tokio::test]
async fn everything_is_left_to_the_worker() {
    let state = state_after_order().await;
    assert_eq!(
        (state.response_status, state.status),
        (json!("paid"), json!("paid"))
    );
    assert_eq!(state.events, json!(["created", "paid"]));
    assert_eq!(state.done, json!([]));
    assert_eq!(
        (state.sales, state.mails, state.labels, state.captured),
        (0, 0, 0, 0)
    );
}
