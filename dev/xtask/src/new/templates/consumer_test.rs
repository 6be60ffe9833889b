//! The consumer `__name__` handles each paid order once.

use crate::support::{Shop, until};

#[tokio::test]
async fn an_event_that_is_published_three_times_is_consumed_once() {
    let shop = Shop::open().await;
    let orders = shop.paid_orders(1).await;
    shop.enqueue_paid(&orders).await;
    shop.enqueue_paid(&orders).await;
    let worker = shop.worker(&[]).await;
    let consumed = async |outcome: &str| {
        let labels = [r#"consumer="__name__""#, outcome];
        worker.counter("messages_consumed_total", &labels).await
    };
    until("all three messages were consumed", async || {
        // Possibly more, because the relay republishes events that the broker is slow to confirm.
        consumed(r#"outcome="done""#).await + consumed(r#"outcome="repeated""#).await >= 3
    })
    .await;
    assert_eq!(consumed(r#"outcome="done""#).await, 1);
    let recorded = "select count(*) from inbox where consumer = '__name__' and done_at is not null";
    assert_eq!(shop.database.number(recorded).await, 1);
    shop.close().await;
}
