//! The payment gateway: test tokens, idempotency, and the states of a payment.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, SimulatedService, Simulators, answer, payment};

async fn authorize(gateway: &SimulatedService, key: &str, body: &Value) -> Answer {
    gateway.post_as(key, "/v1/payments", body).await.unwrap()
}

fn id(answer: &Answer) -> &str {
    answer.body["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_good_card_is_authorized_and_found_by_id_and_by_key() {
    let simulators = Simulators::start(&[]).await;
    let gateway = &simulators.payment;
    let authorized = authorize(gateway, "key 1", &payment("tok_ok", "order-1")).await;
    assert_eq!(
        (authorized.status, authorized.is_replayed),
        (StatusCode::CREATED, false)
    );
    let body = &authorized.body;
    assert_eq!(
        (
            &body["status"],
            &body["amount"],
            &body["currency"],
            &body["reference"]
        ),
        (
            &json!("authorized"),
            &json!(1299),
            &json!("EUR"),
            &json!("order-1")
        )
    );
    assert!(
        body["payment_token"].is_null(),
        "the card token is never returned"
    );

    let by_id = gateway.get(&format!("/v1/payments/{}", id(&authorized))).await;
    let by_key = gateway.get("/v1/payments?idempotency_key=key%201").await;
    assert_eq!((by_id.status, &by_id.body), (StatusCode::OK, body));
    assert_eq!((by_key.status, &by_key.body), (StatusCode::OK, body));
    for unknown in ["/v1/payments/pay_0", "/v1/payments?idempotency_key=key%202"] {
        assert_eq!(gateway.get(unknown).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn capture_and_void_are_idempotent_and_exclude_each_other() {
    let simulators = Simulators::start(&[]).await;
    let gateway = &simulators.payment;
    for (first, second, status) in [("capture", "void", "captured"), ("void", "capture", "voided")] {
        let authorized = authorize(gateway, first, &payment("tok_ok", first)).await;
        let path = |action| format!("/v1/payments/{}/{action}", id(&authorized));
        let done = gateway.post(&path(first)).await;
        assert_eq!(
            (done.status, &done.body["status"]),
            (StatusCode::OK, &json!(status))
        );
        assert_eq!(gateway.post(&path(first)).await, done);
        let refused = gateway.post(&path(second)).await;
        assert_eq!(
            (refused.status, &refused.body["code"]),
            (StatusCode::CONFLICT, &json!("conflict"))
        );
        assert_eq!(
            gateway.get(&format!("/v1/payments/{}", id(&authorized))).await,
            done
        );
    }
    assert_eq!(
        gateway.post("/v1/payments/pay_0/capture").await.status,
        StatusCode::NOT_FOUND
    );
    let totals = gateway.get("/v1/totals").await.body;
    assert_eq!(
        totals,
        json!({
            "authorized": 0, "captured": 1, "voided": 1, "declined": 0, "doubled": 0, "doubled_now": 0, "evicted": 0,
            "amounts": {"EUR": {"authorized": 0, "captured": 1299, "voided": 1299, "declined": 0}},
        })
    );
}

#[tokio::test]
async fn a_declined_payment_stays_declined() {
    let simulators = Simulators::start(&[]).await;
    let gateway = &simulators.payment;
    let declined = authorize(gateway, "key", &payment("tok_declined", "order")).await;
    assert_eq!(
        (declined.status, &declined.body["code"]),
        (StatusCode::PAYMENT_REQUIRED, &json!("declined"))
    );
    let again = authorize(gateway, "key", &payment("tok_declined", "order")).await;
    assert_eq!(
        (again.status, again.is_replayed, id(&again)),
        (StatusCode::PAYMENT_REQUIRED, true, id(&declined))
    );
    let found = gateway.get("/v1/payments?idempotency_key=key").await;
    assert_eq!(found.body["status"], "declined");
    for action in ["capture", "void"] {
        let refused = gateway
            .post(&format!("/v1/payments/{}/{action}", id(&declined)))
            .await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
    }
    let totals = gateway.get("/v1/totals").await.body;
    assert_eq!(
        (&totals["declined"], &totals["authorized"]),
        (&json!(1), &json!(0))
    );
}

#[tokio::test]
async fn a_payment_whose_response_timed_out_is_found_by_its_key() {
    let simulators = Simulators::start(&[("BACKSTOCK_PAYMENT_TIMEOUT_ANSWER_MS", "600000")]).await;
    let gateway = &simulators.payment;
    let body = payment("tok_timeout", "order");
    let late = gateway
        .request(Method::POST, "/v1/payments")
        .header("idempotency-key", "key")
        .json(&body)
        // Any length will do: the response comes after ten minutes.
        .timeout(Duration::from_millis(300));
    assert!(answer(late).await.unwrap_err().is_timeout());
    let found = gateway.get("/v1/payments?idempotency_key=key").await;
    assert_eq!(
        (found.status, &found.body["status"]),
        (StatusCode::OK, &json!("authorized"))
    );
    let again = authorize(gateway, "key", &body).await;
    assert_eq!(
        (again.status, again.is_replayed, id(&again)),
        (StatusCode::CREATED, true, id(&found))
    );
    assert_eq!(gateway.get("/v1/totals").await.body["authorized"], 1);
}

#[tokio::test]
async fn a_flaky_card_fails_in_both_ways_without_effect_and_then_works() {
    let simulators = Simulators::start(&[]).await;
    let gateway = &simulators.payment;
    for key in ["one", "other"] {
        let body = payment("tok_flaky", key);
        let first = authorize(gateway, key, &body).await;
        assert_eq!(first.status, StatusCode::INTERNAL_SERVER_ERROR);
        let second = gateway.post_as(key, "/v1/payments", &body).await;
        let error = second.expect_err("the connection is closed");
        assert!(!error.is_timeout(), "{error:?}");
        let nothing = gateway.get(&format!("/v1/payments?idempotency_key={key}")).await;
        assert_eq!(nothing.status, StatusCode::NOT_FOUND);
        let third = authorize(gateway, key, &body).await;
        assert_eq!((third.status, third.is_replayed), (StatusCode::CREATED, false));
        assert!(authorize(gateway, key, &body).await.is_replayed);
    }
    gateway.set(json!({ "flaky_failures": 0 })).await;
    let at_once = authorize(gateway, "third", &payment("tok_flaky", "third")).await;
    assert_eq!(at_once.status, StatusCode::CREATED);
}

#[tokio::test]
async fn fifty_concurrent_requests_with_one_key_make_one_payment() {
    let simulators = Simulators::start(&[("BACKSTOCK_SIMULATORS_THREADS", "4")]).await;
    let gateway = &simulators.payment;
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let gateway = gateway.clone();
            tokio::spawn(async move { authorize(&gateway, "key", &payment("tok_ok", "order")).await })
        })
        .collect();
    let (mut ids, mut firsts) = (BTreeSet::new(), 0);
    for request in requests {
        let answer = request.await.unwrap();
        assert_eq!(answer.status, StatusCode::CREATED);
        ids.insert(id(&answer).to_owned());
        firsts += usize::from(!answer.is_replayed);
    }
    assert_eq!((ids.len(), firsts), (1, 1));
    let totals = gateway.get("/v1/totals").await.body;
    assert_eq!(
        (&totals["authorized"], &totals["doubled"]),
        (&json!(1), &json!(0))
    );
}

#[tokio::test]
async fn a_key_stays_bound_to_its_body() {
    let simulators = Simulators::start(&[]).await;
    let gateway = &simulators.payment;
    let body = payment("tok_ok", "order");
    authorize(gateway, "key", &body).await;
    for (field, value) in [
        ("amount", json!(1)),
        ("currency", json!("USD")),
        ("payment_token", json!("tok_declined")),
        ("reference", json!("x")),
    ] {
        let mut other = body.clone();
        other[field] = value;
        let refused = authorize(gateway, "key", &other).await;
        assert_eq!(
            (refused.status, &refused.body["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_key_reused")),
            "{field}"
        );
    }
    assert_eq!(gateway.get("/v1/totals").await.body["authorized"], 1);
}

#[tokio::test]
async fn two_payments_of_one_order_are_counted_as_doubled_until_a_reset() {
    let simulators = Simulators::start(&[]).await;
    let gateway = &simulators.payment;
    authorize(gateway, "a", &payment("tok_ok", "order")).await;
    let second = authorize(gateway, "b", &payment("tok_ok", "order")).await;
    let doubled = async || {
        let totals = gateway.get("/v1/totals").await.body;
        (totals["doubled"].clone(), totals["doubled_now"].clone())
    };
    assert_eq!(doubled().await, (json!(1), json!(1)));
    gateway.post(&format!("/v1/payments/{}/void", id(&second))).await;
    assert_eq!(doubled().await, (json!(1), json!(0)));
    assert_eq!(
        gateway.delete("/v1/payments").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(doubled().await, (json!(0), json!(0)));
    assert!(
        !authorize(gateway, "a", &payment("tok_ok", "order"))
            .await
            .is_replayed
    );
}

#[tokio::test]
async fn invalid_requests_are_rejected_and_change_nothing() {
    let simulators = Simulators::start(&[]).await;
    let gateway = &simulators.payment;
    let with = |field: &str, value: Value| {
        let mut body = payment("tok_ok", "order");
        body[field] = value;
        body.to_string()
    };
    let nested = "[".repeat(10_000);
    let large = with("reference", json!("x".repeat(70_000)));
    for (body, status, code) in [
        (with("amount", json!(0)), 400, "invalid_request"),
        (with("amount", json!(-1)), 400, "invalid_request"),
        (with("amount", json!(1.5)), 400, "invalid_request"),
        (with("amount", json!("1")), 400, "invalid_request"),
        (
            with("amount", json!(1_000_000_000_001_i64)),
            400,
            "invalid_request",
        ),
        (with("currency", json!("eur")), 400, "invalid_request"),
        (with("reference", json!("")), 400, "invalid_request"),
        (with("reference", json!("x".repeat(256))), 400, "invalid_request"),
        (with("price", json!(1)), 400, "invalid_request"),
        ("{}".to_owned(), 400, "invalid_request"),
        (String::new(), 400, "invalid_request"),
        (nested, 400, "invalid_request"),
        (large, 413, "body_too_large"),
        (with("payment_token", json!("tok_free")), 422, "unknown_token"),
    ] {
        let shown: String = body.chars().take(80).collect();
        let request = gateway.request(Method::POST, "/v1/payments");
        let refused = answer(request.header("idempotency-key", "key").body(body))
            .await
            .unwrap();
        assert_eq!(
            (refused.status.as_u16(), &refused.body["code"]),
            (status, &json!(code)),
            "{shown}"
        );
    }
    let body = payment("tok_ok", "order");
    let without_key = answer(gateway.request(Method::POST, "/v1/payments").json(&body)).await;
    assert_eq!(without_key.unwrap().status, StatusCode::BAD_REQUEST);
    for key in ["", &"x".repeat(256)] {
        assert_eq!(
            authorize(gateway, key, &body).await.status,
            StatusCode::BAD_REQUEST
        );
    }
    for path in [
        "/v1/payments",
        "/v1/payments?key=x",
        "/v1/payments?idempotency_key=x&y=1",
    ] {
        assert_eq!(gateway.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let found = gateway.get("/v1/payments?idempotency_key=key").await;
    assert_eq!(found.status, StatusCode::NOT_FOUND);
    assert_eq!(gateway.get("/v1/totals").await.body["amounts"], json!({}));
}

#[tokio::test]
async fn a_full_gateway_rejects_a_payment_rather_than_evict_an_open_one() {
    let simulators = Simulators::start(&[("BACKSTOCK_PAYMENT_MAX_PAYMENTS", "2")]).await;
    let gateway = &simulators.payment;
    let first = authorize(gateway, "1", &payment("tok_ok", "1")).await;
    authorize(gateway, "2", &payment("tok_ok", "2")).await;
    let full = authorize(gateway, "3", &payment("tok_ok", "3")).await;
    assert_eq!(
        (full.status, &full.body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("store_full"))
    );
    gateway
        .post(&format!("/v1/payments/{}/capture", id(&first)))
        .await;
    let room = authorize(gateway, "3", &payment("tok_ok", "3")).await;
    assert_eq!(room.status, StatusCode::CREATED);
    assert_eq!(gateway.get("/v1/totals").await.body["evicted"], 1);
}
