//! Fault injection: the same for all three services, set at start and at run time, reproducible with a seed.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use simulators::latency::{Draws, Latency};

use crate::support::{SimulatedService, Simulators, answer, payment};

/// The statuses of sequential look-ups; 0 is a closed connection.
async fn outcomes(gateway: &SimulatedService, count: usize) -> Vec<u16> {
    let mut outcomes = Vec::new();
    for _ in 0..count {
        let request = gateway.request(Method::GET, "/v1/payments/pay_0");
        outcomes.push(answer(request).await.map_or(0, |answer| answer.status.as_u16()));
    }
    outcomes
}

#[tokio::test]
async fn the_same_seed_gives_the_same_failures_at_start_and_at_run_time() {
    let with_seed = async |seed: &str| {
        Simulators::start(&[
            ("BACKSTOCK_SIMULATORS_SEED", seed),
            ("BACKSTOCK_PAYMENT_FAILURE_ERROR", "0.3"),
            ("BACKSTOCK_PAYMENT_FAILURE_AFTER", "0.3"),
        ])
        .await
    };
    let (one, twin, other) = (with_seed("7").await, with_seed("7").await, with_seed("8").await);
    let expected = outcomes(&one.payment, 60).await;
    for status in [404, 500, 0] {
        assert!(expected.contains(&status), "{expected:?}");
    }
    assert_eq!(outcomes(&twin.payment, 60).await, expected);
    assert_ne!(outcomes(&other.payment, 60).await, expected);
    other.payment.set(json!({ "seed": 7 })).await;
    assert_eq!(outcomes(&other.payment, 60).await, expected);
}

#[tokio::test]
async fn each_request_is_delayed_by_at_least_the_delay_drawn_from_the_seed() {
    let settings = [
        ("BACKSTOCK_SIMULATORS_SEED", "7"),
        ("BACKSTOCK_CARRIER_LATENCY_MEDIAN_MS", "20"),
        ("BACKSTOCK_CARRIER_LATENCY_P99_MS", "60"),
    ];
    let simulators = Simulators::start(&settings).await;
    let latency = Latency::new(20.0, 60.0).unwrap();
    // The carrier's random stream has the number 2.
    let mut draws = Draws::new(7, 2);
    for _ in 0..20 {
        let delay = latency.at(draws.draw().normal);
        let started = Instant::now();
        simulators.carrier.get("/v1/labels/lbl_0").await;
        // Only a lower bound: a busy machine may take any time above it.
        assert!(started.elapsed() >= delay, "{:?} {delay:?}", started.elapsed());
    }
}

#[tokio::test]
async fn latency_changes_at_run_time_and_other_settings_stay() {
    let simulators = Simulators::start(&[]).await;
    let gateway = &simulators.payment;
    let before = gateway.get("/control").await.body;
    assert_eq!(
        before,
        json!({
            "latency_median_ms": 0.0, "latency_p99_ms": 0.0, "failure_error": 0.0, "failure_before": 0.0,
            "failure_after": 0.0, "seed": 1, "timeout_answer_ms": 30_000, "flaky_failures": 2,
        })
    );
    let mut expected = before.clone();
    expected["latency_median_ms"] = json!(150.0);
    expected["latency_p99_ms"] = json!(150.0);
    let set = gateway
        .set(json!({ "latency_median_ms": 150, "latency_p99_ms": 150 }))
        .await;
    assert_eq!((set.status, &set.body), (StatusCode::OK, &expected));
    assert_eq!(gateway.get("/control").await.body, expected);
    let started = Instant::now();
    gateway.get("/v1/payments/pay_0").await;
    assert!(started.elapsed().as_millis() >= 150);
    assert_eq!(
        simulators.carrier.get("/control").await.body["latency_p99_ms"],
        0.0
    );
}

