//! `backstock-worker health`: the check of an image that has no shell.

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
fn a_worker_that_is_not_ready_is_unhealthy_and_its_reason_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        // It may come in pieces.
        let (mut request, mut piece) = (Vec::new(), [0; 1024]);
        while !request.ends_with(b"\r\n\r\n") {
            let read = connection.read(&mut piece).unwrap();
            assert!(read > 0, "the request has no end");
            request.extend_from_slice(&piece[..read]);
        }
        assert!(request.starts_with(b"GET /readyz "));
        let answer = "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"failing\":\"rabbitmq\"}";
        connection.write_all(answer.as_bytes()).unwrap();
    });
    let ended = health(&format!("0.0.0.0:{port}"));
    answering.join().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(said, "503: {\"failing\":\"rabbitmq\"}\n");
}

#[tokio::test]
async fn a_connection_that_sends_no_whole_head_is_closed() {
    let shop = Shop::open().await;
    let worker = shop.worker(&[]).await;
    for sent in ["", "GET /livez HTTP/1.1\r\nhost: worker\r\n"] {
        let mut client = TcpStream::connect(worker.internal()).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Far above the deadline: only a worker without one reaches it.
        let closed = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut answer)).await;
        // One that is closed while bytes are under way is reset.
        let _ = closed.expect("the worker closes the connection");
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
    shop.close().await;
}
