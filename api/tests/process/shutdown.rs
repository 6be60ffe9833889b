//! How the process goes: requests in flight are finished first; and how it says that it is not ready.

use storefront::variants::Variants;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::database::{Content, Database, execute};
use crate::support::process::{Process, Starting, get, settings};
use crate::support::until;
use crate::support::wire::Wire;

async fn catalogue() -> Database {
    Database::new(Content::Catalogue, Variants::optimized().indexes).await
}

async fn until_a_request_waits_for_a_lock(database: &Database) {
    // Requests go by this name; what loads in the background has another.
    let count = "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock' and application_name = 'backstock-api'";
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
    assert!(!log.contains("are aborted"), "{log}");
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
    assert!(log.contains("are aborted"), "{log}");
    assert!(in_flight.await.unwrap().is_none());
}

#[tokio::test]
async fn clients_are_asked_to_come_back_elsewhere_before_idle_connections_are_closed() {
    let database = catalogue().await;
    let mut all = settings(&database);
    all.push(("BACKSTOCK_CLOSING_NOTICE_MS", "600000".to_owned()));
    let shop = Process::serve(&all).await;
    let mut connections = Vec::new();
    for _ in 0..2 {
        let mut connection = Kept::open(shop.public).await;
        assert!(
            !connection
                .get("/v1/products?limit=3")
                .await
                .contains("connection: close")
        );
        connections.push(connection);
    }
    shop.terminate().await;
    until("it says that it goes", async || {
        let answer = get(shop.internal, "/readyz").await?;
        (answer.status == 503).then_some(())
    })
    .await;
    for mut connection in connections {
        let answer = connection.get("/v1/products?limit=3").await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"),
            "{answer}"
        );
        assert!(connection.is_closed().await);
    }
    // A balancer that hasn't looked away yet.
    shop.get("/v1/products?limit=3").await.ok();

    shop.terminate().await;
    let (status, log) = shop.ended().await;
    assert_eq!(status.code(), Some(1), "the second signal ends it at once: {log}");
    assert!(log.contains("second signal"), "{log}");
}

#[tokio::test]
async fn a_socket_that_was_handed_over_outlives_the_process_and_takes_who_comes_between() {
    let database = catalogue().await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let early = tokio::spawn(async move { get(address, "/v1/products?limit=3").await });
    let first = Starting::spawn_on(&socket, &settings(&database)).served().await;
    assert_eq!(first.public, address);
    early.await.unwrap().expect("it was waited for").ok();
    first.terminate().await;
    let (status, log) = first.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");

    let between = tokio::spawn(async move { get(address, "/v1/products?limit=3").await });
    let second = Starting::spawn_on(&socket, &settings(&database)).served().await;
    between.await.unwrap().expect("nobody is refused").ok();
    second.get("/v1/products?limit=3").await.ok();
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
    assert!(!log.contains("are aborted"), "{log}");
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

/// A connection that is kept, for one request after the other.
struct Kept(BufReader<TcpStream>);

impl Kept {
    async fn open(address: std::net::SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    /// The answer's head.
    async fn get(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).await.unwrap(), 0, "{head}");
        }
        let length = head
            .split_once("content-length: ")
            .expect("the length is known")
            .1;
        let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
        self.0.read_exact(&mut body).await.unwrap();
        head
    }

    async fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).await.unwrap() == 0
    }
}
