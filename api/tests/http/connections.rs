//! Connections of clients that send, or read, too slowly or nothing; and more of them than are allowed.

use std::net::SocketAddr;
use std::time::Duration;

use storefront::variants::Variants;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::database::{Content, Database};
use crate::support::process::{Process, get, settings};
use crate::support::until;

async fn shop(changes: &[(&'static str, &str)]) -> (Database, Process) {
    let database = Database::new(Content::Catalogue, Variants::optimized().indexes).await;
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

/// What comes until the shop closes the connection. That it does is what is tested: nothing else ends this.
async fn until_closed(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut answer)).await;
    // One that is closed while bytes are under way is reset.
    let _ = read.expect("the shop closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_head_that_does_not_come_closes_its_connection() {
    let (_database, shop) = shop(&[("BACKSTOCK_HEADER_TIMEOUT_MS", "200")]).await;
    for sent in ["", "GET /v1/products HTTP/1.1\r\nhost: shop\r\n"] {
        for address in [shop.public, shop.internal] {
            let mut client = client(address, sent).await;
            assert_eq!(until_closed(&mut client).await, "", "{sent}");
        }
    }
    // The second head on a connection, half of it.
    let mut second = client(shop.public, "GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut answer = [0; 12];
    second.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    second.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let rest = until_closed(&mut second).await;
    assert!(!rest.contains("HTTP/1.1 "), "{rest}");
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_closes_its_connection() {
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
            Ok(Ok(_)) => panic!("an answer to half a head"),
            Err(_) => None,
        }
    })
    .await;
    assert!(sent > 2, "not before its time");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408() {
    let (_database, shop) = shop(&[("BACKSTOCK_BODY_TIMEOUT_MS", "200")]).await;
    let half = "POST /v1/accounts HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{\"email\":";
    let answer = until_closed(&mut client(shop.public, half).await).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("body_timeout"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_pause_and_not_while_it_is_answered() {
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
    // Longer than either timeout: the request is being answered.
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(900), client.read(&mut byte)).await;
    assert!(early.is_err(), "{early:?}");
    crate::support::database::execute(&mut blocker, "rollback").await;
    let answer = until_closed(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_connection_in_use_outlives_all_timeouts() {
    let (_database, shop) = shop(&[
        ("BACKSTOCK_IDLE_TIMEOUT_MS", "400"),
        ("BACKSTOCK_HEADER_TIMEOUT_MS", "400"),
    ])
    .await;
    let mut client = TcpStream::connect(shop.public).await.unwrap();
    let mut answer = vec![0; 64 * 1024];
    for _ in 0..12 {
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
            .await
            .unwrap();
        let length = client.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200 "), "it was closed");
        // The pause of a client, not one that the test waits in.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let (_database, shop) = shop(&[
        ("BACKSTOCK_WRITE_TIMEOUT_MS", "200"),
        ("BACKSTOCK_IDLE_TIMEOUT_MS", "600000"),
    ])
    .await;
    // Some tens of megabytes, more than any socket holds.
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
    until("its connection is taken", async || {
        (open().await == "2").then_some(())
    })
    .await;
    // The one that asks for the metrics is left.
    until("its connection is given up", async || {
        (open().await == "1").then_some(())
    })
    .await;
    let answer = until_closed(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 200 "));
    assert!(answer.matches("HTTP/1.1 200 ").count() < 40);
}

#[tokio::test]
async fn more_connections_than_are_allowed_are_answered_503_and_closed() {
    let (_database, shop) = shop(&[("BACKSTOCK_MAX_CONNECTIONS", "2")]).await;
    let request = "GET / HTTP/1.1\r\nhost: shop\r\n\r\n";
    let mut first = client(shop.public, request).await;
    let second = client(shop.public, request).await;
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let refused = until_closed(&mut client(shop.public, request).await).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(
        refused.contains("\r\nretry-after: 1\r\n") && refused.contains("\"code\":\"overloaded\""),
        "{refused}"
    );
    // Operators have their own.
    get(shop.internal, "/livez").await.unwrap().ok();
    drop((first, second));
    until("there is room again", async || {
        let answer = get(shop.public, "/").await?;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_431() {
    let (_database, shop) = shop(&[("BACKSTOCK_MAX_HEADER_BYTES", "2048")]).await;
    let large = format!(
        "GET / HTTP/1.1\r\nhost: shop\r\nx-long: {}\r\n\r\n",
        "x".repeat(4096)
    );
    let answer = until_closed(&mut client(shop.public, &large).await).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}
