//! Slow and idle clients, and the connection limit.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::database::{Content, Database};
use crate::support::process::{Process, get, settings};
use crate::support::until;

async fn shop(changes: &[(&'static str, &str)]) -> (Database, Process) {
    let database = Database::new(Content::Catalogue).await;
    let mut all = settings(&database);
    all.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let shop = Process::serve(&all).await;
    (database, shop)
}

async fn client(address: SocketAddr, sends: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(sends.as_bytes()).await.unwrap();
    client
}

/// Reads until the shop closes the connection. Nothing else ends this, so it tests that the shop does.
async fn until_closed(client: &mut TcpStream) -> String {
    let mut response = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut response)).await;
    // A connection that is closed with bytes in transit is reset.
    let _ = read.expect("the shop closes the connection");
    String::from_utf8_lossy(&response).into_owned()
}

#[tokio::test]
async fn an_incomplete_head_closes_its_connection() {
    let (_database, shop) = shop(&[("BACKSTOCK_HEADER_TIMEOUT_MS", "200")]).await;
    for sent in ["", "GET /v1/products HTTP/1.1\r\nhost: shop\r\n"] {
        for address in [shop.public, shop.internal] {
            let mut client = client(address, sent).await;
            assert_eq!(until_closed(&mut client).await, "", "{sent}");
        }
    }
    // An incomplete second head on the same connection.
    let mut second = client(shop.public, "GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut response = [0; 12];
    second.read_exact(&mut response).await.unwrap();
    assert_eq!(&response, b"HTTP/1.1 200");
    second.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let rest = until_closed(&mut second).await;
    assert!(!rest.contains("HTTP/1.1 "), "{rest}");
}

#[tokio::test]
async fn a_slow_head_closes_its_connection() {
    let (_database, shop) = shop(&[("BACKSTOCK_HEADER_TIMEOUT_MS", "300")]).await;
    let mut client = TcpStream::connect(shop.public).await.unwrap();
    let mut sent = 0;
    until("the connection is closed", async || {
        let mut byte = [0];
        sent += 1;
        if client.write_all(b"x").await.is_err() {
            return Some(());
        }
        match tokio::time::timeout(Duration::from_millis(20), client.read(&mut byte)).await {
            Ok(Ok(0) | Err(_)) => Some(()),
            Ok(Ok(_)) => panic!("a response to an incomplete head"),
            Err(_) => None,
        }
    })
    .await;
    assert!(sent > 2, "not before the timeout");
}

#[tokio::test]
async fn an_incomplete_body_gets_a_408() {
    let (_database, shop) = shop(&[("BACKSTOCK_BODY_TIMEOUT_MS", "200")]).await;
    let incomplete = "POST /v1/accounts HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{\"email\":";
    let response = until_closed(&mut client(shop.public, incomplete).await).await;
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    assert!(response.contains("body_timeout"), "{response}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_but_not_one_with_a_request_in_flight() {
    let (database, shop) = shop(&[
        ("BACKSTOCK_IDLE_TIMEOUT_MS", "300"),
        ("BACKSTOCK_HEADER_TIMEOUT_MS", "300"),
    ])
    .await;
    let mut blocker = database.connect().await;
    crate::support::database::execute(
        &mut blocker,
        "begin; lock table products in access exclusive mode",
    )
    .await;
    let mut client = client(
        shop.public,
        "GET /v1/products?limit=3 HTTP/1.1\r\nhost: shop\r\n\r\n",
    )
    .await;
    // Longer than both timeouts, while the request is in flight.
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(900), client.read(&mut byte)).await;
    assert!(early.is_err(), "{early:?}");
    crate::support::database::execute(&mut blocker, "rollback").await;
    let response = until_closed(&mut client).await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
}

#[tokio::test]
async fn an_active_connection_outlives_all_timeouts() {
    let (_database, shop) = shop(&[
        ("BACKSTOCK_IDLE_TIMEOUT_MS", "400"),
        ("BACKSTOCK_HEADER_TIMEOUT_MS", "400"),
    ])
    .await;
    let mut client = TcpStream::connect(shop.public).await.unwrap();
    let mut response = vec![0; 64 * 1024];
    for _ in 0..12 {
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
            .await
            .unwrap();
        let length = client.read(&mut response).await.unwrap();
        assert!(
            response[..length].starts_with(b"HTTP/1.1 200 "),
            "the connection was closed"
        );
        // The pause of the client, not a wait of the test.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let (_database, shop) = shop(&[
        ("BACKSTOCK_WRITE_TIMEOUT_MS", "200"),
        ("BACKSTOCK_IDLE_TIMEOUT_MS", "600000"),
    ])
    .await;
    // Tens of megabytes, more than the socket buffers hold.
    let large = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: shop\r\n\r\n".repeat(40);
    let mut slow = client(shop.public, &large).await;
    let open = async || {
        let metrics = get(shop.internal, "/metrics").await.unwrap().text();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("http_connections "))
            .unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    until("its connection is accepted", async || {
        (open().await == "2").then_some(())
    })
    .await;
    // Only the connection for the metrics remains.
    until("its connection is closed", async || {
        (open().await == "1").then_some(())
    })
    .await;
    let response = until_closed(&mut slow).await;
    assert!(response.starts_with("HTTP/1.1 200 "));
    assert!(response.matches("HTTP/1.1 200 ").count() < 40);
}

#[tokio::test]
async fn connections_above_the_limit_get_a_503_and_are_closed() {
    let (_database, shop) = shop(&[("BACKSTOCK_MAX_CONNECTIONS", "2")]).await;
    let request = "GET / HTTP/1.1\r\nhost: shop\r\n\r\n";
    let mut first = client(shop.public, request).await;
    let second = client(shop.public, request).await;
    let mut response = [0; 12];
    first.read_exact(&mut response).await.unwrap();
    assert_eq!(&response, b"HTTP/1.1 200");
    let rejected = until_closed(&mut client(shop.public, request).await).await;
    assert!(rejected.starts_with("HTTP/1.1 503 "), "{rejected}");
    assert!(
        rejected.contains("\r\nretry-after: 1\r\n") && rejected.contains("\"code\":\"overloaded\""),
        "{rejected}"
    );
    // The internal listener has its own limit.
    get(shop.internal, "/livez").await.unwrap().ok();
    drop((first, second));
    until("a connection is available", async || {
        let response = get(shop.public, "/").await?;
        (response.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_head_above_the_limit_gets_a_431() {
    let (_database, shop) = shop(&[("BACKSTOCK_MAX_HEADER_BYTES", "2048")]).await;
    let large = format!(
        "GET / HTTP/1.1\r\nhost: shop\r\nx-long: {}\r\n\r\n",
        "x".repeat(4096)
    );
    let response = until_closed(&mut client(shop.public, &large).await).await;
    assert!(response.starts_with("HTTP/1.1 431 "), "{response}");
}
