//! Workers that are killed in the middle of their work: nothing is lost, and nothing is done twice.

use serde_json::json;

use crate::support::{Shop, until};

#[tokio::test]
async fn workers_that_are_killed_lose_nothing_and_do_nothing_twice() {
    const ORDERS: usize = 150;
    const CONCURRENCY: i64 = 8;
    let shop = Shop::open().await;
    for party in [&shop.simulators.carrier, &shop.simulators.inbox] {
        let slow = json!({ "latency_median_ms": 20.0, "latency_p99_ms": 60.0 });
        shop.simulators.set(party, slow).await;
    }
    shop.paid_orders(ORDERS).await;
    let settings = [
        ("BACKSTOCK_CONCURRENCY", "8"),
        ("BACKSTOCK_PREFETCH", "32"),
        ("BACKSTOCK_RELAY_WINDOW", "16"),
    ];
    let (first, second) = tokio::join!(shop.worker(&settings), shop.worker(&settings));
    let fulfilled = "select count(*) from orders where status = 'fulfilled'";
    until("some orders are done", async || {
        shop.database.number(fulfilled).await > 10
    })
    .await;
    first.kill().await;
    until("more orders are done", async || {
        shop.database.number(fulfilled).await > 40
    })
    .await;
    second.kill().await;

    let _third = shop.worker(&settings).await;
    shop.until_all_done(ORDERS).await;
    shop.assert_done_once(ORDERS).await;
    // The mail server has taken an email and the worker dies before it notes so: that answer was lost. At most those
    // that were being sent.
    let twice = shop.simulators.mails().await - ORDERS as i64;
    assert!(
        (0..=2 * CONCURRENCY).contains(&twice),
        "{twice} emails came twice"
    );
    shop.close().await;
}

#[tokio::test]
async fn an_email_that_a_dead_worker_had_claimed_is_sent_when_the_claim_ends() {
    let shop = Shop::open().await;
    let orders = shop.paid_orders(1).await;
    let claimed = format!(
        "insert into inbox (message_id, consumer, done_at, claimed_until)
         values ('{}', 'confirmation_email', null, 'infinity')",
        orders[0].message_id
    );
    shop.database.execute(&claimed).await;
    let worker = shop.worker(&[("BACKSTOCK_MAX_ATTEMPTS", "1")]).await;
    until("it finds the claim", async || {
        let busy = [r#"consumer="confirmation_email""#, r#"outcome="busy""#];
        worker.counter("messages_consumed_total", &busy).await > 0
    })
    .await;
    let ends = "update inbox set claimed_until = clock_timestamp() where done_at is null";
    assert_eq!(shop.database.execute(ends).await, 1);
    // Waiting for the claim's end is no attempt: with one allowed, the message would be a dead letter.
    shop.until_all_done(1).await;
    shop.assert_done_once(1).await;
    assert_eq!(shop.simulators.mails().await, 1);
    shop.close().await;
}
