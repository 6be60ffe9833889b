//! Who does what follows a payment: the arms of `checkout` with real third parties.

use serde_json::{Value, json};

use super::shopping::{Shop, expect};
use crate::support::arms::{arm, lesson};
use crate::support::shop::Changes;
use crate::support::simulators::Simulators;

/// What one order left behind when it was answered.
struct Left {
    answered: Value,
    status: Value,
    events: Value,
    /// What the worker won't do again.
    done: Value,
    sales: i64,
    mails: u64,
    labels: u64,
    captured: u64,
}

async fn left_by(checkout: &str) -> Left {
    let simulators = Simulators::start().await;
    let changes = Changes::default()
        .set("--payment-url", &simulators.payment)
        .set("--carrier-url", &simulators.carrier)
        .set("--smtp-url", &simulators.smtp);
    let shop = Shop::with(arm(lesson("checkout"), checkout), changes).await;
    shop.set_stock("SKU-1-0", 5).await;
    // Whether or not lists sort by it yet.
    let sold = "select sales_count + coalesce((select sold from product_sales where product_id = id), 0)
                from products where slug = 'product-1'";
    let before = shop.database.number(sold).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 3)]).await;
    let answered = expect(shop.buy(&buyer, cart).await, 201).json()["status"].clone();
    let events = "select jsonb_agg(event order by id) from order_events";
    let done = "select coalesce(jsonb_agg(consumer order by consumer), '[]') from inbox
                where message_id = (select message_id from outbox)";
    let totals = async |url: &str| Simulators::get(url, "/v1/totals").await;
    Left {
        answered,
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
#[cfg(feature = "baselines")]
async fn inline_has_done_everything_when_it_answers_and_leaves_nothing_to_the_worker() {
    let left = left_by("inline").await;
    assert_eq!((left.answered, left.status), (json!("paid"), json!("fulfilled")));
    assert_eq!(
        left.events,
        json!([
            "created",
            "paid",
            "confirmation_sent",
            "label_created",
            "fulfilled"
        ])
    );
    assert_eq!(
        left.done,
        json!(["confirmation_email", "popularity", "shipping_label"])
    );
    assert_eq!((left.sales, left.mails, left.labels, left.captured), (3, 1, 1, 1));
}

#[tokio::test]
async fn queued_leaves_everything_to_the_worker() {
    let left = left_by("queued").await;
    assert_eq!((left.answered, left.status), (json!("paid"), json!("paid")));
    assert_eq!(left.events, json!(["created", "paid"]));
    assert_eq!(left.done, json!([]));
    assert_eq!((left.sales, left.mails, left.labels, left.captured), (0, 0, 0, 0));
}
