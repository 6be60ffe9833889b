//! The process: settings, start-up and graceful shutdown.

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{SECRET, Simulators, payment, run, until};

#[tokio::test]
async fn a_request_in_flight_is_drained_before_the_process_exits() {
    let simulators = Simulators::start(&[("BACKSTOCK_DRAIN_TIMEOUT_MS", "20000")]).await;
    let gateway = simulators.payment.clone();
    gateway
        .set(json!({ "latency_median_ms": 500, "latency_p99_ms": 500 }))
        .await;
    let request = tokio::spawn(async move {
        gateway
            .post_as("key", "/v1/payments", &payment("tok_ok", "order"))
            .await
    });
    until("the payment is authorized", async || {
        let totals = simulators.payment.get("/v1/totals").await.body;
        (totals["authorized"] == 1).then_some(())
    })
    .await;
    let mut smtp = TcpStream::connect(simulators.smtp).await.unwrap();
    // The greeting shows that the connection is being served.
    smtp.read_u8().await.unwrap();
    simulators.terminate();
    assert_eq!(request.await.unwrap().unwrap().status, StatusCode::CREATED);
    let mut replies = String::new();
    smtp.read_to_string(&mut replies).await.unwrap();
    assert!(replies.contains("421 4.3.2"), "{replies}");
    let (status, log) = simulators.ended().await;
    assert!(status.success() && log.contains("\"stopped\""), "{status} {log}");
}

#[tokio::test]
async fn the_drain_timeout_cuts_off_a_request_that_takes_too_long() {
    let simulators = Simulators::start(&[("BACKSTOCK_DRAIN_TIMEOUT_MS", "1")]).await;
    let gateway = simulators.payment.clone();
    gateway.set(json!({ "timeout_answer_ms": 600_000 })).await;
    let request = tokio::spawn(async move {
        gateway
            .post_as("key", "/v1/payments", &payment("tok_timeout", "order"))
            .await
    });
    until("the payment is authorized", async || {
        let totals = simulators.payment.get("/v1/totals").await.body;
        (totals["authorized"] == 1).then_some(())
    })
    .await;
    simulators.terminate();
    let (status, log) = simulators.ended().await;
    assert!(status.success() && log.contains("cut off"), "{status} {log}");
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn help_names_every_setting_with_its_unit_and_default() {
    let ended = run(&["--help"], &[]).await;
    assert_eq!(ended.code, Some(0));
    for expected in [
        "[env: BACKSTOCK_PAYMENT_LISTEN",
        "[default: 127.0.0.1:8090]",
        "[default: 127.0.0.1:8091]",
        "[default: 127.0.0.1:8025]",
        "[default: 127.0.0.1:8026]",
        "[env: BACKSTOCK_PAYMENT_LATENCY_MEDIAN_MS",
        "[env: BACKSTOCK_CARRIER_FAILURE_AFTER",
        "[env: BACKSTOCK_SMTP_LATENCY_P99_MS",
        "[env: BACKSTOCK_CARRIER_SECRET",
        "in milliseconds",
        "in bytes",
    ] {
        assert!(ended.stdout.contains(expected), "{expected}\n{}", ended.stdout);
    }
}

#[tokio::test]
async fn an_invalid_setting_is_named_and_exits_with_2() {
    for (variable, value, expected) in [
        ("BACKSTOCK_PAYMENT_LISTEN", "nowhere", "BACKSTOCK_PAYMENT_LISTEN"),
        (
            "BACKSTOCK_SMTP_LATENCY_P99_MS",
            "fast",
            "BACKSTOCK_SMTP_LATENCY_P99_MS",
        ),
        (
            "BACKSTOCK_SMTP_LATENCY_P99_MS",
            "5",
            "BACKSTOCK_SMTP_…: `latency_median_ms` and `latency_p99_ms` must",
        ),
        (
            "BACKSTOCK_PAYMENT_FAILURE_AFTER",
            "2",
            "BACKSTOCK_PAYMENT_…: `failure_error`",
        ),
        (
            "BACKSTOCK_CARRIER_CALLBACK_URL",
            "https://shop.example/",
            "BACKSTOCK_CARRIER_…: `callback_url` must",
        ),
        (
            "BACKSTOCK_CARRIER_CALLBACK_URL",
            "http://127.0.0.1:1/",
            "BACKSTOCK_CARRIER_SECRET: callbacks need",
        ),
        (
            "BACKSTOCK_CARRIER_SECRET",
            "short",
            "BACKSTOCK_CARRIER_SECRET: the secret has fewer",
        ),
        ("BACKSTOCK_LOG", "simulators=loud", "BACKSTOCK_LOG"),
    ] {
        let ended = run(&[], &[(variable, value)]).await;
        assert_eq!(ended.code, Some(2), "{variable}={value}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(expected),
            "{variable}={value}: {}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn a_busy_port_is_reported_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&[], &[("BACKSTOCK_INBOX_LISTEN", &address)]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("set BACKSTOCK_INBOX_LISTEN"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_secret_appears_neither_in_help_nor_in_the_log() {
    let settings = [("BACKSTOCK_CARRIER_SECRET", SECRET)];
    assert!(!run(&["--help"], &settings).await.stdout.contains(SECRET));
    let simulators = Simulators::start(&[settings[0], ("BACKSTOCK_LOG", "trace")]).await;
    simulators.terminate();
    assert!(!simulators.ended().await.1.contains(SECRET));
}

#[tokio::test]
async fn a_health_check_reports_whether_the_process_is_alive() {
    let simulators = Simulators::start(&[]).await;
    let at = simulators.payment.address.to_string();
    let healthy = run(&["health"], &[("BACKSTOCK_PAYMENT_LISTEN", &at)]).await;
    assert_eq!((healthy.code, healthy.stdout.as_str()), (Some(0), "alive\n"));
    // As in a container, where the process listens on all addresses.
    let everywhere = format!("0.0.0.0:{}", simulators.payment.address.port());
    let healthy = run(&["health"], &[("BACKSTOCK_PAYMENT_LISTEN", &everywhere)]).await;
    assert_eq!(healthy.code, Some(0), "{}", healthy.stderr);
    simulators.terminate();
    simulators.ended().await;
    let gone = run(&["health"], &[("BACKSTOCK_PAYMENT_LISTEN", &at)]).await;
    assert_eq!(gone.code, Some(1), "{}", gone.stderr);
    assert!(gone.stderr.contains(&at), "{}", gone.stderr);
}
