//! The carrier's webhook: it needs a valid, recent signature, and is idempotent.

use axum::body::Body;
use axum::http::Request;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::shop::{Shop, expect};
use crate::support::response::TestResponse;
use crate::support::shop::Changes;
use crate::support::simulators::CARRIER_SECRET;

pub fn signature(secret: &str, seconds_ago: i64, body: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let time = now.as_secs() as i64 - seconds_ago;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={time},v1={hex}")
}

async fn call(shop: &Shop, signature: Option<String>, body: &str) -> TestResponse {
    let mut request = Request::post("/v1/webhooks/carrier").header("content-type", "application/json");
    if let Some(signature) = signature {
        request = request.header("x-carrier-signature", signature);
    }
    shop.send_request(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

async fn shop_with_a_parcel(status: &str) -> Shop {
    let changes = Changes::default().set("--carrier-secret", CARRIER_SECRET);
    let shop = Shop::with(changes).await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    expect(shop.buy(&buyer, cart).await, 201);
    shop.database
        .execute(&format!(
            "insert into shipments (order_id, carrier_label, tracking_number) select id, 'lbl_1', 'BK1' from orders;
             update orders set status = '{status}'"
        ))
        .await;
    shop
}

fn delivered(tracking_number: &str) -> String {
    json!({ "event": "delivered", "reference": "x", "tracking_number": tracking_number, "at": "2026-11-21T00:00:00Z" })
        .to_string()
}

#[tokio::test]
async fn a_delivered_parcel_delivers_its_order_once() {
    let shop = shop_with_a_parcel("fulfilled").await;
    let body = delivered("BK1");
    for _ in 0..2 {
        expect(
            call(&shop, Some(signature(CARRIER_SECRET, 0, &body)), &body).await,
            204,
        );
    }
    let state = "select jsonb_build_array(status, delivered_at is not null,
                     (select count(*) from order_events where event = 'delivered'))
                 from orders join shipments on order_id = orders.id";
    assert_eq!(shop.database.json(state).await, json!(["delivered", true, 1]));
}

#[tokio::test]
async fn a_webhook_without_a_valid_and_recent_signature_is_rejected() {
    let shop = shop_with_a_parcel("fulfilled").await;
    let body = delivered("BK1");
    for signature in [
        None,
        Some("t=1,v1=00".to_owned()),
        Some(signature("another secret altogether", 0, &body)),
        Some(signature(CARRIER_SECRET, 0, &delivered("BK2"))),
        Some(signature(CARRIER_SECRET, 301, &body)),
        Some(signature(CARRIER_SECRET, -310, &body)),
    ] {
        let problem = call(&shop, signature, &body)
            .await
            .problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], "x-carrier-signature");
    }
    assert_eq!(shop.database.json("select status from orders").await, "fulfilled");
}

#[tokio::test]
async fn a_webhook_for_a_parcel_not_in_transit_is_not_found_so_that_it_is_retried() {
    let shop = shop_with_a_parcel("paid").await;
    for body in [delivered("BK1"), delivered("BK2")] {
        call(&shop, Some(signature(CARRIER_SECRET, 0, &body)), &body)
            .await
            .problem(404, "not_found");
    }
    assert_eq!(
        shop.database
            .number("select count(*) from shipments where delivered_at is not null")
            .await,
        0
    );
    let other = json!({ "event": "picked_up", "tracking_number": "BK1" }).to_string();
    expect(
        call(&shop, Some(signature(CARRIER_SECRET, 0, &other)), &other).await,
        204,
    );
    let broken = "{";
    call(&shop, Some(signature(CARRIER_SECRET, 0, broken)), broken)
        .await
        .problem(400, "invalid_parameter");
}
