//! How the process goes: requests in flight are finished first; and how it says that it is not ready.

use storefront::variants::Variants;
use tokio::net::TcpStream;

use crate::support::database::{Content, Database, execute};
use crate::support::process::{Process, get, settings};
use crate::support::until;
use crate::support::wire::Wire;

async fn catalogue() -> Database {
    Database::new(Content::Catalogue, Variants::optimized().indexes).await
}

async fn until_a_request_waits_for_a_lock(database: &Database) {
    let count = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    until("a request waits for the lock", async || {
        (database.number(count).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_in_flight_is_finished_while_no_other_is_taken() {
    let database = catalogue().await;
    let shop = Process::serve(&settings(&database)).await;
    let mut blocker = database.connect().await;
    execute(
        &mut blocker,
        "begin; lock table products in access exclusive mode",
    )
    .await;
    let (public, internal) = (shop.public, shop.internal);
    let in_flight = tokio::spawn(async move { get(public, "/v1/products?limit=3").await });
    until_a_request_waits_for_a_lock(&database).await;

    shop.terminate().await;
    until("it says that it is not ready", async || {
        let answer = get(internal, "/readyz").await?;
        (answer.status == 503 && answer.json()["status"] == "draining").then_some(())
    })
    .await;
    until("it takes no new connection", async || {
        TcpStream::connect(public).await.is_err().then_some(())
    })
    .await;
    // It is there until the last request is answered: a process that drops them goes at once.
    for _ in 0..50 {
        let answer = get(internal, "/readyz").await.expect("it waits for the request");
        assert_eq!(answer.status, 503);
    }
    execute(&mut blocker, "commit").await;

    let answer = in_flight.await.unwrap().expect("a whole answer").ok();
    assert_eq!(answer.items().len(), 3);
    let (status, log) = shop.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cut off"), "{log}");
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_at_the_deadline() {
    let database = catalogue().await;
    let mut all = settings(&database);
    all.push(("BACKSTOCK_DRAIN_TIMEOUT_MS", "100".to_owned()));
    let shop = Process::serve(&all).await;
    let mut blocker = database.connect().await;
    execute(
        &mut blocker,
        "begin; lock table products in access exclusive mode",
    )
    .await;
    let public = shop.public;
    let in_flight = tokio::spawn(async move { get(public, "/v1/products?limit=3").await });
    until_a_request_waits_for_a_lock(&database).await;
    shop.terminate().await;
    let (status, log) = shop.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("cut off"), "{log}");
    assert!(in_flight.await.unwrap().is_none());
}

#[tokio::test]
async fn it_stops_at_once_when_idle_connections_are_open() {
    let database = catalogue().await;
    let shop = Process::serve(&settings(&database)).await;
    let _idle = TcpStream::connect(shop.public).await.unwrap();
    shop.get("/v1/products?limit=3").await.ok();
    shop.terminate().await;
    let (status, log) = shop.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cut off"), "{log}");
}

#[tokio::test]
async fn it_is_not_ready_while_postgres_is_gone_and_alive_all_the_time() {
    let database = catalogue().await;
    let mut wire = Wire::to(&database).await;
    let mut all = settings(&database);
    all.retain(|(name, _)| *name != "BACKSTOCK_DATABASE_URL");
    all.push(("BACKSTOCK_DATABASE_URL", wire.url()));
    all.push(("BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS", "200".to_owned()));
    let shop = Process::serve(&all).await;
    let ready = async || get(shop.internal, "/readyz").await.unwrap();
    ready().await.ok();
    wire.cut().await;
    let answer = until("it notices", async || {
        Some(ready().await).filter(|answer| answer.status == 503)
    })
    .await;
    assert_eq!(answer.json()["failing"], "postgres");
    get(shop.internal, "/livez").await.unwrap().ok();
    wire.mend().await;
    until("it is ready again", async || {
        (ready().await.status == 200).then_some(())
    })
    .await;
    shop.get("/v1/products?limit=3").await.ok();
}
