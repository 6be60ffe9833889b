//! An invalid setting ends the process immediately, with code 2, the setting's name and an example.

use crate::support::database::{Content, Database};
use crate::support::process::{Process, get, run, settings};

/// The name, an invalid value, and a part of the message.
const INVALID: &[(&str, &str, &str)] = &[
    ("BACKSTOCK_LISTEN", "8080", "socket address"),
    ("BACKSTOCK_INTERNAL_LISTEN", "localhost", "socket address"),
    ("BACKSTOCK_JWT_SECRETS", "k:short", "openssl rand -hex 32"),
    ("BACKSTOCK_JWT_SECRETS", "", "openssl rand -hex 32"),
    (
        "BACKSTOCK_DATABASE_URL",
        "mysql//nothing",
        "postgres://shop:secret@127.0.0.1:5432/shop",
    ),
    ("BACKSTOCK_DATABASE_CONNECTIONS", "0", "1..=1000"),
    ("BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS", "1s", "for example 1000"),
    ("BACKSTOCK_DATABASE_STATEMENT_TIMEOUT_MS", "0", "from 1 to 600000"),
    (
        "BACKSTOCK_REDIS_URL",
        "http://127.0.0.1",
        "redis://127.0.0.1:6379/0",
    ),
    ("BACKSTOCK_REDIS_TIMEOUT_MS", "-1", "for example 1000"),
    ("BACKSTOCK_REQUEST_TIMEOUT_MS", "", "for example 1000"),
    ("BACKSTOCK_CACHE_TTL_LISTINGS_S", "0", "1..=86400"),
    ("BACKSTOCK_MAX_BODY_BYTES", "1MB", "invalid"),
    ("BACKSTOCK_ACCESS_TOKEN_LIFETIME_S", "901", "1..=900"),
    ("BACKSTOCK_PASSWORD_WAIT_TIMEOUT_MS", "0", "from 1 to 600000"),
    ("BACKSTOCK_CLIENT_ADDRESS_HEADER", "x forwarded", "invalid"),
    ("BACKSTOCK_THREADS", "many", "invalid"),
    ("BACKSTOCK_LOG", "info,=,x=loud", "info,sqlx=warn"),
    ("BACKSTOCK_LOG_FORMAT", "xml", "text, json"),
    // Too short: a reservation must outlast the payment timeout and some margin.
    ("BACKSTOCK_RESERVATION_MS", "15000", "for example 60000"),
];

#[tokio::test]
async fn an_invalid_setting_ends_it_with_code_2_its_name_and_the_allowed_values() {
    assert_rejected(INVALID).await;
}

