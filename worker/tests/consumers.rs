//! The consumers: the work after a purchase is done once, despite duplicate messages and transient failures.

use serde_json::json;
use shop::messages::{Consumer, Event};
use uuid::Uuid;

use crate::support::{Shop, Worker, until, until_equal};

#[tokio::test]
async fn a_paid_order_is_confirmed_shipped_captured_and_counted() {
    let shop = Shop::open().await;
    let orders = shop.paid_orders(1).await;
    let worker = shop.worker(&[]).await;
    shop.until_all_handled(1).await;
    shop.assert_handled_once(1).await;

    let mails = shop.simulators.mails_to(&orders[0].email()).await;
    assert_eq!(mails.len(), 1);
    for part in ["text", "html"] {
        let text = mails[0][part].as_str().unwrap();
        assert!(
            text.contains("31.95 EUR") && text.contains("1 Analytical Way"),
            "{text}"
        );
    }
    let label = shop
        .simulators
        .get(format!(
            "{}/v1/labels?reference={}",
            shop.simulators.carrier, orders[0].id
        ))
        .await;
    assert_eq!(
        shop.database.text("select tracking_number from shipments").await,
        label["items"][0]["tracking_number"].as_str().unwrap()
    );
    assert_eq!(shop.simulators.payment_status(orders[0].id).await, "captured");
    let (status, body) = worker.get("/readyz").await;
    assert_eq!(status, 200);
    for part in ["relay", "shipping_label", "settle", "purge"] {
        assert!(body.contains(part), "{body}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_new_customer_is_welcomed_once_though_the_event_is_published_three_times() {
    let shop = Shop::open().await;
    let customer_id = Uuid::now_v7();
    let sql = format!(
        "insert into customers (id, email, name, password_hash) values ('{customer_id}', 'ada@example.org', 'Ada', 'x')"
    );
    shop.database.execute(&sql).await;
    let message_id = Uuid::now_v7();
    for _ in 0..3 {
        shop.enqueue(message_id, Event::CustomerRegistered { customer_id })
            .await;
    }
    let worker = shop.worker(&[]).await;
    let welcome = r#"consumer="welcome_email""#;
    until("all three were consumed", async || {
        let consumed = async |outcome| {
            worker
                .counter("messages_consumed_total", &[welcome, outcome])
                .await
        };
        // Possibly more, because the relay republishes events that the broker is slow to confirm.
        consumed(r#"outcome="done""#).await + consumed(r#"outcome="repeated""#).await >= 3
    })
    .await;
    assert_eq!(shop.simulators.mail_count().await, 1);
    assert!(
        shop.simulators.mails_to("ada@example.org").await[0]["subject"]
            .as_str()
            .unwrap()
            .contains("Ada")
    );
    shop.close().await;
}

#[tokio::test]
async fn an_event_that_is_published_three_times_is_handled_once() {
    let shop = Shop::open().await;
    let orders = shop.paid_orders(5).await;
    shop.enqueue_paid(&orders).await;
    shop.enqueue_paid(&orders).await;
    // Two workers, so that duplicates also meet in different processes.
    let (first, second) = tokio::join!(shop.worker(&[]), shop.worker(&[]));
    shop.until_all_handled(5).await;
    until("all published messages were consumed", async || {
        let mut consumed = 0;
        for worker in [&first, &second] {
            for outcome in [r#"outcome="done""#, r#"outcome="repeated""#] {
                consumed += worker.counter("messages_consumed_total", &[outcome]).await;
            }
        }
        consumed >= 5 * 3 * 3
    })
    .await;
    shop.assert_handled_once(5).await;
    assert_eq!(shop.simulators.mail_count().await, 5);
    shop.close().await;
}

#[tokio::test]
async fn messages_that_the_api_marked_as_done_are_not_handled_again() {
    let shop = Shop::open().await;
    let orders = shop.paid_orders(1).await;
    let message_id = orders[0].message_id;
    let noted = format!(
        "insert into inbox (message_id, consumer)
         select '{message_id}', unnest(array['confirmation_email', 'shipping_label', 'popularity'])"
    );
    shop.database.execute(&noted).await;
    let worker = shop.worker(&[]).await;
    for consumer in ["confirmation_email", "shipping_label", "popularity"] {
        until_repeated(&worker, consumer).await;
    }
    assert_eq!(shop.statuses().await, "paid: 1");
    assert_eq!(shop.simulators.mail_count().await, 0);
    assert_eq!(shop.simulators.labels().await["labels"], 0);
    assert_eq!(shop.sold().await, "0,0,0,0");
    shop.close().await;
}

/// Waits until a consumer has skipped a message as a duplicate. It may receive a message more than once,
/// because the relay republishes events that the broker is slow to confirm.
async fn until_repeated(worker: &Worker, consumer: &str) {
    let labels = [&format!(r#"consumer="{consumer}""#), r#"outcome="repeated""#];
    until(&format!("{consumer} has skipped a message"), async || {
        worker.counter("messages_consumed_total", &labels).await > 0
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_order_is_neither_shipped_nor_confirmed() {
    let shop = Shop::open().await;
    let orders = shop.paid_orders(1).await;
    shop.database
        .execute("update orders set status = 'cancelled', payment_voided_at = now()")
        .await;
    let worker = shop.worker(&[]).await;
    for consumer in ["shipping_label", "confirmation_email"] {
        until_repeated(&worker, consumer).await;
        let noted =
            format!("select count(*) from inbox where consumer = '{consumer}' and done_at is not null");
        assert_eq!(shop.database.number(&noted).await, 1);
    }
    assert_eq!(shop.simulators.mail_count().await, 0);
    let events = "select string_agg(event, ',') from order_events";
    assert_eq!(shop.database.text(events).await, "paid");
    assert_eq!(shop.simulators.labels().await["labels"], 0);
    assert_eq!(shop.simulators.payment_status(orders[0].id).await, "authorized");
    shop.close().await;
}

#[tokio::test]
async fn calls_to_failing_third_parties_are_retried_until_they_succeed() {
    let shop = Shop::open().await;
    let services = [
        shop.simulators.carrier.clone(),
        shop.simulators.payment.clone(),
        shop.simulators.inbox.clone(),
    ];
    shop.paid_orders(3).await;
    for service in &services {
        shop.simulators
            .set_faults(service, json!({ "failure_error": 1.0 }))
            .await;
    }
    let worker = shop.worker(&[]).await;
    for consumer in [r#"consumer="shipping_label""#, r#"consumer="confirmation_email""#] {
        until("each failed more than once", async || {
            worker
                .counter("messages_consumed_total", &[consumer, r#"outcome="retried""#])
                .await
                > 6
        })
        .await;
    }
    assert_eq!(shop.statuses().await, "paid: 3");
    // One after the other, so that there is a label whose payment can't be captured.
    for service in &services {
        shop.simulators
            .set_faults(service, json!({ "failure_error": 0.0 }))
            .await;
    }
    shop.until_all_handled(3).await;
    shop.assert_handled_once(3).await;
    assert_eq!(shop.simulators.mail_count().await, 3);
    shop.close().await;
}

#[tokio::test]
async fn a_locked_order_does_not_delay_others() {
    const ORDERS: usize = 10;
    let shop = Shop::open().await;
    let services = [shop.simulators.carrier.clone(), shop.simulators.inbox.clone()];
    for service in &services {
        shop.simulators
            .set_faults(service, json!({ "failure_error": 1.0 }))
            .await;
    }
    let orders = shop.paid_orders(ORDERS).await;
    // The lock timeout is longer than the test waits.
    let settings = [
        ("BACKSTOCK_DATABASE_LOCK_TIMEOUT_MS", "60000"),
        ("BACKSTOCK_MAX_ATTEMPTS", "1000"),
    ];
    let _worker = shop.worker(&settings).await;
    let started = "select count(*) from orders where shipping_started_at is not null";
    until_equal("labels are requested", ORDERS as i64, async || {
        shop.database.number(started).await
    })
    .await;
    let mut locking = shop.database.pool.begin().await.unwrap();
    sqlx::query("select from orders where id = $1 for update")
        .bind(orders[0].id)
        .execute(&mut *locking)
        .await
        .unwrap();
    for service in &services {
        shop.simulators
            .set_faults(service, json!({ "failure_error": 0.0 }))
            .await;
    }
    let others = ORDERS as i64 - 1;
    until_equal(
        "the others are shipped",
        format!("fulfilled: {others}, paid: 1"),
        async || shop.statuses().await,
    )
    .await;
    let confirmed = "select count(*) from order_events where event = 'confirmation_sent'";
    until_equal("the others are confirmed", others, async || {
        shop.database.number(confirmed).await
    })
    .await;
    locking.commit().await.unwrap();
    shop.until_all_handled(ORDERS).await;
    shop.assert_handled_once(ORDERS).await;
    assert_eq!(shop.simulators.mail_count().await, ORDERS as i64);
    shop.close().await;
}

#[tokio::test]
async fn lost_responses_cause_no_second_label_and_no_second_capture() {
    let shop = Shop::open().await;
    shop.paid_orders(20).await;
    for service in [&shop.simulators.carrier, &shop.simulators.payment] {
        shop.simulators
            .set_faults(service, json!({ "failure_after": 0.5 }))
            .await;
    }
    let _worker = shop.worker(&[("BACKSTOCK_MAX_ATTEMPTS", "1000")]).await;
    shop.until_all_handled(20).await;
    shop.assert_handled_once(20).await;
    assert_eq!(shop.simulators.mail_count().await, 20);
    shop.close().await;
}

#[tokio::test]
async fn sigterm_drains_messages_in_flight_and_leaves_the_rest_to_other_workers() {
    let shop = Shop::open().await;
    for service in [&shop.simulators.carrier, &shop.simulators.inbox] {
        let slow = json!({ "latency_median_ms": 500.0, "latency_p99_ms": 500.0 });
        shop.simulators.set_faults(service, slow).await;
    }
    shop.paid_orders(12).await;
    let four = [
        ("BACKSTOCK_LABELS_IN_FLIGHT", "4"),
        ("BACKSTOCK_EMAILS_IN_FLIGHT", "4"),
    ];
    let worker = shop.worker(&four).await;
    let started = "select count(*) from orders where shipping_started_at is not null";
    until_equal("labels are in progress", 4, async || {
        shop.database.number(started).await
    })
    .await;
    assert_eq!(worker.stop().await, Some(0));
    // Started messages are done, and prefetched messages are back in the queue.
    assert_eq!(shop.statuses().await, "fulfilled: 4, paid: 8");
    assert_eq!(
        shop.database
            .number("select count(*) from inbox where done_at is null")
            .await,
        0
    );
    assert_eq!(
        shop.broker.ready_messages(&Consumer::ShippingLabel.queue()).await,
        Some(8)
    );

    let _next = shop.worker(&[]).await;
    shop.until_all_handled(12).await;
    shop.assert_handled_once(12).await;
    assert_eq!(shop.simulators.mail_count().await, 12);
    shop.close().await;
}
