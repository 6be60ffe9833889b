//! The parcel carrier: labels, and callbacks to a fake shop.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode as Status};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpListener;

use crate::support::{Answer, SECRET, SimulatedService, Simulators, answer, parcel, until};

async fn label(carrier: &SimulatedService, key: &str, body: &Value) -> Answer {
    carrier.post_as(key, "/v1/labels", body).await.unwrap()
}

/// A fake shop that fails the first `failures` callbacks with a 500 and acknowledges the others.
#[derive(Clone, Default)]
struct Shop(Arc<Mutex<Vec<Callback>>>);

#[derive(Clone)]
struct Callback {
    signature: String,
    body: Bytes,
}

impl Shop {
    async fn open(failures: usize) -> (Self, String) {
        let shop = Self::default();
        let taken = shop.clone();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            let signature = headers["x-carrier-signature"].to_str().unwrap().to_owned();
            let mut callbacks = taken.0.lock().unwrap();
            callbacks.push(Callback { signature, body });
            if callbacks.len() <= failures {
                Status::INTERNAL_SERVER_ERROR
            } else {
                Status::NO_CONTENT
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/delivered", listener.local_addr().unwrap());
        let router = Router::new().route("/delivered", post(take));
        tokio::spawn(axum::serve(listener, router).into_future());
        (shop, url)
    }

    async fn callbacks(&self, count: usize) -> Vec<Callback> {
        until("the callbacks arrive", async || {
            let callbacks = self.0.lock().unwrap().clone();
            (callbacks.len() >= count).then_some(callbacks)
        })
        .await
    }
}

/// Verifies a signature as PROTOCOLS.md describes it.
fn is_genuine(callback: &Callback, secret: &str) -> bool {
    let (time, digest) = callback.signature.split_once(',').unwrap();
    let (time, digest) = (
        time.strip_prefix("t=").unwrap(),
        digest.strip_prefix("v1=").unwrap(),
    );
    let age = OffsetDateTime::now_utc().unix_timestamp() - time.parse::<i64>().unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(&callback.body);
    let digest: Vec<u8> = (0..digest.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digest[at..at + 2], 16).unwrap())
        .collect();
    (0..60).contains(&age) && mac.verify_slice(&digest).is_ok()
}

#[tokio::test]
async fn a_label_is_made_once_and_found_by_id_and_by_reference() {
    let simulators = Simulators::start(&[]).await;
    let carrier = &simulators.carrier;
    let made = label(carrier, "key", &parcel("order-1")).await;
    assert_eq!((made.status, made.is_replayed), (StatusCode::CREATED, false));
    assert_eq!(
        (&made.body["reference"], &made.body["service"]),
        (&json!("order-1"), &json!("express"))
    );
    let again = label(carrier, "key", &parcel("order-1")).await;
    assert_eq!(
        (again.status, again.is_replayed, &again.body),
        (StatusCode::CREATED, true, &made.body)
    );
    let reused = label(carrier, "key", &parcel("order-2")).await;
    assert_eq!(reused.status, StatusCode::UNPROCESSABLE_ENTITY);

    let id = made.body["id"].as_str().unwrap();
    assert_eq!(carrier.get(&format!("/v1/labels/{id}")).await.body, made.body);
    let of_order = carrier.get("/v1/labels?reference=order-1").await.body;
    assert_eq!(of_order["items"], json!([made.body]));
    assert_eq!(
        carrier.get("/v1/labels?reference=order-2").await.body["items"],
        json!([])
    );
    let url = made.body["label_url"].as_str().unwrap();
    let printed = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert!(printed.contains("Ada Lovelace\n1 Analytical Way\n"), "{printed}");
    assert!(printed.contains(made.body["tracking_number"].as_str().unwrap()));

    label(carrier, "other key", &parcel("order-1")).await;
    let totals = carrier.get("/v1/totals").await.body;
    assert_eq!((&totals["labels"], &totals["doubled"]), (&json!(2), &json!(1)));
    carrier.delete("/v1/labels").await;
    assert_eq!(carrier.get("/v1/totals").await.body["labels"], 0);
}

#[tokio::test]
async fn a_signed_callback_is_retried_until_it_is_acknowledged() {
    let (shop, url) = Shop::open(2).await;
    let settings = [
        ("BACKSTOCK_CARRIER_CALLBACK_URL", url.as_str()),
        ("BACKSTOCK_CARRIER_SECRET", SECRET),
        ("BACKSTOCK_CARRIER_DELIVER_AFTER_MS", "1"),
        ("BACKSTOCK_CARRIER_CALLBACK_PAUSE_MS", "1"),
    ];
    let simulators = Simulators::start(&settings).await;
    let carrier = &simulators.carrier;
    let made = label(carrier, "key", &parcel("order")).await.body;
    let totals = until("the callback is acknowledged", async || {
        let totals = carrier.get("/v1/totals").await.body;
        (totals["callbacks"]["acknowledged"] == 1).then_some(totals)
    })
    .await;
    assert_eq!(
        (&totals["delivered"], &totals["callbacks"]["pending"]),
        (&json!(1), &json!(0))
    );
    let callbacks = shop.callbacks(3).await;
    assert_eq!(callbacks.len(), 3);
    for callback in &callbacks {
        assert!(is_genuine(callback, SECRET));
        assert!(!is_genuine(callback, "another secret of sixteen"));
        let event: Value = serde_json::from_slice(&callback.body).unwrap();
        let at = event["at"].as_str().unwrap();
        assert!(OffsetDateTime::parse(at, &Rfc3339).is_ok());
        assert_eq!(
            event,
            json!({
                "event": "delivered", "reference": "order", "tracking_number": made["tracking_number"], "at": at,
            })
        );
    }
    let delivered = carrier
        .get(&format!("/v1/labels/{}", made["id"].as_str().unwrap()))
        .await;
    assert!(delivered.body["delivered_at"].is_string());
}

