//! Messages that fail permanently become dead letters, which can be shown, redriven or dropped.

use lapin::BasicProperties;
use serde_json::json;
use shop::messages::{Consumer, properties};
use uuid::Uuid;

use crate::support::{Shop, until_equal};

async fn until_dead(shop: &Shop, consumer: Consumer, letters: u32) {
    until_equal("messages are dead letters", Some(letters), async || {
        shop.broker.ready_messages(&consumer.dead_letter_queue()).await
    })
    .await;
}

#[tokio::test]
async fn a_message_that_fails_too_often_becomes_a_dead_letter_and_can_be_redriven() {
    let shop = Shop::open().await;
    let orders = shop.paid_orders(2).await;
    shop.simulators
        .set_faults(&shop.simulators.carrier, json!({ "failure_error": 1.0 }))
        .await;
    let _worker = shop.worker(&[("BACKSTOCK_MAX_ATTEMPTS", "3")]).await;
    until_dead(&shop, Consumer::ShippingLabel, 2).await;
    // The other consumers are unaffected.
    let done = "select count(*) from inbox where done_at is not null
                and consumer in ('confirmation_email', 'popularity')";
    until_equal("the others are done", 4, async || {
        shop.database.number(done).await
    })
    .await;

    let id = orders[0].message_id.to_string();
    let listed = shop.dead_letters(&["list", "--json"]).await;
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    let letters = listed.json();
    assert_eq!(letters.as_array().unwrap().len(), 2);
    for letter in letters.as_array().unwrap() {
        assert_eq!(
            (letter["attempts"].as_i64(), &letter["consumer"]),
            (Some(3), &json!("shipping_label"))
        );
        assert!(letter["reason"].as_str().unwrap().contains("500"), "{letter}");
    }
    let shown = shop.dead_letters(&["show", &id, "--json"]).await.json();
    assert_eq!(shown[0]["body"]["order_id"], json!(orders[0].id));
    assert_eq!(
        shown[0]["traceparent"],
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    );
    assert!(
        shop.dead_letters(&["show", &id])
            .await
            .stdout
            .contains("order.paid")
    );
    // Inspecting changes nothing.
    until_dead(&shop, Consumer::ShippingLabel, 2).await;

    shop.simulators
        .set_faults(&shop.simulators.carrier, json!({ "failure_error": 0.0 }))
        .await;
    let redriven = shop.dead_letters(&["redrive", &id, "--json"]).await;
    assert_eq!(redriven.json(), json!({ "redriven": 1 }));
    until_dead(&shop, Consumer::ShippingLabel, 1).await;
    assert_eq!(
        shop.dead_letters(&["redrive", "--all"]).await.stdout,
        "1 redriven\n"
    );
    shop.until_all_handled(2).await;
    shop.assert_handled_once(2).await;
    assert_eq!(
        shop.dead_letters(&["list"]).await.stdout,
        "There are no dead letters.\n"
    );
    shop.close().await;
}

#[tokio::test]
async fn an_order_whose_payment_cannot_be_captured_can_be_cancelled_and_its_label_is_reported() {
    let shop = Shop::open().await;
    let orders = shop.paid_orders(1).await;
    let payment_id = shop.database.text("select payment_id from orders").await;
    shop.simulators.void(&payment_id).await;
    let _worker = shop.worker(&[]).await;
    until_dead(&shop, Consumer::ShippingLabel, 1).await;
    let letters = shop.dead_letters(&["list", "--json"]).await.json();
    let reason = letters[0]["reason"].as_str().unwrap();
    let made = format!("{}/v1/labels?reference={}", shop.simulators.carrier, orders[0].id);
    let label = shop.simulators.get(made).await;
    let label_id = label["items"][0]["id"].as_str().unwrap();
    assert!(
        reason.contains(&payment_id) && reason.contains(label_id),
        "{reason}"
    );
    // The api's condition for cancelling an order.
    let cancellable = "select count(*) from orders where status = 'paid' and shipping_started_at is null";
    assert_eq!(shop.database.number(cancellable).await, 1);
    shop.close().await;
}

#[tokio::test]
async fn a_malformed_message_is_dead_lettered_without_a_retry_and_can_be_dropped() {
    let shop = Shop::open().await;
    let worker = shop.worker(&[]).await;
    let order = Uuid::now_v7();
    let [junk, newer, missing] = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    let with = |id| properties(id, "order.paid", None);
    let queue = Consumer::ShippingLabel.queue();
    shop.broker.publish(&queue, "}{", with(junk)).await;
    shop.broker
        .publish(&queue, &format!(r#"{{"v":2,"order_id":"{order}"}}"#), with(newer))
        .await;
    shop.broker
        .publish(
            &queue,
            &format!(r#"{{"v":1,"order_id":"{order}"}}"#),
            with(missing),
        )
        .await;
    shop.broker
        .publish(
            &queue,
            &format!(r#"{{"v":1,"order_id":"{order}"}}"#),
            BasicProperties::default(),
        )
        .await;
    until_dead(&shop, Consumer::ShippingLabel, 4).await;
    let retried = worker
        .counter("messages_consumed_total", &[r#"outcome="retried""#])
        .await;
    assert_eq!(retried, 0, "a permanent failure is not retried");
    assert_eq!(worker.counter("messages_dead_lettered_total", &[]).await, 4);

    let letters = shop.dead_letters(&["list", "--json"]).await.json();
    let reason = |id: Option<Uuid>| {
        let letters = letters.as_array().unwrap().iter();
        let found = letters.clone().find(|letter| letter["id"] == json!(id)).unwrap();
        found["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason(Some(junk)).contains("unreadable"));
    assert!(reason(Some(newer)).contains("version 2"));
    assert!(reason(Some(missing)).contains("doesn't exist"));
    assert!(reason(None).contains("message_id"));

    let dropped = shop.dead_letters(&["drop", &junk.to_string()]).await;
    assert_eq!((dropped.code, dropped.stdout.as_str()), (Some(0), "1 dropped\n"));
    until_dead(&shop, Consumer::ShippingLabel, 3).await;
    shop.close().await;
}

#[tokio::test]
async fn an_unknown_id_and_wrong_arguments_are_reported() {
    let shop = Shop::open().await;
    let unknown = Uuid::now_v7().to_string();
    let output = shop.dead_letters(&["show", &unknown]).await;
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains(&unknown) && output.stderr.contains("list"),
        "{}",
        output.stderr
    );
    for wrong in [
        &["redrive"][..],
        &["redrive", &unknown, "--all"],
        &["show", "x"],
        &["list", "--consumer", "unknown"],
    ] {
        let output = shop.dead_letters(wrong).await;
        assert_eq!(output.code, Some(2), "{wrong:?}: {}", output.stderr);
    }
    shop.close().await;
}