/// Asserts that each of these ends the process.
pub async fn assert_rejected(invalid: &[(&'static str, &str, &str)]) {
    let database = Database::empty().await;
    for (name, value, allowed) in invalid {
        let mut all = settings(&database);
        all.retain(|(known, _)| known != name);
        all.push((name, (*value).to_owned()));
        let output = run(&["serve"], &all).await;
        let context = format!("{name}={value}: {}", output.stderr);
        assert_eq!(output.code, Some(2), "{context}");
        assert!(output.stderr.contains(name), "{context}");
        assert!(output.stderr.contains(allowed), "{context}");
        assert!(output.stdout.is_empty(), "{context}");
    }
}

#[tokio::test]
async fn a_missing_setting_ends_it_with_code_2_and_its_name() {
    let database = Database::empty().await;
    for missing in [
        "BACKSTOCK_DATABASE_URL",
        "BACKSTOCK_REDIS_URL",
        "BACKSTOCK_JWT_SECRETS",
    ] {
        let mut all = settings(&database);
        all.retain(|(name, _)| *name != missing);
        for arguments in [&["serve"][..], &[]] {
            let output = run(arguments, &all).await;
            assert_eq!(output.code, Some(2), "{missing}: {}", output.stderr);
            assert!(output.stderr.contains(missing), "{missing}: {}", output.stderr);
        }
    }
}

#[tokio::test]
async fn all_invalid_settings_are_reported_together() {
    let invalid = [
        ("BACKSTOCK_LISTEN", "8080"),
        ("BACKSTOCK_JWT_SECRETS", "first:hunter2"),
        (
            "BACKSTOCK_DATABASE_URL",
            "postgres://shop:hunter3@127.0.0.1:port/shop",
        ),
        ("BACKSTOCK_DATABASE_CONNECTIONS", "0"),
        ("BACKSTOCK_DRAIN_TIMEOUT_MS", "10s"),
        ("BACKSTOCK_AMQP_URL", "http://shop:hunter4@127.0.0.1/"),
        ("BACKSTOCK_SMTP_URL", "mail"),
        ("BACKSTOCK_LOG", "x=loud"),
    ];
    let invalid: Vec<_> = invalid.map(|(name, value)| (name, value.to_owned())).into();
    let output = run(&["serve", "--request-timeout-ms=soon"], &invalid).await;
    let stderr = &output.stderr;
    assert_eq!(output.code, Some(2), "{stderr}");
    let others = ["BACKSTOCK_REQUEST_TIMEOUT_MS", "BACKSTOCK_REDIS_URL"];
    for name in invalid.iter().map(|(name, _)| *name).chain(others) {
        let named = format!("The setting is {name}, or --");
        assert_eq!(stderr.matches(&named).count(), 1, "{name}: {stderr}");
    }
    assert!(
        stderr.starts_with("10 settings or arguments can't be used."),
        "{stderr}"
    );
    assert!(!stderr.contains("hunter"), "{stderr}");
}

#[tokio::test]
async fn no_secret_is_printed() {
    let database = Database::empty().await;
    let mut all = settings(&database);
    all.retain(|(name, _)| !matches!(*name, "BACKSTOCK_JWT_SECRETS" | "BACKSTOCK_DATABASE_URL"));
    all.push(("BACKSTOCK_JWT_SECRETS", "first:hunter2".to_owned()));
    all.push((
        "BACKSTOCK_DATABASE_URL",
        "postgres://shop:hunter3@127.0.0.1:port/shop".to_owned(),
    ));
    for arguments in [&["serve"][..], &["migrate"], &["--help"], &["serve", "--help"]] {
        let output = run(arguments, &all).await;
        let printed = output.stdout + &output.stderr;
        assert!(!printed.contains("hunter"), "{arguments:?}: {printed}");
    }
}

#[tokio::test]
async fn help_documents_every_setting_with_its_default() {
    let output = run(&["serve", "--help"], &[]).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for name in [
        "BACKSTOCK_DATABASE_URL",
        "BACKSTOCK_REDIS_URL",
        "BACKSTOCK_LISTEN",
        "BACKSTOCK_INTERNAL_LISTEN",
        "BACKSTOCK_JWT_SECRETS",
    ] {
        assert!(output.stdout.contains(name), "{name}");
    }
    for (flag, default) in [("--redis-timeout-ms", "50"), ("--listen", "127.0.0.1:8080")] {
        let at = output.stdout.find(flag).unwrap();
        assert!(
            output.stdout[at..].contains(&format!("[default: {default}]")),
            "{flag}"
        );
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    let database = Database::new(Content::Schema).await;
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut all = settings(&database);
    all.retain(|(name, _)| *name != "BACKSTOCK_LISTEN");
    all.push(("BACKSTOCK_LISTEN", occupied.local_addr().unwrap().to_string()));
    let output = run(&["serve"], &all).await;
    assert_ne!(output.code, Some(0));
    assert!(
        output.stderr.contains("set BACKSTOCK_LISTEN to a free address"),
        "{}",
        output.stderr
    );
}

#[tokio::test]
async fn only_the_internal_listener_exposes_operational_data() {
    let database = Database::new(Content::Catalogue).await;
    let shop = Process::serve(&settings(&database)).await;
    let ready = get(shop.internal, "/readyz").await.unwrap().ok().json();
    assert_eq!(ready["postgres"], "up");
    get(shop.internal, "/livez").await.unwrap().ok();
    shop.get("/v1/products?limit=2").await.ok();
    shop.get("/unknown").await.problem(404, "not_found");
    let metrics = get(shop.internal, "/metrics").await.unwrap().ok().text();
    for line in [
        "http_request_duration_seconds_count{method=\"GET\",route=\"/v1/products\",status=\"2xx\"} 1",
        "http_request_duration_seconds_count{method=\"GET\",route=\"unmatched\",status=\"4xx\"} 1",
        "database_statements_total",
        "database_connections{state=\"idle\"}",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    for path in ["/metrics", "/readyz", "/livez"] {
        shop.get(path).await.problem(404, "not_found");
    }
}
