//! A wrong setting ends the process at once, with code 2, its name and an example.

use crate::support::database::Database;
use crate::support::process::{Process, get, run, settings};

/// Name, wrong value, and what the message must hold besides the name.
const WRONG: &[(&str, &str, &str)] = &[
    ("BACKSTOCK_LISTEN", "8080", "socket address"),
    ("BACKSTOCK_INTERNAL_LISTEN", "localhost", "socket address"),
    ("BACKSTOCK_VARIANTS", "fastest", "`optimized` and `baseline`"),
    (
        "BACKSTOCK_VARIANTS",
        "optimized,pages=cursor",
        "lessons are: indexes, pagination",
    ),
    (
        "BACKSTOCK_VARIANTS",
        "optimized,pagination=keyset",
        "its arms are:",
    ),
    (
        "BACKSTOCK_VARIANTS",
        "optimized,pagination",
        "for example `optimized,pagination=offset`",
    ),
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
    // Not longer than a payment and what is around it.
    ("BACKSTOCK_RESERVATION_MS", "15000", "for example 60000"),
];

#[tokio::test]
async fn a_wrong_setting_ends_it_with_code_2_its_name_and_what_is_allowed() {
    let database = Database::empty().await;
    for (name, value, allowed) in WRONG {
        let mut all = settings(&database);
        all.retain(|(known, _)| known != name);
        all.push((name, (*value).to_owned()));
        let ended = run(&["serve"], &all).await;
        let context = format!("{name}={value}: {}", ended.stderr);
        assert_eq!(ended.code, Some(2), "{context}");
        assert!(ended.stderr.contains(name), "{context}");
        assert!(ended.stderr.contains(allowed), "{context}");
        assert!(ended.stdout.is_empty(), "{context}");
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
            let ended = run(arguments, &all).await;
            assert_eq!(ended.code, Some(2), "{missing}: {}", ended.stderr);
            assert!(ended.stderr.contains(missing), "{missing}: {}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn all_wrong_settings_are_named_at_once() {
    let wrong = [
        ("BACKSTOCK_LISTEN", "8080"),
        ("BACKSTOCK_VARIANTS", "fastest"),
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
    let wrong: Vec<_> = wrong.map(|(name, value)| (name, value.to_owned())).into();
    let ended = run(&["serve", "--request-timeout-ms=soon"], &wrong).await;
    let said = &ended.stderr;
    assert_eq!(ended.code, Some(2), "{said}");
    let others = ["BACKSTOCK_REQUEST_TIMEOUT_MS", "BACKSTOCK_REDIS_URL"];
    for name in wrong.iter().map(|(name, _)| *name).chain(others) {
        let named = format!("The setting is {name}, or --");
        assert_eq!(said.matches(&named).count(), 1, "{name}: {said}");
    }
    assert!(
        said.starts_with("11 settings or arguments can't be used."),
        "{said}"
    );
    assert!(!said.contains("hunter"), "{said}");
}

#[tokio::test]
async fn no_secret_is_ever_said() {
    let database = Database::empty().await;
    let mut all = settings(&database);
    all.retain(|(name, _)| !matches!(*name, "BACKSTOCK_JWT_SECRETS" | "BACKSTOCK_DATABASE_URL"));
    all.push(("BACKSTOCK_JWT_SECRETS", "first:hunter2".to_owned()));
    all.push((
        "BACKSTOCK_DATABASE_URL",
        "postgres://shop:hunter3@127.0.0.1:port/shop".to_owned(),
    ));
    for arguments in [&["serve"][..], &["migrate"], &["--help"], &["serve", "--help"]] {
        let ended = run(arguments, &all).await;
        let said = ended.stdout + &ended.stderr;
        assert!(!said.contains("hunter"), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn help_documents_every_setting_with_its_default() {
    let ended = run(&["serve", "--help"], &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for name in [
        "BACKSTOCK_DATABASE_URL",
        "BACKSTOCK_REDIS_URL",
        "BACKSTOCK_LISTEN",
        "BACKSTOCK_INTERNAL_LISTEN",
        "BACKSTOCK_VARIANTS",
        "BACKSTOCK_JWT_SECRETS",
    ] {
        assert!(ended.stdout.contains(name), "{name}");
    }
    for (flag, default) in [("--redis-timeout-ms", "50"), ("--listen", "127.0.0.1:8080")] {
        let at = ended.stdout.find(flag).unwrap();
        assert!(
            ended.stdout[at..].contains(&format!("[default: {default}]")),
            "{flag}"
        );
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    use crate::support::database::Content;
    let database = Database::new(
        Content::Schema,
        storefront::variants::Variants::optimized().indexes,
    )
    .await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut all = settings(&database);
    all.retain(|(name, _)| *name != "BACKSTOCK_LISTEN");
    all.push(("BACKSTOCK_LISTEN", taken.local_addr().unwrap().to_string()));
    let ended = run(&["serve"], &all).await;
    assert_ne!(ended.code, Some(0));
    assert!(
        ended.stderr.contains("set BACKSTOCK_LISTEN to a free address"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn the_internal_listener_says_what_runs_and_the_public_one_does_not() {
    use crate::support::database::Content;
    let database = Database::new(
        Content::Catalogue,
        storefront::variants::Variants::optimized().indexes,
    )
    .await;
    let shop = Process::serve(&settings(&database)).await;
    let variants = get(shop.internal, "/internal/variants")
        .await
        .unwrap()
        .ok()
        .json();
    assert_eq!(variants["preset"], "optimized");
    assert_eq!(variants["lessons"]["pagination"], "cursor");
    assert_eq!(
        variants["lessons"].as_object().unwrap().len(),
        storefront::variants::LESSONS.len()
    );
    let ready = get(shop.internal, "/readyz").await.unwrap().ok().json();
    assert_eq!(ready["postgres"], "up");
    get(shop.internal, "/livez").await.unwrap().ok();
    shop.get("/v1/products?limit=2").await.ok();
    shop.get("/nowhere").await.problem(404, "not_found");
    let metrics = get(shop.internal, "/metrics").await.unwrap().ok().text();
    for line in [
        "backstock_variant_info{lesson=\"pagination\",arm=\"cursor\"} 1",
        "http_request_duration_seconds_count{method=\"GET\",route=\"/v1/products\",status=\"2xx\"} 1",
        "http_request_duration_seconds_count{method=\"GET\",route=\"unmatched\",status=\"4xx\"} 1",
        "database_statements_total",
        "database_connections{state=\"idle\"}",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    for path in ["/metrics", "/internal/variants", "/readyz", "/livez"] {
        shop.get(path).await.problem(404, "not_found");
    }
}

#[tokio::test]
#[cfg(not(feature = "baselines"))]
async fn a_build_without_baselines_has_one_arm_a_lesson_and_says_so() {
    for lesson in storefront::variants::LESSONS {
        assert_eq!(lesson.arms.len(), 1, "{}", lesson.name);
    }
    let database = Database::empty().await;
    let mut all = settings(&database);
    all.push(("BACKSTOCK_VARIANTS", "optimized,pagination=offset".to_owned()));
    let ended = run(&["serve"], &all).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("this build has no baselines"),
        "{}",
        ended.stderr
    );
}
