//! The background task `__name__` runs at each interval.

use crate::support::{Shop, until};

#[tokio::test]
async fn it_runs_at_each_interval_until_shutdown() {
    let shop = Shop::open().await;
    let worker = shop.worker(&[("__VARIABLE___INTERVAL_MS", "20")]).await;
    until("the task has run twice", async || {
        let processed = worker.counter("upkeep_rows_total", &[r#"task="__name__""#]);
        processed.await >= 2
    })
    .await;
    let (status, ready) = worker.get("/readyz").await;
    assert!(status == 200 && ready.contains(r#""__name__""#), "{ready}");
    assert_eq!(worker.stop().await, Some(0));
    shop.close().await;
}
