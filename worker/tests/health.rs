//! `backstock-worker health`: the health check of an image without a shell.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Shop;

fn health(listen: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backstock-worker"))
        .arg("health")
        .env("BACKSTOCK_INTERNAL_LISTEN", listen)
        .output()
        .unwrap()
}

#[test]
fn a_worker_that_is_not_ready_is_unhealthy_and_the_reason_is_printed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let responding = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        // The request may arrive in chunks.
        let (mut request, mut chunk) = (Vec::new(), [0; 1024]);
        while !request.ends_with(b"\r\n\r\n") {
            let read = connection.read(&mut chunk).unwrap();
            assert!(read > 0, "the request has no end");
            request.extend_from_slice(&chunk[..read]);
        }
        assert!(request.starts_with(b"GET /readyz "));
        let response = "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"failing\":\"rabbitmq\"}";
        connection.write_all(response.as_bytes()).unwrap();
    });
    let ended = health(&format!("0.0.0.0:{port}"));
    responding.join().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let output = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(output, "503: {\"failing\":\"rabbitmq\"}\n");
}

#[tokio::test]
async fn a_connection_without_a_complete_request_head_is_closed() {
    let shop = Shop::open().await;
    let worker = shop.worker(&[]).await;
    for sent in ["", "GET /livez HTTP/1.1\r\nhost: worker\r\n"] {
        let mut client = TcpStream::connect(worker.internal()).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        // Far above the worker's deadline, so that only a worker without one reaches it.
        let closed = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut response)).await;
        // Closing a connection with unread bytes resets it, so an error is fine.
        let _ = closed.expect("the worker closes the connection");
        assert!(response.is_empty(), "{}", String::from_utf8_lossy(&response));
    }
    shop.close().await;
}
