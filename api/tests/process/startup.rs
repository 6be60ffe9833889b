//! Startup: the process waits for Postgres and reports that it waits. A permanent error ends it immediately.

use std::net::{SocketAddr, TcpListener};

use sqlx::ConnectOptions;
use tokio::net::TcpStream;

use crate::support::database::{Content, Database};
use crate::support::postgres_proxy::PostgresProxy;
use crate::support::process::{StartingProcess, get, run, settings};

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The settings with this URL of Postgres, the public address and the internal one. The addresses are chosen in
/// advance, so that a test can connect to them before the process is ready.
fn settings_with(database: &Database, url: String) -> (Vec<(&'static str, String)>, SocketAddr, SocketAddr) {
    let (public, internal) = (free_address(), free_address());
    let replaced = [
        ("BACKSTOCK_DATABASE_URL", url),
        ("BACKSTOCK_LISTEN", public.to_string()),
        ("BACKSTOCK_INTERNAL_LISTEN", internal.to_string()),
    ];
    let mut all = settings(database);
    all.retain(|(name, _)| replaced.iter().all(|(other, _)| name != other));
    all.extend(replaced);
    (all, public, internal)
}

#[tokio::test]
async fn it_waits_for_postgres_and_accepts_no_connections_meanwhile() {
    let database = Database::new(Content::Catalogue).await;
    let proxy = PostgresProxy::start(&database);
    proxy.cut();
    let (all, public, internal) = settings_with(&database, proxy.url());
    let mut starting = StartingProcess::spawn(&all);
    for _ in 0..2 {
        let fields = starting.logged("waiting to start").await;
        assert_eq!(fields["waiting_for"], "postgres", "{fields}");
        assert_eq!(fields["setting"], "BACKSTOCK_DATABASE_URL", "{fields}");
    }
    get(internal, "/livez").await.unwrap().ok();
    let ready = get(internal, "/readyz").await.unwrap();
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["failing"], "postgres");
    assert!(
        ready.json()["why"].as_str().unwrap().contains("refused"),
        "{}",
        ready.text()
    );
    assert!(
        TcpStream::connect(public).await.is_err(),
        "no client is accepted before the process is ready"
    );

    proxy.restore();
    let shop = starting.ready().await;
    get(internal, "/readyz").await.unwrap().ok();
    shop.get("/v1/products?limit=3").await.ok();
}

#[tokio::test]
async fn it_stops_immediately_on_sigterm_while_it_waits() {
    let database = Database::empty().await;
    // No server listens on port 1.
    let (all, ..) = settings_with(&database, "postgres://shop:secret@127.0.0.1:1/shop".to_owned());
    let mut starting = StartingProcess::spawn(&all);
    starting.logged("waiting to start").await;
    starting.terminate();
    let (status, log) = starting.wait().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped before it served"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn it_does_not_wait_for_a_permanent_error() {
    let database = Database::empty().await;
    let missing_database = database
        .options
        .clone()
        .database("missing")
        .to_url_lossy()
        .to_string();
    let (all, ..) = settings_with(&database, missing_database);
    let output = run(&["serve"], &all).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(
        output
            .stderr
            .contains("can't use the Postgres at BACKSTOCK_DATABASE_URL")
            && output.stderr.contains("does not exist"),
        "{}",
        output.stderr
    );
}
