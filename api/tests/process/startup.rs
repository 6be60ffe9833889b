//! How the process comes: it waits for Postgres, and says so, where waiting helps.

use std::net::{SocketAddr, TcpListener};

use sqlx::ConnectOptions;
use storefront::variants::Variants;
use tokio::net::TcpStream;

use crate::support::database::{Content, Database};
use crate::support::process::{Starting, get, run, settings};
use crate::support::wire::Wire;

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// With addresses that are known before it serves, and Postgres there.
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
async fn it_waits_for_postgres_and_says_so_and_lets_nobody_in_meanwhile() {
    let database = Database::new(Content::Catalogue, Variants::optimized().indexes).await;
    let mut wire = Wire::to(&database).await;
    wire.cut().await;
    let (all, public, internal) = settings_with(&database, wire.url());
    let mut starting = Starting::spawn(&all);
    for _ in 0..2 {
        let fields = starting.said("waiting to start").await;
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
        "nobody is let in to wait"
    );

    wire.mend().await;
    let shop = starting.served().await;
    get(internal, "/readyz").await.unwrap().ok();
    shop.get("/v1/products?limit=3").await.ok();
}

#[tokio::test]
async fn it_stops_at_once_while_it_waits() {
    let database = Database::empty().await;
    // Nobody listens on port 1.
    let (all, ..) = settings_with(&database, "postgres://shop:secret@127.0.0.1:1/shop".to_owned());
    let mut starting = Starting::spawn(&all);
    starting.said("waiting to start").await;
    starting.terminate().await;
    let (status, log) = starting.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped before it served"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn it_does_not_wait_for_what_will_not_pass() {
    let database = Database::empty().await;
    let nowhere = database
        .options
        .clone()
        .database("of_nobody")
        .to_url_lossy()
        .to_string();
    let (all, ..) = settings_with(&database, nowhere);
    let ended = run(&["serve"], &all).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("can't use the Postgres at BACKSTOCK_DATABASE_URL")
            && ended.stderr.contains("does not exist"),
        "{}",
        ended.stderr
    );
}
