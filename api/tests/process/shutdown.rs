//! Graceful shutdown: requests in flight finish first (connection draining). Also readiness.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::database::{Content, Database, execute};
use crate::support::postgres_proxy::PostgresProxy;
use crate::support::process::{Process, StartingProcess, get, settings};
use crate::support::until;

async fn catalogue() -> Database {
    Database::new(Content::Catalogue).await
}

async fn until_a_request_waits_for_a_lock(database: &Database) {
    until("a request waits for the lock", async || {
        (database.requests_waiting_for_lock().await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_in_flight_finishes_while_no_new_connection_is_accepted() {
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

    shop.terminate();
    until("it is not ready", async || {
        let response = get(internal, "/readyz").await?;
        (response.status == 503 && response.json()["status"] == "draining").then_some(())
    })
    .await;
    until("it accepts no new connection", async || {
        TcpStream::connect(public).await.is_err().then_some(())
    })
    .await;
    // It runs until the last response was sent. A process that aborts requests would exit immediately.
    for _ in 0..50 {
        let response = get(internal, "/readyz")
            .await
            .expect("the process waits for the request");
        assert_eq!(response.status, 503);
    }
    execute(&mut blocker, "commit").await;

    let response = in_flight.await.unwrap().expect("a complete response").ok();
    assert_eq!(response.items().len(), 3);
    let (status, log) = shop.wait().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("are aborted"), "{log}");
}

#[tokio::test]
async fn a_request_that_does_not_finish_is_aborted_at_the_drain_timeout() {
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
    shop.terminate();
    let (status, log) = shop.wait().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("are aborted"), "{log}");
    assert!(in_flight.await.unwrap().is_none());
}

#[tokio::test]
async fn clients_are_asked_to_reconnect_before_idle_connections_are_closed() {
    let database = catalogue().await;
    let mut all = settings(&database);
    all.push(("BACKSTOCK_CLOSING_NOTICE_MS", "600000".to_owned()));
    let shop = Process::serve(&all).await;
    let mut connections = Vec::new();
    for _ in 0..2 {
        let mut connection = KeepAliveConnection::open(shop.public).await;
        assert!(
            !connection
                .get("/v1/products?limit=3")
                .await
                .contains("connection: close")
        );
        connections.push(connection);
    }
    shop.terminate();
    until("it is not ready", async || {
        let response = get(shop.internal, "/readyz").await?;
        (response.status == 503).then_some(())
    })
    .await;
    for mut connection in connections {
        let response = connection.get("/v1/products?limit=3").await;
        assert!(
            response.starts_with("HTTP/1.1 200") && response.contains("connection: close"),
            "{response}"
        );
        assert!(connection.is_closed().await);
    }
    // A load balancer may not have noticed yet.
    shop.get("/v1/products?limit=3").await.ok();

    shop.terminate();
    let (status, log) = shop.wait().await;
    assert_eq!(
        status.code(),
        Some(1),
        "the second signal ends it immediately: {log}"
    );
    assert!(log.contains("second signal"), "{log}");
}

#[tokio::test]
async fn a_passed_socket_outlives_the_process_and_queues_connections_between_two_processes() {
    let database = catalogue().await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let early = tokio::spawn(async move { get(address, "/v1/products?limit=3").await });
    let first = StartingProcess::spawn_on(&socket, &settings(&database))
        .ready()
        .await;
    assert_eq!(first.public, address);
    early.await.unwrap().expect("the connection is queued").ok();
    first.terminate();
    let (status, log) = first.wait().await;
    assert_eq!(status.code(), Some(0), "{log}");

    let between = tokio::spawn(async move { get(address, "/v1/products?limit=3").await });
    let second = StartingProcess::spawn_on(&socket, &settings(&database))
        .ready()
        .await;
    between.await.unwrap().expect("the connection is queued").ok();
    second.get("/v1/products?limit=3").await.ok();
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_shutdown() {
    let database = catalogue().await;
    let shop = Process::serve(&settings(&database)).await;
    let _idle = TcpStream::connect(shop.public).await.unwrap();
    shop.get("/v1/products?limit=3").await.ok();
    shop.terminate();
    let (status, log) = shop.wait().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("are aborted"), "{log}");
}

#[tokio::test]
async fn it_is_not_ready_but_alive_while_postgres_is_down() {
    let database = catalogue().await;
    let proxy = PostgresProxy::start(&database);
    let mut all = settings(&database);
    all.retain(|(name, _)| *name != "BACKSTOCK_DATABASE_URL");
    all.push(("BACKSTOCK_DATABASE_URL", proxy.url()));
    all.push(("BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS", "200".to_owned()));
    let shop = Process::serve(&all).await;
    let ready = async || get(shop.internal, "/readyz").await.unwrap();
    ready().await.ok();
    proxy.cut();
    let response = until("the outage is detected", async || {
        Some(ready().await).filter(|response| response.status == 503)
    })
    .await;
    assert_eq!(response.json()["failing"], "postgres");
    get(shop.internal, "/livez").await.unwrap().ok();
    proxy.restore();
    until("it is ready again", async || {
        (ready().await.status == 200).then_some(())
    })
    .await;
    // On a busy machine, opening connections again may take longer than a request waits for one.
    until("it serves again", async || {
        (shop.get("/v1/products?limit=3").await.status == 200).then_some(())
    })
    .await;
}

/// A keep-alive connection, for sequential requests.
struct KeepAliveConnection(BufReader<TcpStream>);

impl KeepAliveConnection {
    async fn open(address: std::net::SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    /// Sends a request and returns the head of the response.
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
