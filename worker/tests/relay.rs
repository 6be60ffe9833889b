//! The relay: everything in the outbox is said, nothing is forgotten before the broker has it.

use storefront::messages::{Consumer, EXCHANGE, Event};
use uuid::Uuid;

use crate::support::{Shop, until, until_equal};

const RELAY: (&str, &str) = ("BACKSTOCK_PARTS", "relay");

async fn fill_outbox(shop: &Shop, events: i64) {
    let sql = format!(
        "insert into outbox (message_id, event, body)
         select gen_random_uuid(), 'order.paid', jsonb_build_object('v', 1, 'order_id', gen_random_uuid())
         from generate_series(1, {events})"
    );
    shop.database.execute(&sql).await;
}

async fn until_outbox_holds(shop: &Shop, events: i64) {
    until_equal("the outbox is relayed", events, async || {
        shop.database.number("select count(*) from outbox").await
    })
    .await;
}

#[tokio::test]
async fn several_relays_share_the_outbox_and_say_each_event_once_to_each_queue() {
    let shop = Shop::open().await;
    fill_outbox(&shop, 3000).await;
    let settings = [RELAY, ("BACKSTOCK_RELAY_WINDOW", "256")];
    let (first, second) = tokio::join!(shop.worker(&settings), shop.worker(&settings));
    until_outbox_holds(&shop, 0).await;
    for consumer in [
        Consumer::ConfirmationEmail,
        Consumer::ShippingLabel,
        Consumer::Popularity,
    ] {
        assert_eq!(
            shop.broker.ready(&consumer.queue()).await,
            Some(3000),
            "{consumer:?}"
        );
    }
    assert_eq!(shop.broker.ready(&Consumer::WelcomeEmail.queue()).await, Some(0));
    let said =
        first.counter("outbox_relayed_total", &[]).await + second.counter("outbox_relayed_total", &[]).await;
    assert_eq!(said, 3000);
    shop.close().await;
}

#[tokio::test]
async fn a_relay_that_is_woken_does_not_wait_for_its_poll() {
    let shop = Shop::open().await;
    // Longer than the test's patience: only the wake-up can do it.
    let worker = shop.worker(&[RELAY, ("BACKSTOCK_RELAY_POLL_MS", "600000")]).await;
    until("it listens", async || {
        worker.get("/readyz").await.1.contains("wake-up")
    })
    .await;
    fill_outbox(&shop, 1).await;
    shop.database.execute("notify outbox").await;
    until_outbox_holds(&shop, 0).await;
    shop.close().await;
}

#[tokio::test]
async fn an_event_that_nobody_knows_stays_in_the_outbox_and_holds_up_no_other() {
    let shop = Shop::open().await;
    let unknown = "insert into outbox (message_id, event, body) values (gen_random_uuid(), 'order.eaten', '{\"v\": 1}')";
    shop.database.execute(unknown).await;
    let window = ("BACKSTOCK_RELAY_WINDOW", "1");
    let worker = shop.worker(&[RELAY, window]).await;
    fill_outbox(&shop, 10).await;
    // Known, and nobody waits for it: it may vanish at the exchange.
    let cancelled = Event::OrderCancelled {
        order_id: Uuid::now_v7(),
    };
    shop.say(Uuid::now_v7(), cancelled).await;
    until_outbox_holds(&shop, 1).await;
    assert_eq!(shop.broker.ready(&Consumer::Popularity.queue()).await, Some(10));
    assert_eq!(
        shop.database.text("select event from outbox").await,
        "order.eaten"
    );
    assert!(worker.counter("outbox_returned_total", &[]).await >= 1);
    shop.close().await;
}

#[tokio::test]
async fn what_somebody_deleted_at_the_broker_is_declared_again_and_no_event_is_lost() {
    let shop = Shop::open().await;
    let worker = shop.worker(&[RELAY]).await;
    // Publishing to an exchange that doesn't exist closes the channel.
    shop.broker.delete_exchange(EXCHANGE).await;
    fill_outbox(&shop, 5).await;
    until_outbox_holds(&shop, 0).await;
    // An event that no queue takes is returned.
    shop.broker.delete_queue(&Consumer::WelcomeEmail.queue()).await;
    let registered = Event::CustomerRegistered {
        customer_id: Uuid::now_v7(),
    };
    shop.say(Uuid::now_v7(), registered).await;
    until_outbox_holds(&shop, 0).await;
    assert_eq!(shop.broker.ready(&Consumer::Popularity.queue()).await, Some(5));
    assert_eq!(shop.broker.ready(&Consumer::WelcomeEmail.queue()).await, Some(1));
    until("it is ready again", async || worker.get("/readyz").await.0 == 200).await;
    shop.close().await;
}