#[tokio::test]
async fn a_request_is_carried_out_if_its_response_is_lost_but_not_if_the_request_is_lost_or_fails() {
    let simulators = Simulators::start(&[]).await;
    let gateway = &simulators.payment;
    for (failure, is_carried_out) in [
        ("failure_error", false),
        ("failure_before", false),
        ("failure_after", true),
    ] {
        gateway.set(json!({ failure: 1 })).await;
        let outcome = gateway
            .post_as(failure, "/v1/payments", &payment("tok_ok", failure))
            .await;
        match outcome {
            Ok(answer) => assert_eq!(
                (failure, answer.status),
                ("failure_error", StatusCode::INTERNAL_SERVER_ERROR)
            ),
            Err(error) => assert!(failure != "failure_error" && !error.is_timeout(), "{error:?}"),
        }
        gateway.set(json!({ failure: 0 })).await;
        let found = gateway
            .get(&format!("/v1/payments?idempotency_key={failure}"))
            .await;
        assert_eq!(found.status == StatusCode::OK, is_carried_out, "{failure}");
    }
}

#[tokio::test]
async fn invalid_settings_change_nothing_and_the_error_says_what_is_allowed() {
    let simulators = Simulators::start(&[]).await;
    for service in [&simulators.payment, &simulators.carrier, &simulators.inbox] {
        let before = service.get("/control").await.body;
        for (control, expected) in [
            (json!({ "latency_ms": 5 }), "allowed are "),
            (json!({ "failure_error": 0.5, "latency": 5 }), "failure_after"),
            (json!({ "latency_median_ms": 5 }), "`latency_p99_ms`"),
            (
                json!({ "latency_median_ms": -5, "latency_p99_ms": 5 }),
                "must both be 0",
            ),
            (
                json!({ "latency_p99_ms": "fast" }),
                "`latency_p99_ms`: invalid type",
            ),
            (json!({ "failure_error": 1.5 }), "shares from 0 to 1"),
            (json!({ "failure_error": -0.1 }), "shares from 0 to 1"),
            (
                json!({ "failure_error": 0.6, "failure_after": 0.6 }),
                "at most 1 together",
            ),
            (json!({ "seed": -1 }), "`seed`: "),
            (json!({ "seed": null }), "`seed`: "),
            (json!([1]), "invalid type"),
        ] {
            let rejected = service.set(control.clone()).await;
            let message = rejected.body["message"].as_str().unwrap_or_default();
            assert_eq!(rejected.status, StatusCode::BAD_REQUEST, "{control}");
            assert!(message.contains(expected), "{control}: {message}");
            assert_eq!(service.get("/control").await.body, before, "{control}");
        }
    }
    for (service, control) in [
        (&simulators.payment, json!({ "timeout_answer_ms": 600_001 })),
        (
            &simulators.carrier,
            json!({ "callback_url": "https://shop.example/" }),
        ),
        (&simulators.carrier, json!({ "callback_attempts": 0 })),
        (&simulators.carrier, json!({ "callback_pause_ms": 0 })),
        (&simulators.carrier, json!({ "deliver_after_ms": 86_400_001 })),
        (&simulators.carrier, json!({ "flaky_failures": 1 })),
    ] {
        assert_eq!(
            service.set(control.clone()).await.status,
            StatusCode::BAD_REQUEST,
            "{control}"
        );
    }
}

#[tokio::test]
async fn control_health_and_totals_work_while_everything_else_fails() {
    let simulators = Simulators::start(&[]).await;
    for service in [&simulators.payment, &simulators.carrier, &simulators.inbox] {
        service.set(json!({ "failure_before": 1 })).await;
        assert_eq!(service.get("/livez").await.status, StatusCode::OK);
        assert_eq!(service.get("/control").await.body["failure_before"], 1.0);
    }
    for service in [&simulators.payment, &simulators.carrier] {
        assert_eq!(service.get("/v1/totals").await.status, StatusCode::OK);
    }
    assert_eq!(outcomes(&simulators.payment, 1).await, [0]);
    let count: Value = simulators.inbox.get("/messages/count").await.body;
    assert_eq!(count["received"], 0);
}