#[tokio::test]
async fn a_label_can_name_its_own_callback_url() {
    let (shop, url) = Shop::open(0).await;
    let settings = [
        ("BACKSTOCK_CARRIER_CALLBACK_URL", "http://127.0.0.1:1/unreachable"),
        ("BACKSTOCK_CARRIER_SECRET", SECRET),
        ("BACKSTOCK_CARRIER_DELIVER_AFTER_MS", "1"),
    ];
    let simulators = Simulators::start(&settings).await;
    let mut body = parcel("order");
    body["callback_url"] = json!(url);
    label(&simulators.carrier, "key", &body).await;
    assert!(is_genuine(&shop.callbacks(1).await[0], SECRET));
}

#[tokio::test]
async fn a_callback_is_given_up_after_the_last_attempt() {
    let (shop, url) = Shop::open(usize::MAX).await;
    let settings = [
        ("BACKSTOCK_CARRIER_CALLBACK_URL", url.as_str()),
        ("BACKSTOCK_CARRIER_SECRET", SECRET),
        ("BACKSTOCK_CARRIER_DELIVER_AFTER_MS", "1"),
        ("BACKSTOCK_CARRIER_CALLBACK_PAUSE_MS", "1"),
        ("BACKSTOCK_CARRIER_CALLBACK_ATTEMPTS", "3"),
    ];
    let simulators = Simulators::start(&settings).await;
    label(&simulators.carrier, "key", &parcel("order")).await;
    until("the callback is given up", async || {
        let totals = simulators.carrier.get("/v1/totals").await.body;
        (totals["callbacks"]["given_up"] == 1).then_some(())
    })
    .await;
    assert_eq!(shop.callbacks(3).await.len(), 3);
}

#[tokio::test]
async fn a_delay_of_zero_means_that_parcels_are_never_delivered() {
    let (shop, url) = Shop::open(0).await;
    let settings = [
        ("BACKSTOCK_CARRIER_SECRET", SECRET),
        ("BACKSTOCK_CARRIER_DELIVER_AFTER_MS", "0"),
    ];
    let simulators = Simulators::start(&settings).await;
    let carrier = &simulators.carrier;
    label(carrier, "kept", &parcel("kept")).await;
    carrier
        .set(json!({ "deliver_after_ms": 1, "callback_url": url }))
        .await;
    label(carrier, "sent", &parcel("sent")).await;
    let callbacks = shop.callbacks(1).await;
    assert!(String::from_utf8_lossy(&callbacks[0].body).contains("sent"));
    let kept = carrier.get("/v1/labels?reference=kept").await.body;
    assert_eq!(kept["items"][0]["delivered_at"], Value::Null);
}

#[tokio::test]
async fn invalid_requests_are_rejected_and_change_nothing() {
    let simulators = Simulators::start(&[]).await;
    let carrier = &simulators.carrier;
    let with = |field: &str, value: Value| {
        let mut body = parcel("order");
        body[field] = value;
        body
    };
    let mut stateless = parcel("order");
    stateless["address"]["country"] = json!("Germany");
    let mut nameless = parcel("order");
    nameless["address"].as_object_mut().unwrap().remove("name");
    for body in [
        with("reference", json!("")),
        with("service", json!("teleport")),
        with("address", json!({})),
        with("weight", json!(1)),
        with("callback_url", json!("https://shop.example/secure")),
        with("callback_url", json!("not an address")),
        stateless,
        nameless,
        json!([]),
    ] {
        assert_eq!(
            label(carrier, "key", &body).await.status,
            StatusCode::BAD_REQUEST,
            "{body}"
        );
    }
    let unsigned = label(
        carrier,
        "key",
        &with("callback_url", json!("http://127.0.0.1:1/")),
    )
    .await;
    assert_eq!(
        (unsigned.status, &unsigned.body["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("no_secret"))
    );
    let without_key = carrier.request(Method::POST, "/v1/labels").json(&parcel("order"));
    assert_eq!(answer(without_key).await.unwrap().status, StatusCode::BAD_REQUEST);
    assert_eq!(carrier.get("/v1/labels").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        carrier.get("/v1/labels/lbl_0").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(carrier.get("/v1/totals").await.body["labels"], 0);
}
