//! The snapshot that carries the services' state over a restart.

use std::path::PathBuf;

use reqwest::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{SECRET, Simulators, parcel, payment, run, until};

struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("simulators-{name}-{}.json", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_payment_can_be_captured_and_a_parcel_is_delivered_after_a_restart() {
    let file = File::new("restart");
    // A listener that accepts no connection, so the callback stays pending until the restart.
    let shop = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let callback = format!("http://{}/", shop.local_addr().unwrap());
    let settings = [
        ("BACKSTOCK_SIMULATORS_STATE", file.path()),
        ("BACKSTOCK_CARRIER_SECRET", SECRET),
        ("BACKSTOCK_CARRIER_CALLBACK_URL", &callback),
        ("BACKSTOCK_CARRIER_DELIVER_AFTER_MS", "1"),
        ("BACKSTOCK_DRAIN_TIMEOUT_MS", "100"),
    ];
    let before = Simulators::start(&settings).await;
    let order = payment("tok_ok", "order");
    let paid = before
        .payment
        .post_as("key", "/v1/payments", &order)
        .await
        .unwrap();
    let id = paid.body["id"].as_str().unwrap();
    let labels = "/v1/labels";
    let labelled = before
        .carrier
        .post_as("key", labels, &parcel("order"))
        .await
        .unwrap();
    assert_eq!(labelled.status, StatusCode::CREATED);
    until("the callback is pending", async || {
        let totals = before.carrier.get("/v1/totals").await.body;
        (totals["callbacks"]["pending"] == 1).then_some(())
    })
    .await;
    before.terminate();
    let (status, log) = before.ended().await;
    assert!(status.success(), "{log}");
    drop(shop);

    let after = Simulators::start(&settings).await;
    let replayed = after
        .payment
        .post_as("key", "/v1/payments", &order)
        .await
        .unwrap();
    assert!(replayed.is_replayed);
    let captured = after
        .payment
        .post_as("capture", &format!("/v1/payments/{id}/capture"), &json!({}))
        .await
        .unwrap();
    assert_eq!(captured.body["status"], "captured");
    until("the callback is pending again", async || {
        let totals = after.carrier.get("/v1/totals").await.body;
        assert_eq!((&totals["labels"], &totals["delivered"]), (&json!(1), &json!(1)));
        (totals["callbacks"]["pending"] == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_invalid_snapshot_is_an_error_and_not_an_empty_start() {
    let file = File::new("broken");
    std::fs::write(&file.0, "{\"payments\":").unwrap();
    let ended = run(&[], &[("BACKSTOCK_SIMULATORS_STATE", file.path())]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(file.path()), "{}", ended.stderr);
}

#[tokio::test]
async fn without_a_file_each_start_is_empty() {
    let before = Simulators::start(&[]).await;
    let order = payment("tok_ok", "order");
    before
        .payment
        .post_as("key", "/v1/payments", &order)
        .await
        .unwrap();
    before.terminate();
    before.ended().await;
    let after = Simulators::start(&[]).await;
    assert_eq!(after.payment.get("/v1/totals").await.body["authorized"], 0);
}
